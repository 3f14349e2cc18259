/* RFC 4648, section 4. */
#ifndef CLI_BASE64_H
#define CLI_BASE64_H

#include <stddef.h>

/* In place: *length characters become *length bytes. HERMES_EMALFORMED: another character, padding that is
 * missing or in the wrong place, bits that are left over. */
int base64_decode(char *text, size_t *length);

#endif
