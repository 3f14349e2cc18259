#include "base/guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARDS_MAX = 1024 };

/* Written under the lock, read by the handler: a range counts once its size is there. */
static struct {
    _Atomic uintptr_t address;
    _Atomic size_t size;
} guards[GUARDS_MAX];
static _Atomic unsigned guards_used; /* entries from here on were never in use */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static bool installed;
static size_t page_bytes;

static bool is_guarded(uintptr_t address)
{
    unsigned used = atomic_load_explicit(&guards_used, memory_order_acquire);
    for (unsigned i = 0; i < used; i++) {
        /* Acquire pairs with the release in guard_add(): the address belongs to this size. */
        size_t size = atomic_load_explicit(&guards[i].size, memory_order_acquire);
        uintptr_t first = atomic_load_explicit(&guards[i].address, memory_order_relaxed);
        if (size != 0 && address >= first && address - first < size)
            return true;
    }
    return false;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    static __thread bool inside; /* theirs may end in ours again */
    uintptr_t address = (uintptr_t)info->si_addr;
    if (is_guarded(address)) {
        void *page = (void *)(address & ~(uintptr_t)(page_bytes - 1)); // NOLINT(performance-no-int-to-ptr)
        if (mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page)
            return; /* the read is tried again, and finds zeros */
    }
    bool theirs = before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN;
    if (inside || !theirs) {
        signal(SIGBUS, SIG_DFL); /* tried again, it ends the program as it would have */
        return;
    }
    inside = true;
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(number, info, context);
    else
        before.sa_handler(number);
    inside = false;
}

/* Also when somebody has put a handler of his own over ours: he goes behind it. */
static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER}, current;
    if (sigaction(SIGBUS, NULL, &current) != 0 ||
        ((current.sa_flags & SA_SIGINFO) && current.sa_sigaction == on_bus_error))
        return;
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&action.sa_mask);
    before = current;
    installed = sigaction(SIGBUS, &action, NULL) == 0;
}

bool guard_add(const void *address, size_t size)
{
    bool added = false;
    pthread_mutex_lock(&lock);
    install();
    for (unsigned i = 0; i < GUARDS_MAX && installed && !added; i++) {
        if (atomic_load_explicit(&guards[i].size, memory_order_relaxed) != 0)
            continue;
        atomic_store_explicit(&guards[i].address, (uintptr_t)address, memory_order_relaxed);
        atomic_store_explicit(&guards[i].size, size, memory_order_release);
        if (i >= atomic_load_explicit(&guards_used, memory_order_relaxed))
            atomic_store_explicit(&guards_used, i + 1, memory_order_release);
        added = true;
    }
    pthread_mutex_unlock(&lock);
    return added;
}

void guard_remove(const void *address)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < atomic_load_explicit(&guards_used, memory_order_relaxed); i++)
        if (atomic_load_explicit(&guards[i].size, memory_order_relaxed) != 0 &&
            atomic_load_explicit(&guards[i].address, memory_order_relaxed) == (uintptr_t)address) {
            atomic_store_explicit(&guards[i].size, 0, memory_order_release);
            break;
        }
    pthread_mutex_unlock(&lock);
}
