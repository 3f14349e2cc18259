/* Two ends of TLS, with nothing between them but memory. */
#include "test.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "auth/certificates.h"
#include "io/tls.h"

static char directory[] = "/tmp/hermes-tls-XXXXXX";
static char crt[PATH_BYTES], key[PATH_BYTES], client_crt[PATH_BYTES], client_key[PATH_BYTES], ca[PATH_BYTES];

static void make(enum certificate_kind kind, const char *name, char file[PATH_BYTES],
                 char key_file[PATH_BYTES])
{
    struct error_text text;
    int64_t now = (int64_t)time(NULL);
    const struct certificate certificate = {.kind = kind,
                                            .name = name,
                                            .hosts = {"localhost", "127.0.0.1"},
                                            .host_count = kind == CERTIFICATE_SERVER ? 2 : 0,
                                            .from_s = now - 60,
                                            .until_s = now + 3600};
    assert_int_equal(certificate_make(&certificate, directory, file, key_file, &text), 0);
}

static int make_certificates(void **state)
{
    char unused[PATH_BYTES];
    (void)state;
    assert_non_null(mkdtemp(directory));
    make(CERTIFICATE_AUTHORITY, "authority", ca, unused);
    make(CERTIFICATE_SERVER, "server", crt, key);
    make(CERTIFICATE_CLIENT, "alice", client_crt, client_key);
    return 0;
}

static int remove_certificates(void **state)
{
    char ca_key[PATH_BYTES];
    (void)state;
    snprintf(ca_key, sizeof ca_key, "%.4000s/ca.key", directory);
    const char *const files[] = {ca, ca_key, crt, key, client_crt, client_key};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        assert_int_equal(unlink(files[i]), 0);
    return rmdir(directory);
}

struct pair {
    struct tls_context *server_context, *client_context;
    struct tls *server, *client;
    size_t piece; /* so many bytes go at a time */
};

static void begin(struct pair *pair, const char *host, enum tls_clients clients, bool shows)
{
    struct error_text text;
    const struct tls_files own = {crt, key, ca}, visits = {shows ? client_crt : NULL, client_key, ca};
    *pair = (struct pair){.piece = SIZE_MAX};
    assert_int_equal(tls_serve(&own, clients, &pair->server_context, &text), 0);
    assert_int_equal(tls_visit(&visits, &pair->client_context, &text), 0);
    assert_int_equal(tls_open(pair->server_context, NULL, &pair->server, &text), 0);
    assert_int_equal(tls_open(pair->client_context, host, &pair->client, &text), 0);
}

static void finish(struct pair *pair)
{
    tls_close(pair->server);
    tls_close(pair->client);
    tls_context_free(pair->server_context);
    tls_context_free(pair->client_context);
}

/* What one end has to send reaches the other; what that says is in bytes. How much; or an error. */
static int64_t carry(struct pair *pair, struct tls *from, struct tls *to, char *bytes, size_t size)
{
    const void *out;
    size_t count, done = 0;
    while ((count = tls_outgoing(from, &out)) > 0) {
        count = count < pair->piece ? count : pair->piece;
        tls_feed(to, out, count);
        int64_t got;
        while ((got = tls_read(to, bytes + done, size - done)) > 0)
            done += (size_t)got;
        tls_sent(from, count);
        if (got < 0)
            return got;
    }
    return (int64_t)done;
}

/* The worse of what the two ends say. */
static int64_t shake(struct pair *pair)
{
    char none[64];
    int64_t client = tls_read(pair->client, none, sizeof none), server = 0; /* it begins */
    for (int i = 0; i < 4 && client == 0 && server == 0; i++) {
        server = carry(pair, pair->client, pair->server, none, sizeof none);
        int64_t answer = carry(pair, pair->server, pair->client, none, sizeof none);
        client = client < 0 ? client : answer;
    }
    return client < server ? client : server;
}

static void talk(struct pair *pair)
{
    static char said[100000], heard[100000];
    for (size_t i = 0; i < sizeof said; i++)
        said[i] = (char)(i * 7);
    for (size_t count = 1; count <= sizeof said; count *= 10) {
        assert_int_equal(tls_write(pair->client, said, count), 0);
        assert_int_equal(carry(pair, pair->client, pair->server, heard, sizeof heard), count);
        assert_memory_equal(said, heard, count);
    }
}

static void what_is_said_is_heard(void **state)
{
    (void)state;
    struct pair pair;
    static const size_t pieces[] = {SIZE_MAX, 1, 1000};
    for (size_t i = 0; i < 3; i++) {
        char name[TLS_NAME_BYTES];
        begin(&pair, i == 0 ? "127.0.0.1" : "localhost", TLS_CLIENTS_REQUIRED, true);
        pair.piece = pieces[i];
        assert_int_equal(tls_write(pair.client, "early", 5), HERMES_EPROTOCOL);
        assert_int_equal(shake(&pair), 0);
        assert_int_equal(tls_state(pair.server), TLS_TALKS);
        assert_true(tls_peer_name(pair.server, name));
        assert_string_equal(name, "alice");
        assert_true(tls_is_still_trusted(pair.server, pair.server_context));
        talk(&pair);
        finish(&pair);
    }
}

/* Each has five bytes in front, of which the last two are its length (RFC 8446, 5.1). */
static unsigned count_records(struct tls *tls)
{
    const void *out;
    unsigned records = 0;
    size_t count = tls_outgoing(tls, &out);
    for (const uint8_t *at = out, *end = at + count; at < end; records++)
        at += 5 + (at[3] << 8 | at[4]);
    return records;
}

static void parts_go_in_as_few_records_as_there_can_be(void **state)
{
    (void)state;
    static char said[100000], heard[100000];
    static const struct {
        size_t lengths[3], most, taken;
        unsigned records;
    } cases[] = {
        {{48, 80, 128}, SIZE_MAX, 256, 1},
        {{32, 24000, 0}, SIZE_MAX, 24032, 2},
        {{10, TLS_RECORD_BYTES, TLS_RECORD_BYTES - 10}, SIZE_MAX, 2 * TLS_RECORD_BYTES, 2},
        {{0, 3 * TLS_RECORD_BYTES, 5}, SIZE_MAX, 3 * TLS_RECORD_BYTES + 5, 4},
        {{100, 90000, 100}, 65536, 65536, 4},
        {{0, 0, 0}, SIZE_MAX, 0, 0},
    };
    struct pair pair;
    begin(&pair, "localhost", TLS_CLIENTS_NONE, false);
    assert_int_equal(shake(&pair), 0);
    for (size_t i = 0; i < sizeof said; i++)
        said[i] = (char)(i * 7);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct iovec parts[3];
        char *at = said;
        for (int part = 0; part < 3; at += cases[i].lengths[part++])
            parts[part] = (struct iovec){at, cases[i].lengths[part]};
        assert_int_equal(tls_write_parts(pair.client, parts, 3, cases[i].most), cases[i].taken);
        assert_int_equal(count_records(pair.client), cases[i].records);
        assert_int_equal(carry(&pair, pair.client, pair.server, heard, sizeof heard), cases[i].taken);
        assert_memory_equal(said, heard, cases[i].taken);
    }
    finish(&pair);
}

static void a_goodbye_is_told_from_a_cut(void **state)
{
    (void)state;
    struct pair pair;
    char none[16];
    begin(&pair, "localhost", TLS_CLIENTS_NONE, false);
    assert_int_equal(shake(&pair), 0);
    assert_int_equal(tls_read(pair.server, none, sizeof none), 0);
    assert_int_equal(tls_state(pair.server), TLS_TALKS);
    tls_end(pair.client);
    assert_int_equal(carry(&pair, pair.client, pair.server, none, sizeof none), HERMES_ECLOSED);
    assert_int_equal(tls_state(pair.server), TLS_ENDED);
    finish(&pair);
}

static void who_is_not_trusted_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    char name[TLS_NAME_BYTES];
    begin(&pair, "elsewhere", TLS_CLIENTS_NONE, false);
    assert_int_equal(shake(&pair), HERMES_EACCESS);
    assert_non_null(strstr(tls_error(pair.client), "not for 'elsewhere', but for localhost, 127.0.0.1"));
    finish(&pair);
    begin(&pair, "localhost", TLS_CLIENTS_REQUIRED, false);
    assert_int_equal(shake(&pair), HERMES_EACCESS);
    assert_non_null(strstr(tls_error(pair.server), "has no certificate"));
    assert_non_null(strstr(tls_error(pair.client), "wants a certificate of this client"));
    finish(&pair);
    begin(&pair, "localhost", TLS_CLIENTS_OPTIONAL, false);
    assert_int_equal(shake(&pair), 0);
    assert_false(tls_peer_name(pair.server, name));
    finish(&pair);
}

static void a_flipped_bit_ends_it(void **state)
{
    (void)state;
    struct pair pair;
    const void *out;
    uint8_t bytes[256];
    begin(&pair, "localhost", TLS_CLIENTS_NONE, false);
    assert_int_equal(shake(&pair), 0);
    assert_int_equal(tls_write(pair.client, "hello", 5), 0);
    size_t count = tls_outgoing(pair.client, &out);
    assert_true(count <= sizeof bytes);
    memcpy(bytes, out, count);
    bytes[count / 2] ^= 1;
    tls_feed(pair.server, bytes, count);
    assert_int_equal(tls_read(pair.server, bytes, sizeof bytes), HERMES_EPROTOCOL);
    assert_int_equal(tls_state(pair.server), TLS_FAILED);
    assert_true(tls_has_outgoing(pair.server)); /* why */
    finish(&pair);
}

static void both_ends_make_the_same_secrets(void **state)
{
    (void)state;
    struct pair pair;
    uint8_t server[32], client[32], other[32];
    begin(&pair, "localhost", TLS_CLIENTS_NONE, false);
    assert_int_equal(tls_export(pair.client, "EXPORTER-a", "1", 1, client, 32), HERMES_EPROTOCOL);
    assert_int_equal(shake(&pair), 0);
    assert_int_equal(tls_export(pair.server, "EXPORTER-a", "1", 1, server, 32), 0);
    assert_int_equal(tls_export(pair.client, "EXPORTER-a", "1", 1, client, 32), 0);
    assert_memory_equal(server, client, 32);
    assert_int_equal(tls_export(pair.client, "EXPORTER-b", "1", 1, other, 32), 0);
    assert_memory_not_equal(client, other, 32);
    assert_int_equal(tls_export(pair.client, "EXPORTER-a", "2", 1, other, 32), 0);
    assert_memory_not_equal(client, other, 32);
    finish(&pair);
    begin(&pair, "localhost", TLS_CLIENTS_NONE, false); /* of another connection: another */
    assert_int_equal(shake(&pair), 0);
    assert_int_equal(tls_export(pair.client, "EXPORTER-a", "1", 1, other, 32), 0);
    assert_memory_not_equal(client, other, 32);
    finish(&pair);
}

static void files_that_are_none_are_named(void **state)
{
    (void)state;
    struct error_text text;
    struct tls_context *context;
    const struct tls_files missing = {"/nowhere/a.crt", "/nowhere/a.key", NULL},
                           other = {crt, client_key, NULL};
    assert_int_equal(tls_serve(&missing, TLS_CLIENTS_NONE, &context, &text), HERMES_ENOTFOUND);
    assert_non_null(strstr(text.bytes, "/nowhere/a.crt"));
    assert_int_equal(tls_serve(&other, TLS_CLIENTS_NONE, &context, &text), HERMES_EINVALID);
    assert_non_null(strstr(text.bytes, client_key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_is_heard),
        cmocka_unit_test(a_goodbye_is_told_from_a_cut),
        cmocka_unit_test(who_is_not_trusted_is_refused),
        cmocka_unit_test(a_flipped_bit_ends_it),
        cmocka_unit_test(both_ends_make_the_same_secrets),
        cmocka_unit_test(files_that_are_none_are_named),
        cmocka_unit_test(parts_go_in_as_few_records_as_there_can_be),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
