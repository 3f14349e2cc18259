#include "broker/delivery.h"

#include "broker/sequencer.h"
#include "broker/topic.h"

static int append(struct broker *broker, struct letters *letters)
{
    struct topic *topic = topic_find(broker, letters->settings->dead_letter);
    if (topic == NULL || topic->deleting)
        return HERMES_ENOTFOUND;
    if (topic->opening)
        return HERMES_EAGAIN;
    if (!topic->shared) /* deleted, and made again as another */
        return HERMES_EINVALID;
    int rc = sequencer_append(topic, letters->frames, letters->bytes, &letters->delivered);
    letters->to = topic->id;
    letters->end = topic->log.writer.position;
    return rc;
}

/* As safe as the topic keeps what is in it; those of a topic that was deleted went with it. */
static bool is_durable(struct broker *broker, const struct letters *letters)
{
    const struct topic *topic = topic_by_id(broker, letters->to);
    return topic == NULL || topic->deleting || topic->durability == DURABILITY_MEMORY ||
           /* Acquire pairs with the release in log_sync(). */
           atomic_load_explicit(&topic->log.status->durable, memory_order_acquire) >= letters->end;
}

static void deliver(void *context, struct letters *letters)
{
    if (letters->delivered == 0)
        letters->result = append(context, letters);
    letters->durable = letters->delivered > 0 && is_durable(context, letters);
}

void delivery_turn(struct broker *broker)
{
    post_deliver_next(&broker->post, deliver, broker);
}
