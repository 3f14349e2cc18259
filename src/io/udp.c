#include "io/udp.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "io/authority.h"

int udp_check(const char *url, struct error_text *text)
{
    char host[AUTHORITY_BYTES], port[AUTHORITY_BYTES];
    const char *wrong = authority_split(url, "udp://", host, port);
    if (wrong == NULL && atoi(port) == 0)
        wrong = "port 0 is no port to be found at";
    return wrong == NULL
               ? HERMES_OK
               : error_say(text, HERMES_EINVALID, "'%.200s' is not udp://HOST:PORT: %s", url, wrong);
}

int udp_resolve(const char *url, struct sockaddr_storage *address, struct error_text *text)
{
    char host[AUTHORITY_BYTES], port[AUTHORITY_BYTES];
    struct addrinfo *found, wanted = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    int rc = udp_check(url, text);
    if (rc < 0)
        return rc;
    (void)authority_split(url, "udp://", host, port);
    rc = getaddrinfo(host, port, &wanted, &found);
    if (rc != 0)
        return error_say(text, HERMES_ENOTFOUND, "%s: %s", url, gai_strerror(rc));
    *address = (struct sockaddr_storage){0};
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return HERMES_OK;
}

struct sockaddr_storage udp_any(const struct sockaddr_storage *like)
{
    return (struct sockaddr_storage){.ss_family = like->ss_family};
}
