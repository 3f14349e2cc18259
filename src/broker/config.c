#include "broker/config.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/workers.h"
#include "log/store.h"
#include "log/window.h"

/* Bytes of shared memory for each user; more where rings are large. */
#define MEMORY_DEFAULT (512ull << 20)

struct parse {
    struct config *config;
    struct error_text *text;
    const char *path;
    int error;
};

int config_parse_size(const char *value, uint64_t *bytes)
{
    char *end;
    errno = 0;
    if (value[0] < '0' || value[0] > '9')
        return HERMES_EINVALID;
    uint64_t number = strtoull(value, &end, 10);
    unsigned shift = 0;
    switch (*end) {
    case 'k':
    case 'K':
        shift = 10;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'g':
    case 'G':
        shift = 30;
        break;
    default:
        break;
    }
    if (shift != 0) {
        end++;
        if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0)
            end += strlen(end);
    }
    if (errno != 0 || *end != 0 || (shift != 0 && number >> (64 - shift) != 0))
        return HERMES_EINVALID;
    *bytes = number << shift;
    return HERMES_OK;
}

static bool parse_number(const char *value, uint64_t low, uint64_t high, uint32_t *number)
{
    uint64_t wide;
    if (config_parse_size(value, &wide) < 0 || wide < low || wide > high)
        return false;
    *number = (uint32_t)wide;
    return true;
}

static bool set_path(char to[PATH_BYTES], const char *value)
{
    int used = snprintf(to, PATH_BYTES, "%s", value);
    return value[0] == '/' && used > 0 && used < PATH_BYTES;
}

static bool set_backend(struct config *config, const char *value)
{
    static const char *const names[] = {"auto", "io_uring", "epoll"};
    for (unsigned i = 0; i < 3; i++)
        if (strcmp(value, names[i]) == 0) {
            config->backend = (enum poller_backend)i;
            return true;
        }
    return false;
}

static bool set_mode(struct config *config, const char *value)
{
    char *end;
    unsigned long mode = strtoul(value, &end, 8);
    config->socket_mode = (mode_t)mode;
    return *end == 0 && mode <= 0777 && value[0] != 0;
}

/* false: the value is not legal; *known false: there is no such setting. */
static bool set(struct config *c, const char *section, const char *name, const char *value, bool *known)
{
#define SETTING(s, n) (strcmp(section, s) == 0 && strcmp(name, n) == 0)
    *known = true;
    if (SETTING("broker", "socket"))
        return set_path(c->location.socket, value);
    if (SETTING("broker", "data"))
        return set_path(c->location.data, value);
    if (SETTING("broker", "socket_mode"))
        return set_mode(c, value);
    if (SETTING("broker", "sessions_max"))
        return parse_number(value, 1, 60000, &c->sessions_max);
    if (SETTING("limits", "sessions_reserved"))
        return parse_number(value, 0, 60000, &c->sessions_reserved);
    if (SETTING("limits", "greet_ms"))
        return parse_number(value, 1, 600000, &c->greet_ms);
    for (unsigned i = 0; i < HOLDINGS; i++)
        if (SETTING("limits", principal_setting((enum holding)i)))
            return config_parse_size(value, &c->most[i]) == 0 && c->most[i] > 0;
    if (SETTING("broker", "topics_max"))
        return parse_number(value, 1, 65536, &c->topics_max);
    if (SETTING("broker", "workers"))
        return parse_number(value, WORKERS_MIN, WORKERS_MAX, &c->workers);
    if (SETTING("broker", "grace_ms"))
        return parse_number(value, 0, 600000, &c->grace_ms);
    if (SETTING("broker", "wait")) {
        if (strcmp(value, "spin") != 0 && strcmp(value, "adaptive") != 0)
            return false;
        c->spin_us = strcmp(value, "spin") == 0 ? UINT32_MAX : c->spin_us;
        return true;
    }
    if (SETTING("broker", "spin_us"))
        return parse_number(value, 0, 1000000, &c->spin_us);
    if (SETTING("net", "backend"))
        return set_backend(c, value);
    if (SETTING("store", "sync_interval_ms"))
        return parse_number(value, 1, 60000, &c->sync_interval_ms);
    if (SETTING("store", "scrub_mb_s"))
        return parse_number(value, 0, 100000, &c->scrub_mb_s);
    if (SETTING("store", "scrub_hours"))
        return parse_number(value, 0, 8760, &c->scrub_hours);
    if (SETTING("topic", "window"))
        return config_parse_size(value, &c->window_bytes) == 0 && window_capacity_is_legal(c->window_bytes);
    if (SETTING("topic", "segment"))
        return config_parse_size(value, &c->segment_bytes) == 0 && c->segment_bytes >= STORE_SEGMENT_MIN &&
               c->segment_bytes <= STORE_SEGMENT_MAX;
    if (SETTING("topic", "ring"))
        return config_parse_size(value, &c->ring_bytes) == 0 && window_capacity_is_legal(c->ring_bytes);
    *known = false;
    return false;
#undef SETTING
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
    struct parse *parse = user;
    bool known;
    if (parse->error < 0 || set(parse->config, section, name, value, &known))
        return 1;
    parse->error =
        known ? error_set(parse->text, HERMES_EINVALID, "%s: [%s] %s = %s", parse->path, section, name, value)
              : error_set(parse->text, HERMES_EINVALID, "%s: no such setting: [%s] %s", parse->path, section,
                          name);
    return 1;
}

/* Limits that follow from other settings, where they were not set themselves. */
static void set_limits(struct config *config)
{
    uint64_t rings = STATUS_RINGS * (WINDOW_HEADER_BYTES + config->ring_bytes);
    if (config->most[HOLDS_SESSIONS] == 0)
        config->most[HOLDS_SESSIONS] = (config->sessions_max * 3ull + 3) / 4;
    if (config->most[HOLDS_MEMORY] == 0)
        config->most[HOLDS_MEMORY] = rings > MEMORY_DEFAULT ? rings : MEMORY_DEFAULT;
    if (config->sessions_reserved > config->sessions_max / 4)
        config->sessions_reserved = config->sessions_max / 4;
}

int config_load(struct config *config, const char *path, struct error_text *text)
{
    *config = (struct config){
        .backend = POLLER_AUTO,
        .socket_mode = 0600,
        .sync_interval_ms = 10,
        .scrub_mb_s = 16,
        .scrub_hours = 24,
        .spin_us = 50,
        .grace_ms = 2000,
        .sessions_max = 1024,
        .sessions_reserved = 32,
        .greet_ms = 5000,
        .most = {[HOLDS_SILENT] = 64, [HOLDS_RINGS] = 1024, [HOLDS_GROUPS] = 1024},
        .topics_max = 4096,
        .workers = 8,
        .window_bytes = WINDOW_DEFAULT_BYTES,
        .segment_bytes = STORE_SEGMENT_DEFAULT,
        .ring_bytes = WINDOW_MIN_BYTES,
    };
    int rc = location_find(&config->location, text);
    if (rc < 0)
        return rc;
    bool named = path != NULL;
    if (!named)
        path = config->location.config;
    if (access(path, R_OK) != 0) {
        set_limits(config);
        return named || errno != ENOENT ? error_set_errno(text, "read configuration", path) : HERMES_OK;
    }
    struct parse parse = {config, text, path, HERMES_OK};
    int line = ini_parse(path, handle, &parse);
    if (line != 0 && parse.error == 0)
        return error_set(text, HERMES_EINVALID, "%s: line %d cannot be read", path, line);
    set_limits(config);
    if (parse.error == 0 && config->segment_bytes % config->window_bytes != 0)
        return error_set(text, HERMES_EINVALID,
                         "%s: a segment of %" PRIu64 " bytes is no multiple of a window of %" PRIu64, path,
                         config->segment_bytes, config->window_bytes);
    return parse.error;
}
