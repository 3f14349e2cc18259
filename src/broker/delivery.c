#include "broker/delivery.h"

#include "broker/sequencer.h"
#include "broker/topic.h"

static int deliver(void *context, const struct letters *letters, unsigned *delivered)
{
    struct topic *topic = topic_find(context, letters->settings->dead_letter);
    if (topic == NULL || topic->deleting)
        return HERMES_ENOTFOUND;
    if (topic->opening)
        return HERMES_EAGAIN;
    if (!topic->shared) /* deleted, and made again as another */
        return HERMES_EINVALID;
    return sequencer_append(topic, letters->frames, letters->bytes, delivered);
}

void delivery_turn(struct broker *broker)
{
    post_deliver_next(&broker->post, deliver, broker);
}
