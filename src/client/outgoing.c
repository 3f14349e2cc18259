/* What a publisher does otherwise where its messages go through the connection. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "client/publisher.h"

int publisher_open_outflow(struct hermes_publisher *p)
{
    struct outflow *outflow;
    int rc = outflow_open(p->client, p->topic, clock_deadline_ns(p->client->request_timeout_ns), &p->outflow);
    if (rc < 0)
        return rc;
    outflow = p->outflow;
    p->fresh.status = outflow->status_map;
    p->fresh.window = outflow->window_map;
    outflow->status_map = outflow->window_map = (struct map){0};
    p->opened = (struct wire_publisher){.kind = WIRE_RING,
                                        .topic_id = outflow->opened.topic_id,
                                        .epoch = outflow->opened.epoch,
                                        .ring_id = outflow->status->rings[0].id,
                                        .sequence = outflow->opened.sequence,
                                        .durability = outflow->opened.durability};
    publisher_install(p);
    outflow->writer = &p->writer;
    p->writer.seal = 0; /* never what the mark says: after each commit there is something to do */
    return HERMES_OK;
}

static int say_why(struct hermes_publisher *p, int rc)
{
    struct error_text *text = &p->client->error;
    if (rc == HERMES_EAGAIN)
        return error_say(
            text, HERMES_EDISCONNECTED,
            "topic '%s': the broker takes no more at the moment: there is no room in the topic, or "
            "it is slower",
            p->topic);
    return rc == HERMES_OK ? rc : client_say_away(p->client, p->topic);
}

int publisher_settle_outflow(struct hermes_publisher *p, uint64_t until_ns)
{
    struct outflow *outflow = p->outflow;
    int rc = outflow_settle(outflow, until_ns);
    if (outflow->over != 0) {
        (void)outflow_close(outflow, 0); /* before the ring goes that it looks at */
        return publisher_end(p, outflow->over, outflow->is_uncertain);
    }
    p->writer.owner_changed = false;
    if (!outflow_is_behind(outflow))
        rc = HERMES_OK;
    p->unsettled = rc < 0;
    return say_why(p, rc);
}

int publisher_hand_over(struct hermes_publisher *p, uint64_t until_ns, uint64_t *sequence)
{
    *sequence = p->writer.sequence - 1;
    for (;;) {
        int rc = publisher_settle(p, until_ns);
        if (p->over != 0) {
            *sequence = 0;
            return publisher_tell_over(p);
        }
        uint64_t left = clock_left_ns(until_ns);
        if (rc == 0 || (left == 0 && outflow_is_attached(p->outflow)))
            return HERMES_OK;
        if (left == 0 && p->client->refused != 0)
            return client_say_away(p->client, p->topic);
        if (left == 0)
            return error_say(
                &p->client->error, HERMES_EDISCONNECTED,
                "topic '%s': no broker came back; what was published last goes out when one does", p->topic);
        if (!outflow_take_news(p->outflow))
            outflow_sleep(p->outflow, left);
    }
}

void publisher_say_unconfirmed(struct hermes_publisher *p, uint64_t missing)
{
    (void)error_say(&p->client->error, HERMES_EDISCONNECTED,
                    "topic '%s': the broker did not confirm the last %" PRIu64
                    " messages: those that have reached it go in, the others are lost with this publisher",
                    p->topic, missing);
}
