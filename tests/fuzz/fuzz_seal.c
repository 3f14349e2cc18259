/*
 * Any bytes to somebody who opens sealed datagrams; and genuine ones that are repeated, swapped, cut and
 * written over: only those that are as they were sent may open, and each once.
 */
#include <stdlib.h>
#include <string.h>

#include "mirror/seal.h"
#include "wire/datagram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEPT = 8, OTHERS = 2, SPEAKERS = 1 + OTHERS };

struct box {
    _Alignas(8) uint8_t bytes[DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES];
    size_t length;
    bool opened;
};

static struct sealing *speakers[SPEAKERS], *receiver;
static uint64_t numbers[SPEAKERS];
static struct box kept[KEPT];

static struct sealing *make(uint16_t member, uint32_t members_max)
{
    struct seal_grant grant = {.secret = {1, 2, 3}, .id = 1, .member = member};
    struct sealing *sealing;
    if (sealing_make(&sealing, &grant, members_max) < 0)
        abort();
    return sealing;
}

static void start(void)
{
    for (uint16_t i = 0; i < SPEAKERS; i++) {
        speakers[i] = make(i, 1);
        numbers[i] = 0;
    }
    receiver = make(SPEAKERS, SPEAKERS);
    memset(kept, 0, sizeof kept);
}

static void finish(void)
{
    for (int i = 0; i < SPEAKERS; i++)
        sealing_free(speakers[i]);
    sealing_free(receiver);
}

static void say(struct box *box, uint8_t who, uint8_t leap, uint32_t body_bytes)
{
    who %= SPEAKERS;
    numbers[who] += leap < 250 ? 1u + leap : (uint64_t)leap << 22;
    memset(box->bytes + DATAGRAM_HEAD_BYTES, leap, body_bytes);
    uint32_t length = datagram_finish(box->bytes, DATAGRAM_DATA, 64, 1, numbers[who], 7, 0, body_bytes,
                                      DATAGRAM_GUARDED_BY_TAG);
    int64_t sealed = sealing_seal(speakers[who], box->bytes, length);
    if (sealed != (int64_t)length + DATAGRAM_TAG_BYTES)
        abort();
    box->length = (size_t)sealed;
    box->opened = false;
}

/* At the end of memory of its own, so that a byte too many is seen. */
static int64_t open_copy(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, bytes, length);
    uint8_t *shorter = realloc(copy, length == 0 ? 1 : length);
    int64_t rc = sealing_unseal(receiver, shorter, length);
    struct datagram d;
    if (rc > 0)
        (void)datagram_check(shorter, (size_t)rc, DATAGRAM_GUARDED_BY_TAG, &d);
    free(shorter);
    return rc;
}

/* As it was sent, or with these bytes over it, somewhere, or cut. */
static void deliver(struct box *box, const uint8_t *over, size_t count, uint8_t at, bool cut)
{
    uint8_t bytes[sizeof box->bytes];
    memcpy(bytes, box->bytes, box->length);
    size_t from = box->length == 0 ? 0 : at % box->length;
    size_t length = cut ? from : box->length;
    for (size_t i = 0; i < count && from + i < box->length; i++)
        bytes[from + i] = over[i];
    bool same = length == box->length && memcmp(bytes, box->bytes, length) == 0;
    bool opens = open_copy(bytes, length) >= 0;
    if (opens && (!same || box->opened))
        abort();
    box->opened |= opens;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    if (open_copy(data, size) >= 0)
        abort(); /* somebody knew the secret */
    for (size_t at = 0; at + 4 <= size;) {
        uint8_t what = data[at], which = data[at + 1], more = data[at + 2];
        size_t count = data[at + 3] % 16, left = size - at - 4;
        struct box *box = &kept[which % KEPT];
        count = count < left ? count : left;
        if (what & 1)
            say(box, what >> 1, more, (which >> 3) * 8u);
        if (what & 128)
            deliver(box, data + at + 4, count, more, what & 64);
        else if (box->length > 0)
            deliver(box, NULL, 0, 0, false);
        at += 4 + count;
    }
    finish();
    return 0;
}
