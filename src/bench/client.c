/* A broker of the benchmark's own, and clients of it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "bench/bench.h"

/* Its standard output is out. */
static void run_broker(struct bench_broker *broker, int out)
{
    char program[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 2);
    if (length <= 0)
        exit(cli_fail("start a broker", 0, strerror(errno)));
    program[length] = 'd'; /* hermesd stands beside hermes */
    program[length + 1] = 0;
    pid_t parent = getpid();
    broker->start_ns = cli_now_ns();
    broker->pid = fork();
    if (broker->pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    fcntl(broker->home.in_use, F_SETFD, 0); /* its home stays as long as it runs */
    dup2(out, STDOUT_FILENO);
    bench_pin(-1);
    execl(program, "hermesd", (char *)NULL);
    _exit(127);
}

/* "hermesd: serving on SOCKET (0 topics, io_uring)", and "hermesd: listening on URL" where it does. */
static void read_what_it_says(struct bench_broker *broker, int fd, bool listens)
{
    char line[PATH_BYTES + 256];
    FILE *said = fdopen(fd, "r");
    const char *loop = NULL, *url = NULL;
    if (said != NULL && fgets(line, sizeof line, said) != NULL)
        loop = strrchr(line, ' ');
    if (loop == NULL)
        exit(cli_fail("hermesd", HERMES_EDISCONNECTED, "the broker did not start"));
    snprintf(broker->backend, sizeof broker->backend, "%.*s", (int)strcspn(loop + 1, ")"), loop + 1);
    if (listens && fgets(line, sizeof line, said) != NULL)
        url = strrchr(line, ' ');
    if (listens && url == NULL)
        exit(cli_fail("hermesd", HERMES_EDISCONNECTED, "the broker does not listen"));
    line[strcspn(line, "\n")] = 0;
    if (url != NULL) { /* the connection is what is measured */
        char stays[sizeof line + sizeof "?shm=no"];
        snprintf(stays, sizeof stays, "%s?shm=no", url + 1);
        setenv("HERMES_URL", stays, 1);
    }
    fclose(said);
}

static void write_configuration(const struct bench_broker *broker, const char *configuration)
{
    char path[BENCH_PATH_BYTES + sizeof "/hermes.conf"];
    snprintf(path, sizeof path, "%s/hermes.conf", broker->home.path);
    FILE *file = fopen(path, "we");
    if (file == NULL || fputs(configuration, file) < 0 || fclose(file) != 0)
        exit(cli_fail(path, 0, strerror(errno)));
}

/* Certificates for a broker that listens by TLS, and whom its clients trust. */
static void make_certificates(const struct bench_broker *broker)
{
    char authority[BENCH_PATH_BYTES + sizeof "/certs/ca.crt"];
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (freopen("/dev/null", "w", stdout) != NULL)
            execl("/proc/self/exe", "hermes", "cert", "server", (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        exit(cli_fail("hermes cert server", 0, "no certificates for the broker"));
    snprintf(authority, sizeof authority, "%s/certs/ca.crt", broker->home.path);
    setenv("HERMES_TLS_CA", authority, 1);
}

static void start(struct bench_broker *broker, const char *configuration)
{
    int fds[2];
    bench_directory_make(&broker->home);
    if (configuration != NULL)
        write_configuration(broker, configuration);
    if (pipe2(fds, O_CLOEXEC) != 0)
        exit(cli_fail("start a broker", 0, strerror(errno)));
    setenv("HERMES_HOME", broker->home.path, 1);
    unsetenv("HERMES_URL");
    unsetenv("HERMES_TLS_CA");
    if (configuration != NULL && strstr(configuration, "tls://") != NULL)
        make_certificates(broker);
    run_broker(broker, fds[1]);
    close(fds[1]);
    read_what_it_says(broker, fds[0], configuration != NULL);
}

void bench_broker_start(struct bench_broker *broker)
{
    start(broker, NULL);
}

void bench_broker_start_listening(struct bench_broker *broker, const char *configuration)
{
    start(broker, configuration);
}

void bench_broker_stop(struct bench_broker *broker)
{
    kill(broker->pid, SIGTERM);
    waitpid(broker->pid, NULL, 0);
    bench_directory_delete(&broker->home);
}

void bench_create(hermes_client_t *client, const char *topic, uint32_t durability, uint32_t shared)
{
    hermes_topic_options_t options = {.size = sizeof options, .durability = durability, .shared = shared};
    bench_must(hermes_topic_create(client, topic, &options), topic, hermes_last_error(client));
}

hermes_subscriber_t *bench_subscribe(hermes_client_t *client, const char *topic, bool verify)
{
    hermes_subscriber_t *subscriber;
    bench_must(hermes_subscriber_open(client, topic, NULL, &subscriber), topic, hermes_last_error(client));
    hermes_subscriber_set_verify(subscriber, verify);
    return subscriber;
}

void bench_create_push_back(hermes_client_t *client, const char *topic, uint32_t durability)
{
    hermes_topic_options_t options = {.size = sizeof options, .durability = durability, .push_back = 1};
    bench_must(hermes_topic_create(client, topic, &options), topic, hermes_last_error(client));
}

hermes_subscriber_t *bench_subscribe_push_back(hermes_client_t *client, const char *topic)
{
    hermes_subscriber_t *subscriber;
    hermes_subscriber_options_t options = {.size = sizeof options, .flags = HERMES_SUBSCRIBE_PUSH_BACK};
    bench_must(hermes_subscriber_open(client, topic, &options, &subscriber), topic,
               hermes_last_error(client));
    hermes_subscriber_set_verify(subscriber, false);
    return subscriber;
}

hermes_publisher_t *bench_publish_to(hermes_client_t *client, const char *topic, uint32_t flags)
{
    hermes_publisher_t *publisher;
    hermes_publisher_options_t options = {.size = sizeof options, .flags = flags};
    bench_must(hermes_publisher_open(client, topic, &options, &publisher), topic, hermes_last_error(client));
    return publisher;
}
