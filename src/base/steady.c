#include "base/steady.h"

static const uint64_t believed_after_ns = 3600000000000u;
static const uint64_t tolerance_ns = 1000000;

void steady_start(struct steady *steady, uint64_t wall_ns, uint64_t boot_ns)
{
    *steady = (struct steady){.wall_ns = wall_ns, .boot_ns = boot_ns};
}

uint64_t steady_look(struct steady *steady, uint64_t wall_ns, uint64_t boot_ns)
{
    uint64_t estimate = steady->wall_ns + (boot_ns - steady->boot_ns);
    bool ahead = wall_ns > estimate;
    uint64_t step = ahead ? wall_ns - estimate : estimate - wall_ns;
    if (step < tolerance_ns) {
        steady->since_ns = 0;
        return estimate;
    }
    if (steady->since_ns == 0 || steady->ahead != ahead) {
        steady->since_ns = boot_ns;
        steady->ahead = ahead;
    }
    if (boot_ns - steady->since_ns < (step < believed_after_ns ? step : believed_after_ns))
        return estimate;
    steady_start(steady, wall_ns, boot_ns);
    return wall_ns;
}
