#include "broker/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "base/wait.h"
#include "broker/own_reader.h"
#include "hermes/letter.h"
#include "log/publish.h"

/* A topic that has no room is tried again after so long; one that is missing, or cannot be written. */
static const uint64_t no_room_ns = 10000000, in_the_way_ns = 1000000000;
/* Whether letters are durable is asked after so long, and then after twice as long each time. */
static const uint64_t ask_ns = 2000000, longest_ask_ns = 1000000000;
/* Who waits for letters to be put away does so for so long. */
static const uint64_t finish_ns = 1000000000;
/* What is in the way is told of at once, and again this often. */
static const uint64_t tell_again_ns = 60000000000u;

/* ---- the post ---- */

int post_open(struct post *post, struct error_text *text)
{
    pthread_mutex_init(&post->lock, NULL);
    post->event_fd = eventfd(0, EFD_CLOEXEC);
    return post->event_fd < 0 ? error_set_errno(text, "make", "an eventfd") : HERMES_OK;
}

void post_close(struct post *post)
{
    if (post->event_fd >= 0)
        close(post->event_fd);
    post->event_fd = -1;
}

static void ring(struct post *post)
{
    uint64_t one = 1;
    ssize_t ignored = write(post->event_fd, &one, sizeof one);
    (void)ignored;
}

static void put(struct letters *letters)
{
    struct post *post = letters->post;
    pthread_mutex_lock(&post->lock);
    letters->stage = LETTERS_POSTED;
    letters->next = NULL;
    if (post->first == NULL)
        post->first = letters;
    else
        post->last->next = letters;
    post->last = letters;
    pthread_mutex_unlock(&post->lock);
    ring(post);
}

static void tell_of_answer(struct letters *letters)
{
    if (!letters->quiet) {
        workers_ring(letters->workers, letters->task);
        return;
    }
    /* Release pairs with the acquire in await_answer(). */
    atomic_fetch_add_explicit(&letters->answers, 1, memory_order_release);
    futex_wake_one(&letters->answers);
}

void post_deliver_next(struct post *post, post_deliver_t deliver, void *context)
{
    pthread_mutex_lock(&post->lock);
    struct letters *letters = post->first;
    if (letters != NULL) {
        post->first = letters->next;
        deliver(context, letters);
        letters->stage = LETTERS_ANSWERED;
        tell_of_answer(letters); /* under the lock: its group may go afterwards */
    }
    bool more = post->first != NULL;
    pthread_mutex_unlock(&post->lock);
    if (more)
        ring(post);
}

static void enter(struct letters *letters, enum letters_stage stage)
{
    pthread_mutex_lock(&letters->post->lock);
    letters->stage = stage;
    pthread_mutex_unlock(&letters->post->lock);
}

static enum letters_stage stage_of(struct letters *letters)
{
    pthread_mutex_lock(&letters->post->lock);
    enum letters_stage stage = letters->stage;
    pthread_mutex_unlock(&letters->post->lock);
    return stage;
}

void letters_quieten(struct letters *letters, bool quiet)
{
    if (letters->post == NULL)
        return;
    pthread_mutex_lock(&letters->post->lock);
    letters->quiet = quiet;
    pthread_mutex_unlock(&letters->post->lock);
}

static void forget(struct letters *letters)
{
    free(letters->frames);
    letters->frames = NULL;
    letters->bytes = 0;
    letters->count = letters->delivered = 0;
    letters->durable = false;
    letters->ask_ns = ask_ns;
    letters->stage = LETTERS_HERE;
}

static void take_back(struct letters *letters)
{
    struct post *post = letters->post;
    pthread_mutex_lock(&post->lock);
    struct letters *before = NULL, *at = post->first;
    for (; at != NULL && at != letters; at = at->next)
        before = at;
    if (at != NULL && before == NULL)
        post->first = at->next;
    else if (at != NULL)
        before->next = at->next;
    if (at != NULL && post->last == at)
        post->last = before;
    pthread_mutex_unlock(&post->lock);
}

void letters_withdraw(struct letters *letters)
{
    if (letters->post == NULL)
        return;
    take_back(letters);
    forget(letters);
}

/* ---- settling ---- */

static void postpone(struct letters *letters, int why, uint64_t now)
{
    letters->due_ns = now + (why == HERMES_EAGAIN ? no_room_ns : in_the_way_ns);
    if (why == HERMES_EAGAIN || (letters->told_ns != 0 && now - letters->told_ns < tell_again_ns))
        return;
    letters->told_ns = now;
    note("dead letters of group '%s' of topic '%s' cannot be put into topic '%s' (%s): they wait",
         letters->group, letters->topic, letters->settings->dead_letter, hermes_strerror(why));
}

/* Asks again in a while, or now. */
static void await_durability(struct letters *letters, enum letters_stage stage, uint64_t now)
{
    if (stage == LETTERS_ANSWERED) {
        free(letters->frames); /* what did not fit is read again */
        letters->frames = NULL;
        letters->due_ns = now + letters->ask_ns;
        letters->ask_ns = letters->ask_ns * 2 < longest_ask_ns ? letters->ask_ns * 2 : longest_ask_ns;
        enter(letters, LETTERS_AWAITED);
    } else if (now >= letters->due_ns) {
        put(letters);
    }
}

/* true: some. */
static bool put_away(struct letters *letters, struct group_page *page, uint64_t mask)
{
    bool changed = false;
    for (unsigned i = 0; i < letters->delivered && i < letters->count; i++)
        changed |= group_put_away(page, mask, letters->letter[i].position, letters->letter[i].word);
    return changed;
}

/* true: words changed. */
static bool settle(struct letters *letters, struct group_page *page, uint64_t mask, uint64_t now)
{
    enum letters_stage stage = stage_of(letters);
    if (stage == LETTERS_HERE || stage == LETTERS_POSTED)
        return false;
    if (letters->delivered > 0 && !letters->durable) {
        await_durability(letters, stage, now);
        return false;
    }
    bool changed = put_away(letters, page, mask);
    letters->due_ns = 0;
    if (letters->result < 0)
        postpone(letters, letters->result, now);
    forget(letters);
    return changed;
}

void letters_settle_last(struct letters *letters, struct group_page *page, uint64_t mask)
{
    take_back(letters);
    (void)put_away(letters, page, mask);
    forget(letters);
}

/* ---- sending ---- */

/* Words that are DEAD. */
struct sight {
    struct letters *letters; /* takes them, as many as fit; NULL: it has others */
    uint64_t below, count;
};

static void see(void *context, uint64_t position, uint64_t word)
{
    struct sight *sight = context;
    struct letters *letters = sight->letters;
    if (group_state_of(word) != GROUP_DEAD || position >= sight->below)
        return;
    sight->count++;
    if (letters == NULL || letters->count == LETTERS_A_TURN)
        return;
    letters->letter[letters->count].position = position;
    letters->letter[letters->count++].word = word;
}

/* How many are DEAD below that position? Those that are to be sent next are noted. */
static uint64_t gather(struct letters *letters, struct group_page *page, uint64_t mask, uint64_t below)
{
    bool here = stage_of(letters) == LETTERS_HERE;
    struct sight sight = {.letters = here ? letters : NULL, .below = below};
    if (here)
        letters->count = 0;
    group_visit(page, mask, see, &sight);
    return sight.count;
}

static bool is_gone(int rc)
{
    return rc == HERMES_EGONE || rc == HERMES_ECORRUPT || rc == HERMES_ECHECKSUM || rc == HERMES_EMALFORMED;
}

/* 1: *message; HERMES_EGONE: it cannot be read any more. */
static int read_message(struct reader *reader, uint64_t position, hermes_message_t *message)
{
    reader->in_store = reader->skipping = false;
    reader_hop(reader, position, 0);
    int rc = reader_poll(reader, message);
    if (is_gone(rc) || (rc == 1 && message->position != position))
        return HERMES_EGONE;
    return rc == 0 ? HERMES_EAGAIN : rc;
}

static void fill_envelope(hermes_letter_t *letter, const struct letters *letters,
                          const hermes_message_t *message, uint64_t word, uint64_t now)
{
    *letter = (hermes_letter_t){
        .magic = HERMES_LETTER_MAGIC,
        .version = HERMES_LETTER_VERSION,
        .reason = HERMES_LETTER_DELIVERIES,
        .deliveries = group_deliveries_of(word),
        .payload_bytes = message->length,
        .topic_id = letters->settings->topic_id,
        .position = message->position,
        .sequence = message->sequence,
        .timestamp = message->timestamp,
        .buried_ns = now,
    };
    snprintf(letter->topic, sizeof letter->topic, "%s", letters->topic);
    snprintf(letter->group, sizeof letter->group, "%s", letters->group);
}

/* Behind the others. false: it does not fit any more. */
static bool add_frame(struct letters *letters, const hermes_message_t *message, uint64_t word)
{
    uint32_t length = message->length;
    if (length > HERMES_PAYLOAD_MAX - HERMES_LETTER_BYTES)
        length = HERMES_PAYLOAD_MAX - HERMES_LETTER_BYTES;
    uint64_t bytes = hermes_frame_bytes(HERMES_LETTER_BYTES + length);
    if (letters->bytes + bytes > LETTERS_BYTES)
        return false;
    hermes_letter_t letter;
    uint64_t now = clock_realtime_ns();
    uint8_t *frame = letters->frames + letters->bytes;
    fill_envelope(&letter, letters, message, word, now);
    memcpy(frame + HERMES_HEADER_BYTES, &letter, sizeof letter);
    memcpy(frame + HERMES_HEADER_BYTES + sizeof letter, message->payload, length);
    uint64_t commit = publish_fill(frame, NULL, HERMES_LETTER_BYTES + length, 0, now, true);
    memcpy(frame, &commit, sizeof commit);
    letters->bytes += bytes;
    return true;
}

/* Makes frames of what was seen. What is gone is done, and lost. An error: why they are not all there. */
static int write_frames(struct letters *letters, struct reader *reader, struct group_page *page,
                        uint64_t mask)
{
    unsigned kept = 0;
    int rc = 1;
    for (unsigned i = 0; i < letters->count && rc > 0; i++) {
        uint64_t position = letters->letter[i].position, word = letters->letter[i].word;
        hermes_message_t message;
        rc = read_message(reader, position, &message);
        if (rc == HERMES_EGONE) {
            if (group_put_away(page, mask, position, word))
                atomic_fetch_add_explicit(&page->lost, 1, memory_order_relaxed);
            rc = 1;
        } else if (rc == 1) {
            rc = add_frame(letters, &message, word);
            letters->letter[kept] = letters->letter[i];
            kept += rc == 1;
        }
    }
    letters->count = kept;
    return rc < 0 ? rc : HERMES_OK;
}

static int write_all(struct letters *letters, struct group_page *page, uint64_t mask)
{
    struct reader reader;
    letters->frames = malloc(LETTERS_BYTES);
    if (letters->frames == NULL)
        return HERMES_ENOMEM;
    int rc = own_reader_open(&reader, letters->log);
    if (rc < 0)
        return rc;
    rc = write_frames(letters, &reader, page, mask);
    reader_close(&reader);
    return rc;
}

/* What was gathered. Returns when to look again; TASK_WHEN_RUNG: when the answer comes, or never. */
static uint64_t send(struct letters *letters, struct group_page *page, uint64_t mask, uint64_t now)
{
    enum letters_stage stage = stage_of(letters);
    if (stage == LETTERS_AWAITED)
        return letters->due_ns;
    if (stage != LETTERS_HERE)
        return TASK_WHEN_RUNG;
    if (now < letters->due_ns)
        return letters->due_ns; /* they are gathered again */
    if (letters->count == 0)
        return TASK_WHEN_RUNG;
    int rc = write_all(letters, page, mask);
    if (letters->bytes > 0) {
        put(letters);
        return TASK_WHEN_RUNG; /* the answer rings */
    }
    forget(letters);
    if (rc == 0)
        return now; /* there may be more than was looked at */
    postpone(letters, rc, now);
    letters->due_ns = now + in_the_way_ns; /* it is not the room */
    return letters->due_ns;
}

uint64_t letters_run(struct letters *letters, struct group_page *page, uint64_t mask, uint64_t now,
                     bool *changed)
{
    *changed = settle(letters, page, mask, now);
    if (stage_of(letters) == LETTERS_HERE && now >= letters->due_ns)
        (void)gather(letters, page, mask, UINT64_MAX);
    return send(letters, page, mask, now);
}

/* ---- before the page goes ---- */

/* Until the loop has answered, or is to be asked again. seen: how many answers there were. */
static void await_answer(struct letters *letters, uint32_t seen, uint64_t due, uint64_t until)
{
    /* Acquire pairs with the release in tell_of_answer(). */
    if (atomic_load_explicit(&letters->answers, memory_order_acquire) == seen)
        (void)futex_wait(&letters->answers, seen, clock_left_ns(due < until ? due : until));
}

uint64_t letters_finish(struct letters *letters, struct group_page *page, uint64_t mask, uint64_t below)
{
    uint64_t until = clock_deadline_ns(finish_ns);
    if (mask == 0 || letters->settings->dead_letter[0] == 0)
        return 0;
    (void)settle(letters, page, mask, clock_monotonic_ns());
    if (stage_of(letters) == LETTERS_HERE)
        letters->due_ns = 0; /* what was in the way may not be any more */
    for (;;) {
        uint32_t answers = atomic_load_explicit(&letters->answers, memory_order_acquire);
        uint64_t now = clock_monotonic_ns();
        (void)settle(letters, page, mask, now);
        uint64_t waiting = gather(letters, page, mask, below);
        if (waiting == 0)
            return 0;
        uint64_t due = send(letters, page, mask, now);
        if (now >= until || (due != TASK_WHEN_RUNG && due > until))
            return waiting;
        await_answer(letters, answers, due, until);
    }
}
