#include "io/conduit.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* Two of the longest messages: so bytes are seldom moved. */
enum { IN_BYTES = 2 * (HERMES_HEADER_BYTES + CONDUIT_MESSAGE_MAX), OUT_FIRST_BYTES = 4096 };

int conduit_open(struct conduit *conduit, struct carrier *carrier)
{
    *conduit = (struct conduit){.carrier = carrier, .in = malloc(IN_BYTES)};
    if (conduit->in != NULL)
        return HERMES_OK;
    conduit_close(conduit);
    return HERMES_ENOMEM;
}

/* A token may be among it. */
static void free_out(struct conduit *conduit)
{
    if (conduit->out != NULL)
        explicit_bzero(conduit->out, conduit->out_room);
    free(conduit->out);
}

/* From that byte on, as far as there ever was something since it was last wiped: a key may be among it. */
static void wipe_in(struct conduit *conduit, size_t from)
{
    size_t most = conduit->in_most > conduit->in_to ? conduit->in_most : conduit->in_to;
    if (conduit->in != NULL)
        explicit_bzero(conduit->in + from, most - from);
    conduit->in_most = from;
}

void conduit_close(struct conduit *conduit)
{
    if (conduit->carrier != NULL)
        conduit->carrier->kind->close(conduit->carrier);
    wipe_in(conduit, 0);
    free(conduit->in);
    free_out(conduit);
    *conduit = (struct conduit){.carrier = NULL};
}

/* ---- in ---- */

/* 1: a message was taken off what is there; 0: it is not all there. */
static int take(struct conduit *conduit, hermes_header_t *header, const uint8_t **payload)
{
    size_t there = conduit->in_to - conduit->in_from;
    if (there < sizeof *header)
        return 0;
    memcpy(header, conduit->in + conduit->in_from, sizeof *header);
    int rc = wire_header_check(header, CONDUIT_MESSAGE_MAX);
    if (rc < 0)
        return rc;
    if (there - sizeof *header < header->length)
        return 0;
    *payload = conduit->in + conduit->in_from + sizeof *header;
    conduit->in_from += sizeof *header + header->length;
    return 1;
}

static void make_room(struct conduit *conduit)
{
    size_t there = conduit->in_to - conduit->in_from;
    if (conduit->in_from == 0 || (there > 0 && IN_BYTES - conduit->in_to >= IN_BYTES / 4))
        return;
    if (conduit->in_most < conduit->in_to)
        conduit->in_most = conduit->in_to;
    memmove(conduit->in, conduit->in + conduit->in_from, there);
    conduit->in_from = 0;
    conduit->in_to = there;
}

int conduit_next(struct conduit *conduit, hermes_header_t *header, const uint8_t **payload)
{
    int rc = take(conduit, header, payload);
    if (rc != 0)
        return rc;
    conduit->is_dry = conduit->had_all;
    conduit->had_all = false;
    if (conduit->is_dry)
        return 0;
    make_room(conduit);
    struct carrier *carrier = conduit->carrier;
    int64_t got = carrier->kind->read(carrier, conduit->in + conduit->in_to, IN_BYTES - conduit->in_to);
    conduit->is_dry = got == HERMES_EAGAIN;
    if (got < 0)
        return got == HERMES_EAGAIN ? 0 : (int)got;
    conduit->had_all = conduit->trusts && carrier->is_dry;
    conduit->in_to += (size_t)got;
    return take(conduit, header, payload);
}

/* ---- out ---- */

static bool make_out_room(struct conduit *conduit, size_t bytes)
{
    size_t left = conduit->out_to - conduit->out_from;
    if (left > 0)
        memmove(conduit->out, conduit->out + conduit->out_from, left);
    conduit->out_from = 0;
    conduit->out_to = left;
    if (left + bytes <= conduit->out_room)
        return true;
    size_t room = conduit->out_room > 0 ? conduit->out_room : OUT_FIRST_BYTES;
    while (room < left + bytes)
        room *= 2;
    uint8_t *out = malloc(room); /* not realloc(), which leaves behind what was there */
    if (out == NULL)
        return false;
    if (left > 0)
        memcpy(out, conduit->out, left);
    free_out(conduit);
    conduit->out = out;
    conduit->out_room = room;
    return true;
}

/* All of the parts but their first bytes, which have gone. */
static void keep(struct conduit *conduit, const struct iovec *parts, int count, size_t gone)
{
    for (int i = 0; i < count; i++) {
        size_t skip = gone < parts[i].iov_len ? gone : parts[i].iov_len;
        memcpy(conduit->out + conduit->out_to, (const uint8_t *)parts[i].iov_base + skip,
               parts[i].iov_len - skip);
        conduit->out_to += parts[i].iov_len - skip;
        gone -= skip;
    }
}

int conduit_flush(struct conduit *conduit)
{
    struct carrier *carrier = conduit->carrier;
    while (!conduit_is_flushed(conduit)) {
        struct iovec part = {conduit->out + conduit->out_from, conduit->out_to - conduit->out_from};
        int64_t gone = carrier->kind->write(carrier, &part, 1);
        if (gone == HERMES_EAGAIN)
            return HERMES_OK;
        if (gone < 0)
            return (int)gone;
        conduit->out_from += (size_t)gone;
    }
    return HERMES_OK;
}

int conduit_send(struct conduit *conduit, const struct iovec *parts, int count)
{
    struct carrier *carrier = conduit->carrier;
    int rc = conduit_flush(conduit);
    if (rc < 0)
        return rc;
    if (conduit->out_to - conduit->out_from > CONDUIT_LEFT_MOST)
        return HERMES_EAGAIN;
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    /* Before any of it has gone: half a message cannot be taken back. */
    if (!make_out_room(conduit, bytes))
        return HERMES_ENOMEM;
    int64_t gone = conduit_is_flushed(conduit) ? carrier->kind->write(carrier, parts, count) : 0;
    if (gone < 0 && gone != HERMES_EAGAIN)
        return (int)gone;
    keep(conduit, parts, count, gone > 0 ? (size_t)gone : 0);
    return HERMES_OK;
}

void conduit_wipe(struct conduit *conduit)
{
    if (conduit->in != NULL)
        explicit_bzero(conduit->in, conduit->in_from);
    wipe_in(conduit, conduit->in_to);
    if (conduit->out == NULL)
        return;
    explicit_bzero(conduit->out, conduit->out_from);
    explicit_bzero(conduit->out + conduit->out_to, conduit->out_room - conduit->out_to);
}

short conduit_events(const struct conduit *conduit)
{
    const struct carrier *carrier = conduit->carrier;
    short events = carrier->kind->wants(carrier, POLLIN);
    if (!conduit_is_flushed(conduit))
        events |= carrier->kind->wants(carrier, POLLOUT);
    return events;
}
