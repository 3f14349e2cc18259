/*
 * group_member TOPIC GROUP SEED [slow]: a member of a group for test_group.py. Holds up to eight messages at
 * a time and acks or nacks them in any order. Says what it does, a line each, written at once:
 *
 *     got N      message N (the payload's number) was given to it
 *     ack N      and is acknowledged
 *     nack N     or given back
 *     late N     its lease had run out
 */
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hermes/hermes.h"

enum { HOLD = 8 };

static uint64_t state;

static uint64_t random_below(uint64_t bound)
{
    state ^= state << 13; /* xorshift64 (Marsaglia, 2003) */
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
}

static void say(const char *what, unsigned long long number)
{
    char line[64];
    int length = snprintf(line, sizeof line, "%s %llu\n", what, number);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        exit(1);
}

static unsigned long long number_of(const hermes_message_t *message)
{
    char text[24] = "";
    memcpy(text, message->payload, message->length < sizeof text ? message->length : sizeof text - 1);
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    hermes_client_t *client = NULL;
    hermes_subscriber_t *member = NULL;
    hermes_subscriber_options_t options = {.size = sizeof options, .ack = HERMES_ACK_MANUAL};
    struct {
        hermes_message_t message;
        unsigned long long number;
    } held[HOLD];
    unsigned count = 0;
    if (argc < 4)
        return 64;
    options.group = argv[2];
    state = strtoull(argv[3], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
    while (hermes_connect(NULL, &client) < 0) /* the broker may be away just now */
        sched_yield();
    int rc;
    while ((rc = hermes_subscriber_open(client, argv[1], &options, &member)) == HERMES_EDISCONNECTED)
        sched_yield();
    if (rc < 0) {
        fprintf(stderr, "%s\n", hermes_last_error(client));
        return 1;
    }
    for (;;) {
        rc = 0;
        if (count < HOLD &&
            (rc = hermes_wait(member, &held[count].message, count > 0 ? 100000 : 10000000)) == 1) {
            held[count].number = number_of(&held[count].message);
            say("got", held[count++].number);
        } else if (rc < 0 && rc != HERMES_EDISCONNECTED && rc != HERMES_EINTERRUPTED) {
            fprintf(stderr, "%s\n", hermes_last_error(client));
            return 1;
        }
        if (count == 0 || (count < HOLD && rc == 1 && random_below(2) == 0))
            continue;
        for (uint64_t work = random_below(10); work > 0; work--)
            sched_yield();
        unsigned i = (unsigned)random_below(count);
        bool good = random_below(50) != 0;
        rc = good ? hermes_ack(member, &held[i].message) : hermes_nack(member, &held[i].message);
        if (rc < 0 && rc != HERMES_EEXPIRED) {
            fprintf(stderr, "%s\n", hermes_last_error(client));
            return 1;
        }
        say(rc < 0 ? "late" : good ? "ack" : "nack", held[i].number);
        held[i] = held[--count];
    }
}
