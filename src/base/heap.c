#include "base/heap.h"

/* Of two roots, or one and none: the later one becomes a child. */
static struct heap_entry *meld(struct heap_entry *one, struct heap_entry *two)
{
    if (one == NULL || two == NULL)
        return one == NULL ? two : one;
    struct heap_entry *first = two->key < one->key ? two : one;
    struct heap_entry *later = first == one ? two : one;
    later->next = first->child;
    if (later->next != NULL)
        later->next->back = later;
    later->back = first;
    first->child = later;
    return first;
}

/* The first of a row, made a root. */
static struct heap_entry *shift(struct heap_entry **row)
{
    struct heap_entry *entry = *row;
    if (entry == NULL)
        return NULL;
    *row = entry->next;
    entry->next = entry->back = NULL;
    return entry;
}

/* In pairs, from the first to the last, and then those from the last to the first: that is what makes it
 * cheap. */
static struct heap_entry *meld_all(struct heap_entry *row)
{
    struct heap_entry *pairs = NULL, *root = NULL;
    while (row != NULL) {
        struct heap_entry *one = shift(&row);
        struct heap_entry *pair = meld(one, shift(&row));
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs != NULL)
        root = meld(root, shift(&pairs));
    return root;
}

void heap_add(struct heap *heap, struct heap_entry *entry)
{
    entry->child = entry->next = entry->back = NULL;
    heap->first = meld(heap->first, entry);
}

void heap_remove(struct heap *heap, struct heap_entry *entry)
{
    struct heap_entry *children = meld_all(entry->child);
    if (entry == heap->first) {
        heap->first = children;
    } else {
        if (entry->back->child == entry)
            entry->back->child = entry->next;
        else
            entry->back->next = entry->next;
        if (entry->next != NULL)
            entry->next->back = entry->back;
        heap->first = meld(heap->first, children);
    }
    entry->child = entry->next = entry->back = NULL;
}
