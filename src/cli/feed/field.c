#include "cli/feed/field.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct field field_trim(const char *bytes, size_t length)
{
    for (; length > 0 && is_blank(*bytes); bytes++, length--)
        ;
    while (length > 0 && is_blank(bytes[length - 1]))
        length--;
    if (length >= 2 && bytes[0] == '"' && bytes[length - 1] == '"')
        return (struct field){bytes + 1, length - 2};
    return (struct field){bytes, length};
}

bool field_is_number(struct field field)
{
    const char *at = field.bytes, *end = at + field.length;
    size_t digits = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    for (; at < end && is_digit(*at); at++)
        digits++;
    if (at < end && *at == '.')
        for (at++; at < end && is_digit(*at); at++)
            digits++;
    return digits > 0 && at == end;
}

/* *number in front of what is no digit. False: over 64 bits. */
static bool take_digits(const char **at, const char *end, uint64_t *number)
{
    uint64_t value = 0;
    for (; *at < end && is_digit(**at); (*at)++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
            return false;
    *number = value;
    return true;
}

enum field_fault field_whole(struct field field, uint64_t most, uint64_t *number)
{
    const char *at = field.bytes, *end = at + field.length;
    if (!field_is_number(field) || *at == '+')
        return FIELD_NO_NUMBER;
    if (*at == '-')
        return FIELD_NEGATIVE;
    if (!take_digits(&at, end, number))
        return FIELD_TOO_LARGE;
    if (at != end)
        return FIELD_NO_NUMBER;
    return *number <= most ? FIELD_GOOD : FIELD_TOO_LARGE;
}

enum field_fault field_time(struct field field, uint64_t unit_ns, uint64_t *time_ns)
{
    const char *at = field.bytes, *end = at + field.length;
    uint64_t whole;
    if (at == end || *at == '+' || (!is_digit(*at) && !field_is_number(field)))
        return FIELD_NO_NUMBER;
    if (*at == '-')
        return FIELD_NEGATIVE;
    if (!take_digits(&at, end, &whole) || __builtin_mul_overflow(whole, unit_ns, time_ns))
        return FIELD_TOO_LARGE;
    if (at == end)
        return FIELD_GOOD;
    if (*at++ != '.')
        return FIELD_NO_NUMBER;
    uint64_t fraction_ns = 0;
    for (uint64_t unit = unit_ns / 10; at < end && is_digit(*at); at++, unit /= 10)
        fraction_ns += (uint64_t)(*at - '0') * unit;
    if (at != end)
        return FIELD_NO_NUMBER;
    return __builtin_add_overflow(*time_ns, fraction_ns, time_ns) ? FIELD_TOO_LARGE : FIELD_GOOD;
}

bool field_is_between_words(char c)
{
    return c == ' ' || c == '-' || c == '_';
}

bool field_is_name(struct field field, const char *name)
{
    const char *at = field.bytes, *end = at + field.length;
    for (;; at++, name++) {
        while (at < end && field_is_between_words(*at))
            at++;
        while (field_is_between_words(*name))
            name++;
        if (at == end || *name == 0)
            return at == end && *name == 0;
        char a = *at, b = *name;
        if (a >= 'A' && a <= 'Z')
            a = (char)(a | 0x20);
        if (b >= 'A' && b <= 'Z')
            b = (char)(b | 0x20);
        if (a != b)
            return false;
    }
}
