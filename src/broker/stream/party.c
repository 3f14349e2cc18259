#include "broker/stream/party.h"

#include <stdlib.h>

static struct party *find(const struct topic *topic, uint64_t page_id)
{
    struct party *party = topic->streamed.parties;
    while (party != NULL && party->page_id != page_id)
        party = party->next;
    return party;
}

static int take_page(const struct group *group, struct party *party)
{
    uint32_t slots;
    int rc = map_fd(group->fd, group->map.size, MAP_READ_WRITE, MAP_LAZY, &party->map);
    if (rc < 0)
        return rc;
    party->page = party->map.address;
    rc = group_page_check(party->page, party->map.size, &slots);
    if (rc < 0)
        map_release(&party->map);
    else
        party->mask = slots == 0 ? 0 : slots - 1;
    return rc;
}

int party_join(struct topic *topic, const struct group *group, struct party **out)
{
    struct party *party = find(topic, group->kept.settings.page_id);
    if (party == NULL) {
        party = calloc(1, sizeof *party);
        int rc = party == NULL ? HERMES_ENOMEM : take_page(group, party);
        if (rc < 0) {
            free(party);
            return rc;
        }
        party->topic = topic;
        party->page_id = group->kept.settings.page_id;
        party->look = group_look_begin(party->page);
        party_hear(party);
        party->next = topic->streamed.parties;
        topic->streamed.parties = party;
    }
    party->members++;
    *out = party;
    return HERMES_OK;
}

static void unmap(struct job *job)
{
    map_release(&((struct party *)(void *)((char *)job - offsetof(struct party, job)))->map);
}

static void unmapped(struct job *job)
{
    free((char *)job - offsetof(struct party, job));
}

/* It may be the last that has the page, whose memory is freed then. */
void party_leave(struct party *party)
{
    struct broker *broker = party->topic->broker;
    struct party **at = &party->topic->streamed.parties;
    if (--party->members > 0)
        return;
    while (*at != party)
        at = &(*at)->next;
    *at = party->next;
    if (broker->stopping) {
        unmap(&party->job);
        unmapped(&party->job);
        return;
    }
    party->job = (struct job){.work = unmap, .done = unmapped};
    workers_submit(&broker->workers, NULL, &party->job);
}
