/* What the subcommands of `hermes` share. Each is one file and one function. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <argp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "hermes/hermes.h"

/* Exit codes, also in --help: scripts rely on them. */
enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 64 };

#define CLI_EXIT_CODES "\n\nExit codes: 0 done; 1 failed, with a message; 64 wrong usage."

int cli_auth(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_cert(int argc, char **argv);
int cli_demo(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_dump(int argc, char **argv);
int cli_group(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_info(int argc, char **argv);
int cli_mirror(int argc, char **argv);
int cli_ping(int argc, char **argv);
int cli_pub(int argc, char **argv);
int cli_replay(int argc, char **argv);
int cli_stat(int argc, char **argv);
int cli_sub(int argc, char **argv);
int cli_topic(int argc, char **argv);

/* Raised by SIGINT, SIGTERM and, unless it is ignored, SIGHUP, after cli_catch_signals(). */
extern volatile sig_atomic_t cli_stop;
void cli_catch_signals(void);

/* Says on standard error what failed, and what it is about, unless that is NULL or the sentence names it in
 * quotes; no sentence: what the error means. Returns EXIT_FAILED. */
int cli_fail(const char *what, int error, const char *sentence);

/* Does the sentence have it in quotes? */
bool cli_names(const char *sentence, const char *what);

/* Has all been written to standard output that was printed (now), or at least nothing failed so far? */
bool cli_flush(bool now);
/* Has nothing to be written, but nobody to read it any more: ends as a write would, by SIGPIPE; where that is
 * ignored, cli_flush() says so. A pipe tells only those who write, or ask. */
void cli_look_for_reader(void);
/* At the end: code; or EXIT_FAILED, with a sentence, where not all that was printed is written. */
int cli_finish(int code);

/* The same of a topic; where there is none of that name, also which may be meant. */
int cli_fail_topic(hermes_client_t *client, const char *topic, int error);

hermes_client_t *cli_connect(void); /* exits with a message when there is no broker */

/* "64K", "4MiB", "1000": argp_error() on nonsense. */
uint64_t cli_size(struct argp_state *state, const char *option, const char *value);
/* "1000", "1K": argp_error() on nonsense, and above most. */
uint64_t cli_count(struct argp_state *state, const char *option, const char *value, uint64_t most);
/* As when_time() has it: nanoseconds since 1970, "now", "-5m", "2026-11-25", "2026-11-25T09:30:00". */
uint64_t cli_time(struct argp_state *state, const char *option, const char *value);
/* As when_duration() has it: "90s", "15m", "1h30m", "7d" in nanoseconds; 0 is 0. */
uint64_t cli_duration(struct argp_state *state, const char *option, const char *value);

/* Where to begin. LAST: where the durable subscription stands. */
struct cli_from {
    enum { CLI_FROM_END, CLI_FROM_FIRST, CLI_FROM_LAST, CLI_FROM_SEQUENCE, CLI_FROM_TIME } kind;
    uint64_t value;
};
/* "end", "first", "last", "seq:N", "time:T". */
struct cli_from cli_from(struct argp_state *state, const char *option, const char *value);
int cli_seek(hermes_subscriber_t *subscriber, struct cli_from from);
/* hermes_poll(), but an answer of the broker is waited for, and that there is none is an error. 0: nothing
 * more is there. */
int cli_next(hermes_subscriber_t *subscriber, hermes_message_t *message);

/* Finite, and not negative. */
double cli_number(struct argp_state *state, const char *option, const char *value);

/* The one argument that is not an option; argp_usage() if there is another. */
const char *cli_argument(struct argp_state *state, const char *value);
/* Which of the names, the last of which is NULL, value is; argp_error() if none. */
int cli_choice(struct argp_state *state, const char *option, const char *value, const char *const names[]);
/* The same of an action, or another kind of word; who misspells it is told what may be meant. */
int cli_word(struct argp_state *state, const char *kind, const char *word, const char *const names[]);
/* An option that was given and is of other actions would be passed over in silence: argp_error(). */
void cli_refuse(struct argp_state *state, bool given, const char *option, const char *action);

/* Stored messages are damaged or were removed: reading goes on behind them. */
bool cli_is_damage(int error);

uint64_t cli_now_ns(void); /* monotonic */
/* false: cli_stop was raised before that; who waited for the moment to do something then does it not. */
bool cli_sleep_until(uint64_t monotonic_ns);
/* The same, so many nanoseconds after the start, however many they are. */
bool cli_sleep_until_due(uint64_t start_ns, double ns);

/* ---- showing payloads ---- */

/* How a payload stands in JSON and CSV. AUTO: as text where it is UTF-8, else in base64; TEXT: as text,
 * where what is no UTF-8 becomes U+FFFD in JSON, and is as it is in CSV. "encoding" beside it says which. */
enum cli_payload { CLI_PAYLOAD_AUTO, CLI_PAYLOAD_TEXT, CLI_PAYLOAD_BASE64 };
enum cli_payload cli_payload(struct argp_state *state, const char *value);
bool cli_shows_as_text(const void *bytes, size_t length, enum cli_payload how);

/* For a terminal: control characters but newline and tab, and what is no UTF-8, as \xNN. */
void cli_print_visible(FILE *file, const void *bytes, size_t length);
bool cli_is_terminal(FILE *file);

void cli_print_base64(FILE *file, const void *bytes, size_t length);
/* With its quotes; what is no UTF-8 becomes U+FFFD, byte by byte. */
void cli_print_json_string(FILE *file, const void *bytes, size_t length);

/* "payload" and, where it is in base64, "encoding", as members of a JSON object. */
void cli_print_payload_json(FILE *file, const void *bytes, size_t length, enum cli_payload how);

/* One message as JSON, on one line. */
void cli_print_message_json(FILE *file, const char *topic, const hermes_message_t *message,
                            enum cli_payload how);

/* hermes group dead: what it is about. It tells what fails itself; returns the exit code. */
struct cli_dead {
    const char *topic, *name;
    bool json, requeue;
    enum cli_payload payload;
    uint64_t sequences[64]; /* those of them alone */
    size_t count;           /* 0: all */
};
int cli_group_dead(hermes_client_t *client, const struct cli_dead *what);

#endif
