/*
 * The page of a group: made, taken up after a crash, given up.
 *
 *     <shm>/<topic>.<page>.group   if the group's owner is who could harm us anyway: it outlives a crash of
 *                                  ours. Another's is a sealed memfd, which cannot be cut short under us,
 *                                  and is made anew from the record; or from a copy, which an orderly stop
 *                                  makes here if it could not write the record
 *
 * All is work, of a group whose task is out.
 */
#ifndef BROKER_GROUP_PAGE_H
#define BROKER_GROUP_PAGE_H

#include "broker/group.h"

static inline uint64_t page_mask(uint32_t slots)
{
    return slots == 0 ? 0 : slots - 1;
}

/* A fresh one, as the settings say; all below their floor is done. sequence: of the last message before it.
 */
int page_make(const struct broker *broker, struct group *group, uint64_t sequence, struct error_text *text);

/* The page that a broker that was killed left, with all that members did since. HERMES_ENOTFOUND,
 * HERMES_EMALFORMED, HERMES_EVERSION: there is none that holds, and another may be made. */
int page_take_up(const struct broker *broker, struct group *group);

/* The keeper's from here on. */
void page_use(struct group *group);

/* Two groups change pages, and what belongs to them. */
void pages_swap(struct group *a, struct group *b);

/*
 * From here on nobody is told that what he does in the page counts: who reads its words after this finds all
 * that somebody was told. Pairs with group_is_open(), which members call after each change of a word.
 */
void page_end(struct group_page *page, enum group_page_state state);
/* One that was to move, GROUP_MOVING, does not. */
void page_stays(struct group_page *page);

/* Members are told why it is no more; nobody finds it. */
void page_drop(struct group *group, enum group_page_state state);
/* It is over, and what it says is there for the next broker: a copy, of what is no file. HERMES_EFULL, ... */
int page_keep(const struct broker *broker, struct group *group);
/* The same of a file that no record names: members may have it mapped all the same, since a broker that was
 * killed over a reset or a deletion, and would go on there beside those of the page that counts. */
void page_remove(const char *path);
/* It stays for the next broker. */
void page_forget(struct group *group);

#endif
