#include "mirror/repairs.h"

#include "wire/datagram.h"

static uint32_t slot_of(uint64_t position)
{
    return (uint32_t)(position % REPAIRS_CELL_BYTES / DATAGRAM_SLOT_BYTES);
}

static uint32_t index_of(uint64_t cell, uint32_t to)
{
    return (uint32_t)((cell + to * 0x9E3779B1u) % REPAIRS_CELLS);
}

bool repairs_on_their_way(const struct repairs *repairs, uint64_t position, uint32_t to, uint64_t heard)
{
    uint64_t cell = position / REPAIRS_CELL_BYTES;
    const struct repair *repair = &repairs->cells[index_of(cell, to)];
    if (repair->latest <= heard || repair->cell != cell || repair->to != to)
        return false;
    uint32_t number = repair->number[slot_of(position)], ago = (uint32_t)repair->latest - number;
    return number != 0 && repair->latest - ago > heard;
}

void repairs_sent(struct repairs *repairs, uint64_t position, uint64_t bytes, uint32_t to, uint64_t number)
{
    for (uint64_t end = position + bytes; position < end; position += DATAGRAM_SLOT_BYTES) {
        uint64_t cell = position / REPAIRS_CELL_BYTES;
        struct repair *repair = &repairs->cells[index_of(cell, to)];
        bool same = repair->cell == cell && repair->to == to && number - repair->latest < UINT32_MAX / 2;
        if (!same)
            *repair = (struct repair){.cell = cell, .to = to};
        repair->latest = number;
        repair->number[slot_of(position)] = (uint32_t)number;
    }
}
