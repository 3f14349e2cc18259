/* OpenSSL is loaded for who speaks TLS, and where it is not there, or is another one, that is said. */
#include "test.h"

#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "io/tls.h"

static const char *missing; /* a library or function that cannot be had; NULL: all can */

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);
void *__real_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name);

void *__wrap_dlopen(const char *name, int flags)
{
    return __real_dlopen(missing != NULL && strcmp(missing, name) == 0 ? "libnowhere.so.3" : name, flags);
}

void *__wrap_dlsym(void *library, const char *name)
{
    return __real_dlsym(library, missing != NULL && strcmp(missing, name) == 0 ? "of_another_version" : name);
}

/* Once for each process: in a child. */
static void visit_without(const char *what, int code, const char *words)
{
    struct error_text text = {""};
    struct tls_context *context = NULL;
    const struct tls_files none = {NULL, NULL, NULL};
    pid_t child = test_fork();
    if (child == 0) {
        missing = what;
        for (int i = 0; i < 2; i++) { /* and again */
            int rc = tls_visit(&none, &context, &text);
            if (rc != code || strstr(text.bytes, words) == NULL) {
                fprintf(stderr, "%d: %s\n", rc, text.bytes);
                _exit(1);
            }
            tls_context_free(context);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_what_is_missing_is_told(void **state)
{
    (void)state;
    visit_without("libssl.so.3", HERMES_ENOTSUP, "libnowhere.so.3");
    visit_without("SSL_read_ex", HERMES_ENOTSUP, "of_another_version");
    visit_without(NULL, HERMES_OK, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_missing_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
