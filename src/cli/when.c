#include "cli/when.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "hermes/error.h"

static const uint64_t second_ns = 1000000000;

/* Decimal digits, at least one, at most 64 bits; returns what is behind them, or NULL. */
static const char *read_number(const char *p, uint64_t *number)
{
    if (!isdigit((unsigned char)*p))
        return NULL;
    for (*number = 0; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, (uint64_t)(*p - '0'), number))
            return NULL;
    return p;
}

/* ---- durations ---- */

/* The longest unit that stands there: "ms" is not "m". */
static const char *read_unit(const char *p, uint64_t *unit_ns)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ms", 1000000},      {"s", 1000000000},     {"m", 60000000000},
                 {"h", 3600000000000}, {"d", 86400000000000}, {"w", 604800000000000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strncmp(p, units[i].name, strlen(units[i].name)) == 0) {
            *unit_ns = units[i].ns;
            return p + strlen(units[i].name);
        }
    return NULL;
}

int when_duration(const char *text, uint64_t *duration_ns)
{
    const char *p = text;
    uint64_t sum = 0;
    do {
        uint64_t number, unit;
        if ((p = read_number(p, &number)) == NULL)
            return HERMES_EINVALID;
        if (*p == 0 && number == 0 && sum == 0)
            break;
        if ((p = read_unit(p, &unit)) == NULL || __builtin_mul_overflow(number, unit, &number) ||
            __builtin_add_overflow(sum, number, &sum))
            return HERMES_EINVALID;
    } while (*p != 0);
    *duration_ns = sum;
    return HERMES_OK;
}

/* ---- dates ---- */

/* Of two digits, or of the year's four, within a range. */
static const char *read_field(const char *p, int digits, int least, int most, int *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++, p++) {
        if (!isdigit((unsigned char)*p))
            return NULL;
        *value = *value * 10 + (*p - '0');
    }
    return *value >= least && *value <= most ? p : NULL;
}

static const char *read_day(const char *p, struct tm *tm)
{
    if ((p = read_field(p, 4, 1970, 2261, &tm->tm_year)) == NULL || *p++ != '-' ||
        (p = read_field(p, 2, 1, 12, &tm->tm_mon)) == NULL || *p++ != '-' ||
        (p = read_field(p, 2, 1, 31, &tm->tm_mday)) == NULL)
        return NULL;
    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    return p;
}

/* ".5", up to nine digits. */
static const char *read_fraction(const char *p, uint64_t *ns)
{
    uint64_t unit = second_ns / 10;
    if (!isdigit((unsigned char)*p))
        return NULL;
    for (; isdigit((unsigned char)*p) && unit > 0; p++, unit /= 10)
        *ns += unit * (uint64_t)(*p - '0');
    return p;
}

static const char *read_clock(const char *p, struct tm *tm, uint64_t *fraction_ns)
{
    if ((p = read_field(p, 2, 0, 23, &tm->tm_hour)) == NULL || *p++ != ':' ||
        (p = read_field(p, 2, 0, 59, &tm->tm_min)) == NULL)
        return NULL;
    if (*p != ':')
        return p;
    p = read_field(p + 1, 2, 0, 59, &tm->tm_sec);
    return p != NULL && *p == '.' ? read_fraction(p + 1, fraction_ns) : p;
}

/* "Z", "+01:00", or nothing, which is UTC as well. */
static const char *read_zone(const char *p, int *offset_s)
{
    int hours, minutes, sign = *p == '-' ? -1 : 1;
    if (*p == 'Z')
        return p + 1;
    if (*p != '+' && *p != '-')
        return p;
    if ((p = read_field(p + 1, 2, 0, 23, &hours)) == NULL || *p++ != ':' ||
        (p = read_field(p, 2, 0, 59, &minutes)) == NULL)
        return NULL;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return p;
}

static int read_date(const char *text, uint64_t *time_ns)
{
    struct tm tm = {0};
    uint64_t fraction_ns = 0;
    int offset_s = 0;
    const char *p = read_day(text, &tm);
    const int day = tm.tm_mday;
    if (p != NULL && (*p == 'T' || *p == ' '))
        if ((p = read_clock(p + 1, &tm, &fraction_ns)) != NULL)
            p = read_zone(p, &offset_s);
    if (p == NULL || *p != 0)
        return HERMES_EINVALID;
    time_t seconds = timegm(&tm);
    if (tm.tm_mday != day || seconds < offset_s) /* the 31st of a month of 30 days became the 1st */
        return HERMES_EINVALID;
    *time_ns = (uint64_t)(seconds - offset_s) * second_ns + fraction_ns;
    return HERMES_OK;
}

int when_time(const char *text, uint64_t now_ns, uint64_t *time_ns)
{
    uint64_t back_ns;
    const char *end = read_number(text, time_ns);
    if (end != NULL && *end == 0)
        return HERMES_OK;
    if (strcmp(text, "now") == 0) {
        *time_ns = now_ns;
        return HERMES_OK;
    }
    if (text[0] != '-')
        return read_date(text, time_ns);
    if (when_duration(text + 1, &back_ns) < 0 || back_ns > now_ns)
        return HERMES_EINVALID;
    *time_ns = now_ns - back_ns;
    return HERMES_OK;
}

const char *when_date(int64_t seconds, char text[WHEN_DATE_BYTES])
{
    struct tm tm;
    time_t time = (time_t)seconds;
    strftime(text, WHEN_DATE_BYTES, "%Y-%m-%dT%H:%M:%S", gmtime_r(&time, &tm));
    return text;
}
