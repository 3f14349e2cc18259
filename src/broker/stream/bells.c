#include "broker/stream/bells.h"

#include <stdlib.h>

#include "io/notifier.h"

/* The flags that ask for a ring stand where all subscribers may lower them: it is never slept for longer. */
static const uint64_t longest_ns = 1000000000;

struct bell_ringer {
    struct poller_op op;
    struct bell_ringer *next;
    struct bells *bells;
    struct notifier *notifier;
};

void bells_begin(struct bells *bells)
{
    bells->count = 0;
}

int bells_add(struct bells *bells, struct futex_word word)
{
    if (bells->count == bells->room) {
        size_t room = bells->room + NOTIFIER_WORDS;
        struct futex_word *grown = realloc(bells->words, room * sizeof *grown);
        if (grown == NULL)
            return HERMES_ENOMEM;
        bells->words = grown;
        bells->room = room;
        bells->armed = 0;
    }
    struct futex_word *known = &bells->words[bells->count];
    if (bells->count >= bells->armed || known->word != word.word || known->expected != word.expected)
        bells->armed = 0;
    *known = word;
    bells->count++;
    return HERMES_OK;
}

bool bells_are_armed(const struct bells *bells)
{
    return bells->armed == bells->count && bells->count > 0;
}

static void rung(struct poller_op *op, int result)
{
    struct bell_ringer *ringer =
        (struct bell_ringer *)(void *)((char *)op - offsetof(struct bell_ringer, op));
    (void)result; /* that we run again is all that it means */
    ringer->bells->armed = 0;
}

static struct bell_ringer *new_ringer(struct bells *bells, struct poller *poller)
{
    struct bell_ringer *ringer = calloc(1, sizeof *ringer);
    if (ringer == NULL || notifier_start(&ringer->notifier) < 0) {
        free(ringer);
        return NULL;
    }
    ringer->bells = bells;
    ringer->op.done = rung;
    if (poller_watch(poller, &ringer->op, notifier_fd(ringer->notifier)) == 0)
        return ringer;
    notifier_stop(ringer->notifier);
    free(ringer);
    return NULL;
}

bool bells_arm(struct bells *bells, struct poller *poller)
{
    struct bell_ringer **at = &bells->ringers;
    for (size_t done = 0; done < bells->count; at = &(*at)->next) {
        size_t left = bells->count - done;
        unsigned some = (unsigned)(left < NOTIFIER_WORDS ? left : NOTIFIER_WORDS);
        if (*at == NULL && (*at = new_ringer(bells, poller)) == NULL)
            return false;
        notifier_arm((*at)->notifier, bells->words + done, some, longest_ns);
        done += some;
    }
    bells->armed = bells->count;
    return true;
}

void bells_close(struct bells *bells)
{
    while (bells->ringers != NULL) {
        struct bell_ringer *ringer = bells->ringers;
        bells->ringers = ringer->next;
        notifier_stop(ringer->notifier);
        free(ringer);
    }
    free(bells->words);
    *bells = (struct bells){0};
}
