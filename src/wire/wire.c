#include "wire/wire.h"

#include <string.h>

void wire_header(hermes_header_t *header, enum wire_type type, uint64_t correlation, uint32_t length)
{
    *header = (hermes_header_t){
        .magic = HERMES_MAGIC,
        .version = HERMES_VERSION,
        .type = (uint8_t)type,
        .sequence = correlation,
        .length = length,
    };
}

int wire_header_check(const hermes_header_t *header, uint32_t length_max)
{
    if (header->magic != HERMES_MAGIC || header->flags != 0)
        return HERMES_EPROTOCOL;
    if (header->version != HERMES_VERSION)
        return HERMES_EVERSION;
    if (header->length > length_max)
        return HERMES_ETOOLARGE;
    return HERMES_OK;
}

int wire_request_bytes(uint8_t type)
{
    switch (type) {
    case WIRE_HELLO:
        return sizeof(struct wire_hello);
    case WIRE_AUTHENTICATE:
        return sizeof(struct wire_authenticate);
    case WIRE_SHOW:
        return sizeof(struct wire_show);
    case WIRE_ENTER:
        return sizeof(struct wire_enter);
    case WIRE_TOPIC_CREATE:
        return sizeof(struct wire_topic_create);
    case WIRE_TOPIC_ALTER:
        return sizeof(struct wire_topic_alter);
    case WIRE_TOPIC_DELETE:
    case WIRE_TOPIC_PURGE:
    case WIRE_TOPIC_DESCRIBE:
    case WIRE_MIRROR_KEY:
        return sizeof(struct wire_topic);
    case WIRE_SUBSCRIBER_OPEN:
        return sizeof(struct wire_subscriber_open);
    case WIRE_GROUP_CREATE:
    case WIRE_GROUP_ALTER:
    case WIRE_GROUP_DELETE:
        return sizeof(struct wire_group);
    case WIRE_GROUP_LIST:
        return sizeof(struct wire_group_list);
    case WIRE_TOPIC_LIST:
    case WIRE_UNSERVED_LIST:
        return sizeof(struct wire_list);
    case WIRE_PUBLISHER_OPEN:
    case WIRE_INTAKE_OPEN:
        return sizeof(struct wire_publisher_open);
    case WIRE_OUTLET_OPEN:
        return sizeof(struct wire_outlet_open);
    case WIRE_MEMBER_OPEN:
        return sizeof(struct wire_member_open);
    case WIRE_PUBLISHER_MAPPED:
    case WIRE_CLOSE:
        return sizeof(struct wire_handle);
    case WIRE_FORGET:
        return sizeof(struct wire_forget);
    case WIRE_WINDOW_OPEN:
        return sizeof(struct wire_window);
    case WIRE_SEGMENT_OPEN:
        return sizeof(struct wire_segment);
    case WIRE_EPOCH_FIND:
        return sizeof(struct wire_epoch_find);
    case WIRE_MIRROR_ADD:
        return sizeof(struct wire_mirror_add);
    case WIRE_MIRROR_REMOVE:
        return sizeof(struct wire_mirror_remove);
    case WIRE_PING:
    case WIRE_INVITE:
    case WIRE_MIRROR_LIST:
    case WIRE_BROKER_DESCRIBE:
        return 0;
    default:
        return -1;
    }
}

bool wire_passes_descriptors(uint8_t type)
{
    return type == WIRE_PUBLISHER_OPEN || type == WIRE_PUBLISHER_MAPPED || type == WIRE_SUBSCRIBER_OPEN ||
           type == WIRE_WINDOW_OPEN || type == WIRE_SEGMENT_OPEN || type == WIRE_SHOW;
}

bool wire_flows(uint8_t type)
{
    return type == WIRE_CREDIT || type == WIRE_PUBLISH || type == WIRE_ACK || type == WIRE_NACK ||
           type == WIRE_RENEW;
}

int wire_flow_check(const hermes_header_t *header)
{
    int rc = wire_header_check(header, WIRE_FLOW_MAX);
    if (rc < 0)
        return rc;
    if (!wire_flows(header->type))
        return HERMES_EPROTOCOL;
    if (header->type == WIRE_CREDIT)
        return header->length == sizeof(struct wire_credit) ? HERMES_OK : HERMES_EMALFORMED;
    uint32_t unit = header->type == WIRE_PUBLISH ? HERMES_FRAME_ALIGNMENT : sizeof(struct wire_ack);
    return header->length % unit == 0 ? HERMES_OK : HERMES_EMALFORMED;
}

int wire_topic_check(const char topic[WIRE_TOPIC_BYTES])
{
    return memchr(topic, 0, WIRE_TOPIC_BYTES) == NULL ? HERMES_ENAME : hermes_topic_name_check(topic);
}

int wire_mirror_grant_check(const struct wire_mirror_grant *grant)
{
    bool good = grant->id != 0 && grant->member != 0 && grant->lasts_ns != 0 && grant->reserved == 0 &&
                memchr(grant->url, 0, sizeof grant->url) != NULL &&
                strncmp(grant->url, "udp://", strlen("udp://")) == 0;
    return good ? HERMES_OK : HERMES_EMALFORMED;
}
