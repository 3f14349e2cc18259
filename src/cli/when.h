/* Times and durations as people write them. */
#ifndef CLI_WHEN_H
#define CLI_WHEN_H

#include <stdint.h>

/* What when_time() takes, for --help and for who is refused. */
#define WHEN_TIME "nanoseconds since 1970, now, -5m, 2026-11-25 or 2026-11-25T09:30:00 (UTC)"

/*
 * "90s", "15m", "1h30m", "7d" (ms, s, m, h, d, w), in nanoseconds; "0" is 0. HERMES_EINVALID: not a duration,
 * or one beyond 64 bits.
 */
int when_duration(const char *text, uint64_t *duration_ns);

/*
 * Nanoseconds since 1970:
 *
 *     1764062400000000000        themselves
 *     now                        now_ns
 *     -5m                        so long before now_ns
 *     2026-11-25                 midnight, UTC
 *     2026-11-25T09:30           also with a space in place of the T, with seconds and a fraction of up to
 * nine digits, and with Z or an offset (+01:00) behind it; UTC without
 *
 * HERMES_EINVALID: not a time, a day that there is not, before 1970, or beyond 2261.
 */
int when_time(const char *text, uint64_t now_ns, uint64_t *time_ns);

enum { WHEN_DATE_BYTES = 32 };

/* "2026-11-25T09:30:00", UTC, of seconds since 1970; returns text. A fraction and Z may follow. */
const char *when_date(int64_t seconds, char text[WHEN_DATE_BYTES]);

#endif
