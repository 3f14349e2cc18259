/*
 * Any log, in any pieces, with parts of it lost: what a receiver without a broker makes of it. The file
 * itself is included: what is between its socket and its caller.
 */
#include "remote/receiver.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECES_MAX = ARRIVES_MAX, WINDOW = 1 << 16, PIECE_BYTES = 4096 };

static hermes_mirror_receiver_t r;
static uint64_t last_position;

static void start(void)
{
    r = (hermes_mirror_receiver_t){.room = FRAME_MAX + WINDOW + (uint64_t)ARRIVES_MAX * DATAGRAM_SLICE_MAX};
    r.buffer = aligned_alloc(HERMES_FRAME_ALIGNMENT, r.room);
    if (r.buffer == NULL)
        abort();
    last_position = 0;
}

/* All that is whole by now. */
static void read_all(void)
{
    static volatile uint8_t sum;
    hermes_message_t message;
    for (int rc; r.failed == 0 && (rc = next_message(&r, &message)) != 0;) {
        if (r.begin > r.end || r.position < last_position)
            abort(); /* it goes back, or behind what there is */
        if (rc < 0)
            continue;
        const uint8_t *payload = message.payload;
        if (payload < r.buffer || payload + message.length > r.buffer + r.end ||
            message.position < last_position)
            abort();
        for (uint32_t i = 0; i < message.length; i += 64)
            sum = (uint8_t)(sum + payload[i]);
        last_position = message.position;
    }
}

/* A frame whose header is good as far as the input likes it. */
static uint64_t make_frame(uint8_t *piece, uint8_t what, uint8_t length)
{
    hermes_header_t *header = (void *)piece;
    uint32_t payload = (uint32_t)length * (what & 2 ? 15u : 1u);
    (void)hermes_message_encode(header, header + 1, payload, 1 + length, 5);
    if (what & 4)
        header->type = what >> 4;
    if (what & 8)
        header->length ^= (uint32_t)what << (what >> 5);
    return hermes_frame_bytes(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _Alignas(64) static uint8_t piece[PIECE_BYTES];
    uint32_t pieces = 0;
    start();
    for (size_t at = 0; at + 2 < size && r.failed == 0; at += 2) {
        uint8_t what = data[at], length = data[at + 1];
        uint64_t bytes = 64u * (1 + length % 32);
        size_t left = size - at - 2;
        memset(piece, 0, sizeof piece);
        if (what & 1)
            bytes = make_frame(piece, what, length);
        else
            memcpy(piece, data + at + 2, left < bytes ? left : bytes);
        if ((what & 0x83) == 0x82)
            take_loss(&r, r.next_position, bytes);
        else /* not always all of it */
            take_bytes(&r, r.next_position, piece, what & 0x40 ? 64 : bytes);
        if (++pieces == PIECES_MAX || (what & 0x20)) {
            pieces = 0;
            read_all();
            compact(&r);
        }
    }
    read_all();
    free(r.buffer);
    return 0;
}
