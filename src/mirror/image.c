#include "mirror/image.h"

#include <string.h>

#include "mirror/time.h"

void image_start(struct image *image, uint64_t position, uint32_t epoch)
{
    image->position = image->frontier = image->announced = position;
    image->epoch = epoch;
    image->gaps.first = image->gaps.count = 0;
}

/* false: there is no room for one more. */
static bool move_frontier(struct image *image, uint64_t to, const struct notice *notice)
{
    struct gap gap = {image->frontier, to, notice->number, notice->now_ns, notice->due_ns, 0};
    if (to > image->frontier) {
        if (!gaps_append(&image->gaps, &gap))
            return false;
        image->missed++;
        image->missed_bytes += to - image->frontier;
        image->frontier = to;
    }
    return true;
}

static void stage(struct image *image, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    uint64_t at = position & (image->window_bytes - 1);
    uint64_t first = earlier(length, image->window_bytes - at);
    memcpy(image->staging + at, bytes, first);
    memcpy(image->staging, bytes + first, length - first);
}

/* How many the sink has taken. */
static uint64_t deliver(struct image *image, const uint8_t *bytes, uint64_t length)
{
    uint64_t taken = image->sink->bytes(image->sink->context, image->position, bytes, length);
    image->position += taken;
    return taken;
}

/* Up to where all is there. */
static uint64_t contiguous(struct image *image)
{
    return image->gaps.count > 0 ? gaps_at(&image->gaps, 0)->begin : image->frontier;
}

static void deliver_staged(struct image *image)
{
    uint64_t end = contiguous(image);
    while (image->position < end) {
        uint64_t at = image->position & (image->window_bytes - 1);
        uint64_t run = earlier(end - image->position, image->window_bytes - at);
        if (deliver(image, image->staging + at, run) < run)
            return;
    }
}

bool image_holds(struct image *image)
{
    return image->position < contiguous(image);
}

/* As the position moved on: more of what was announced is within the window. In large steps, each of which is
 * asked for at once: nobody else misses it. */
static void look_ahead(struct image *image, const struct notice *notice)
{
    uint64_t reach = earlier(image->announced, image->position + image->window_bytes);
    bool worth_it = reach == image->announced || reach - image->frontier >= image->window_bytes / 4;
    struct notice at_once = {notice->number, notice->now_ns, notice->now_ns};
    if (reach > image->frontier && worth_it)
        (void)move_frontier(image, reach, &at_once);
}

static bool is_next(const struct image *image, uint64_t position)
{
    return image->gaps.count == 0 && position == image->frontier && position == image->position;
}

static enum image_taken put(struct image *image, uint64_t position, const uint8_t *bytes, uint64_t length,
                            const struct notice *notice)
{
    uint64_t end = position + length, frontier = image->frontier;
    if (is_next(image, position)) {
        uint64_t taken = deliver(image, bytes, length);
        image->frontier = end;
        stage(image, position + taken, bytes + taken, length - taken);
        return IMAGE_NEW;
    }
    int64_t closed = gaps_close(&image->gaps, position, end);
    if (closed < 0 || (position > frontier && !move_frontier(image, position, notice)))
        return IMAGE_NO_ROOM;
    if (closed == 0 && end <= frontier)
        return IMAGE_OLD;
    if (end > frontier)
        image->frontier = end;
    stage(image, position, bytes, length);
    deliver_staged(image);
    return IMAGE_NEW;
}

enum image_taken image_take(struct image *image, uint64_t position, const uint8_t *bytes, uint32_t length,
                            const struct notice *notice)
{
    uint64_t end = position + length;
    if (end <= image->position)
        return IMAGE_OLD;
    if (end > image->announced)
        image->announced = end;
    if (end > image->position + image->window_bytes) {
        look_ahead(image, notice);
        return IMAGE_BEYOND;
    }
    uint64_t had = position < image->position ? image->position - position : 0;
    enum image_taken taken = put(image, position + had, bytes + had, length - had, notice);
    look_ahead(image, notice);
    return taken;
}

void image_offer(struct image *image, const struct notice *notice)
{
    deliver_staged(image);
    look_ahead(image, notice);
}

void image_announce(struct image *image, uint64_t position, const struct notice *notice)
{
    if (position <= image->announced)
        return;
    image->announced = position;
    uint64_t reach = earlier(position, image->position + image->window_bytes);
    bool all = reach == position; /* a lost tail, which others may have lost as well */
    if (all)
        (void)move_frontier(image, reach, notice);
    else
        look_ahead(image, notice);
}

void image_skip(struct image *image, uint64_t position, const struct notice *notice)
{
    if (position <= image->position)
        return;
    uint64_t had = image->position;
    image->sink->lost(image->sink->context, had, position - had);
    image->position = position;
    if (position >= image->frontier) {
        image->frontier = position;
        image->gaps.first = image->gaps.count = 0;
    } else {
        (void)gaps_close(&image->gaps, had, position); /* cuts at one side: never splits */
    }
    if (image->announced < position)
        image->announced = position;
    deliver_staged(image);
    look_ahead(image, notice);
}

static void cut(struct image *image, uint64_t position)
{
    struct gaps *gaps = &image->gaps;
    while (gaps->count > 0 && gaps_at(gaps, gaps->count - 1)->begin >= position)
        gaps->count--;
    if (gaps->count > 0 && gaps_at(gaps, gaps->count - 1)->end > position)
        gaps_at(gaps, gaps->count - 1)->end = position;
    image->frontier = earlier(image->frontier, position);
    image->announced = earlier(image->announced, position);
}

bool image_begin_epoch(struct image *image, uint64_t position, uint32_t epoch)
{
    if (image->position > position)
        return false;
    cut(image, position);
    image->epoch = epoch;
    image->sink->epoch(image->sink->context, position, epoch);
    return true;
}

void image_forget_staged(struct image *image)
{
    cut(image, image->position);
}
