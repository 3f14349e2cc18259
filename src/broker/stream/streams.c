#include "broker/stream/streams.h"

#include <stdlib.h>

#include "broker/stream/intake.h"
#include "broker/stream/outlet.h"
#include "broker/stream/stretch.h"

enum { TURN_BYTES = 256 * 1024 };

/* ---- turning ---- */

static bool has_more(const struct topic *topic)
{
    if (queue_is_busy(&topic->turns))
        return false; /* what is done about it is an event */
    return topic->streamed.awaiting > 0 &&
           (topic->streamed.stirred || stretch_log_end(topic) != topic->streamed.seen);
}

static bool look_at_outlets(struct topic *topic)
{
    bool found = has_more(topic);
    if (!found)
        return false;
    topic->streamed.seen = stretch_log_end(topic);
    topic->streamed.stirred = false;
    for (struct outlet *outlet = topic->streamed.outlets; outlet != NULL; outlet = outlet->next_of_topic)
        if (outlet->awaits)
            stream_ready(outlet->stream);
    return true;
}

static void look_at_parties(struct topic *topic)
{
    for (struct party *party = topic->streamed.parties; party != NULL; party = party->next) {
        party->words = PARTY_WORDS;
        if (!party_has_news(party))
            continue;
        party_hear(party);
        for (struct outlet *outlet = topic->streamed.outlets, *next; outlet != NULL; outlet = next) {
            next = outlet->next_of_topic;
            if (outlet->member != NULL && outlet->member->party == party)
                outlet_hear(outlet);
        }
    }
}

static bool has_heard_all(const struct topic *topic)
{
    const struct party *party = topic->streamed.parties;
    while (party != NULL && !party_has_news(party))
        party = party->next;
    return party == NULL;
}

static bool look_at_intakes(struct topic *topic)
{
    bool found = false;
    for (struct intake *intake = topic->streamed.intakes; intake != NULL; intake = intake->next_of_topic)
        if (intake_look(intake)) {
            stream_ready(intake->stream);
            found |= intake->stream->queued;
        }
    return found;
}

static struct stream *next_stream(struct broker *broker)
{
    struct round_entry *entry = rounds_take(&broker->streams);
    struct stream *stream = (struct stream *)(void *)((char *)entry - offsetof(struct stream, place));
    stream->queued = false;
    return stream;
}

uint64_t streams_turn(struct broker *broker)
{
    uint64_t moved = 0;
    for (struct topic *topic = broker->streamed, *next; topic != NULL; topic = next) {
        next = topic->streamed.next; /* what ends may have been its last */
        look_at_parties(topic);
        look_at_outlets(topic);
        look_at_intakes(topic);
    }
    while (moved < TURN_BYTES && !rounds_is_empty(&broker->streams)) {
        struct stream *stream = next_stream(broker);
        if (stream->session == NULL)
            free(stream);
        else
            moved += session_send(stream->session);
    }
    return moved;
}

/* ---- sleeping ---- */

/* Outlets wait for what others commit. What the loop itself writes it need not be woken for; and whoever is
 * to write comes to it first. */
static bool awaits_others(const struct topic *topic)
{
    return topic->streamed.awaiting > 0 && !queue_is_busy(&topic->turns) &&
           atomic_load_explicit(&topic->log.status->writer, memory_order_relaxed) == WRITER_CLIENT;
}

static int add_words(struct bells *bells, const struct topic *topic)
{
    const struct log *log = &topic->log;
    bool awaits_durable = false;
    int rc = HERMES_OK;
    for (const struct intake *intake = topic->streamed.intakes; intake != NULL;
         intake = intake->next_of_topic)
        awaits_durable |= intake_awaits_durable(intake);
    for (struct party *party = topic->streamed.parties; party != NULL && rc == 0; party = party->next)
        rc = bells_add(bells, (struct futex_word){&party->page->notice, party->heard});
    if (rc == 0 && awaits_others(topic)) {
        /* Acquire pairs with the release in window_ring(). */
        uint32_t bell = atomic_load_explicit(&log->window->bell, memory_order_acquire);
        rc = bells_add(bells, (struct futex_word){&log->window->bell, bell});
    }
    if (rc == 0 && awaits_durable) {
        /* Acquire pairs with the release in log_sync(). */
        uint32_t bell = atomic_load_explicit(&log->status->durable_bell, memory_order_acquire);
        rc = bells_add(bells, (struct futex_word){&log->status->durable_bell, bell});
    }
    return rc;
}

static void ask_for_rings(struct broker *broker)
{
    for (struct topic *topic = broker->streamed; topic != NULL; topic = topic->streamed.next)
        if (awaits_others(topic))
            atomic_store_explicit(&topic->log.doorbell->parked, 1, memory_order_relaxed);
}

static bool is_something_there(struct broker *broker)
{
    bool found = !rounds_is_empty(&broker->streams);
    for (struct topic *topic = broker->streamed; topic != NULL && !found; topic = topic->streamed.next)
        found = has_more(topic) || !has_heard_all(topic) || look_at_intakes(topic);
    return found;
}

/* As reader_park(): the words, then the flags, then a last look. */
uint64_t streams_park(struct broker *broker)
{
    struct bells *bells = &broker->bells;
    int rc = HERMES_OK;
    if (broker->streamed == NULL)
        return rounds_is_empty(&broker->streams) ? UINT64_MAX : 0;
    bells_begin(bells);
    for (struct topic *topic = broker->streamed; topic != NULL && rc == 0; topic = topic->streamed.next)
        rc = add_words(bells, topic);
    bool armed = rc == 0 && bells_are_armed(bells), heard = true;
    if (!armed && bells->count > 0) {
        ask_for_rings(broker);
        heard = barrier_remote(); /* pairs with barrier_publisher() of every writer */
    }
    if (is_something_there(broker))
        return 0;
    if (!armed && bells->count > 0)
        heard &= bells_arm(bells, broker->poller);
    return rc == 0 && heard ? UINT64_MAX : BARRIER_LOOK_NS;
}

void streams_close(struct broker *broker)
{
    while (!rounds_is_empty(&broker->streams))
        free(next_stream(broker));
}
