/*
 * The hot paths, each a thousand times in a function of its own, for an instruction counter: the count
 * does not depend on the machine's other work, so a test may hold it to a number (hot_paths.py).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group/group.h"
#include "hermes/hermes.h"

enum { ROUNDS = 1000, SIZE = 64, CAPACITY = 4096 };

static _Alignas(128) uint8_t memory[1 << 20];
static _Alignas(64) uint8_t frame[HERMES_HEADER_BYTES + SIZE];
static hermes_header_t *const header = (hermes_header_t *)(void *)frame;
static uint64_t word;
static hermes_clock_t clock_state;
static hermes_log_t *log_handle;
static hermes_log_reader_t *reader;
static struct group_page *page;
static struct group_member member;

static void must(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "hot_paths: %s\n", hermes_strerror(rc));
        exit(1);
    }
}

#define HOT __attribute__((noinline)) static void

HOT hot_spsc(void)
{
    hermes_spsc_producer_t attached_p, p;
    hermes_spsc_consumer_t attached_c, c;
    must(hermes_spsc_producer_attach(&attached_p, memory, sizeof memory));
    must(hermes_spsc_consumer_attach(&attached_c, memory, sizeof memory));
    p = attached_p;
    c = attached_c;
    for (int i = 0; i < ROUNDS; i++) {
        hermes_spsc_push(&p, &word, sizeof word);
        hermes_spsc_pop(&c, &word, sizeof word);
        __asm__ volatile("" : : : "memory");
    }
}

HERMES_SPSC_DEFINE(words, uint64_t, CAPACITY);

HOT hot_typed(void)
{
    words_producer_t p = words_producer((words_t *)(void *)memory);
    words_consumer_t c = words_consumer((words_t *)(void *)memory);
    for (int i = 0; i < ROUNDS; i++) {
        words_push(&p, &word);
        words_pop(&c, &word);
        __asm__ volatile("" : : : "memory");
    }
}

HOT hot_slot(void)
{
    hermes_spsc_producer_t attached_p, p;
    hermes_spsc_consumer_t attached_c, c;
    must(hermes_slot_producer_attach(&attached_p, memory, sizeof memory));
    must(hermes_slot_consumer_attach(&attached_c, memory, sizeof memory));
    p = attached_p;
    c = attached_c;
    for (int i = 0; i < ROUNDS; i++) {
        hermes_slot_push(&p, &word, sizeof word);
        hermes_slot_pop(&c, &word, sizeof word);
        __asm__ volatile("" : : : "memory");
    }
}

HOT hot_mpmc(void)
{
    hermes_mpmc_t attached, ring;
    must(hermes_mpmc_attach(&attached, memory, sizeof memory));
    ring = attached;
    for (int i = 0; i < ROUNDS; i++) {
        hermes_mpmc_push(&ring, &word, sizeof word);
        hermes_mpmc_pop(&ring, &word, sizeof word);
        __asm__ volatile("" : : : "memory");
    }
}

HOT hot_encode(void)
{
    for (uint64_t i = 0; i < ROUNDS; i++)
        must(hermes_message_encode(header, frame + HERMES_HEADER_BYTES, SIZE, i, i));
}

HOT hot_decode(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        must(hermes_message_decode(header, sizeof frame));
        __asm__ volatile("" : : : "memory");
    }
}

HOT hot_verify(void)
{
    for (int i = 0; i < ROUNDS; i++)
        must(hermes_message_verify(header, frame + HERMES_HEADER_BYTES, sizeof frame));
}

HOT hot_restamp(void)
{
    for (uint64_t i = 0; i < ROUNDS; i++)
        hermes_message_restamp(header, i, i);
}

HOT hot_clock(void)
{
    for (int i = 0; i < ROUNDS; i++)
        word += hermes_clock_now(&clock_state);
}

HOT hot_append(void)
{
    for (int i = 0; i < ROUNDS; i++)
        must(hermes_log_append(log_handle, frame, SIZE, NULL));
}

HOT hot_append_at(void)
{
    for (uint64_t i = 0; i < ROUNDS; i++)
        must(hermes_log_append_at(log_handle, 1 + i, frame, SIZE, NULL));
}

HOT hot_poll(void)
{
    hermes_message_t message;
    for (int i = 0; i < ROUNDS; i++)
        must(hermes_log_reader_poll(reader, &message) - 1);
}

/* What the member of a group does besides polling. */
HOT hot_claim(void)
{
    for (uint64_t at = 0; at < ROUNDS * 64; at += 64) {
        must(group_claim(&member, at) == GROUP_MINE ? 0 : HERMES_EINVALID);
        group_passed(&member, at + 64, at);
    }
}

HOT hot_ack(void)
{
    for (uint64_t at = 0; at < ROUNDS * 64; at += 64)
        must(group_ack(&member, at, group_first_claim(&member)));
}

static void join_group(void)
{
    size_t bytes = group_page_bytes(GROUP_SLOTS_MIN);
    page = aligned_alloc(4096, bytes);
    must(page == NULL ? HERMES_ENOMEM : 0);
    memset(page, 0, bytes);
    group_page_init(page, GROUP_SLOTS_MIN, 1, 1, 0, "");
    group_give_line(page, 0, 1, 0);
    must(group_member_init(&member, page, bytes, 0, 1, false));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } paths[] = {{"spsc", hot_spsc},           {"typed", hot_typed},
                 {"slot", hot_slot},           {"mpmc", hot_mpmc},
                 {"encode", hot_encode},       {"decode", hot_decode},
                 {"verify", hot_verify},       {"restamp", hot_restamp},
                 {"clock", hot_clock},         {"append", hot_append},
                 {"append_at", hot_append_at}, {"poll", hot_poll},
                 {"claim", hot_claim},         {"ack", hot_ack}};
    const char *directory = argc == 3 ? argv[2] : NULL;
    if (directory == NULL) {
        fprintf(stderr, "Usage: hot_paths NAME DIRECTORY\n");
        return 64;
    }
    if (strcmp(argv[1], "slot") == 0)
        must(hermes_slot_init(memory, sizeof memory, sizeof word, CAPACITY));
    else if (strcmp(argv[1], "mpmc") == 0)
        must(hermes_mpmc_init(memory, sizeof memory, sizeof word, CAPACITY, 0));
    else if (strcmp(argv[1], "typed") != 0)
        must(hermes_spsc_init(memory, sizeof memory, sizeof word, CAPACITY));
    must(hermes_message_encode(header, frame + HERMES_HEADER_BYTES, SIZE, 1, 1));
    hermes_clock_init(&clock_state);
    must(hermes_log_open(directory, NULL, &log_handle));
    must(hermes_log_reader_open(directory, &reader));
    for (int i = 0; i < ROUNDS && strcmp(argv[1], "poll") == 0; i++)
        must(hermes_log_append(log_handle, frame, SIZE, NULL));
    join_group();
    if (strcmp(argv[1], "ack") == 0)
        hot_claim();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(argv[1], paths[i].name) == 0) {
            paths[i].run();
            printf("%d rounds\n", ROUNDS);
        }
    free(page);
    hermes_log_reader_close(reader);
    return hermes_log_close(log_handle) < 0;
}
