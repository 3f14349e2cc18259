#include "hermes/message.h"

#include <string.h>

#include "base/crc32.h"

enum { CRC_COVERS = offsetof(hermes_header_t, crc), TOPIC_NAME_MAX = 127 };

int hermes_message_encode(hermes_header_t *header, const void *payload, size_t length, uint64_t sequence,
                          uint64_t timestamp)
{
    if (length > HERMES_PAYLOAD_MAX)
        return HERMES_ETOOLARGE;
    *header = (hermes_header_t){
        .magic = HERMES_MAGIC,
        .version = HERMES_VERSION,
        .type = HERMES_TYPE_DATA,
        .flags = HERMES_FLAG_CRC,
        .sequence = sequence,
        .timestamp = timestamp,
        .length = (uint32_t)length,
    };
    header->crc = crc32_message(payload, (uint32_t)length,
                                hermes_commit_word(HERMES_TYPE_DATA, HERMES_FLAG_CRC), sequence, timestamp);
    return HERMES_OK;
}

int hermes_message_encode_plain(hermes_header_t *header, size_t length, uint64_t sequence, uint64_t timestamp)
{
    if (length > HERMES_PAYLOAD_MAX)
        return HERMES_ETOOLARGE;
    *header = (hermes_header_t){
        .magic = HERMES_MAGIC,
        .version = HERMES_VERSION,
        .type = HERMES_TYPE_DATA,
        .sequence = sequence,
        .timestamp = timestamp,
        .length = (uint32_t)length,
    };
    return HERMES_OK;
}

int hermes_message_verify(const hermes_header_t *header, const void *payload, size_t available)
{
    int rc = hermes_message_decode(header, available);
    if (rc < 0)
        return rc;
    if (!(header->flags & HERMES_FLAG_CRC))
        return header->crc == 0 ? HERMES_OK : HERMES_EMALFORMED;
    uint64_t word =
        hermes_commit_word(header->type, header->flags); /* as it stands there, says the decoding */
    return header->crc == crc32_message(payload, header->length, word, header->sequence, header->timestamp)
               ? HERMES_OK
               : HERMES_ECHECKSUM;
}

void hermes_message_restamp(hermes_header_t *header, uint64_t sequence, uint64_t timestamp)
{
    if (header->flags & HERMES_FLAG_CRC)
        header->crc ^= crc32_header_delta(header->sequence ^ sequence, header->timestamp ^ timestamp);
    header->sequence = sequence;
    header->timestamp = timestamp;
}

int hermes_topic_name_check(const char *name)
{
    size_t length = name == NULL ? 0 : strnlen(name, TOPIC_NAME_MAX + 1);
    if (length == 0 || length > TOPIC_NAME_MAX || name[0] == '.' || name[0] == '-')
        return HERMES_ENAME;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
              c == '_' || c == '-'))
            return HERMES_ENAME;
    }
    return HERMES_OK;
}
