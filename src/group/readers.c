#include "group/readers.h"

void readers_init(struct readers *readers, uint64_t topic_id)
{
    readers->version = READERS_VERSION;
    readers->topic_id = topic_id;
    atomic_store_explicit(&readers->wanted, READERS_NOBODY, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    readers->magic = READERS_MAGIC;
}

int readers_check(const struct readers *readers, size_t bytes)
{
    if (bytes < sizeof *readers || readers->magic != READERS_MAGIC)
        return HERMES_EMALFORMED;
    return readers->version == READERS_VERSION ? HERMES_OK : HERMES_EVERSION;
}

int readers_add(struct readers *readers, uint64_t id, uint64_t cursor)
{
    for (int i = 0; i < READERS_LINES; i++) {
        if (atomic_load_explicit(&readers->line[i].id, memory_order_relaxed) != 0)
            continue;
        atomic_store_explicit(&readers->line[i].cursor, cursor, memory_order_relaxed);
        atomic_store_explicit(&readers->line[i].id, id, memory_order_relaxed);
        /* Release pairs with the acquire in readers_slowest(): the line says where its reader is. */
        atomic_fetch_or_explicit(&readers->active, (uint64_t)1 << i, memory_order_release);
        return i;
    }
    return -1;
}

void readers_remove(struct readers *readers, unsigned line)
{
    atomic_fetch_and_explicit(&readers->active, ~((uint64_t)1 << line), memory_order_release);
    atomic_store_explicit(&readers->line[line].id, 0, memory_order_relaxed);
    readers_wake(readers);
}

uint64_t readers_slowest(const struct readers *readers)
{
    uint64_t slowest = READERS_NOBODY;
    uint64_t active = atomic_load_explicit(&readers->active, memory_order_acquire);
    for (; active != 0; active &= active - 1) {
        uint64_t cursor =
            atomic_load_explicit(&readers->line[__builtin_ctzll(active)].cursor, memory_order_acquire);
        slowest = cursor < slowest ? cursor : slowest;
    }
    return slowest;
}

/* Relaxed: whoever sleeps over it has barrier_remote() behind it. */
void readers_say_wait(struct readers *readers, uint64_t wanted)
{
    atomic_store_explicit(&readers->wanted, wanted, memory_order_relaxed);
}

void readers_forget_wait(struct readers *readers)
{
    readers_say_wait(readers, READERS_NOBODY);
}

void readers_wait(struct readers *readers, uint64_t wanted, uint64_t timeout_ns)
{
    /* Acquire pairs with the release in readers_wake(). */
    uint32_t room = atomic_load_explicit(&readers->room, memory_order_acquire);
    readers_say_wait(readers, wanted);
    /* Pairs with barrier_publisher() in readers_moved(): one of us sees the other. */
    if (!barrier_remote() && timeout_ns > BARRIER_LOOK_NS)
        timeout_ns = BARRIER_LOOK_NS;
    if (readers_slowest(readers) < wanted)
        (void)futex_wait(&readers->room, room, timeout_ns);
    readers_forget_wait(readers);
}

void readers_wake(struct readers *readers)
{
    atomic_fetch_add_explicit(&readers->room, 1, memory_order_release);
    futex_wake_all(&readers->room);
}
