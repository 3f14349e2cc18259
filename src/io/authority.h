/* HOST and PORT of a URL (RFC 3986, section 3.2). */
#ifndef IO_AUTHORITY_H
#define IO_AUTHORITY_H

enum { AUTHORITY_BYTES = 128 };

/* scheme: "tcp://". HOST and PORT behind it, brackets taken off. What is wrong with it, as words; NULL:
 * nothing. */
const char *authority_split(const char *url, const char *scheme, char host[AUTHORITY_BYTES],
                            char port[AUTHORITY_BYTES]);

#endif
