#include "counters/page.h"

#include <string.h>

bool counters_read(const struct counters_entry *entry, struct counters_copy *copy)
{
    /* Acquire pairs with the release in book_take(): identity and label are whole. */
    copy->generation = atomic_load_explicit(&entry->generation, memory_order_acquire);
    if ((copy->generation & 1) == 0)
        return false;
    copy->kind = atomic_load_explicit(&entry->kind, memory_order_relaxed);
    copy->id = atomic_load_explicit(&entry->id, memory_order_relaxed);
    copy->topic = atomic_load_explicit(&entry->topic, memory_order_relaxed);
    copy->session = atomic_load_explicit(&entry->session, memory_order_relaxed);
    uint64_t owner = atomic_load_explicit(&entry->owner, memory_order_relaxed);
    copy->pid = (uint32_t)(owner >> 32);
    copy->uid = (uint32_t)owner;
    copy->began_ns = atomic_load_explicit(&entry->began_ns, memory_order_relaxed);
    for (unsigned i = 0; i < COUNTERS_LABEL_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&entry->label[i], memory_order_relaxed);
        memcpy(copy->label + i * sizeof word, &word, sizeof word);
    }
    copy->label[sizeof copy->label - 1] = 0;
    for (unsigned i = 0; i < COUNTERS_VALUES; i++)
        copy->value[i] = atomic_load_explicit(&entry->value[i], memory_order_relaxed);
    /* Pairs with the release fence in book_give_back(): who read a word of the next owner's finds another
     * generation. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&entry->generation, memory_order_relaxed) == copy->generation;
}
