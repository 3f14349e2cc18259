#include "log/segments.h"

#include <stdlib.h>

struct segment_list *segment_list_make(const struct store_entry *entries, size_t count)
{
    struct segment_list *list = malloc(sizeof *list + count * sizeof *entries);
    if (list == NULL)
        return NULL;
    list->users = 1; /* its publication */
    list->count = count;
    for (size_t i = 0; i < count; i++)
        list->entries[i] = entries[i];
    return list;
}

/* The lock is held. The list that nobody uses any more, if it is that one. */
static struct segment_list *drop(struct segment_list *list)
{
    return list != NULL && --list->users == 0 ? list : NULL;
}

void segments_publish(struct segments *segments, struct segment_list *list)
{
    pthread_mutex_lock(&segments->lock);
    struct segment_list *unused = drop(segments->list);
    segments->list = list;
    pthread_mutex_unlock(&segments->lock);
    free(unused);
}

struct segment_list *segments_take(struct segments *segments)
{
    pthread_mutex_lock(&segments->lock);
    struct segment_list *list = segments->list;
    if (list != NULL)
        list->users++;
    pthread_mutex_unlock(&segments->lock);
    return list;
}

bool segments_give_back(struct segments *segments, struct segment_list *list)
{
    pthread_mutex_lock(&segments->lock);
    bool changed = segments->list != list;
    struct segment_list *unused = drop(list);
    pthread_mutex_unlock(&segments->lock);
    free(unused);
    return changed;
}
