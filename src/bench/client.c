/* A broker of the benchmark's own, and clients of it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "bench/bench.h"

void bench_broker_start(struct bench_broker *broker)
{
    char program[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 2);
    int fds[2];
    bench_directory_make(&broker->home);
    if (length <= 0 || pipe2(fds, O_CLOEXEC) != 0)
        exit(cli_fail("start a broker", 0, strerror(errno)));
    program[length] = 'd'; /* hermesd stands beside hermes */
    program[length + 1] = 0;
    setenv("HERMES_HOME", broker->home.path, 1);
    unsetenv("HERMES_URL");
    pid_t parent = getpid();
    broker->start_ns = cli_now_ns();
    broker->pid = fork();
    if (broker->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(1);
        fcntl(broker->home.in_use, F_SETFD, 0); /* its home stays as long as it runs */
        dup2(fds[1], STDOUT_FILENO);
        bench_pin(-1);
        execl(program, "hermesd", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    char line[256];
    if (read(fds[0], line, sizeof line) <= 0)
        exit(cli_fail(program, HERMES_EDISCONNECTED, "the broker did not start"));
    close(fds[0]);
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
