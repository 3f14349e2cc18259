#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define OPENSSL_BY_NAME
#include "io/openssl.h"

struct openssl openssl;

#define NAMED(name) {#name, offsetof(struct openssl, name)},
static const struct {
    const char *name;
    size_t offset;
} functions[] = {OPENSSL_FUNCTIONS(NAMED)};

#define WORDS_OF(macro) #macro
#define LIBRARY(version) "libssl.so." WORDS_OF(version)
/* Whose headers we were compiled with; within a version it only grows. */
static const char library_name[] = LIBRARY(OPENSSL_SHLIB_VERSION);

static struct {
    pthread_once_t once;
    int rc;
    struct error_text why;
} loading = {.once = PTHREAD_ONCE_INIT};

static void load(void)
{
    /* For the process's life: the library itself has handlers for its end. */
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (size_t i = 0; library != NULL && i < sizeof functions / sizeof functions[0]; i++) {
        /* Those of libcrypto, too, which it brings with it. */
        void *function = dlsym(library, functions[i].name);
        if (function == NULL)
            library = NULL;
        else
            memcpy((char *)&openssl + functions[i].offset, &function, sizeof function);
    }
    if (library != NULL)
        return;
    const char *why = dlerror();
    loading.rc = error_say(&loading.why, HERMES_ENOTSUP, "tls:// needs OpenSSL, and it cannot be loaded: %s",
                           why != NULL ? why : library_name);
}

int openssl_load(struct error_text *text)
{
    (void)pthread_once(&loading.once, load);
    if (loading.rc < 0)
        *text = loading.why;
    return loading.rc;
}
