#include "stamp.h"

#include <string.h>
#include <zlib.h>

static uint32_t crc_of(const struct stamp *stamp, const uint8_t *payload, size_t length)
{
    struct stamp blank = *stamp;
    blank.crc = 0;
    uLong crc = crc32(0, (const Bytef *)&blank, sizeof blank);
    return (uint32_t)crc32(crc, payload + sizeof blank, (uInt)(length - sizeof blank));
}

void stamp_write(void *payload, size_t length, uint32_t publisher, uint32_t run, uint64_t number)
{
    struct stamp stamp = {"HIST", publisher, run, (uint32_t)length, number, 0, 0};
    /* Other bytes for each message, so that one can not end as another. */
    memset((uint8_t *)payload + sizeof stamp, (int)(1 + (number * 31 + publisher * 7 + run) % 255),
           length - sizeof stamp);
    stamp.crc = crc_of(&stamp, payload, length);
    memcpy(payload, &stamp, sizeof stamp);
}

bool stamp_read(const void *payload, size_t length, struct stamp *stamp)
{
    if (length < sizeof *stamp)
        return false;
    memcpy(stamp, payload, sizeof *stamp);
    return memcmp(stamp->magic, "HIST", 4) == 0 && stamp->length == length &&
           stamp->crc == crc_of(stamp, payload, length);
}
