/* One field of a line of CSV (RFC 4180), and the numbers that a feed has in them: decimal, no exponents. */
#ifndef CLI_FEED_FIELD_H
#define CLI_FEED_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Without the blanks around it, nor its quotes. */
struct field {
    const char *bytes;
    size_t length;
};

enum field_fault { FIELD_GOOD, FIELD_NO_NUMBER, FIELD_NEGATIVE, FIELD_TOO_LARGE };

struct field field_trim(const char *bytes, size_t length);

bool field_is_number(struct field field); /* 12, -3, 0.25 */

/* Whole numbers from 0 to most. */
enum field_fault field_whole(struct field field, uint64_t most, uint64_t *number);

/* A time of 0 or more, with a fraction or not, in units of so many nanoseconds: 34200.5 of 1,000,000,000.
 * What is less than a nanosecond is cut off. */
enum field_fault field_time(struct field field, uint64_t unit_ns, uint64_t *time_ns);

/* The same name as a heading would have it: in any case, with blanks, dashes, underscores or none. */
bool field_is_name(struct field field, const char *name);
bool field_is_between_words(char c);

#endif
