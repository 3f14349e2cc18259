/* hermes/mirror.h: an embedded log is sent without a broker, to receivers without one. */
#include "mirror_rig.h"

#include <net/if.h>
#include <pthread.h>
#include <sys/wait.h>

#include "hermes/mirror.h"
#include "remote/filter.h"

enum { MESSAGES = 3000, RECEIVERS = 3, PATIENCE_S = 120 };

static const uint64_t patience_ns = PATIENCE_S * 1000000000ull;
static const hermes_log_options_t small = {
    .size = sizeof small, .window_bytes = 256 * 1024, .segment_bytes = 1 << 20, .sync_interval_ms = 1};

struct pair {
    char directory[64];
    hermes_log_t *log;
    hermes_mirror_sender_t *sender;
    hermes_mirror_receiver_t *receiver[RECEIVERS];
    uint64_t next[RECEIVERS]; /* sequence */
    int receivers;
    uint64_t until_ns;
    char url[64];
};

static const hermes_mirror_key_t senders_key = {.secret = {4, 5, 6}, .id = 7, .member = 0};

static hermes_mirror_sender_options_t sends(bool sealed)
{
    return (hermes_mirror_sender_options_t){.size = sizeof(hermes_mirror_sender_options_t),
                                            .local = "udp://127.0.0.1:0",
                                            .topic_id = RIG_TOPIC,
                                            .socket_bytes = 1 << 20,
                                            .bytes_per_s = 400000000,
                                            .window_bytes = RIG_WINDOW,
                                            .silence_ns = RIG_SILENCE_NS,
                                            .flags = sealed ? 0 : HERMES_MIRROR_INSECURE,
                                            .key = sealed ? &senders_key : NULL};
}

static hermes_mirror_receiver_options_t receives(const char *url, const hermes_mirror_key_t *key)
{
    return (hermes_mirror_receiver_options_t){.size = sizeof(hermes_mirror_receiver_options_t),
                                              .sender = url,
                                              .local = "udp://127.0.0.1:0",
                                              .topic_id = RIG_TOPIC,
                                              .socket_bytes = 1 << 20,
                                              .window_bytes = RIG_WINDOW,
                                              .silence_ns = RIG_SILENCE_NS,
                                              .flags = key == NULL ? HERMES_MIRROR_INSECURE : 0,
                                              .key = key};
}

static bool try_append(hermes_log_t *log, uint64_t count)
{
    static uint8_t payload[HERMES_PAYLOAD_MAX];
    for (uint64_t i = 0; i < count; i++) {
        uint64_t sequence = hermes_log_sequence(log) + 1;
        for (uint32_t at = 0; at < rig_length(sequence); at++)
            payload[at] = rig_byte(sequence, at);
        int rc;
        while ((rc = hermes_log_append(log, payload, rig_length(sequence), NULL)) == HERMES_EAGAIN)
            if (hermes_log_wait_room(log, patience_ns) < 0)
                return false;
        if (rc < 0)
            return false;
    }
    return true;
}

static void append(hermes_log_t *log, uint64_t count)
{
    assert_true(try_append(log, count));
}

static void check(const hermes_message_t *message, uint64_t sequence)
{
    assert_int_equal(message->sequence, sequence);
    assert_int_equal(message->length, rig_length(sequence));
    const uint8_t *payload = message->payload;
    for (uint32_t at = 0; at < message->length; at++)
        if (payload[at] != rig_byte(sequence, at))
            fail_msg("message %lu, byte %u", (unsigned long)sequence, at);
}

static void begin_log(struct pair *pair)
{
    *pair = (struct pair){.directory = "/tmp/hermes-mirror-XXXXXX"};
    assert_non_null(mkdtemp(pair->directory));
    assert_int_equal(hermes_log_open(pair->directory, &small, &pair->log), 0);
}

static hermes_mirror_sender_info_t sender_info(const struct pair *pair)
{
    hermes_mirror_sender_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_mirror_sender_describe(pair->sender, &info), 0);
    return info;
}

static void begin_sender(struct pair *pair, const hermes_mirror_sender_options_t *options)
{
    int rc = hermes_mirror_sender_open(pair->log, options, &pair->sender);
    if (rc < 0)
        fail_msg("%s", hermes_mirror_sender_last_error(NULL));
    snprintf(pair->url, sizeof pair->url, "udp://127.0.0.1:%u", sender_info(pair).port);
}

static void add_receiver(struct pair *pair, const hermes_mirror_receiver_options_t *options)
{
    pair->next[pair->receivers] = 1;
    int rc = hermes_mirror_receiver_open(options, &pair->receiver[pair->receivers++]);
    if (rc < 0)
        fail_msg("%s", hermes_mirror_receiver_last_error(NULL));
}

static void finish(struct pair *pair)
{
    for (int i = 0; i < pair->receivers; i++)
        hermes_mirror_receiver_close(pair->receiver[i]);
    hermes_mirror_sender_close(pair->sender);
    assert_int_equal(hermes_log_close(pair->log), 0);
    test_remove(pair->directory);
}

/* Not for ever. */
static void run_once(struct pair *pair)
{
    pair->until_ns = pair->until_ns == 0 ? clock_monotonic_ns() + patience_ns : pair->until_ns;
    assert_true(hermes_mirror_sender_run(pair->sender, 0) >= 0);
    assert_true(clock_monotonic_ns() < pair->until_ns);
}

/* The last thing that the receiver says other than a message. */
static int read_some(struct pair *pair, int which, int most)
{
    hermes_message_t message;
    int rc = 1;
    for (int i = 0; i < most && rc > 0; i++) {
        rc = hermes_mirror_receiver_poll(pair->receiver[which], &message);
        if (rc > 0)
            check(&message, pair->next[which]++);
    }
    return rc;
}

/* Everybody's turn, until all receivers have everything. */
static void copy_to_all(struct pair *pair)
{
    uint64_t until_ns = clock_monotonic_ns() + patience_ns;
    for (bool all = false; !all;) {
        assert_true(hermes_mirror_sender_run(pair->sender, 0) >= 0);
        all = true;
        for (int i = 0; i < pair->receivers; i++) {
            assert_true(read_some(pair, i, 100) >= 0);
            all &= pair->next[i] > hermes_log_sequence(pair->log);
        }
        assert_true(clock_monotonic_ns() < until_ns);
    }
}

static void a_log_is_sent_from_its_first_message_on_and_as_it_grows(void **state)
{
    (void)state;
    const hermes_mirror_key_t receivers_key = {.secret = {4, 5, 6}, .id = 7, .member = 1};
    for (int sealed = 0; sealed < 2; sealed++) {
        struct pair pair;
        begin_log(&pair);
        append(pair.log, MESSAGES); /* several windows: what is old comes from the files */
        hermes_mirror_sender_options_t options = sends(sealed);
        begin_sender(&pair, &options);
        if (sealed)
            assert_int_equal(hermes_mirror_sender_admit(pair.sender, 1), 0);
        hermes_mirror_receiver_options_t wanted = receives(pair.url, sealed ? &receivers_key : NULL);
        add_receiver(&pair, &wanted);
        copy_to_all(&pair);
        append(pair.log, 300);
        copy_to_all(&pair);
        assert_int_equal(sender_info(&pair).receivers, 1);
        assert_int_equal(sender_info(&pair).position, hermes_log_position(pair.log));
        hermes_mirror_sender_end(pair.sender);
        while (read_some(&pair, 0, 1) != HERMES_ECLOSED)
            run_once(&pair);
        hermes_mirror_receiver_close(pair.receiver[0]);
        pair.receivers = 0;
        while (!sender_info(&pair).done || sender_info(&pair).receivers > 0)
            run_once(&pair);
        finish(&pair);
    }
}

/* It reads nothing until all was sent, and the sender hears nothing of it until it has left. */
static void who_leaves_with_its_last_word_has_had_everything(void **state)
{
    (void)state;
    struct pair pair;
    begin_log(&pair);
    hermes_mirror_sender_options_t options = sends(false);
    begin_sender(&pair, &options);
    hermes_mirror_receiver_options_t wanted = receives(pair.url, NULL);
    add_receiver(&pair, &wanted);
    while (sender_info(&pair).receivers == 0) {
        run_once(&pair);
        assert_int_equal(read_some(&pair, 0, 1), 0);
    }
    assert_int_equal(read_some(&pair, 0, 1), 0); /* it knows its place */
    append(pair.log, 20);
    hermes_mirror_sender_end(pair.sender);
    for (int i = 0; i < 20; i++) /* the last of these are heartbeats that say so */
        assert_true(hermes_mirror_sender_run(pair.sender, 5000000) >= 0);
    while (read_some(&pair, 0, 100) != HERMES_ECLOSED)
        if (pair.next[0] <= 20)
            run_once(&pair);
        else
            assert_true(hermes_mirror_sender_run(pair.sender, 5000000) >= 0);
    hermes_mirror_receiver_close(pair.receiver[0]);
    pair.receivers = 0;
    while (!sender_info(&pair).done || sender_info(&pair).receivers > 0)
        run_once(&pair);
    finish(&pair);
}

static void who_sleeps_in_it_notices_what_is_new(void **state)
{
    (void)state;
    struct pair pair;
    begin_log(&pair);
    hermes_mirror_sender_options_t options = sends(false);
    begin_sender(&pair, &options);
    assert_int_equal(hermes_mirror_sender_run(pair.sender, 1000000), 0); /* nobody is there */
    hermes_mirror_receiver_options_t wanted = receives(pair.url, NULL);
    add_receiver(&pair, &wanted);
    for (int i = 0; i < 20; i++) {
        append(pair.log, 1);
        while (pair.next[0] <= hermes_log_sequence(pair.log)) {
            assert_true(hermes_mirror_sender_run(pair.sender, 5000000) >= 0);
            assert_true(read_some(&pair, 0, 1) >= 0);
        }
    }
    finish(&pair);
}

static void *write_all(void *log)
{
    return try_append(log, MESSAGES) ? log : NULL;
}

static void who_writes_may_be_another_thread(void **state)
{
    (void)state;
    struct pair pair;
    pthread_t writer;
    void *wrote;
    uint64_t until_ns = clock_monotonic_ns() + patience_ns;
    begin_log(&pair);
    hermes_mirror_sender_options_t options = sends(false);
    begin_sender(&pair, &options);
    hermes_mirror_receiver_options_t wanted = receives(pair.url, NULL);
    add_receiver(&pair, &wanted);
    assert_int_equal(pthread_create(&writer, NULL, write_all, pair.log), 0);
    while (pair.next[0] <= MESSAGES) {
        assert_true(hermes_mirror_sender_run(pair.sender, 0) >= 0);
        assert_true(read_some(&pair, 0, 100) >= 0);
        assert_true(clock_monotonic_ns() < until_ns);
    }
    assert_int_equal(pthread_join(writer, &wrote), 0);
    assert_ptr_equal(wrote, pair.log);
    finish(&pair);
}

static void a_log_is_sent_over_ipv6(void **state)
{
    (void)state;
    struct pair pair;
    begin_log(&pair);
    append(pair.log, MESSAGES / 4);
    hermes_mirror_sender_options_t options = sends(false);
    options.local = "udp://[::1]:0";
    if (hermes_mirror_sender_open(pair.log, &options, &pair.sender) < 0) {
        finish(&pair);
        skip(); /* this machine has no such network */
    }
    snprintf(pair.url, sizeof pair.url, "udp://[::1]:%u", sender_info(&pair).port);
    hermes_mirror_receiver_options_t wanted = receives(pair.url, NULL);
    wanted.local = NULL;
    add_receiver(&pair, &wanted);
    copy_to_all(&pair);
    finish(&pair);
}

/* ---- to a group ---- */

static void count_one(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    (void)from;
    (void)bytes;
    *(int *)context += length == 64;
}

/* Does what is sent to the group come back on this machine? Not everywhere is there such a network. */
static bool has_multicast(const char *group, uint16_t port)
{
    struct mirror_socket_config config = {.interface = if_nametoindex("lo")};
    struct sockaddr_in here = rig_loopback(0), there = rig_loopback(port);
    struct mirror_socket *socket;
    int descriptors[2], count = 0;
    assert_int_equal(inet_pton(AF_INET, group, &there.sin_addr), 1);
    memcpy(&config.local, &here, sizeof here);
    memcpy(&config.group, &there, sizeof there);
    if (mirror_socket_open(&socket, &config) < 0)
        return false;
    struct mirror_packet *packet = mirror_socket_slot(socket);
    memset(packet, 0, sizeof *packet);
    packet->to_group = true;
    packet->length = 64;
    mirror_socket_put(socket);
    mirror_socket_flush(socket);
    assert_int_equal(mirror_socket_descriptors(socket, descriptors), 2);
    (void)poll(&(struct pollfd){.fd = descriptors[1], .events = POLLIN}, 1, 5000);
    (void)mirror_socket_receive(socket, count_one, &count);
    mirror_socket_close(socket);
    return count == 1;
}

static void a_log_is_sent_to_a_group(void **state)
{
    (void)state;
    struct pair pair;
    uint16_t port = (uint16_t)(20000 + getpid() % 20000); /* others test on this machine too */
    char group[64];
    if (!has_multicast("239.255.77.2", port))
        skip();
    snprintf(group, sizeof group, "udp://239.255.77.2:%u", port);
    begin_log(&pair);
    append(pair.log, MESSAGES);
    hermes_mirror_sender_options_t options = sends(true);
    options.group = group;
    options.interface = "lo";
    begin_sender(&pair, &options);
    for (uint16_t i = 1; i <= RECEIVERS; i++) {
        hermes_mirror_key_t key = {.secret = {4, 5, 6}, .id = 7, .member = i};
        hermes_mirror_receiver_options_t wanted = receives(pair.url, &key);
        wanted.group = group;
        wanted.interface = "lo";
        assert_int_equal(hermes_mirror_sender_admit(pair.sender, i), 0);
        add_receiver(&pair, &wanted);
    }
    copy_to_all(&pair);
    append(pair.log, 1000);
    copy_to_all(&pair);
    assert_int_equal(sender_info(&pair).receivers, RECEIVERS);
    finish(&pair);
}

static bool every_seventh(void *context, const void *bytes, size_t length)
{
    (void)bytes;
    (void)length;
    return ++*(uint32_t *)context % 7 == 0;
}

/* What goes to the group must come from where the receiver joined from, or the sender takes it for another's:
 * by themselves routes to a group and to one host may have two addresses. */
static void who_names_no_address_has_one_for_the_group_too(void **state)
{
    (void)state;
    struct pair pair;
    uint16_t port = (uint16_t)(20000 + getpid() % 20000);
    char group[64];
    uint32_t seen[RECEIVERS] = {0};
    if (!has_multicast("239.255.77.4", port))
        skip();
    snprintf(group, sizeof group, "udp://239.255.77.4:%u", port);
    begin_log(&pair);
    append(pair.log, MESSAGES);
    hermes_mirror_sender_options_t options = sends(false);
    options.group = group;
    options.interface = "lo";
    begin_sender(&pair, &options);
    for (int i = 0; i < RECEIVERS; i++) {
        struct sockaddr_in here;
        socklen_t length = sizeof here;
        int descriptors[2];
        hermes_mirror_receiver_options_t wanted = receives(pair.url, NULL);
        wanted.group = group;
        wanted.interface = "lo";
        wanted.local = NULL;
        add_receiver(&pair, &wanted);
        remote_filter(pair.receiver[i], every_seventh, &seen[i]);
        assert_int_equal(hermes_mirror_receiver_descriptors(pair.receiver[i], descriptors), 2);
        assert_int_equal(getsockname(descriptors[0], (struct sockaddr *)&here, &length), 0);
        assert_int_equal(ntohl(here.sin_addr.s_addr), INADDR_LOOPBACK);
    }
    copy_to_all(&pair);
    finish(&pair);
}

/* ---- killed ---- */

/* In a process of its own: appends and sends until it is killed. Tells its port. */
static void write_and_send(const char *directory, uint16_t port, int told)
{
    hermes_log_t *log;
    hermes_mirror_sender_t *sender;
    hermes_mirror_sender_options_t options = sends(false);
    char local[64];
    hermes_mirror_sender_info_t info = {.size = sizeof info};
    snprintf(local, sizeof local, "udp://127.0.0.1:%u", port);
    options.local = local;
    if (hermes_log_open(directory, &small, &log) < 0 ||
        hermes_mirror_sender_open(log, &options, &sender) < 0 ||
        hermes_mirror_sender_describe(sender, &info) < 0)
        _exit(1);
    uint16_t bound = (uint16_t)info.port;
    if (write(told, &bound, sizeof bound) != sizeof bound)
        _exit(1);
    while (try_append(log, 3)) {
        (void)hermes_mirror_sender_run(sender, 0);
        (void)hermes_mirror_sender_run(sender, 100000);
    }
    _exit(1);
}

static pid_t start_process(const char *directory, uint16_t *port)
{
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = test_fork();
    assert_true(child >= 0);
    if (child == 0)
        write_and_send(directory, *port, pipe_ends[1]);
    close(pipe_ends[1]);
    assert_int_equal(read(pipe_ends[0], port, sizeof *port), sizeof *port);
    close(pipe_ends[0]);
    return child;
}

static void a_sender_that_is_killed_and_starts_again_loses_and_repeats_nothing(void **state)
{
    (void)state;
    enum { LIVES = 4, EACH = 500 };
    struct pair pair = {.directory = "/tmp/hermes-mirror-XXXXXX"};
    uint16_t port = 0;
    uint64_t until_ns = clock_monotonic_ns() + patience_ns;
    assert_non_null(mkdtemp(pair.directory));
    for (int life = 1; life <= LIVES; life++) {
        pid_t child = start_process(pair.directory, &port);
        if (life == 1) {
            snprintf(pair.url, sizeof pair.url, "udp://127.0.0.1:%u", port);
            hermes_mirror_receiver_options_t wanted = receives(pair.url, NULL);
            add_receiver(&pair, &wanted);
        }
        while (pair.next[0] < (uint64_t)life * EACH) {
            hermes_message_t message;
            int rc = hermes_mirror_receiver_wait(pair.receiver[0], &message, 100000000);
            assert_true(rc >= 0);
            if (rc > 0)
                check(&message, pair.next[0]++);
            assert_true(clock_monotonic_ns() < until_ns);
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    hermes_mirror_receiver_close(pair.receiver[0]);
    test_remove(pair.directory);
}

/* ---- what is refused ---- */

static int try(hermes_log_t *log, const hermes_mirror_sender_options_t *options)
{
    hermes_mirror_sender_t *sender = (void *)1;
    int rc = hermes_mirror_sender_open(log, options, &sender);
    if (rc < 0) {
        assert_null(sender);
        assert_true(strlen(hermes_mirror_sender_last_error(NULL)) > 0);
    }
    hermes_mirror_sender_close(sender);
    return rc;
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    hermes_mirror_key_t key = senders_key;
    const hermes_mirror_sender_options_t good = sends(false);
    hermes_mirror_sender_options_t options = good;
    begin_log(&pair);
    assert_int_equal(try(pair.log, &options), 0);
    assert_int_equal(try(pair.log, NULL), HERMES_EINVALID);
#define REFUSED(field, value, code)                                                                          \
    do {                                                                                                     \
        options = good;                                                                                      \
        options.field = (value);                                                                             \
        assert_int_equal(try(pair.log, &options), code);                                                     \
    } while (0)
    REFUSED(size, 0, HERMES_EINVALID);
    REFUSED(local, NULL, HERMES_EINVALID);
    REFUSED(local, "127.0.0.1:1", HERMES_EINVALID);
    REFUSED(group, "udp://127.0.0.1:1", HERMES_EINVALID);
    REFUSED(interface, "no-such-0", HERMES_ENOTFOUND);
    REFUSED(receivers_max, 2, HERMES_EINVALID); /* without a group */
    REFUSED(window_bytes, 100, HERMES_EINVALID);
    REFUSED(slice_bytes, 100, HERMES_EINVALID);
    REFUSED(spin_us, 1000001, HERMES_EINVALID);
    REFUSED(flow, 3, HERMES_EINVALID);
    REFUSED(hops, 256, HERMES_EINVALID);
    REFUSED(flags, 0, HERMES_EINVALID);
    REFUSED(flags, HERMES_MIRROR_INSECURE | 2, HERMES_ENOTSUP);
    REFUSED(key, &key, HERMES_EINVALID);
    options = good;
    begin_sender(&pair, &options);
    options.local = pair.url;
    assert_int_equal(try(pair.log, &options), HERMES_EBUSY);
    assert_int_equal(hermes_mirror_sender_admit(pair.sender, 1), HERMES_EINVALID);
    assert_int_equal(hermes_mirror_sender_dismiss(pair.sender, 1), HERMES_EINVALID);
    hermes_mirror_sender_close(pair.sender);
    options = sends(true);
    begin_sender(&pair, &options);
    assert_int_equal(hermes_mirror_sender_admit(pair.sender, 0), HERMES_EINVALID);
    assert_int_equal(hermes_mirror_sender_admit(pair.sender, 1), 0);
    assert_int_equal(hermes_mirror_sender_admit(pair.sender, 1), HERMES_EEXISTS);
    assert_int_equal(hermes_mirror_sender_admit(pair.sender, 2), HERMES_ELIMIT);
    assert_int_equal(hermes_mirror_sender_dismiss(pair.sender, 1), 0);
    assert_int_equal(hermes_mirror_sender_admit(pair.sender, 2), 0);
    key.member = 1;
    options.key = &key;
    assert_int_equal(try(pair.log, &options), HERMES_EINVALID);
    finish(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_is_sent_from_its_first_message_on_and_as_it_grows),
        cmocka_unit_test(who_leaves_with_its_last_word_has_had_everything),
        cmocka_unit_test(who_sleeps_in_it_notices_what_is_new),
        cmocka_unit_test(who_writes_may_be_another_thread),
        cmocka_unit_test(a_log_is_sent_over_ipv6),
        cmocka_unit_test(a_log_is_sent_to_a_group),
        cmocka_unit_test(who_names_no_address_has_one_for_the_group_too),
        cmocka_unit_test(a_sender_that_is_killed_and_starts_again_loses_and_repeats_nothing),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
