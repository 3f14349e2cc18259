/* A client over TCP or TLS whose broker is on the same host goes on in shared memory, by itself: when it
 * does, when it does not, and who it is there. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/map.h"
#include "client/client.h"
#include "proxy.h"

static const uint64_t long_ns = 60000000000u;

static int setup_tcp(void **state)
{
    unsetenv("HERMES_TEST_TRANSPORT");
    setup(state);
    struct fixture *f = *state;
    stop_broker(f, SIGTERM);
    listen_with(f, "tcp", "");
    start_broker(f);
    return 0;
}

static int setup_tls(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "tls", 1);
    return setup(state);
}

static const char *url_of(const char *format, unsigned port)
{
    static char url[128];
    snprintf(url, sizeof url, format, port);
    return url;
}

static hermes_client_t *connect_to(const char *format, unsigned port)
{
    hermes_client_t *client;
    if (hermes_connect(url_of(format, port), &client) != 0)
        fail_msg("%s: %s", url_of(format, port), hermes_last_error(NULL));
    return client;
}

static void expect_transport(const char *format, unsigned port, const char *expected)
{
    hermes_client_t *client = connect_to(format, port);
    assert_string_equal(hermes_transport(client), expected);
    assert_int_equal(hermes_ping(client), 0);
    hermes_disconnect(client);
}

static void socket_of(const struct fixture *f, char path[128], const char *suffix)
{
    snprintf(path, 128, "%s/broker.sock%s", f->home, suffix);
}

static void put_away(const struct fixture *f, bool away)
{
    char here[128], there[128];
    socket_of(f, here, away ? "" : ".away");
    socket_of(f, there, away ? ".away" : "");
    assert_int_equal(rename(here, there), 0);
}

/* Messages go to and fro. */
static void expect_to_go_on(hermes_publisher_t *publisher, hermes_subscriber_t *subscriber, char payload)
{
    hermes_message_t message;
    assert_int_equal(hermes_publish(publisher, &payload, 1, NULL), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, long_ns), 0);
    assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);
    assert_int_equal(((const char *)message.payload)[0], payload);
}

/* ---- when it does ---- */

static void test_a_client_on_the_brokers_host_shares_memory(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        hermes_client_t *client = connect_to("tcp://127.0.0.1:%u", f->port);
        assert_string_equal(hermes_transport(client), "shm");
        make_topic(f, topic, shared);
        assert_int_equal(hermes_publisher_open(client, topic, NULL, &publisher), 0);
        assert_int_equal(hermes_subscriber_open(client, topic, NULL, &subscriber), 0);
        expect_to_go_on(publisher, subscriber, 'x');
        assert_int_equal(hermes_disconnect(client), 0);
    }
    expect_transport("tcp://localhost:%u", f->port, "shm");
    assert_string_equal(hermes_transport(f->client), "shm");
}

static void test_whoever_does_not_want_to_stays_on_the_connection(void **state)
{
    struct fixture *f = *state;
    char several[128];
    expect_transport("tcp://127.0.0.1:%u?shm=no", f->port, "tcp");
    snprintf(several, sizeof several, "tcp://127.0.0.1:%u,tcp://localhost:%%u", f->port);
    expect_transport(several, f->port, "tcp");
    snprintf(several, sizeof several, "unix:%s/broker.sock?shm=no", f->home);
    expect_transport(several, 0, "unix");
}

/* Through blocking calls and polls alike. */
static void test_after_a_restart_it_goes_on_in_shared_memory(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    hermes_message_t message;
    hermes_client_t *client = connect_to("tcp://127.0.0.1:%u", f->port);
    make_topic(f, "t", true);
    assert_int_equal(hermes_publisher_open(client, "t", NULL, &publisher), 0);
    assert_int_equal(hermes_subscriber_open(client, "t", NULL, &subscriber), 0);
    hermes_publisher_set_wait(publisher, long_ns);
    expect_to_go_on(publisher, subscriber, '1');
    for (int signal_number = SIGKILL; signal_number != 0;
         signal_number = signal_number == SIGKILL ? SIGTERM : 0) {
        stop_broker(f, signal_number);
        start_broker(f);
        expect_to_go_on(publisher, subscriber, '2');
        assert_int_equal(hermes_publish(publisher, "3", 1, NULL), 0);
        assert_int_equal(poll_until_told(subscriber, &message), 1);
        assert_int_equal(hermes_ping(client), 0);
        assert_string_equal(hermes_transport(client), "shm");
    }
    assert_int_equal(hermes_disconnect(client), 0);
}

static void restart_out_of_reach(struct fixture *f)
{
    stop_broker(f, SIGKILL);
    start_broker(f);
    put_away(f, true);
}

static void test_what_is_out_of_reach_after_a_restart(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    hermes_client_t *idle = connect_to("tcp://127.0.0.1:%u", f->port),
                    *busy = connect_to("tcp://127.0.0.1:%u", f->port);
    make_topic(f, "t", true);
    assert_int_equal(hermes_publisher_open(busy, "t", NULL, &publisher), 0);
    assert_int_equal(hermes_subscriber_open(busy, "t", NULL, &subscriber), 0);
    restart_out_of_reach(f);
    assert_int_equal(hermes_ping(idle), 0);
    assert_string_equal(hermes_transport(idle), "tcp");
    assert_int_equal(hermes_topic_create(idle, "over-tcp", NULL), 0);
    assert_int_equal(hermes_ping(busy), HERMES_EDISCONNECTED);
    assert_non_null(strstr(hermes_last_error(busy), "?shm=no"));
    assert_string_equal(hermes_transport(busy), "shm");
    put_away(f, false);
    assert_int_equal(hermes_ping(busy), 0);
    expect_to_go_on(publisher, subscriber, 'x');
    hermes_disconnect(idle);
    hermes_disconnect(busy);
}

static void test_who_opens_first_after_a_restart_does_so_over_the_connection(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    hermes_client_t *publishes = connect_to("tcp://127.0.0.1:%u", f->port),
                    *subscribes = connect_to("tcp://127.0.0.1:%u", f->port);
    make_topic(f, "t", true);
    restart_out_of_reach(f);
    assert_int_equal(hermes_publisher_open(publishes, "t", NULL, &publisher), 0);
    assert_int_equal(hermes_subscriber_open(subscribes, "t", NULL, &subscriber), 0);
    assert_string_equal(hermes_transport(publishes), "tcp");
    assert_string_equal(hermes_transport(subscribes), "tcp");
    expect_to_go_on(publisher, subscriber, 'x');
    hermes_disconnect(publishes);
    hermes_disconnect(subscribes);
    put_away(f, false);
}

/* However often it is tried in vain. */
static void test_one_connection_serves_until_the_socket_is_back(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *publisher;
    hermes_client_t *client = connect_to("tcp://127.0.0.1:%u", f->port);
    make_topic(f, "t", true);
    assert_int_equal(hermes_publisher_open(client, "t", NULL, &publisher), 0);
    restart_out_of_reach(f);
    assert_int_equal(hermes_ping(client), HERMES_EDISCONNECTED);
    uint64_t begun = client->near->guide->channel.begun;
    for (int i = 0; i < 5; i++)
        assert_int_equal(hermes_ping(client), HERMES_EDISCONNECTED);
    assert_int_equal(client->near->guide->channel.begun, begun);
    put_away(f, false);
    assert_int_equal(hermes_ping(client), 0);
    hermes_disconnect(client);
}

/* Whose guide is gone by then. */
static void test_tls_that_a_client_came_back_to_says_why_it_ends(void **state)
{
    struct fixture *f = *state;
    hermes_client_t *client = connect_to("tls://127.0.0.1:%u", f->port);
    const char garbage[] = "this is no record of TLS, whichever way it is looked at";
    void *reused[16]; /* what was the guide's, where no sanitizer watches */
    int ends[2];
    restart_out_of_reach(f);
    assert_int_equal(hermes_ping(client), 0);
    assert_string_equal(hermes_transport(client), "tls");
    for (size_t i = 0; i < 16; i++)
        reused[i] = memset(malloc(sizeof *client), 'x', sizeof *client);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(write(ends[1], garbage, sizeof garbage), sizeof garbage);
    assert_true(dup2(ends[0], client->channel.fd) >= 0);
    assert_false(channel_is_up(&client->channel));
    assert_non_null(strstr(client->channel.failure_text.bytes, url_of("tls://127.0.0.1:%u: ", f->port)));
    close(ends[0]);
    close(ends[1]);
    for (size_t i = 0; i < 16; i++)
        free(reused[i]);
    hermes_disconnect(client);
    put_away(f, false);
}

/* ---- when it does not ---- */

static void test_without_the_socket_it_stays_on_tcp(void **state)
{
    struct fixture *f = *state;
    put_away(f, true);
    expect_transport("tcp://127.0.0.1:%u", f->port, "tcp");
    put_away(f, false);
    expect_transport("tcp://127.0.0.1:%u", f->port, "shm");
}

static void test_another_broker_at_the_path_is_not_spoken_to(void **state)
{
    struct fixture *f = *state, other = {.port_fd = 0};
    char path[128], theirs[128];
    put_away(f, true);
    strcpy(other.home, "/tmp/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(other.home));
    setenv("HERMES_HOME", other.home, 1);
    start_broker(&other);
    socket_of(&other, theirs, "");
    socket_of(f, path, "");
    assert_int_equal(symlink(theirs, path), 0);
    expect_transport("tcp://127.0.0.1:%u", f->port, "tcp");
    assert_int_equal(unlink(path), 0);
    stop_broker(&other, SIGTERM);
    put_away(f, false);
    setenv("HERMES_HOME", f->home, 1);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", other.home);
    assert_int_equal(system(command), 0);
}

/* In a child; 77: it cannot be made like that here. */
static void expect_of_child(struct fixture *f, int (*change)(const struct fixture *f))
{
    int status;
    pid_t child = test_fork();
    if (child == 0) {
        hermes_client_t *client;
        if (change(f) != 0)
            _exit(77);
        int rc = hermes_connect(url_of("tcp://127.0.0.1:%u", f->port), &client);
        _exit(rc != 0                                        ? 1
              : hermes_ping(client) != 0                     ? 2
              : strcmp(hermes_transport(client), "tcp") != 0 ? 3
                                                             : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int become_nobody(const struct fixture *f)
{
    (void)f;
    return geteuid() != 0 || setgid(65534) != 0 ? -1 : setuid(65534);
}

/* As in a container that has the host's network, and not its files. */
static int lose_sight(const struct fixture *f)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return -1;
    return mount("tmpfs", f->home, "tmpfs", 0, NULL);
}

static void test_who_may_not_use_the_socket_stays_on_tcp(void **state)
{
    expect_of_child(*state, become_nobody);
}

static void test_in_another_mount_namespace_it_stays_on_tcp(void **state)
{
    expect_of_child(*state, lose_sight);
}

/* ---- who it is there ---- */

static void put_rules(const struct fixture *f, const char *rules)
{
    char path[128];
    snprintf(path, sizeof path, "%s/rules", f->home);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(rules, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_token(char secret[64])
{
    FILE *told = popen(BIN_DIR "/hermes auth token create desk 2> /dev/null", "r");
    assert_non_null(told);
    assert_non_null(fgets(secret, 64, told));
    assert_int_equal(pclose(told), 0);
    secret[strcspn(secret, "\n")] = 0;
}

static void start_again(struct fixture *f)
{
    stop_broker(f, SIGTERM);
    start_broker(f);
}

/* It has no more rights than over the connection, though it runs as the broker's own user, and no fewer. */
static void expect_rights(hermes_client_t *client)
{
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    assert_string_equal(hermes_transport(client), "shm");
    assert_int_equal(hermes_topic_create(client, "mine", NULL), 0);
    assert_int_equal(hermes_topic_create(client, "other", NULL), HERMES_EACCESS);
    assert_int_equal(hermes_topic_delete(client, "mine"), HERMES_EACCESS);
    assert_int_equal(hermes_publisher_open(client, "mine", NULL, &publisher), 0);
    assert_int_equal(hermes_subscriber_open(client, "mine", NULL, &subscriber), 0);
    expect_to_go_on(publisher, subscriber, 'x');
}

static void test_rights_are_those_of_the_connection(void **state)
{
    struct fixture *f = *state;
    put_rules(f, "allow anonymous create,publish,subscribe mine\n");
    start_again(f);
    hermes_client_t *client = connect_to("tcp://127.0.0.1:%u", f->port);
    expect_rights(client);
    hermes_disconnect(client);
}

static void test_a_token_stays_what_it_is(void **state)
{
    struct fixture *f = *state;
    char secret[64];
    hermes_client_t *client;
    make_token(secret);
    put_rules(f, "allow token:desk create,publish,subscribe mine\n");
    start_again(f);
    hermes_connect_options_t options = {.size = sizeof options, .token = secret};
    assert_int_equal(hermes_connect_with(url_of("tls://127.0.0.1:%u", f->port), &options, &client), 0);
    expect_rights(client);
    run_hermes("auth token revoke desk");
    assert_int_equal(kill(f->broker, SIGHUP), 0);
    int rc;
    while ((rc = hermes_ping(client)) == 0)
        sched_yield();
    assert_int_equal(rc, HERMES_EACCESS);
    hermes_disconnect(client);
}

/* Whatever ends it: a certificate that is nobody's any more ends that of TLS alone. */
static void test_it_ends_with_the_connection_that_led_to_it(void **state)
{
    struct fixture *f = *state;
    hermes_client_t *client = connect_to("tls://127.0.0.1:%u", f->port);
    assert_string_equal(hermes_transport(client), "shm");
    channel_close(&client->near->guide->channel);
    while (hermes_is_connected(client))
        sched_yield();
    assert_int_equal(hermes_ping(client), 0);
    assert_string_equal(hermes_transport(client), "shm");
    hermes_disconnect(client);
}

/* ---- who tries to get in by an invitation ---- */

static struct channel channel; /* large */
static struct error_text text;

static int ask(struct channel *of, enum wire_type type, const void *payload, uint32_t bytes,
               enum wire_type reply)
{
    return channel_request(of, type, payload, bytes, reply, 0, UINT64_MAX, &text);
}

static void greet(const struct fixture *f)
{
    char path[128];
    socket_of(f, path, "");
    channel_close(&channel);
    assert_int_equal(channel_connect(&channel, path, UINT64_MAX, &text), 0);
    assert_int_equal(client_say_hello(&channel, UINT64_MAX, &text), 0);
    assert_int_equal(channel_receive(&channel, channel.correlation, UINT64_MAX, &text), 0);
}

static void expect_hung_up(void)
{
    while (channel_is_up(&channel))
        sched_yield();
}

static void test_an_invitation_lets_in_once_and_nobody_who_guesses(void **state)
{
    struct fixture *f = *state;
    hermes_client_t *guide = connect_to("tcp://127.0.0.1:%u?shm=no", f->port);
    struct wire_invitation told;
    struct wire_enter enter = {.name = {0}};
    struct wire_subscriber_open open = {.topic = "t"};
    make_topic(f, "t", true);
    channel = (struct channel){.fd = -1};
    assert_int_equal(ask(&guide->channel, WIRE_INVITE, NULL, 0, WIRE_INVITATION), 0);
    memcpy(&told, guide->channel.reply, sizeof told);
    assert_int_equal(ask(&guide->channel, WIRE_ENTER, &enter, sizeof enter, WIRE_OK), HERMES_ENOTSUP);

    greet(f);
    assert_int_equal(ask(&channel, WIRE_INVITE, NULL, 0, WIRE_INVITATION), HERMES_ENOTSUP);
    assert_int_equal(ask(&channel, WIRE_SHOW, &enter, sizeof(struct wire_show), WIRE_OK), HERMES_EACCESS);
    expect_hung_up();
    greet(f);
    memcpy(enter.name, told.name, sizeof enter.name);
    assert_int_equal(ask(&channel, WIRE_ENTER, &enter, sizeof enter, WIRE_OK), HERMES_EACCESS);
    expect_hung_up();
    greet(f);
    memcpy(enter.said, told.said, sizeof enter.said);
    assert_int_equal(ask(&channel, WIRE_SUBSCRIBER_OPEN, &open, sizeof open, WIRE_SUBSCRIBER), 0);
    assert_int_equal(ask(&channel, WIRE_ENTER, &enter, sizeof enter, WIRE_OK), HERMES_ENOTSUP);
    greet(f);
    assert_int_equal(ask(&channel, WIRE_ENTER, &enter, sizeof enter, WIRE_OK), 0);
    assert_int_equal(ask(&channel, WIRE_PING, NULL, 0, WIRE_OK), 0);
    assert_int_equal(ask(&channel, WIRE_ENTER, &enter, sizeof enter, WIRE_OK), HERMES_ENOTSUP);
    assert_int_equal(ask(&guide->channel, WIRE_INVITE, NULL, 0, WIRE_INVITATION), HERMES_ENOTSUP);
    struct channel first = channel;
    channel.fd = -1;
    channel.fd_count = 0;
    greet(f);
    assert_int_equal(ask(&channel, WIRE_ENTER, &enter, sizeof enter, WIRE_OK), HERMES_EACCESS);
    channel_close(&channel);
    channel = first;
    hermes_disconnect(guide);
    expect_hung_up();
}

/* ---- impostors ---- */

enum show { SHOWS_NOTHING, SHOWS_OTHER, SHOWS_UNSEALED, SHOWS_LONGER, SHOWS_RIGHT };

/* Over TCP it is a broker, and says where to go. */
struct impostor {
    int listeners[2]; /* over TCP; at a Unix socket, or -1 */
    unsigned port;
    struct wire_invitation told;
    uint32_t instance; /* that it has at the Unix socket */
    enum show shows;
    _Atomic unsigned entered;
    pthread_t threads[2];
};

static bool hear(int fd, hermes_header_t *asked, uint8_t payload[WIRE_REQUEST_MAX])
{
    return recv(fd, asked, sizeof *asked, MSG_WAITALL) == sizeof *asked &&
           asked->length <= WIRE_REQUEST_MAX &&
           (asked->length == 0 || recv(fd, payload, asked->length, MSG_WAITALL) == (ssize_t)asked->length);
}

/* shown: goes with it; -1: nothing does. */
static void say(int fd, enum wire_type type, uint64_t sequence, const void *payload, uint32_t length,
                int shown)
{
    hermes_header_t header;
    wire_header(&header, type, sequence, length);
    struct iovec parts[] = {{&header, sizeof header}, {(void *)(uintptr_t)payload, length}};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (shown >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *beside = CMSG_FIRSTHDR(&message);
        *beside = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(beside), &shown, sizeof shown);
    }
    (void)!sendmsg(fd, &message, MSG_NOSIGNAL);
}

static int make_shown(const struct impostor *impostor)
{
    uint8_t bytes[WIRE_KEY_BYTES + 1] = {0};
    int fd = -1;
    memcpy(bytes, impostor->told.shown, WIRE_KEY_BYTES);
    if (impostor->shows == SHOWS_UNSEALED) {
        fd = memfd_create("shown", MFD_CLOEXEC);
        (void)!write(fd, bytes, WIRE_KEY_BYTES);
        return fd;
    }
    bytes[0] ^= impostor->shows == SHOWS_OTHER;
    if (impostor->shows != SHOWS_NOTHING)
        (void)map_seal_bytes("shown", bytes, WIRE_KEY_BYTES + (impostor->shows == SHOWS_LONGER), &fd);
    return fd;
}

static void serve(struct impostor *impostor, int fd, bool at_socket)
{
    hermes_header_t asked;
    uint8_t payload[WIRE_REQUEST_MAX];
    struct wire_welcome welcome = {.protocol = WIRE_PROTOCOL, .capabilities = WIRE_INVITES, .instance = 7};
    struct wire_error refusal = {.code = HERMES_EACCESS};
    if (at_socket)
        welcome.instance = impostor->instance;
    while (hear(fd, &asked, payload)) {
        int shown = asked.type == WIRE_SHOW ? make_shown(impostor) : -1;
        atomic_fetch_add(&impostor->entered, asked.type == WIRE_ENTER);
        if (asked.type == WIRE_HELLO)
            say(fd, WIRE_WELCOME, asked.sequence, &welcome, sizeof welcome, -1);
        else if (asked.type == WIRE_INVITE)
            say(fd, WIRE_INVITATION, asked.sequence, &impostor->told, sizeof impostor->told, -1);
        else if (asked.type == WIRE_ENTER)
            say(fd, WIRE_ERROR, asked.sequence, &refusal, sizeof refusal, -1);
        else
            say(fd, WIRE_OK, asked.sequence, NULL, 0, shown);
        if (shown >= 0)
            close(shown);
    }
}

static void run(struct impostor *impostor, bool at_socket)
{
    for (int fd; (fd = accept(impostor->listeners[at_socket], NULL, NULL)) >= 0; close(fd))
        serve(impostor, fd, at_socket);
}

static void *run_over_tcp(void *impostor)
{
    run(impostor, false);
    return NULL;
}

static void *run_at_socket(void *impostor)
{
    run(impostor, true);
    return NULL;
}

/* It says that path. NULL: none that ends. */
static void begin(struct impostor *impostor, const char *path)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    *impostor = (struct impostor){.listeners = {-1, -1}, .instance = 7, .told = {.shown = {1}, .said = {2}}};
    if (path == NULL)
        memset(impostor->told.path, '/', sizeof impostor->told.path);
    else
        memcpy(impostor->told.path, path, strlen(path) + 1);
    impostor->listeners[0] = proxy_socket(0, true);
    assert_int_equal(getsockname(impostor->listeners[0], (struct sockaddr *)&at, &length), 0);
    impostor->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&impostor->threads[0], NULL, run_over_tcp, impostor), 0);
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(at.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* When its clients have gone. How often somebody told it the second secret. */
static unsigned end(struct impostor *impostor)
{
    for (int i = 0; i < 2; i++) {
        if (impostor->listeners[i] < 0)
            continue;
        shutdown(impostor->listeners[i], SHUT_RDWR);
        pthread_join(impostor->threads[i], NULL);
        close(impostor->listeners[i]);
    }
    return atomic_load(&impostor->entered);
}

/* Though it may have accepted the connection: there is time left for the other way. */
static void test_a_socket_that_turned_silent_is_not_waited_for_to_the_end(void **state)
{
    struct fixture *f = *state;
    char path[128];
    hermes_client_t *client = connect_to("tcp://127.0.0.1:%u", f->port);
    restart_out_of_reach(f);
    socket_of(f, path, "");
    int listener = listen_at(path);
    client->request_timeout_ns = 8000000000u;
    assert_int_equal(hermes_ping(client), 0);
    assert_string_equal(hermes_transport(client), "tcp");
    hermes_disconnect(client);
    close(listener);
    put_away(f, false);
}

static void test_whatever_a_broker_tells_only_sockets_are_opened(void **state)
{
    (void)state;
    TEST_DIRECTORY(directory);
    char file[64], fifo[64], nothing[64], silent[64];
    snprintf(file, sizeof file, "%s/file", directory);
    snprintf(fifo, sizeof fifo, "%s/fifo", directory);
    snprintf(nothing, sizeof nothing, "%s/nothing", directory);
    snprintf(silent, sizeof silent, "%s/silent", directory);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int listener = listen_at(silent); /* nobody accepts there: what it says is waited for, not for long */
    setenv("HERMES_REQUEST_TIMEOUT_MS", "8000", 1);
    const char *const paths[] = {"",   "relative", NULL,        nothing, file,
                                 fifo, directory,  "/dev/null", "/",     silent};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct impostor impostor;
        begin(&impostor, paths[i]);
        expect_transport("tcp://127.0.0.1:%u", impostor.port, "tcp");
        assert_int_equal(end(&impostor), 0);
    }
    close(listener);
    test_remove(directory);
}

static void test_who_cannot_show_that_it_is_the_broker_hears_no_secret(void **state)
{
    (void)state;
    TEST_DIRECTORY(directory);
    char path[64];
    snprintf(path, sizeof path, "%s/broker.sock", directory);
    static const struct {
        enum show shows;
        uint32_t instance;
    } lies[] = {{SHOWS_RIGHT, 8},    {SHOWS_NOTHING, 7}, {SHOWS_OTHER, 7},
                {SHOWS_UNSEALED, 7}, {SHOWS_LONGER, 7},  {SHOWS_RIGHT, 7}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct impostor impostor;
        begin(&impostor, path);
        impostor.shows = lies[i].shows;
        impostor.instance = lies[i].instance;
        impostor.listeners[1] = listen_at(path);
        assert_int_equal(pthread_create(&impostor.threads[1], NULL, run_at_socket, &impostor), 0);
        expect_transport("tcp://127.0.0.1:%u", impostor.port, "tcp");
        bool is_right = lies[i].shows == SHOWS_RIGHT && lies[i].instance == 7;
        assert_int_equal(end(&impostor), is_right); /* who is, and then refuses, is left alone as well */
        assert_int_equal(unlink(path), 0);
    }
    test_remove(directory);
}

int main(void)
{
#define TCP(test) cmocka_unit_test_setup_teardown(test, setup_tcp, teardown)
#define TLS(test) cmocka_unit_test_setup_teardown(test, setup_tls, teardown)
    const struct CMUnitTest tests[] = {
        TCP(test_a_client_on_the_brokers_host_shares_memory),
        TCP(test_whoever_does_not_want_to_stays_on_the_connection),
        TCP(test_after_a_restart_it_goes_on_in_shared_memory),
        TCP(test_what_is_out_of_reach_after_a_restart),
        TCP(test_who_opens_first_after_a_restart_does_so_over_the_connection),
        TCP(test_one_connection_serves_until_the_socket_is_back),
        TLS(test_tls_that_a_client_came_back_to_says_why_it_ends),
        TCP(test_a_socket_that_turned_silent_is_not_waited_for_to_the_end),
        TCP(test_without_the_socket_it_stays_on_tcp),
        TCP(test_another_broker_at_the_path_is_not_spoken_to),
        TCP(test_who_may_not_use_the_socket_stays_on_tcp),
        TCP(test_in_another_mount_namespace_it_stays_on_tcp),
        TCP(test_rights_are_those_of_the_connection),
        TLS(test_a_token_stays_what_it_is),
        TLS(test_it_ends_with_the_connection_that_led_to_it),
        TCP(test_an_invitation_lets_in_once_and_nobody_who_guesses),
        cmocka_unit_test(test_whatever_a_broker_tells_only_sockets_are_opened),
        cmocka_unit_test(test_who_cannot_show_that_it_is_the_broker_hears_no_secret),
    };
    return cmocka_run_group_tests_name("near", tests, NULL, NULL);
}
