/*
 * An embedded log, sent to another host as it is written, without a broker: each line of the standard input
 * is a message. mirror_receive.c is the other end.
 *
 *     gcc mirror_send.c -o mirror_send $(pkg-config --cflags --libs hermes-mirror)
 *     ./mirror_send /var/lib/feed/quotes udp://127.0.0.1:7001
 */
#include <hermes/log.h>
#include <hermes/mirror.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

/* Lines that are there already. 0: there will be no more. */
static int take_lines(hermes_log_t *log)
{
    char line[1024];
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (poll(&input, 1, 0) > 0) {
        if (fgets(line, sizeof line, stdin) == NULL)
            return 0;
        line[strcspn(line, "\n")] = 0;
        int rc = hermes_log_append(log, line, strlen(line), NULL);
        if (rc < 0) {
            complain(hermes_error_name(rc), hermes_log_last_error(log));
            return 0;
        }
    }
    return 1;
}

/* Until somebody was there, and left with everything - or with nobody knows how much, and for long. */
static void see_it_out(hermes_mirror_sender_t *sender)
{
    hermes_mirror_sender_info_t info = {.size = sizeof info};
    int alone = 0;
    do {
        hermes_mirror_sender_run(sender, 10000000);
        hermes_mirror_sender_describe(sender, &info);
        alone = info.joins == 0 || info.receivers > 0 ? 0 : alone + 1;
    } while (alone == 0 || (!info.done && alone < 300));
}

int main(int argc, char **argv)
{
    hermes_log_t *log;
    hermes_mirror_sender_t *sender;
    hermes_mirror_sender_options_t options = {.size = sizeof options};
    hermes_mirror_sender_info_t info = {.size = sizeof info};
    if (argc != 3)
        return complain(argv[0], "DIRECTORY udp://HOST:PORT");
    if (hermes_log_open(argv[1], NULL, &log) < 0)
        return complain(argv[1], hermes_log_last_error(NULL));
    options.local = argv[2];
    options.flags = HERMES_MIRROR_INSECURE; /* on this host; elsewhere options.key */
    if (hermes_mirror_sender_open(log, &options, &sender) < 0)
        return complain(argv[2], hermes_mirror_sender_last_error(NULL));
    hermes_mirror_sender_describe(sender, &info);
    printf("port %u\n", info.port); /* which port 0 has become */
    fflush(stdout);
    setvbuf(stdin, NULL, _IONBF, 0); /* poll() knows of all that is there */
    while (take_lines(log) > 0)
        hermes_mirror_sender_run(sender, 10000000);
    hermes_mirror_sender_end(sender);
    see_it_out(sender);
    hermes_mirror_sender_close(sender);
    return hermes_log_close(log) < 0;
}
