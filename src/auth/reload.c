#include "auth/reload.h"

#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "io/channel.h"
#include "io/places.h"

static const uint64_t patience_ns = 1000000000;

/* Who listens at the other end, by the kernel; 0: a process of another namespace. */
static int find_server(int fd, pid_t *pid, struct error_text *text)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return error_set_errno(text, "find out who serves", "the broker's socket");
    *pid = peer.pid;
    return HERMES_OK;
}

static int signal_server(const char *path, struct error_text *text)
{
    static struct channel channel; /* large */
    pid_t pid = 0;
    int rc = channel_connect(&channel, path, clock_monotonic_ns() + patience_ns, text);
    if (rc < 0)
        return rc;
    rc = find_server(channel.fd, &pid, text);
    if (rc == 0 && pid <= 0)
        rc = error_say(text, HERMES_ENOTSUP,
                       "the broker at %s is in another container: send its process a SIGHUP there", path);
    if (rc == 0 && kill(pid, SIGHUP) != 0)
        rc = error_set_errno(text, "signal", "the broker");
    channel_close(&channel);
    return rc;
}

int reload_signal(struct error_text *text)
{
    static struct places places; /* large */
    int rc = places_parse(NULL, &places, text);
    for (unsigned i = 0; rc == 0 && i < places.count; i++)
        if (places.at[i].path == NULL)
            rc = error_say(text, HERMES_ENOTSUP,
                           "%s: a broker is told so on its own host: hermes auth reload there, or SIGHUP",
                           places.at[i].url);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < places.count && (i == 0 || rc == HERMES_EDISCONNECTED); i++)
        rc = signal_server(places.at[i].path, text);
    return rc;
}
