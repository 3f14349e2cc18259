/* Names that a mirror needs, and who answers for them does not: nobody waits for that. */
#include "test.h"

#include <netdb.h>
#include <poll.h>
#include <semaphore.h>

#include "broker/mirror/engine.h"
#include "broker/topic.h"

static sem_t asked, may_answer;

/* In place of the C library's. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)name, (void)service, (void)hints, (void)found;
    sem_post(&asked);
    while (sem_wait(&may_answer) != 0)
        continue;
    return EAI_NONAME;
}

static struct topic topic;

static void *serve_somewhere(void *argument)
{
    struct engine *engine = argument;
    struct mirror_socket *socket;
    struct lookup_answer here;
    assert_false(engine_socket(engine, &socket, &here));
    return NULL;
}

static void a_mirror_ends_while_its_name_is_looked_up(void **state)
{
    (void)state;
    static struct counters_entry counters;
    struct engine engine = {.topic = &topic,
                            .role = MIRROR_SERVES,
                            .url = "udp://somewhere.example:7000",
                            .body = serve_somewhere,
                            .counters = &counters};
    struct error_text text;
    assert_int_equal(engine_prepare(&engine, &text), 0);
    engine_go(&engine);
    assert_int_equal(sem_wait(&asked), 0);
    engine_end(&engine);
    engine_join(&engine);
    sem_post(&may_answer);
}

static void *never(void *argument)
{
    (void)argument;
    fail_msg("it was not let go");
    return NULL;
}

static void one_that_was_prepared_and_not_let_go_ends_and_has_done_nothing(void **state)
{
    (void)state;
    struct engine engine = {.topic = &topic, .role = MIRROR_SERVES, .body = never};
    struct error_text text;
    assert_int_equal(engine_prepare(&engine, &text), 0);
    engine_end(&engine);
    engine_join(&engine);
}

int main(void)
{
    alarm(60); /* who waits all the same */
    sem_init(&asked, 0, 0);
    sem_init(&may_answer, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mirror_ends_while_its_name_is_looked_up),
        cmocka_unit_test(one_that_was_prepared_and_not_let_go_ends_and_has_done_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
