#include "io/authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is wrong with the port; NULL: nothing. */
static const char *check_port(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    if (port[0] == 0)
        return "the port is missing";
    if (port[digits] != 0)
        return "the port is not a number";
    return digits > 5 || atoi(port) > 65535 ? "the port is more than 65535" : NULL;
}

const char *authority_split(const char *url, const char *scheme, char host[AUTHORITY_BYTES],
                            char port[AUTHORITY_BYTES])
{
    size_t length = strlen(scheme);
    if (strncmp(url, scheme, length) != 0)
        return "it does not begin so";
    if (strlen(url) >= AUTHORITY_BYTES)
        return "it is too long";
    url += length;
    const char *colon = strrchr(url, ':'), *end = colon;
    if (colon == NULL || (url[0] == '[' && strchr(colon, ']') != NULL))
        return "the port is missing";
    if (colon == url)
        return "the host is missing";
    if (url[0] == '[' && end[-1] == ']') {
        url++;
        end--;
    } else if (memchr(url, ':', (size_t)(end - url)) != NULL) { /* where it ends is anybody's guess */
        return "an IPv6 address stands in brackets: [::1]:7000";
    }
    snprintf(host, AUTHORITY_BYTES, "%.*s", (int)(end - url), url);
    snprintf(port, AUTHORITY_BYTES, "%s", colon + 1);
    return host[0] == 0 ? "the host is missing" : check_port(port);
}
