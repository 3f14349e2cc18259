#include "broker/config.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/workers.h"
#include "log/store.h"
#include "log/window.h"

/* Bytes of shared memory for each user; more where rings are large. */
#define MEMORY_DEFAULT (512ull << 20)

struct parse {
    struct config *config;
    struct error_text *text;
    const char *path;
    char wanted[96]; /* what a value that is not legal should have been */
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

int config_parse_backend(const char *value)
{
    static const char *const names[] = {"auto", "io_uring", "epoll"}; /* as enum poller_backend */
    for (int i = 0; i < 3; i++)
        if (strcmp(value, names[i]) == 0)
            return i;
    return HERMES_EINVALID;
}

/* ---- values; false: not legal, and parse->wanted says what is ---- */

__attribute__((format(printf, 3, 4))) static bool expect(struct parse *parse, bool legal, const char *wanted,
                                                         ...)
{
    va_list arguments;
    va_start(arguments, wanted);
    if (!legal)
        (void)vsnprintf(parse->wanted, sizeof parse->wanted, wanted, arguments);
    va_end(arguments);
    return legal;
}

static bool set_number(struct parse *parse, const char *value, uint32_t low, uint32_t high, uint32_t *number)
{
    uint64_t wide;
    bool legal = config_parse_size(value, &wide) == 0 && wide >= low && wide <= high;
    if (legal)
        *number = (uint32_t)wide;
    return expect(parse, legal, "a number from %" PRIu32 " to %" PRIu32, low, high);
}

static bool set_path(struct parse *parse, const char *value, char to[PATH_BYTES])
{
    int used = snprintf(to, PATH_BYTES, "%s", value);
    return expect(parse, value[0] == '/' && used < PATH_BYTES, "an absolute path of at most %d bytes",
                  PATH_BYTES - 1);
}

static bool set_backend(struct parse *parse, const char *value)
{
    int backend = config_parse_backend(value);
    if (backend >= 0)
        parse->config->backend = (enum poller_backend)backend;
    return expect(parse, backend >= 0, "auto, io_uring or epoll");
}

bool config_is_secure(const char *url)
{
    return strncmp(url, "tls://", 6) == 0;
}

/* Several: separated by commas, or each in a line of its own. */
static bool add_listen(struct parse *parse, const char *value)
{
    struct config *config = parse->config;
    for (;;) {
        value += strspn(value, ", ");
        size_t length = strcspn(value, ", ");
        if (length == 0)
            return true;
        if (config->listen_count == TCP_LISTEN_MAX || length >= TCP_URL_BYTES ||
            (strncmp(value, "tcp://", 6) != 0 && !config_is_secure(value)))
            return expect(parse, false, "tcp://HOST:PORT or tls://HOST:PORT, up to %d of them",
                          TCP_LISTEN_MAX);
        snprintf(config->listen[config->listen_count++], TCP_URL_BYTES, "%.*s", (int)length, value);
        value += length;
    }
}

int config_check_mirror(const char *url, bool follows, struct error_text *text)
{
    char base[UDP_URL_BYTES];
    struct udp_group group;
    if (!follows || !config_is_secure(url))
        return udp_check(url, text);
    int rc = udp_split(url, base, &group, text);
    if (rc == 0 && (group.address.ss_family != 0 || group.hops != 0))
        rc = error_say(text, HERMES_EINVALID, "'%s': the broker there says which group it is, and how far",
                       url);
    return rc < 0 ? rc : tcp_check(base, text);
}

/* "TOPIC udp://HOST:PORT"; several, each in a line of its own. */
static bool add_mirror(struct parse *parse, const char *value, bool follows)
{
    struct config *config = parse->config;
    struct error_text ignored;
    size_t name = strcspn(value, " \t");
    const char *url = value + name + strspn(value + name, " \t");
    struct config_mirror mirror = {.follows = follows};
    bool fits = config->mirror_count < CONFIG_MIRRORS_MAX && name < sizeof mirror.topic &&
                strlen(url) < sizeof mirror.url;
    if (fits) {
        memcpy(mirror.topic, value, name);
        memcpy(mirror.url, url, strlen(url));
    }
    bool good = fits && hermes_topic_name_check(mirror.topic) == 0 &&
                config_check_mirror(mirror.url, follows, &ignored) == 0;
    if (good)
        config->mirrors[config->mirror_count++] = mirror;
    return expect(parse, good, "TOPIC udp://HOST:PORT, or of add tls://HOST:PORT, up to %d of them",
                  CONFIG_MIRRORS_MAX);
}

static bool set_bool(struct parse *parse, const char *value, bool *is)
{
    *is = strcmp(value, "true") == 0;
    return expect(parse, *is || strcmp(value, "false") == 0, "true or false");
}

static bool set_named_path(struct parse *parse, const char *value, char to[PATH_BYTES], bool *named)
{
    *named = true;
    return set_path(parse, value, to);
}

static bool set_clients(struct parse *parse, const char *value)
{
    bool required = strcmp(value, "required") == 0;
    parse->config->clients = required ? TLS_CLIENTS_REQUIRED : TLS_CLIENTS_OPTIONAL;
    return expect(parse, required || strcmp(value, "optional") == 0, "optional or required");
}

static bool set_wait(struct parse *parse, const char *value)
{
    bool spins = strcmp(value, "spin") == 0;
    if (spins)
        parse->config->spin_us = UINT32_MAX;
    return expect(parse, spins || strcmp(value, "adaptive") == 0, "adaptive or spin");
}

static bool set_mode(struct parse *parse, const char *value)
{
    char *end;
    unsigned long mode = strtoul(value, &end, 8);
    parse->config->socket_mode = (mode_t)mode;
    return expect(parse, *end == 0 && mode <= 0777 && value[0] >= '0' && value[0] <= '7',
                  "an octal number from 0 to 0777");
}

static bool set_most(struct parse *parse, const char *value, enum holding what)
{
    uint64_t *most = &parse->config->most[what];
    return expect(parse, config_parse_size(value, most) == 0 && *most > 0, "a number above 0");
}

static bool set_window(struct parse *parse, const char *value, uint64_t *bytes)
{
    return expect(parse, config_parse_size(value, bytes) == 0 && window_capacity_is_legal(*bytes),
                  "a power of two from 256K to 1G");
}

static bool set_segment(struct parse *parse, const char *value, uint64_t *bytes)
{
    return expect(parse,
                  config_parse_size(value, bytes) == 0 && *bytes >= STORE_SEGMENT_MIN &&
                      *bytes <= STORE_SEGMENT_MAX,
                  "from 1M to 1024G");
}

enum { RATE_MIN = 64 * 1024 };

static bool set_rate(struct parse *parse, const char *value, uint64_t *bytes_per_s)
{
    bool good = config_parse_size(value, bytes_per_s) == 0 && (*bytes_per_s == 0 || *bytes_per_s >= RATE_MIN);
    return expect(parse, good, "bytes a second, at least 64K, or 0");
}

/* false with nothing wanted: there is no such setting. */
static bool set(struct parse *parse, const char *section, const char *name, const char *value)
{
#define SETTING(s, n) (strcmp(section, s) == 0 && strcmp(name, n) == 0)
    struct config *c = parse->config;
    if (SETTING("broker", "socket"))
        return set_path(parse, value, c->location.socket);
    if (SETTING("broker", "data"))
        return set_path(parse, value, c->location.data);
    if (SETTING("broker", "socket_mode"))
        return set_mode(parse, value);
    if (SETTING("broker", "sessions_max"))
        return set_number(parse, value, 1, 60000, &c->sessions_max);
    if (SETTING("limits", "sessions_reserved"))
        return set_number(parse, value, 0, 60000, &c->sessions_reserved);
    if (SETTING("limits", "greet_ms"))
        return set_number(parse, value, 1, 600000, &c->greet_ms);
    for (unsigned i = 0; i < HOLDINGS; i++)
        if (SETTING("limits", principal_setting((enum holding)i)))
            return set_most(parse, value, (enum holding)i);
    if (SETTING("broker", "topics_max"))
        return set_number(parse, value, 1, 65536, &c->topics_max);
    if (SETTING("broker", "workers"))
        return set_number(parse, value, WORKERS_MIN, WORKERS_MAX, &c->workers);
    if (SETTING("broker", "grace_ms"))
        return set_number(parse, value, 0, 600000, &c->grace_ms);
    if (SETTING("broker", "wait"))
        return set_wait(parse, value);
    if (SETTING("broker", "spin_us"))
        return set_number(parse, value, 0, 1000000, &c->spin_us);
    if (SETTING("net", "backend"))
        return set_backend(parse, value);
    if (SETTING("net", "listen"))
        return add_listen(parse, value);
    if (SETTING("net", "insecure"))
        return set_bool(parse, value, &c->insecure);
    if (SETTING("mirror", "serve"))
        return add_mirror(parse, value, false);
    if (SETTING("mirror", "add"))
        return add_mirror(parse, value, true);
    if (SETTING("mirror", "spin_us"))
        return set_number(parse, value, 0, 1000000, &c->mirror_spin_us);
    if (SETTING("mirror", "rate"))
        return set_rate(parse, value, &c->mirror_rate);
    if (SETTING("mirror", "ca"))
        return set_path(parse, value, c->mirror_identity.authority);
    if (SETTING("mirror", "certificate"))
        return set_path(parse, value, c->mirror_identity.certificate);
    if (SETTING("mirror", "key"))
        return set_path(parse, value, c->mirror_identity.key);
    if (SETTING("mirror", "token_file"))
        return set_path(parse, value, c->mirror_identity.token_file);
    if (SETTING("tls", "certificate"))
        return set_path(parse, value, c->certificate);
    if (SETTING("tls", "key"))
        return set_path(parse, value, c->key);
    if (SETTING("tls", "client_ca"))
        return set_path(parse, value, c->client_ca);
    if (SETTING("tls", "clients"))
        return set_clients(parse, value);
    if (SETTING("auth", "tokens"))
        return set_named_path(parse, value, c->tokens, &c->tokens_named);
    if (SETTING("auth", "rules"))
        return set_named_path(parse, value, c->rules, &c->rules_named);
    if (SETTING("auth", "required"))
        return set_bool(parse, value, &c->must_authenticate);
    if (SETTING("limits", "silent_per_address"))
        return set_number(parse, value, 1, 60000, &c->silent_per_address);
    if (SETTING("store", "sync_interval_ms"))
        return set_number(parse, value, 1, 60000, &c->sync_interval_ms);
    if (SETTING("store", "scrub_mb_s"))
        return set_number(parse, value, 0, 100000, &c->scrub_mb_s);
    if (SETTING("store", "scrub_hours"))
        return set_number(parse, value, 0, 8760, &c->scrub_hours);
    if (SETTING("topic", "window"))
        return set_window(parse, value, &c->window_bytes);
    if (SETTING("topic", "segment"))
        return set_segment(parse, value, &c->segment_bytes);
    if (SETTING("topic", "ring"))
        return set_window(parse, value, &c->ring_bytes);
    return false;
#undef SETTING
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
    struct parse *parse = user;
    if (parse->error < 0 || set(parse, section, name, value))
        return 1;
    parse->error = parse->wanted[0] != 0
                       ? error_say(parse->text, HERMES_EINVALID, "%s: [%s] %s = %s: it is %s", parse->path,
                                   section, name, value, parse->wanted)
                       : error_say(parse->text, HERMES_EINVALID, "%s: no such setting: [%s] %s", parse->path,
                                   section, name);
    return 1;
}

/* ---- all of it ---- */

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

/* Beside the configuration, where `hermes cert` and `hermes auth` put it. */
static int set_places(struct config *config, struct error_text *text)
{
    const struct location *location = &config->location;
    int rc = location_beside(location, "certs/server.crt", config->certificate, text);
    if (rc == 0)
        rc = location_beside(location, "certs/server.key", config->key, text);
    if (rc == 0)
        rc = location_beside(location, "tokens", config->tokens, text);
    return rc < 0 ? rc : location_beside(location, "rules", config->rules, text);
}

/* What is wrong with a setting is parse->error. What cannot be read, as a directory, is no empty file. */
static int read_settings(FILE *file, struct parse *parse)
{
    int line = ini_parse_file(file, handle, parse);
    if (ferror(file))
        return error_set_errno(parse->text, "read configuration", parse->path);
    return line != 0 && parse->error == 0
               ? error_say(parse->text, HERMES_EINVALID, "%s: line %d cannot be read", parse->path, line)
               : HERMES_OK;
}

int config_load(struct config *config, const char *path, struct error_text *text)
{
    *config = (struct config){
        .backend = POLLER_AUTO,
        .socket_mode = 0600,
        .sync_interval_ms = 10,
        .scrub_mb_s = 16,
        .scrub_hours = 24,
        .spin_us = CONFIG_SPIN_US,
        .grace_ms = 2000,
        .sessions_max = 1024,
        .sessions_reserved = 32,
        .greet_ms = 5000,
        .silent_per_address = 16,
        .clients = TLS_CLIENTS_OPTIONAL,
        .most = {[HOLDS_SILENT] = 64, [HOLDS_RINGS] = 1024, [HOLDS_GROUPS] = 1024},
        .topics_max = 4096,
        .workers = 8,
        .window_bytes = WINDOW_DEFAULT_BYTES,
        .segment_bytes = STORE_SEGMENT_DEFAULT,
        .ring_bytes = WINDOW_MIN_BYTES,
    };
    int rc = location_find(&config->location, text);
    if (rc == 0)
        rc = set_places(config, text);
    if (rc < 0)
        return rc;
    bool named = path != NULL;
    if (!named)
        path = config->location.config;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        set_limits(config);
        return named || errno != ENOENT ? error_set_errno(text, "read configuration", path) : HERMES_OK;
    }
    struct parse parse = {.config = config, .text = text, .path = path};
    rc = read_settings(file, &parse);
    (void)fclose(file);
    if (rc < 0)
        return rc;
    set_limits(config);
    if (parse.error == 0 && config->clients == TLS_CLIENTS_REQUIRED && config->client_ca[0] == 0)
        return error_say(
            text, HERMES_EINVALID,
            "%s: [tls] clients = required, but [tls] client_ca does not say who vouches for them", path);
    if (parse.error == 0 && config->segment_bytes % config->window_bytes != 0)
        return error_say(text, HERMES_EINVALID,
                         "%s: a segment of %" PRIu64 " bytes is no multiple of a window of %" PRIu64, path,
                         config->segment_bytes, config->window_bytes);
    return parse.error;
}
