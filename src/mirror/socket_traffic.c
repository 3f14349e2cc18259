#include <errno.h>
#include <netinet/udp.h>

#include "mirror/socket_state.h"

enum { PLAIN_BATCHES = 1024 }; /* then it is tried again: routes and MTUs change */

/* ---- sending ---- */

struct mirror_packet *mirror_socket_slot(struct mirror_socket *socket)
{
    return socket->put < MIRROR_SOCKET_BATCH ? &socket->out[socket->put] : NULL;
}

void mirror_socket_put(struct mirror_socket *socket)
{
    socket->put++;
}

/* What sendmmsg() is told of a batch. */
struct batch {
    uint32_t count; /* of pieces */
    struct mmsghdr pieces[MIRROR_SOCKET_BATCH];
    struct iovec bytes[MIRROR_SOCKET_BATCH];
    struct {
        _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } each[MIRROR_SOCKET_BATCH];
};

static void say_each(struct batch *batch, struct msghdr *piece, uint16_t length)
{
    uint8_t *control = batch->each[batch->count].bytes;
    struct cmsghdr header = {
        .cmsg_len = CMSG_LEN(sizeof length), .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT};
    memcpy(control, &header, sizeof header);
    memcpy(control + CMSG_LEN(0), &length, sizeof length);
    piece->msg_control = control;
    piece->msg_controllen = sizeof batch->each[0].bytes;
}

static void add_piece(struct mirror_socket *socket, struct batch *batch, uint32_t first, uint32_t joined)
{
    struct mirror_packet *packets = &socket->out[first];
    struct msghdr *piece = &batch->pieces[batch->count].msg_hdr;
    void *to = packets->to_group ? (void *)&socket->group_address : (void *)&packets->to;
    for (uint32_t i = 0; i < joined; i++)
        batch->bytes[first + i] = (struct iovec){packets[i].bytes, packets[i].length};
    *piece = (struct msghdr){.msg_name = to,
                             .msg_namelen = mirror_address_length(to),
                             .msg_iov = &batch->bytes[first],
                             .msg_iovlen = joined};
    if (joined > 1)
        say_each(batch, piece, (uint16_t)packets[0].length);
    batch->count++;
}

/* What the kernel, or a device on the way, says where it takes datagrams one by one alone, or not of that
 * length in one piece. */
static bool takes_no_pieces(int error)
{
    return error == EINVAL || error == EMSGSIZE || error == EIO || error == EOPNOTSUPP;
}

/* From that one on: how many are done with. */
static uint32_t send_from(struct mirror_socket *socket, uint32_t first)
{
    struct batch batch;
    batch.count = 0;
    for (uint32_t i = first, joined; i < socket->put; i += joined) {
        joined = socket->plain > 0 ? 1 : segments_join(&socket->out[i], socket->put - i);
        add_piece(socket, &batch, i, joined);
    }
    int rc = sendmmsg(socket->own, batch.pieces, batch.count, MSG_NOSIGNAL);
    uint32_t done = 0, sent = rc > 0 ? (uint32_t)rc : 1; /* one that cannot be sent holds up no other */
    if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return socket->put - first; /* the network is full: as if they were lost */
    if (rc < 0 && batch.pieces[0].msg_hdr.msg_iovlen > 1 && takes_no_pieces(errno)) {
        socket->plain = PLAIN_BATCHES;
        return 0;
    }
    for (uint32_t i = 0; i < sent; i++)
        done += (uint32_t)batch.pieces[i].msg_hdr.msg_iovlen;
    return done;
}

void mirror_socket_flush(struct mirror_socket *socket)
{
    if (socket->put == 0)
        return;
    for (uint32_t done = 0; done < socket->put;)
        done += send_from(socket, done);
    socket->plain -= socket->plain > 0;
    socket->put = 0;
}

/* ---- receiving ---- */

enum { DATAGRAM_SEALED_MAX = DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES };

/* What recvmmsg() says of a batch. */
struct arrivals {
    struct mmsghdr pieces[MIRROR_SOCKET_BATCH];
    struct iovec bytes[MIRROR_SOCKET_BATCH];
    struct sockaddr_storage from[MIRROR_SOCKET_BATCH];
    struct {
        _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(int))];
    } control[MIRROR_SOCKET_BATCH];
};

static void prepare(const struct mirror_socket *socket, struct arrivals *arrivals)
{
    for (uint32_t i = 0; i < socket->in_count; i++) {
        arrivals->bytes[i] = (struct iovec){socket->in + (size_t)i * socket->in_bytes, socket->in_bytes};
        arrivals->pieces[i].msg_hdr = (struct msghdr){.msg_name = &arrivals->from[i],
                                                      .msg_namelen = sizeof arrivals->from[i],
                                                      .msg_iov = &arrivals->bytes[i],
                                                      .msg_iovlen = 1,
                                                      .msg_control = arrivals->control[i].bytes,
                                                      .msg_controllen = sizeof arrivals->control[i].bytes};
    }
}

/* How long each of a piece is; 0: it is one. What was dropped is noted. */
static size_t look_at_control(struct mirror_socket *socket, int which, struct msghdr *piece)
{
    int each = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(piece); c != NULL; c = CMSG_NXTHDR(piece, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
            memcpy(&socket->dropped[which], CMSG_DATA(c), sizeof socket->dropped[which]);
        else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&each, CMSG_DATA(c), sizeof each);
    return each > 0 ? (size_t)each : 0;
}

static void take_piece(struct mirror_socket *socket, const struct mirror_address *from,
                       struct segments *segments, mirror_socket_take *take, void *context)
{
    const uint8_t *bytes;
    size_t length;
    while (segments_next(segments, &bytes, &length)) {
        bool lost = length > DATAGRAM_SEALED_MAX ||
                    (socket->loses != NULL && socket->loses(socket->loses_context, bytes, length));
        if (!lost)
            take(context, from, bytes, length);
    }
}

static bool receive_at(struct mirror_socket *socket, int which, mirror_socket_take *take, void *context)
{
    struct arrivals arrivals;
    prepare(socket, &arrivals);
    int count =
        recvmmsg(which == 0 ? socket->own : socket->group, arrivals.pieces, socket->in_count, 0, NULL);
    for (int i = 0; i < count; i++) {
        struct msghdr *piece = &arrivals.pieces[i].msg_hdr;
        struct segments segments = {.bytes = arrivals.bytes[i].iov_base,
                                    .left = arrivals.pieces[i].msg_len,
                                    .each = look_at_control(socket, which, piece)};
        if (piece->msg_flags & MSG_TRUNC)
            continue; /* longer than any */
        struct mirror_address from = mirror_address_of(&arrivals.from[i]);
        take_piece(socket, &from, &segments, take, context);
    }
    return count == (int)socket->in_count;
}

bool mirror_socket_receive(struct mirror_socket *socket, mirror_socket_take *take, void *context)
{
    bool more = receive_at(socket, 0, take, context);
    if (socket->group >= 0)
        more |= receive_at(socket, 1, take, context);
    return more;
}

void mirror_socket_filter(struct mirror_socket *socket, mirror_socket_loses *loses, void *context)
{
    socket->loses = loses;
    socket->loses_context = context;
}

uint32_t mirror_socket_overflows(struct mirror_socket *socket)
{
    uint32_t since = 0;
    for (int which = 0; which < 2; which++) {
        since += socket->dropped[which] - socket->told[which];
        socket->told[which] = socket->dropped[which];
    }
    return since;
}
