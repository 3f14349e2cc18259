#include "io/udp.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/authority.h"

enum { HOPS_MAX = 255 };

/* ---- what stands behind "?" ---- */

static bool set_group(struct udp_group *group, const char *value)
{
    char url[UDP_URL_BYTES + 8], host[AUTHORITY_BYTES], port[AUTHORITY_BYTES];
    struct sockaddr_in *four = (void *)&group->address;
    struct sockaddr_in6 *six = (void *)&group->address;
    snprintf(url, sizeof url, "udp://%s", value);
    if (authority_split(url, "udp://", host, port) != NULL || atoi(port) == 0)
        return false;
    in_port_t number = htons((uint16_t)atoi(port));
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = number;
        return IN_MULTICAST(ntohl(four->sin_addr.s_addr));
    }
    six->sin6_family = AF_INET6;
    six->sin6_port = number;
    return inet_pton(AF_INET6, host, &six->sin6_addr) == 1 && IN6_IS_ADDR_MULTICAST(&six->sin6_addr);
}

static bool set_interface(struct udp_group *group, const char *value)
{
    int length = snprintf(group->interface, sizeof group->interface, "%s", value);
    return length > 0 && length < (int)sizeof group->interface;
}

static bool set_hops(struct udp_group *group, const char *value)
{
    char *end;
    long hops = strtol(value, &end, 10);
    group->hops = (int)hops;
    return *end == 0 && hops >= 1 && hops <= HOPS_MAX;
}

static const struct {
    const char *name;
    bool (*set)(struct udp_group *group, const char *value);
} settings[] = {{"group=", set_group}, {"interface=", set_interface}, {"ttl=", set_hops}};

static bool set(struct udp_group *group, const char *setting)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (strncmp(setting, settings[i].name, strlen(settings[i].name)) == 0)
            return settings[i].set(group, setting + strlen(settings[i].name));
    return false;
}

int udp_split(const char *url, char base[UDP_URL_BYTES], struct udp_group *group, struct error_text *text)
{
    char query[UDP_URL_BYTES] = "", *rest = query;
    size_t length = strcspn(url, "?");
    *group = (struct udp_group){.hops = 0};
    if (strlen(url) >= UDP_URL_BYTES)
        return error_say(text, HERMES_EINVALID, "'%.200s' is too long for an address", url);
    snprintf(base, UDP_URL_BYTES, "%.*s", (int)length, url);
    if (url[length] == '?')
        snprintf(query, sizeof query, "%s", url + length + 1);
    for (char *setting; (setting = strsep(&rest, "&")) != NULL && url[length] == '?';)
        if (!set(group, setting))
            return error_say(text, HERMES_EINVALID,
                             "'%s' of '%s' is none of group=ADDRESS:PORT (multicast, in numbers), "
                             "interface=NAME, ttl=1 to %d",
                             setting, url, HOPS_MAX);
    return HERMES_OK;
}

/* ---- addresses ---- */

int udp_check(const char *url, struct error_text *text)
{
    char base[UDP_URL_BYTES], host[AUTHORITY_BYTES], port[AUTHORITY_BYTES];
    struct udp_group group;
    int rc = udp_split(url, base, &group, text);
    if (rc < 0)
        return rc;
    const char *wrong = authority_split(base, "udp://", host, port);
    if (wrong == NULL && atoi(port) == 0)
        wrong = "port 0 is no port to be found at";
    if (wrong == NULL && group.address.ss_family == 0 && (group.interface[0] != 0 || group.hops != 0))
        wrong = "interface and ttl are of a group, and there is none";
    return wrong == NULL
               ? HERMES_OK
               : error_say(text, HERMES_EINVALID, "'%.200s' is not udp://HOST:PORT: %s", url, wrong);
}

int udp_resolve(const char *url, struct sockaddr_storage *address, struct error_text *text)
{
    char base[UDP_URL_BYTES], host[AUTHORITY_BYTES], port[AUTHORITY_BYTES];
    struct udp_group group;
    struct addrinfo *found;
    int rc = udp_check(url, text);
    if (rc == 0)
        rc = udp_split(url, base, &group, text);
    if (rc < 0)
        return rc;
    (void)authority_split(base, "udp://", host, port);
    struct addrinfo wanted = {.ai_family = group.address.ss_family, /* 0: any */
                              .ai_socktype = SOCK_DGRAM,
                              .ai_flags = AI_NUMERICSERV};
    rc = getaddrinfo(host, port, &wanted, &found);
    if (rc != 0)
        return error_say(text, HERMES_ENOTFOUND, "%s: %s", base, gai_strerror(rc));
    *address = (struct sockaddr_storage){0};
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return HERMES_OK;
}

int udp_own(const struct sockaddr_storage *there, struct sockaddr_storage *own)
{
    socklen_t length = sizeof *own;
    *own = (struct sockaddr_storage){0};
    int fd = socket(there->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && connect(fd, (const struct sockaddr *)there, sizeof *there) == 0 &&
                 getsockname(fd, (struct sockaddr *)own, &length) == 0;
    if (fd >= 0)
        close(fd);
    if (own->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)own)->sin6_port = 0;
    else
        ((struct sockaddr_in *)own)->sin_port = 0;
    return found ? HERMES_OK : HERMES_EIO;
}

struct sockaddr_storage udp_any(const struct sockaddr_storage *like)
{
    return (struct sockaddr_storage){.ss_family = like->ss_family};
}
