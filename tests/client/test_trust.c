/* The client library over TLS: whom it trusts, who it says it is, and what it says where one end does not
 * want the other. */
#include "fixture.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "auth/certificates.h"
#include "client/client.h"
#include "io/tls.h"

static const uint64_t long_ns = 60000000000u;

static int setup_tls(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "tls", 1);
    return setup(state);
}

static int setup_plain(void **state)
{
    unsetenv("HERMES_TEST_TRANSPORT");
    return setup(state);
}

/* ---- what is there to be named ---- */

static const char *in_home(const struct fixture *f, const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", f->home, name);
    return path;
}

static void write_line(const char *path, const char *line)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", line);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void make_token(const char *name, char secret[64])
{
    char command[256];
    snprintf(command, sizeof command, "%s/hermes auth token create %s 2> /dev/null", BIN_DIR, name);
    FILE *told = popen(command, "r");
    assert_non_null(told);
    assert_non_null(fgets(secret, 64, told));
    assert_int_equal(pclose(told), 0);
    secret[strcspn(secret, "\n")] = 0;
}

/* With other settings. The client of the fixture is not in yet. */
static void start_again(struct fixture *f, const char *settings)
{
    hermes_disconnect(f->client);
    f->client = NULL;
    stop_broker(f, SIGTERM);
    listen_with(f, "tls", settings);
    start_broker(f);
}

static void expect_refused(const char *url, const hermes_connect_options_t *options, int code,
                           const char *words)
{
    hermes_client_t *client;
    int rc = hermes_connect_with(url, options, &client);
    if (rc != code || strstr(hermes_last_error(NULL), words) == NULL)
        fail_msg("%d: %s", rc, rc == 0 ? "let in" : hermes_last_error(NULL));
    assert_null(client);
}

static void expect_let_in(const char *url, const hermes_connect_options_t *options)
{
    hermes_client_t *client;
    if (hermes_connect_with(url, options, &client) != 0)
        fail_msg("%s", hermes_last_error(NULL));
    assert_int_equal(hermes_is_connected(client), 1);
    assert_int_equal(hermes_ping(client), 0);
    hermes_disconnect(client);
}

/* ---- whom to trust ---- */

static void test_a_broker_is_known_by_its_authority(void **state)
{
    struct fixture *f = *state;
    char url[64];
    hermes_connect_options_t options = {.size = sizeof options, .tls_ca = in_home(f, "certs/server.crt")};
    snprintf(url, sizeof url, "tls://localhost:%u?shm=no", f->port);
    expect_let_in(url, NULL);
    expect_refused(url, &(hermes_connect_options_t){.size = sizeof options, .tls_ca = ""}, HERMES_EACCESS,
                   "not trusted here");
    expect_refused(url, &(hermes_connect_options_t){.size = sizeof options, .tls_ca = "/nowhere/ca.crt"},
                   HERMES_ENOTFOUND, "/nowhere/ca.crt");
    options.tls_ca = in_home(f, "hermes.conf");
    expect_refused(url, &options, HERMES_EINVALID, "hermes.conf");
    options = (hermes_connect_options_t){.size = 0};
    expect_refused(url, &options, HERMES_EINVALID, "options");
}

static void test_the_name_may_be_said(void **state)
{
    struct fixture *f = *state;
    hermes_connect_options_t options = {.size = sizeof options, .tls_server_name = "broker.example"};
    expect_refused(NULL, &options, HERMES_EACCESS, "is not for 'broker.example', but for ");
    run_hermes("cert server broker.example --force");
    start_again(f, "");
    expect_refused(NULL, NULL, HERMES_EACCESS, "is not for '127.0.0.1', but for broker.example");
    expect_let_in(NULL, &options);
    setenv("HERMES_TLS_SERVER_NAME", "broker.example", 1);
    expect_let_in(NULL, NULL);
    options.tls_server_name = "";
    expect_refused(NULL, &options, HERMES_EACCESS, "is not for '127.0.0.1'");
    unsetenv("HERMES_TLS_SERVER_NAME");
}

/* ---- strangers: servers that are no broker of ours ---- */

struct stranger {
    int listener;
    unsigned port;
    struct tls_context *tls; /* NULL: it speaks no TLS */
    const void *says;        /* instead */
    size_t count;            /* of that; or of what it sends at all */
    _Atomic size_t heard;    /* bytes of what a client says behind the handshake */
    _Atomic unsigned met;
    pthread_t thread;
};

/* As far as it sends anything. false: that was all. */
static bool send_out(struct stranger *stranger, int fd, struct tls *tls, size_t *left)
{
    const void *bytes;
    size_t count;
    while ((count = tls_outgoing(tls, &bytes)) > 0) {
        size_t now = count < *left ? count : *left;
        if (now > 0 && send(fd, bytes, now, MSG_NOSIGNAL) != (ssize_t)now)
            return false;
        *left -= now;
        if (now < count)
            return false;
        tls_sent(tls, now);
    }
    (void)stranger;
    return true;
}

static void shake(struct stranger *stranger, int fd)
{
    struct error_text text;
    struct tls *tls;
    char bytes[4096], plain[4096];
    size_t left = stranger->count;
    ssize_t count;
    int64_t got = 0;
    assert_int_equal(tls_open(stranger->tls, NULL, &tls, &text), 0);
    while (got >= 0 && (count = recv(fd, bytes, sizeof bytes, 0)) > 0) {
        tls_feed(tls, bytes, (size_t)count);
        while ((got = tls_read(tls, plain, sizeof plain)) > 0)
            atomic_fetch_add(&stranger->heard, (size_t)got);
        if (!send_out(stranger, fd, tls, &left))
            break;
    }
    tls_close(tls);
}

static void *meet(void *argument)
{
    struct stranger *stranger = argument;
    char bytes[4096];
    for (int fd; (fd = accept(stranger->listener, NULL, NULL)) >= 0; close(fd)) {
        atomic_fetch_add(&stranger->met, 1);
        if (stranger->tls != NULL) {
            shake(stranger, fd);
            continue;
        }
        if (stranger->count > 0)
            (void)!send(fd, stranger->says, stranger->count, MSG_NOSIGNAL);
        while (recv(fd, bytes, sizeof bytes, 0) > 0)
            ;
    }
    return NULL;
}

static void begin(struct stranger *stranger, struct tls_context *tls, const void *says, size_t count)
{
    const int yes = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    *stranger = (struct stranger){.tls = tls, .says = says, .count = count};
    stranger->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(stranger->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    assert_int_equal(bind(stranger->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(stranger->listener, 16), 0);
    assert_int_equal(getsockname(stranger->listener, (struct sockaddr *)&at, &length), 0);
    stranger->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&stranger->thread, NULL, meet, stranger), 0);
}

static void end(struct stranger *stranger)
{
    shutdown(stranger->listener, SHUT_RDWR);
    pthread_join(stranger->thread, NULL);
    close(stranger->listener);
    tls_context_free(stranger->tls);
}

static const char *url_of(const struct stranger *stranger)
{
    static char url[64];
    snprintf(url, sizeof url, "tls://127.0.0.1:%u", stranger->port);
    return url;
}

static struct tls_context *certify(const char *directory, enum certificate_kind kind, const char *host,
                                   int64_t from_s, int64_t until_s)
{
    struct error_text text;
    struct tls_context *context;
    char file[PATH_BYTES], key[PATH_BYTES];
    int64_t now = (int64_t)time(NULL);
    const struct certificate certificate = {.kind = kind,
                                            .name = "stranger",
                                            .hosts = {host},
                                            .host_count = kind == CERTIFICATE_SERVER ? 1 : 0,
                                            .from_s = now + from_s,
                                            .until_s = now + until_s,
                                            .replaces = true};
    assert_int_equal(certificate_make(&certificate, directory, file, key, &text), 0);
    assert_int_equal(tls_serve(&(struct tls_files){file, key, NULL}, TLS_CLIENTS_NONE, &context, &text), 0);
    return context;
}

static void test_each_wrong_certificate_is_refused_by_its_name(void **state)
{
    struct fixture *f = *state;
    char ours[128], theirs[128];
    snprintf(ours, sizeof ours, "%s/certs", f->home);
    snprintf(theirs, sizeof theirs, "%s/other", f->home);
    tls_context_free(certify(theirs, CERTIFICATE_AUTHORITY, NULL, -60, 3600));
    const struct {
        const char *directory;
        enum certificate_kind kind;
        const char *host;
        int64_t from_s, until_s;
        const char *words;
    } wrong[] = {
        {ours, CERTIFICATE_SERVER, "127.0.0.1", -7200, -3600, "expired at"},
        {ours, CERTIFICATE_SERVER, "127.0.0.1", 3600, 7200, "holds from"},
        {ours, CERTIFICATE_SERVER, "example.org", -60, 3600, "is not for '127.0.0.1', but for example.org"},
        {ours, CERTIFICATE_CLIENT, NULL, -60, 3600, "purpose"},
        {theirs, CERTIFICATE_SERVER, "127.0.0.1", -60, 3600, "not trusted here ('stranger')"},
        {theirs, CERTIFICATE_AUTHORITY, NULL, -60, 3600, "signed by itself"},
    };
    char secret[64];
    make_token("desk", secret);
    const hermes_connect_options_t options = {.size = sizeof options, .token = secret};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct stranger stranger;
        begin(&stranger,
              certify(wrong[i].directory, wrong[i].kind, wrong[i].host, wrong[i].from_s, wrong[i].until_s),
              NULL, SIZE_MAX);
        expect_refused(url_of(&stranger), &options, HERMES_EACCESS, wrong[i].words);
        assert_non_null(strstr(hermes_last_error(NULL), url_of(&stranger)));
        end(&stranger);
        assert_int_equal(atomic_load(&stranger.heard), 0); /* neither hello nor token */
        assert_int_equal(atomic_load(&stranger.met), 1);
    }
}

static void test_what_is_no_tls_is_told(void **state)
{
    (void)state;
    /* A ServerHello of TLS 1.2 (RFC 5246, 7.4.1.3): version, random, no session, a cipher, no compression. */
    static uint8_t older[5 + 4 + 38] = {22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3};
    older[5 + 4 + 35] = 0xc0;
    older[5 + 4 + 36] = 0x2f;
    static uint8_t noise[300];
    uint64_t seed = 7;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)test_random(&seed);
    static const uint8_t refusal[] = {21, 3, 3, 0, 2, 2, 70}; /* fatal, protocol_version */
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    const struct {
        const void *says;
        size_t count;
        const char *words;
    } wrong[] = {{older, sizeof older, "TLS 1.3"},
                 {noise, sizeof noise, "tls://127.0.0.1"},
                 {refusal, sizeof refusal, "TLS 1.3 is not spoken there"},
                 {http, sizeof http - 1, "no TLS is spoken there"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct stranger stranger;
        begin(&stranger, NULL, wrong[i].says, wrong[i].count);
        expect_refused(url_of(&stranger), NULL, HERMES_EPROTOCOL, wrong[i].words);
        end(&stranger);
    }
}

/* Whatever part of its answer comes, and then nothing more, or the end. */
static void test_a_handshake_that_stops_holds_nobody_up(void **state)
{
    struct fixture *f = *state;
    char certs[128];
    hermes_client_t *client;
    snprintf(certs, sizeof certs, "%s/certs", f->home);
    for (size_t count = 0; count < 600; count = count * 2 + 1) { /* all of it is more */
        struct stranger stranger;
        begin(&stranger, certify(certs, CERTIFICATE_SERVER, "127.0.0.1", -60, 3600), NULL, count);
        assert_int_equal(hermes_connect(url_of(&stranger), &client), HERMES_EDISCONNECTED);
        end(&stranger);
    }
    struct stranger silent;
    begin(&silent, NULL, "\x16\x03\x03", 3);
    setenv("HERMES_REQUEST_TIMEOUT_MS", "50", 1);
    assert_int_equal(hermes_connect(url_of(&silent), &client), HERMES_ETIMEOUT);
    setenv("HERMES_REQUEST_TIMEOUT_MS", "60000", 1);
    end(&silent);
}

/* ---- who one is ---- */

static void test_a_certificate_says_who_a_client_is(void **state)
{
    struct fixture *f = *state;
    char settings[256], other[128], url[64];
    hermes_connect_options_t options = {.size = sizeof options};
    run_hermes("cert client alice");
    snprintf(other, sizeof other, "%s/other", f->home);
    tls_context_free(certify(other, CERTIFICATE_AUTHORITY, NULL, -60, 3600));
    tls_context_free(certify(other, CERTIFICATE_CLIENT, NULL, -60, 3600));
    snprintf(settings, sizeof settings, "[tls]\nclient_ca = %s/certs/ca.crt\nclients = required\n", f->home);
    start_again(f, settings);
    snprintf(url, sizeof url, "tls://127.0.0.1:%u?shm=no", f->port);
    expect_refused(url, NULL, HERMES_EACCESS, "wants a certificate of this client");
    options.tls_cert = in_home(f, "other/stranger.crt");
    options.tls_key = in_home(f, "other/stranger.key");
    expect_refused(url, &options, HERMES_EACCESS, "does not accept this client's certificate");
    options.tls_cert = in_home(f, "certs/alice.crt");
    options.tls_key = in_home(f, "certs/alice.key");
    expect_let_in(url, &options);
    setenv("HERMES_TLS_CERT", options.tls_cert, 1);
    setenv("HERMES_TLS_KEY", options.tls_key, 1);
    expect_let_in(url, NULL);
    unsetenv("HERMES_TLS_CERT");
    expect_refused(url, NULL, HERMES_EINVALID, "without its certificate");
    unsetenv("HERMES_TLS_KEY");
    assert_int_equal(chmod(options.tls_key, 0644), 0);
    expect_refused(url, &options, HERMES_EACCESS, "chmod 600");
    assert_int_equal(chmod(options.tls_key, 0600), 0);
    options.tls_key = "/nowhere/alice.key";
    expect_refused(url, &options, HERMES_ENOTFOUND, "/nowhere/alice.key");
}

static void test_a_token_says_who_a_client_is(void **state)
{
    struct fixture *f = *state;
    char secret[64];
    hermes_connect_options_t options = {.size = sizeof options};
    make_token("desk", secret);
    start_again(f, "[auth]\nrequired = true\n");
    expect_refused(NULL, NULL, HERMES_EACCESS, "wants to know who this client is");
    options.token = "hms_of_nobody";
    expect_refused(NULL, &options, HERMES_EACCESS, "not known");
    options.token = secret;
    expect_let_in(NULL, &options);
    const char *file = in_home(f, "token");
    write_line(file, secret);
    options = (hermes_connect_options_t){.size = sizeof options, .token_file = file};
    expect_let_in(NULL, &options);
    setenv("HERMES_TOKEN", secret, 1);
    expect_let_in(NULL, NULL);
    expect_let_in(NULL, &options); /* what the program says holds */
    options.token_file = "";
    options.token = "";
    expect_refused(NULL, &options, HERMES_EACCESS, "wants to know");
    unsetenv("HERMES_TOKEN");
    setenv("HERMES_TOKEN_FILE", file, 1);
    expect_let_in(NULL, NULL);
    unsetenv("HERMES_TOKEN_FILE");
}

/* What may be a secret is in no sentence. */
static void test_what_is_no_token_is_told(void **state)
{
    struct fixture *f = *state;
    static const char nonsense[] = "hms_with a blank";
    hermes_connect_options_t options = {.size = sizeof options, .token = nonsense};
    expect_refused(NULL, &options, HERMES_EINVALID, "no token");
    assert_null(strstr(hermes_last_error(NULL), "blank"));
    static const char longest[] = "hms_4567890123456789012345678901234567890123456789012345678901234";
    options.token = longest;
    expect_refused(NULL, &options, HERMES_EINVALID, "no token");
    options.token_file = in_home(f, "token");
    expect_refused(NULL, &options, HERMES_EINVALID, "one of them");
    options.token = NULL;
    expect_refused(NULL, &options, HERMES_ENOTFOUND, options.token_file);
    write_line(options.token_file, nonsense);
    expect_refused(NULL, &options, HERMES_EINVALID, options.token_file);
    assert_null(strstr(hermes_last_error(NULL), "blank"));
    write_line(options.token_file, "hms_x");
    assert_int_equal(chmod(options.token_file, 0604), 0);
    expect_refused(NULL, &options, HERMES_EACCESS, "chmod 600");
    options.token_file = f->home;
    expect_refused(NULL, &options, HERMES_EINVALID, "no file");
    options = (hermes_connect_options_t){.size = sizeof options, .token = "hms_x"};
    expect_refused("tcp://192.0.2.1:7000", &options, HERMES_EACCESS, "in the clear"); /* RFC 5737: nobody's */
}

static void test_a_token_counts_at_the_unix_socket_too(void **state)
{
    struct fixture *f = *state;
    char secret[64], url[128];
    make_token("desk", secret);
    hermes_disconnect(f->client);
    f->client = NULL;
    stop_broker(f, SIGTERM);
    start_broker(f);
    static const char *const forms[] = {"", "?shm=no"};
    for (size_t i = 0; i < 2; i++) {
        hermes_connect_options_t options = {.size = sizeof options, .token = secret};
        snprintf(url, sizeof url, "unix:%s/broker.sock%s", f->home, forms[i]);
        expect_let_in(url, &options);
        options.token = "hms_of_nobody";
        expect_refused(url, &options, HERMES_EACCESS, "not known");
    }
}

/* ---- while it is connected ---- */

static void reload(const struct fixture *f)
{
    assert_int_equal(kill(f->broker, SIGHUP), 0);
}

/* There is no broker, as far as one knows. */
static void expect_away(int rc)
{
    if (rc != 0 && rc != HERMES_EDISCONNECTED)
        fail_msg("%d", rc);
}

static void wait_until_told(struct fixture *f, hermes_subscriber_t *subscriber, const char *words)
{
    hermes_message_t message;
    do
        expect_away(hermes_wait(subscriber, &message, 1000000));
    while (strstr(hermes_last_error(f->client), words) == NULL);
}

static void test_who_is_put_out_is_told_and_comes_back_by_itself(void **state)
{
    struct fixture *f = *state;
    char secret[64];
    hermes_message_t message;
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    const char *file = in_home(f, "token");
    hermes_connect_options_t options = {.size = sizeof options, .token_file = file};
    make_token("desk", secret);
    write_line(file, secret);
    start_again(f, "[auth]\nrequired = true\n");
    assert_int_equal(hermes_connect_with(NULL, &options, &f->client), 0);
    make_topic(f, "t", true);
    const hermes_publisher_options_t patience = {.size = sizeof patience, .wait_ns = 1000000};
    assert_int_equal(hermes_publisher_open(f->client, "t", &patience, &publisher), 0);
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &subscriber), 0);
    assert_int_equal(hermes_publish(publisher, "1", 1, NULL), 0);
    assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);

    run_hermes("auth token revoke desk");
    reload(f);
    wait_until_told(f, subscriber, "not known");
    assert_int_equal(hermes_ping(f->client), HERMES_EACCESS);
    assert_int_equal(hermes_is_connected(f->client), 0);
    while (f->client->pause_ns < 80000000) /* less and less often */
        assert_int_equal(hermes_poll(subscriber, &message), 0);
    expect_away(hermes_publish(publisher, "2", 1, NULL));

    make_token("desk", secret);
    write_line(file, secret);
    reload(f);
    int rc;
    while ((rc = hermes_wait(subscriber, &message, long_ns)) == HERMES_EDISCONNECTED)
        ;
    assert_int_equal(rc, 1);
    assert_memory_equal(message.payload, "2", 1);
    assert_int_equal(hermes_ping(f->client), 0);
}

/* With another certificate, or another broker in its place. */
static void test_a_broker_that_comes_back_is_looked_at_again(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *subscriber;
    make_topic(f, "t", true);
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &subscriber), 0);
    run_hermes("cert server elsewhere.example --force");
    stop_broker(f, SIGKILL);
    start_broker(f);
    wait_until_told(f, subscriber, "but for elsewhere.example");
    assert_int_equal(hermes_ping(f->client), HERMES_EACCESS);
    run_hermes("cert server 127.0.0.1 --force");
    reload(f);
    while (hermes_ping(f->client) != 0)
        ;
}

/* Under a new authority, whose certificate is where the former one's was. */
static void test_files_that_were_replaced_are_read_for_the_next_connection(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(hermes_ping(f->client), 0);
    run_hermes("cert authority --force");
    run_hermes("cert server --force");
    stop_broker(f, SIGKILL);
    start_broker(f);
    assert_int_equal(hermes_ping(f->client), 0);
    write_line(in_home(f, "certs/ca.crt"), "half of a certificate");
    stop_broker(f, SIGKILL);
    start_broker(f);
    assert_int_equal(hermes_ping(f->client), 0); /* by what was read before */
}

static void copy_file(const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof command, "cp %s %s", from, to);
    assert_int_equal(system(command), 0);
}

/* That there was no descriptor when a file was replaced does not make the new one an old one. */
static void test_what_could_not_be_read_is_read_again(void **state)
{
    struct fixture *f = *state;
    char trusted[128], renewed[128];
    const hermes_connect_options_t options = {.size = sizeof options, .tls_ca = trusted};
    struct error_text text;
    struct identity identity;
    struct rlimit before, few;
    snprintf(trusted, sizeof trusted, "%s/trusted.crt", f->home);
    snprintf(renewed, sizeof renewed, "%s/renewed.crt", f->home);
    copy_file(in_home(f, "certs/ca.crt"), trusted);
    assert_int_equal(identity_take(&identity, &options, true, &text), 0);
    const struct tls_context *former = identity.tls;
    copy_file(in_home(f, "certs/ca.crt"), renewed);
    assert_int_equal(rename(renewed, trusted), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    identity_refresh(&identity);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_ptr_equal(identity.tls, former);
    identity_refresh(&identity);
    assert_ptr_not_equal(identity.tls, former);
    identity_drop(&identity);
}

int main(void)
{
#define TLS(test) cmocka_unit_test_setup_teardown(test, setup_tls, teardown)
    const struct CMUnitTest tests[] = {
        TLS(test_a_broker_is_known_by_its_authority),
        TLS(test_the_name_may_be_said),
        TLS(test_each_wrong_certificate_is_refused_by_its_name),
        TLS(test_what_is_no_tls_is_told),
        TLS(test_a_handshake_that_stops_holds_nobody_up),
        TLS(test_a_certificate_says_who_a_client_is),
        TLS(test_a_token_says_who_a_client_is),
        TLS(test_what_is_no_token_is_told),
        TLS(test_what_could_not_be_read_is_read_again),
        cmocka_unit_test_setup_teardown(test_a_token_counts_at_the_unix_socket_too, setup_plain, teardown),
        TLS(test_who_is_put_out_is_told_and_comes_back_by_itself),
        TLS(test_a_broker_that_comes_back_is_looked_at_again),
        TLS(test_files_that_were_replaced_are_read_for_the_next_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
