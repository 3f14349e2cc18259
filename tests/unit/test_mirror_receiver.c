/* hermes/mirror.h: a receiver without a broker, on the loopback interface. */
#include "mirror_rig.h"

#include "hermes/mirror.h"

enum { MESSAGES = 1200, PATIENCE_S = 120 };

struct scene {
    struct rig_log log;
    struct rig_sender sender;
    struct rig_proxy proxy;
    bool has_proxy;
    hermes_mirror_receiver_options_t options;
    hermes_mirror_key_t key;
    char url[64];
    hermes_mirror_receiver_t *receiver;
    uint64_t next; /* sequence */
};

static void keys(struct scene *scene, uint16_t id, uint16_t member)
{
    struct seal_grant grant = {.secret = {1, 2, 3}, .id = id, .member = SEAL_SENDER};
    sealing_free(scene->sender.sealing);
    assert_int_equal(sealing_make(&scene->sender.sealing, &grant, 4), 0);
    assert_int_equal(sealing_admit(scene->sender.sealing, member), 0);
    scene->key = (hermes_mirror_key_t){.secret = {1, 2, 3}, .id = id, .member = member};
}

static void set(struct scene *scene, bool sealed, const struct rig_proxy *proxy)
{
    memset(scene, 0, sizeof *scene);
    rig_make_log(&scene->log);
    rig_append(&scene->log, MESSAGES);
    scene->sender.log = &scene->log;
    if (sealed)
        keys(scene, 1, 1);
    rig_start(&scene->sender);
    uint16_t port = scene->sender.port;
    if (proxy != NULL) {
        scene->proxy = *proxy;
        scene->has_proxy = true;
        rig_open_proxy(&scene->proxy, port);
        port = scene->proxy.port;
    }
    snprintf(scene->url, sizeof scene->url, "udp://127.0.0.1:%u", port);
    scene->options = (hermes_mirror_receiver_options_t){.size = sizeof scene->options,
                                                        .sender = scene->url,
                                                        .local = "udp://127.0.0.1:0",
                                                        .topic_id = RIG_TOPIC,
                                                        .window_bytes = RIG_WINDOW,
                                                        .silence_ns = RIG_SILENCE_NS,
                                                        .flags = sealed ? 0 : HERMES_MIRROR_INSECURE,
                                                        .key = sealed ? &scene->key : NULL};
    scene->next = 1;
}

static void open_receiver(struct scene *scene)
{
    int rc = hermes_mirror_receiver_open(&scene->options, &scene->receiver);
    if (rc < 0)
        fail_msg("%s", hermes_mirror_receiver_last_error(NULL));
}

static void clear(struct scene *scene)
{
    hermes_mirror_receiver_close(scene->receiver);
    rig_stop(&scene->sender);
    sealing_free(scene->sender.sealing);
    if (scene->has_proxy)
        rig_close_proxy(&scene->proxy);
    free(scene->log.bytes);
}

static void check(struct scene *scene, const hermes_message_t *message)
{
    uint64_t sequence = scene->next++;
    assert_int_equal(message->sequence, sequence);
    assert_int_equal(message->length, rig_length(sequence));
    assert_int_equal(message->timestamp, 1000 + sequence);
    assert_memory_equal(message->payload, scene->log.bytes + message->position + HERMES_HEADER_BYTES,
                        message->length);
}

/* Everybody's turn, until the receiver says something other than "none now". */
static int wait_for(struct scene *scene, hermes_message_t *message)
{
    uint64_t until_ns = clock_monotonic_ns() + PATIENCE_S * 1000000000ull;
    for (;;) {
        int rc = hermes_mirror_receiver_poll(scene->receiver, message);
        if (rc != 0)
            return rc;
        rig_turn(&scene->sender);
        if (scene->has_proxy)
            rig_proxy_turn(&scene->proxy);
        assert_true(clock_monotonic_ns() < until_ns);
    }
}

static void read_up_to(struct scene *scene, uint64_t sequence)
{
    hermes_message_t message;
    while (scene->next <= sequence) {
        assert_int_equal(wait_for(scene, &message), 1);
        check(scene, &message);
    }
}

static hermes_mirror_receiver_info_t info_of(const struct scene *scene)
{
    hermes_mirror_receiver_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_mirror_receiver_describe(scene->receiver, &info), 0);
    return info;
}

static void all_messages_come_in_order_and_then_the_end(void **state)
{
    (void)state;
    struct scene scene;
    hermes_message_t message;
    for (int sealed = 0; sealed < 2; sealed++) {
        set(&scene, sealed, NULL);
        open_receiver(&scene);
        assert_int_equal(info_of(&scene).state, HERMES_MIRROR_JOINING);
        read_up_to(&scene, MESSAGES);
        assert_int_equal(info_of(&scene).state, HERMES_MIRROR_RECEIVING);
        rig_append(&scene.log, 100);
        read_up_to(&scene, MESSAGES + 100);
        sender_log(scene.sender.sender, scene.log.first, scene.log.end);
        sender_end(scene.sender.sender, clock_monotonic_ns());
        assert_int_equal(wait_for(&scene, &message), HERMES_ECLOSED);
        assert_int_equal(wait_for(&scene, &message), HERMES_ECLOSED);
        assert_int_equal(info_of(&scene).state, HERMES_MIRROR_ENDED);
        assert_int_equal(info_of(&scene).sealed, sealed);
        clear(&scene);
    }
}

static void what_is_lost_repeated_and_overtaken_on_the_way_changes_nothing(void **state)
{
    (void)state;
    struct scene scene;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct rig_proxy proxy = {.random = 77 + (uint64_t)sealed, .loses = 10, .repeats = 5, .overtakes = 5};
        set(&scene, sealed, &proxy);
        open_receiver(&scene);
        read_up_to(&scene, MESSAGES);
        hermes_mirror_receiver_info_t info = info_of(&scene);
        assert_true(info.missed_bytes > 0 && info.naks > 0);
        assert_true(sealed ? info.repeated > 0 : info.duplicates > 0);
        assert_int_equal(info.forged + info.lost_bytes, 0);
        clear(&scene);
    }
}

static void a_sender_that_starts_again_goes_on_where_it_was(void **state)
{
    (void)state;
    struct scene scene;
    for (int sealed = 0; sealed < 2; sealed++) {
        set(&scene, sealed, NULL);
        open_receiver(&scene);
        read_up_to(&scene, MESSAGES / 2);
        rig_stop(&scene.sender);
        rig_append(&scene.log, 100);
        if (sealed) { /* another secret, which a receiver is handed: another receiver, to this library */
            uint64_t position;
            uint32_t epoch;
            hermes_mirror_receiver_place(scene.receiver, &position, &epoch);
            scene.options.position = position;
            scene.options.epoch = epoch;
            hermes_mirror_receiver_close(scene.receiver);
            keys(&scene, 2, 1);
            open_receiver(&scene);
        }
        rig_start(&scene.sender);
        read_up_to(&scene, MESSAGES + 100);
        clear(&scene);
    }
}

static void a_receiver_that_starts_again_goes_on_where_it_was(void **state)
{
    (void)state;
    struct scene scene;
    set(&scene, false, NULL);
    for (uint64_t at = 100; at <= MESSAGES; at += 275) {
        open_receiver(&scene);
        read_up_to(&scene, at);
        hermes_mirror_receiver_place(scene.receiver, &scene.options.position, &scene.options.epoch);
        hermes_mirror_receiver_close(scene.receiver);
        scene.receiver = NULL;
        rig_turn(&scene.sender); /* which has heard the good-bye, and has a place again */
    }
    clear(&scene);
}

static void who_begins_live_gets_what_comes(void **state)
{
    (void)state;
    struct scene scene;
    hermes_message_t message;
    set(&scene, false, NULL);
    scene.options.position = HERMES_MIRROR_LIVE;
    open_receiver(&scene);
    while (info_of(&scene).state == HERMES_MIRROR_JOINING) {
        assert_int_equal(hermes_mirror_receiver_poll(scene.receiver, &message), 0);
        rig_turn(&scene.sender);
    }
    rig_append(&scene.log, 10);
    scene.next = MESSAGES + 1;
    read_up_to(&scene, MESSAGES + 10);
    clear(&scene);
}

static void what_the_sender_has_no_more_is_told(void **state)
{
    (void)state;
    struct scene scene;
    hermes_message_t message;
    set(&scene, false, NULL);
    uint64_t position = 0;
    for (uint64_t sequence = 1; sequence < 40; sequence++)
        position += hermes_frame_bytes(rig_length(sequence));
    scene.log.first = position;
    sender_log(scene.sender.sender, position, scene.log.end);
    open_receiver(&scene);
    assert_int_equal(wait_for(&scene, &message), HERMES_EGONE);
    scene.next = 40;
    read_up_to(&scene, MESSAGES);
    assert_int_equal(info_of(&scene).lost_bytes, position);
    clear(&scene);
}

static void a_log_that_is_another_is_told(void **state)
{
    (void)state;
    struct scene scene;
    hermes_message_t message;
    uint64_t position;
    uint32_t epoch;
    set(&scene, false, NULL);
    scene.options.position = scene.log.end + 64;
    scene.options.epoch = 1;
    open_receiver(&scene);
    assert_int_equal(wait_for(&scene, &message), HERMES_EFENCED);
    assert_int_equal(wait_for(&scene, &message), HERMES_EFENCED);
    assert_int_equal(info_of(&scene).state, HERMES_MIRROR_DIVERGED);
    hermes_mirror_receiver_place(scene.receiver, &position, &epoch);
    assert_int_equal(position, scene.log.end + 64);
    clear(&scene);
}

static void a_damaged_message_is_told_and_passed_over(void **state)
{
    (void)state;
    struct scene scene;
    hermes_message_t message;
    set(&scene, false, NULL);
    uint64_t position = 0;
    for (uint64_t sequence = 1; sequence < 8; sequence++)
        position += hermes_frame_bytes(rig_length(sequence));
    assert_true(rig_length(8) > 0);
    scene.log.bytes[position + HERMES_HEADER_BYTES] ^= 1;
    open_receiver(&scene);
    read_up_to(&scene, 7);
    assert_int_equal(wait_for(&scene, &message), HERMES_ECHECKSUM);
    scene.next = 9;
    read_up_to(&scene, 20);
    clear(&scene);
}

static void bytes_that_are_no_log_end_it(void **state)
{
    (void)state;
    struct scene scene;
    hermes_message_t message;
    set(&scene, false, NULL);
    memset(scene.log.bytes, 'x', 64);
    open_receiver(&scene);
    assert_int_equal(wait_for(&scene, &message), HERMES_EMALFORMED);
    assert_int_equal(wait_for(&scene, &message), HERMES_EMALFORMED);
    clear(&scene);
}

/* And costs the sender nothing: it gets no answer. */
static void who_has_another_key_hears_nothing(void **state)
{
    (void)state;
    struct scene scene;
    hermes_message_t message;
    set(&scene, true, NULL);
    scene.key.secret[7] ^= 1;
    open_receiver(&scene);
    while (sealing_counters(scene.sender.sealing)->forged == 0) {
        assert_int_equal(hermes_mirror_receiver_poll(scene.receiver, &message), 0);
        rig_turn(&scene.sender);
    }
    assert_int_equal(sealing_counters(scene.sender.sealing)->sealed, 0);
    assert_int_equal(info_of(&scene).state, HERMES_MIRROR_JOINING);
    clear(&scene);
}

static void waiting_ends_with_its_time(void **state)
{
    (void)state;
    struct scene scene;
    hermes_message_t message;
    int descriptors[2];
    set(&scene, false, NULL);
    open_receiver(&scene);
    assert_int_equal(hermes_mirror_receiver_wait(scene.receiver, &message, 30000000), 0);
    assert_int_equal(hermes_mirror_receiver_descriptors(scene.receiver, descriptors), 1);
    assert_true(hermes_mirror_receiver_patience_ns(scene.receiver) <= 1000000000);
    clear(&scene);
}

static int try(const hermes_mirror_receiver_options_t *options)
{
    hermes_mirror_receiver_t *receiver = (void *)1;
    int rc = hermes_mirror_receiver_open(options, &receiver);
    if (rc < 0) {
        assert_null(receiver);
        assert_true(strlen(hermes_mirror_receiver_last_error(NULL)) > 0);
    }
    hermes_mirror_receiver_close(receiver);
    return rc;
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    hermes_mirror_key_t key = {.id = 1, .member = 1};
    const hermes_mirror_receiver_options_t good = {
        .size = sizeof good, .sender = "udp://127.0.0.1:7001", .flags = HERMES_MIRROR_INSECURE};
    hermes_mirror_receiver_options_t options = good;
    assert_int_equal(try(&options), 0);
    assert_int_equal(try(NULL), HERMES_EINVALID);
#define REFUSED(field, value, code)                                                                          \
    do {                                                                                                     \
        options = good;                                                                                      \
        options.field = (value);                                                                             \
        assert_int_equal(try(&options), code);                                                               \
    } while (0)
    REFUSED(size, 0, HERMES_EINVALID);
    REFUSED(sender, NULL, HERMES_EINVALID);
    const char *const bad[] = {"",
                               "127.0.0.1:1",
                               "tcp://127.0.0.1:1",
                               "udp://127.0.0.1",
                               "udp://:1",
                               "udp://::1:1",
                               "udp://127.0.0.1:65536",
                               "udp://127.0.0.1:x",
                               "udp://127.0.0.1:"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        REFUSED(sender, bad[i], HERMES_EINVALID);
    REFUSED(local, "udp://203.0.113.7:0", HERMES_EINVALID);  /* nobody's address (RFC 5737) */
    REFUSED(group, "udp://127.0.0.1:7002", HERMES_EINVALID); /* no group's */
    REFUSED(interface, "no-such-0", HERMES_ENOTFOUND);
    REFUSED(flags, 0, HERMES_EINVALID);
    REFUSED(flags, HERMES_MIRROR_INSECURE | 2, HERMES_ENOTSUP);
    REFUSED(key, &key, HERMES_EINVALID);
    REFUSED(position, 1, HERMES_EINVALID);
    REFUSED(window_bytes, 100000, HERMES_EINVALID);
    REFUSED(spin_us, 1000001, HERMES_EINVALID);
    options = good;
    options.flags = 0;
    options.key = &key;
    assert_int_equal(try(&options), 0);
    key.member = 0;
    assert_int_equal(try(&options), HERMES_EINVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_messages_come_in_order_and_then_the_end),
        cmocka_unit_test(what_is_lost_repeated_and_overtaken_on_the_way_changes_nothing),
        cmocka_unit_test(a_sender_that_starts_again_goes_on_where_it_was),
        cmocka_unit_test(a_receiver_that_starts_again_goes_on_where_it_was),
        cmocka_unit_test(who_begins_live_gets_what_comes),
        cmocka_unit_test(what_the_sender_has_no_more_is_told),
        cmocka_unit_test(a_log_that_is_another_is_told),
        cmocka_unit_test(a_damaged_message_is_told_and_passed_over),
        cmocka_unit_test(bytes_that_are_no_log_end_it),
        cmocka_unit_test(who_has_another_key_hears_nothing),
        cmocka_unit_test(waiting_ends_with_its_time),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
