/*
 * One side of test_acks.py in C. Does what each line of standard input says, and tells what came of it in a
 * line. Subscribers and messages have names of one letter.
 *
 *     open S plain|group|name NAME auto|manual|none     opens subscriber S of topic t, from the first message
 *     open S dead                                       of topic t.dead
 *     take S M         its next message, within ten seconds: the sequence, and " xN" if it was given out N
 *                      times
 *     poll S M         the same, without waiting
 *     ack S M, nack S M, renew S M, deliveries S M
 *     letter S         its next message as a letter
 *     close S
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hermes/hermes.h"
#include "hermes/letter.h"

static hermes_client_t *client;
static hermes_subscriber_t *subscribers['z' + 1];
static hermes_message_t messages['z' + 1];

static const uint64_t long_ns = 10000000000u;

static void say(int rc)
{
    if (rc < 0)
        printf("error %d\n", rc);
    else
        puts("ok");
}

static int open_subscriber(int s, const char *kind, const char *name, const char *ack)
{
    hermes_subscriber_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    if (strcmp(kind, "group") == 0)
        options.group = name;
    if (strcmp(kind, "name") == 0)
        options.name = name;
    if (options.group != NULL || options.name != NULL)
        options.ack = strcmp(ack, "none") == 0     ? HERMES_ACK_NONE
                      : strcmp(ack, "manual") == 0 ? HERMES_ACK_MANUAL
                                                   : HERMES_ACK_AUTO;
    return hermes_subscriber_open(client, strcmp(kind, "dead") == 0 ? "t.dead" : "t", &options,
                                  &subscribers[s]);
}

static void take(int s, int m, uint64_t timeout_ns)
{
    int rc = timeout_ns == 0 ? hermes_poll(subscribers[s], &messages[m])
                             : hermes_wait(subscribers[s], &messages[m], timeout_ns);
    unsigned deliveries = rc > 0 ? hermes_deliveries(subscribers[s], &messages[m]) : 0;
    if (rc < 0)
        say(rc);
    else if (rc == 0)
        puts("nothing");
    else if (deliveries == 1)
        printf("%" PRIu64 "\n", messages[m].sequence);
    else
        printf("%" PRIu64 " x%u\n", messages[m].sequence, deliveries);
}

static void read_letter(int s)
{
    hermes_message_t message;
    int rc = hermes_wait(subscribers[s], &message, long_ns);
    const hermes_letter_t *letter = rc > 0 ? hermes_letter_of(&message) : NULL;
    if (rc < 0)
        say(rc);
    else if (letter == NULL)
        puts(rc == 0 ? "nothing" : "no letter");
    else
        printf("%s %s %" PRIu64 " x%u %s %u %.*s\n", letter->topic, letter->group, letter->sequence,
               letter->deliveries, letter->reason == HERMES_LETTER_DELIVERIES ? "deliveries" : "unknown",
               letter->payload_bytes, (int)(message.length - HERMES_LETTER_BYTES),
               (const char *)message.payload + HERMES_LETTER_BYTES);
}

static void obey(char *line)
{
    const char *words[5] = {"", "", "", "", ""};
    unsigned count = 0;
    for (char *word = strtok(line, " \n"); word != NULL && count < 5; word = strtok(NULL, " \n"))
        words[count++] = word;
    const char *what = words[0];
    int s = words[1][0] & 0x7f, m = words[2][0] & 0x7f;
    if (strcmp(what, "open") == 0)
        say(open_subscriber(s, words[2], words[3], words[4]));
    else if (strcmp(what, "take") == 0)
        take(s, m, long_ns);
    else if (strcmp(what, "poll") == 0)
        take(s, m, 0);
    else if (strcmp(what, "ack") == 0)
        say(hermes_ack(subscribers[s], &messages[m]));
    else if (strcmp(what, "nack") == 0)
        say(hermes_nack(subscribers[s], &messages[m]));
    else if (strcmp(what, "renew") == 0)
        say(hermes_renew(subscribers[s], &messages[m]));
    else if (strcmp(what, "deliveries") == 0)
        printf("%u\n", hermes_deliveries(subscribers[s], &messages[m]));
    else if (strcmp(what, "letter") == 0)
        read_letter(s);
    else if (strcmp(what, "close") == 0) {
        hermes_subscriber_close(subscribers[s]);
        puts("ok");
    } else {
        puts("what?");
    }
    fflush(stdout);
}

int main(void)
{
    char line[256];
    if (hermes_connect(NULL, &client) < 0)
        return 1;
    while (fgets(line, sizeof line, stdin) != NULL)
        obey(line);
    hermes_disconnect(client);
    return 0;
}
