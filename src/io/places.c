#include "io/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "io/location.h"

static const char *const schemes[] = {"shm:", "unix:", "tcp://", "tls://"};

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The comma before the next URL; a path may have commas of its own. NULL: it is the last one. */
static char *find_comma(char *url)
{
    for (char *comma = strchr(url, ','); comma != NULL; comma = strchr(comma + 1, ','))
        for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
            if (begins(comma + 1, schemes[i]))
                return comma;
    return NULL;
}

/* Takes "?shm=no" off. */
static int take_options(char *url, bool *stays, struct error_text *text)
{
    char *question = strstr(url, "?shm="); /* any other belongs to the path */
    if (question == NULL)
        return HERMES_OK;
    if (strcmp(question, "?shm=no") != 0)
        return error_say(text, HERMES_EINVALID, "'%.200s': what may stand there is ?shm=no", url);
    *question = 0;
    *stays = true;
    return HERMES_OK;
}

static int check_path(struct place *place, const char *path, struct error_text *text)
{
    place->path = begins(path, "//") ? path + 2 : path;
    if (strlen(place->path) >= PATH_BYTES)
        return error_set(text, HERMES_ETOOLARGE, "path of the socket");
    return place->path[0] != 0
               ? HERMES_OK
               : error_say(text, HERMES_EINVALID, "'%.200s': the path of a socket is missing", place->url);
}

/* Where this user's broker is. */
static int find_default(struct places *places, struct place *place, struct error_text *text)
{
    struct location location;
    int rc = location_find(&location, text);
    if (rc < 0)
        return rc;
    size_t used = strlen(places->bytes) + 1, length = strlen(location.socket) + 1;
    if (PLACES_BYTES - used < length)
        return error_set(text, HERMES_ETOOLARGE, "path of the socket");
    place->path = memcpy(places->bytes + PLACES_BYTES - length, location.socket, length);
    return HERMES_OK;
}

/* One URL. *streams: by its kind. */
static int parse_one(struct places *places, struct place *place, bool *streams, struct error_text *text)
{
    char *url = (char *)(uintptr_t)place->url;
    place->encrypted = begins(url, "tls://");
    *streams = place->encrypted || begins(url, "tcp://");
    if (*streams) {
        int rc = take_options(url, &place->stays, text);
        return rc < 0 ? rc : tcp_check(url, text);
    }
    if (strcmp(url, "shm:") == 0)
        return find_default(places, place, text);
    if (begins(url, "shm:"))
        return check_path(place, url + strlen("shm:"), text);
    bool is_path = !begins(url, "unix:");
    if (is_path && strstr(url, "://") != NULL)
        return error_say(
            text, HERMES_ENOTSUP,
            "'%.200s': there are shm:, unix:PATH, tcp://HOST:PORT and tls://HOST:PORT, no other kind", url);
    if (is_path)
        return check_path(place, url, text);
    int rc = take_options(url, &place->stays, text);
    *streams = place->stays;
    return rc < 0 ? rc : check_path(place, url + strlen("unix:"), text);
}

static bool is_plain_tcp(const struct place *place)
{
    return place->path == NULL && !place->encrypted;
}

/* What is encrypted stays so, whichever of them is there. */
static int check_fallback(const struct places *places, struct error_text *text)
{
    for (unsigned i = 0; i < places->count && places->encrypted; i++)
        if (is_plain_tcp(&places->at[i]))
            return error_say(
                text, HERMES_EINVALID,
                "'%.200s' beside tls:// would send in the clear what the others encrypt: name it "
                "with tls://, or alone",
                places->at[i].url);
    return HERMES_OK;
}

static int add(struct places *places, const char *url, struct error_text *text)
{
    bool streams;
    if (places->count == PLACES_MAX)
        return error_say(text, HERMES_ELIMIT, "more than %d URLs", PLACES_MAX);
    struct place *place = &places->at[places->count++];
    *place = (struct place){.url = url};
    int rc = parse_one(places, place, &streams, text);
    if (rc < 0)
        return rc;
    if (places->count > 1 && streams != places->streams)
        return error_say(text, HERMES_EINVALID,
                         "'%.200s' and '%.200s': some share memory and some do not (unix:PATH?shm=no does "
                         "not)",
                         places->at[0].url, url);
    places->streams = streams;
    places->encrypted |= place->encrypted;
    return check_fallback(places, text);
}

int places_parse(const char *url, struct places *places, struct error_text *text)
{
    places->count = 0;
    places->encrypted = false;
    const char *named = getenv("HERMES_URL");
    if (url == NULL)
        url = named != NULL && named[0] != 0 ? named : "shm:";
    int used = snprintf(places->bytes, sizeof places->bytes, "%s", url);
    if (used < 0 || (size_t)used >= sizeof places->bytes)
        return error_set(text, HERMES_ETOOLARGE, "path of the socket");
    int rc = HERMES_OK;
    for (char *at = places->bytes, *comma; rc == 0 && at != NULL; at = comma) {
        comma = find_comma(at);
        if (comma != NULL)
            *comma++ = 0;
        rc = add(places, at, text);
    }
    return rc;
}

int place_look_up(struct place *place, struct error_text *text)
{
    struct tcp_address addresses[PLACE_ADDRESSES_MAX];
    if (place->path != NULL)
        return HERMES_OK;
    int count = tcp_resolve(place->url, addresses, PLACE_ADDRESSES_MAX, text);
    if (count > 0) {
        memcpy(place->addresses, addresses, sizeof addresses);
        place->count = (unsigned)count;
    }
    return place->count > 0 ? HERMES_OK : HERMES_EDISCONNECTED;
}

bool place_is_exposed(const struct place *place, unsigned turn)
{
    return is_plain_tcp(place) && place->count > 0 &&
           !tcp_is_loopback(&place->addresses[turn % place->count]);
}

int place_connect(const struct place *place, unsigned turn, int *fd, struct error_text *text)
{
    *fd = -1;
    if (place->count == 0)
        return error_say(text, HERMES_EDISCONNECTED, "%s: nobody knows the address", place->url);
    return tcp_connect(&place->addresses[turn % place->count], place->url, fd, text);
}
