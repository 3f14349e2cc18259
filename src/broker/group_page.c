#include "broker/group_page.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void name_page(const struct broker *broker, struct group *group)
{
    const struct group_record *record = &group->kept.settings;
    snprintf(group->page_path, sizeof group->page_path, "%s/%016" PRIx64 ".%016" PRIx64 ".group",
             broker->shm.path, record->topic_id, record->page_id);
}

void page_remove(const char *path)
{
    struct map map = {.address = NULL};
    uint64_t size;
    uint32_t slots;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && map_file_size(fd, &size) == 0 && map_fd(fd, size, MAP_READ_WRITE, MAP_LAZY, &map) == 0 &&
        group_page_check(map.address, map.size, &slots) == 0)
        page_end(map.address, GROUP_MOVED);
    map_release(&map);
    if (fd >= 0)
        close(fd);
    unlink(path);
}

int page_make(const struct broker *broker, struct group *group, uint64_t sequence, struct error_text *text)
{
    const struct group_record *record = &group->kept.settings;
    size_t bytes = group_page_bytes(record->slots);
    int rc;
    group->page_path[0] = 0;
    if (broker_trusts(broker, record->uid)) {
        name_page(broker, group);
        page_remove(group->page_path); /* of a broker that died over it, or of a log that is no more */
        rc = map_create(group->page_path, bytes, &group->map, &group->fd);
    } else {
        rc = map_create_memfd("hermes-group", bytes, &group->map, &group->fd);
    }
    if (rc < 0)
        return error_set(text, rc, "shared memory of %zu bytes for group '%s'", bytes, group->name);
    group_page_init(group->map.address, record->slots, record->topic_id, record->page_id, record->floor,
                    record->dead_letter);
    struct group_page *page = group->map.address;
    page->made = record->made;
    atomic_store(&page->max_deliveries, record->max_deliveries);
    group_set_edge(page, record->floor, sequence);
    group_set_counted(page, sequence, record->floor);
    return HERMES_OK;
}

int page_take_up(const struct broker *broker, struct group *group)
{
    const struct group_record *record = &group->kept.settings;
    uint64_t size = 0;
    uint32_t slots = 0;
    name_page(broker, group);
    group->fd = open(group->page_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (group->fd < 0) /* only what is not there is made anew */
        return errno == ENOENT ? HERMES_ENOTFOUND : error_from_errno(errno);
    int rc = map_file_size(group->fd, &size);
    if (rc == 0 && size < group_page_bytes(record->slots))
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        rc = map_fd(group->fd, group_page_bytes(record->slots), MAP_READ_WRITE, MAP_PREFAULT, &group->map);
    if (rc == 0) {
        const struct group_page *page = group->map.address;
        rc = group_page_check(page, group->map.size, &slots);
        if (rc == 0 && (slots != record->slots || page->id != record->page_id))
            rc = HERMES_EMALFORMED;
        if (rc < 0)
            map_release(&group->map);
    }
    if (rc < 0)
        close(group->fd);
    return rc;
}

int page_keep(const struct broker *broker, struct group *group)
{
    struct map copy;
    int fd;
    if (group->page_path[0] != 0)
        return HERMES_OK;
    name_page(broker, group);
    unlink(group->page_path);
    int rc = map_create(group->page_path, group->map.size, &copy, &fd);
    if (rc < 0) {
        group->page_path[0] = 0;
        return rc;
    }
    memcpy(copy.address, group->map.address, copy.size);
    map_release(&copy);
    close(fd);
    return HERMES_OK;
}

void page_forget(struct group *group)
{
    map_release(&group->map);
    close(group->fd);
}

void page_end(struct group_page *page, enum group_page_state state)
{
    atomic_store(&page->state, (uint32_t)state);
    atomic_thread_fence(
        memory_order_seq_cst); /* what is read of the page from here on comes after the store */
    group_tell(page);
}

void page_stays(struct group_page *page)
{
    uint32_t moving = GROUP_MOVING;
    (void)atomic_compare_exchange_strong(&page->state, &moving, (uint32_t)GROUP_OPEN);
    group_tell(page);
}

void page_drop(struct group *group, enum group_page_state state)
{
    struct group_page *page = group->map.address;
    if (page == NULL)
        return;
    page_end(page, state);
    if (group->page_path[0] != 0)
        unlink(group->page_path);
    page_forget(group);
}

void page_use(struct group *group)
{
    struct kept *kept = &group->kept;
    kept->page = group->map.address;
    kept->mask = page_mask(kept->settings.slots);
    atomic_store(&kept->page->max_deliveries, kept->settings.max_deliveries);
    atomic_store(&kept->page->state, (uint32_t)GROUP_OPEN); /* of a broker that died while it stopped */
}

/* Two groups change pages, and what belongs to them. */
void pages_swap(struct group *a, struct group *b)
{
    struct group was = {.map = a->map, .fd = a->fd, .kept.settings = a->kept.settings};
    memcpy(was.page_path, a->page_path, sizeof was.page_path);
    a->map = b->map;
    a->fd = b->fd;
    memcpy(a->page_path, b->page_path, sizeof a->page_path);
    a->kept.settings = b->kept.settings;
    b->map = was.map;
    b->fd = was.fd;
    memcpy(b->page_path, was.page_path, sizeof b->page_path);
    b->kept.settings = was.kept.settings;
    page_use(a);
}
