/* The heap, beside a plain array of the same. */
#include "test.h"

#include "base/heap.h"

enum { ENTRIES = 300, STEPS = 100000 };

/* Each child behind its parent, and the links agree. Returns how many there are. */
static unsigned check_row(const struct heap_entry *entry, const struct heap_entry *back, uint64_t least)
{
    unsigned count = 0;
    for (; entry != NULL; back = entry, entry = entry->next) {
        assert_ptr_equal(entry->back, back);
        assert_true(entry->key >= least);
        count += 1 + check_row(entry->child, entry, entry->key);
    }
    return count;
}

static uint64_t least_of(const struct heap *heap, const struct heap_entry *entries)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < ENTRIES; i++)
        if (heap_has(heap, &entries[i]) && entries[i].key < least)
            least = entries[i].key;
    return least;
}

static void who_is_due_first_stays_first_when_others_come_and_go(void **state)
{
    (void)state;
    static struct heap_entry entries[ENTRIES];
    struct heap heap = {0};
    uint64_t seed = 7;
    unsigned count = 0;
    for (int step = 0; step < STEPS; step++) {
        struct heap_entry *entry = &entries[test_random(&seed) % ENTRIES];
        bool in = heap_has(&heap, entry);
        if (step % 3 == 0 && heap.first != NULL) {
            heap_remove(&heap, heap.first);
            count--;
        } else if (in) {
            heap_remove(&heap, entry);
            count--;
        } else {
            entry->key = test_random(&seed) % 1000; /* now and then the same */
            heap_add(&heap, entry);
            count++;
        }
        assert_int_equal(check_row(heap.first, NULL, 0), count);
        if (count > 0)
            assert_int_equal(heap.first->key, least_of(&heap, entries));
    }
}

static void all_come_out_in_order(void **state)
{
    (void)state;
    static struct heap_entry entries[ENTRIES];
    struct heap heap = {0};
    uint64_t seed = 11, latest = 0;
    for (int i = 0; i < ENTRIES; i++) {
        entries[i].key = test_random(&seed);
        heap_add(&heap, &entries[i]);
    }
    for (int i = 0; i < ENTRIES; i++) {
        struct heap_entry *first = heap.first;
        assert_true(first->key >= latest);
        latest = first->key;
        heap_remove(&heap, first);
        assert_false(heap_has(&heap, first));
    }
    assert_null(heap.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_due_first_stays_first_when_others_come_and_go),
        cmocka_unit_test(all_come_out_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
