/* TLS, from the broker's side: strangers' bytes as a handshake, and what a client says with bytes of it
 * changed, before and after hands are shaken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/certificates.h"
#include "io/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_context *server_context, *client_context;

static void make(const char *directory, enum certificate_kind kind, char file[PATH_BYTES],
                 char key[PATH_BYTES])
{
    struct error_text text;
    const struct certificate certificate = {.kind = kind,
                                            .name = "fuzz",
                                            .hosts = {"localhost"},
                                            .host_count = kind == CERTIFICATE_SERVER,
                                            .from_s = (int64_t)time(NULL) - 60,
                                            .until_s = (int64_t)time(NULL) + 360000};
    if (certificate_make(&certificate, directory, file, key, &text) < 0)
        abort();
}

static void start(void)
{
    static char directory[] = "/dev/shm/hermes-fuzz-tls-XXXXXX";
    static char ca[PATH_BYTES], ca_key[PATH_BYTES], crt[PATH_BYTES], key[PATH_BYTES], own[PATH_BYTES],
        own_key[PATH_BYTES];
    struct error_text text;
    if (mkdtemp(directory) == NULL)
        abort();
    make(directory, CERTIFICATE_AUTHORITY, ca, ca_key);
    make(directory, CERTIFICATE_SERVER, crt, key);
    make(directory, CERTIFICATE_CLIENT, own, own_key);
    const struct tls_files serves = {crt, key, ca}, visits = {own, own_key, ca};
    if (tls_serve(&serves, TLS_CLIENTS_OPTIONAL, &server_context, &text) < 0 ||
        tls_visit(&visits, &client_context, &text) < 0)
        abort();
}

/* To the server, in pieces, whatever it says to each. */
static bool hear(struct tls *server, const uint8_t *bytes, size_t count, size_t piece)
{
    char said[512];
    int64_t got = 0;
    for (size_t at = 0; at < count && got >= 0; at += piece) {
        tls_feed(server, bytes + at, count - at < piece ? count - at : piece);
        while ((got = tls_read(server, said, sizeof said)) > 0)
            (void)tls_write(server, said, (size_t)got);
    }
    return got >= 0;
}

/* What the client has to say, with bytes changed as the input has it: so many of them, at such a step. */
static bool pass_on(struct tls *client, struct tls *server, const uint8_t *data, size_t size, bool changes)
{
    const void *out;
    size_t count = tls_outgoing(client, &out);
    uint8_t *bytes = malloc(count + 1);
    bool well = true;
    if (bytes == NULL)
        abort();
    if (count > 0) {
        memcpy(bytes, out, count);
        for (size_t i = 0; changes && i + 2 < size; i += 3)
            bytes[(data[i] | (size_t)data[i + 1] << 8) % count] ^= data[i + 2];
        well = hear(server, bytes, count, 1 + (size > 0 ? data[0] : 0));
        tls_sent(client, count);
    }
    free(bytes);
    return well;
}

static void answer(struct tls *server, struct tls *client)
{
    const void *out;
    char said[512];
    size_t count = tls_outgoing(server, &out);
    if (count == 0)
        return;
    tls_feed(client, out, count);
    while (tls_read(client, said, sizeof said) > 0)
        ;
    tls_sent(server, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls *server, *client;
    struct error_text text;
    char name[TLS_NAME_BYTES], none[16];
    if (server_context == NULL)
        start();
    if (size < 2)
        return 0;
    if (tls_open(server_context, NULL, &server, &text) < 0 ||
        tls_open(client_context, "localhost", &client, &text) < 0)
        abort();
    unsigned step = data[0] % 5; /* at which bytes are changed; 4: the input is all there is */
    if (step == 4) {
        (void)hear(server, data + 1, size - 1, 1 + data[1]);
    } else {
        (void)tls_read(client, none, sizeof none);
        for (unsigned i = 0; i < 4; i++) {
            if (i == 2)
                (void)tls_write(client, data, size < 400 ? size : 400);
            if (!pass_on(client, server, data + 1, size - 1, i == step))
                break;
            answer(server, client);
        }
    }
    (void)tls_peer_name(server, name);
    tls_end(server);
    (void)tls_has_outgoing(server);
    tls_close(server);
    tls_close(client);
    return 0;
}
