/*
 * A feed handler without a broker: prints the messages of a log that another host sends, from the first one
 * on, until it ends. mirror_send.c is the other end.
 *
 *     gcc mirror_receive.c -o mirror_receive $(pkg-config --cflags --libs hermes-mirror)
 *     ./mirror_receive udp://127.0.0.1:7001
 */
#include <hermes/mirror.h>
#include <stdio.h>

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

int main(int argc, char **argv)
{
    hermes_mirror_receiver_options_t options = {.size = sizeof options};
    hermes_mirror_receiver_t *receiver;
    hermes_message_t message;
    int rc;
    if (argc != 2)
        return complain(argv[0], "udp://HOST:PORT");
    options.sender = argv[1];
    options.flags = HERMES_MIRROR_INSECURE; /* on this host; elsewhere options.key */
    options.socket_bytes = 4 << 20;
    setvbuf(stdout, NULL, _IOLBF, 0); /* who reads it through a pipe has each message at once */
    if (hermes_mirror_receiver_open(&options, &receiver) < 0)
        return complain(argv[1], hermes_mirror_receiver_last_error(NULL));
    while ((rc = hermes_mirror_receiver_wait(receiver, &message, 1000000000)) >= 0 || rc == HERMES_EGONE)
        if (rc > 0)
            printf("%llu %.*s\n", (unsigned long long)message.sequence, (int)message.length,
                   (const char *)message.payload);
    if (rc != HERMES_ECLOSED)
        complain(hermes_error_name(rc), hermes_mirror_receiver_last_error(receiver));
    hermes_mirror_receiver_close(receiver);
    return rc != HERMES_ECLOSED;
}
