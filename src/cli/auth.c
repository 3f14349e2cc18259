/* hermes auth token create|list|revoke, check, reload */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "auth/place.h"
#include "auth/reload.h"
#include "auth/rules.h"
#include "auth/tokens.h"
#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/when.h"

static const char documentation[] =
    "Tokens, by which clients on other hosts say who they are, and rules, which say "
    "who may do what.\v"
    "token create NAME      make a token, and print its secret: once, for only its\n"
    "                       SHA-256 is kept\n"
    "token list             all tokens, one a line\n"
    "token revoke NAME      let nobody in by it any more\n"
    "check WHO WHAT TOPIC   may they? WHO is user:NAME, uid:NUMBER, cert:NAME,\n"
    "                       token:NAME or anonymous; WHAT is publish, subscribe,\n"
    "                       create or administer. Prints which rule says so; exit\n"
    "                       code 1: they may not\n"
    "reload                 have the broker of this host read tokens, rules and\n"
    "                       certificates again, by SIGHUP; until then it goes by\n"
    "                       what it has read. Who may not stay is put out\n\n"
    "Rules are lines: allow WHO RIGHT,RIGHT... TOPIC, in the file rules beside\n"
    "hermes.conf, with * for any characters in names. Without any rule all may do\n"
    "everything; with one, nobody may do what no rule allows, but for root and the\n"
    "broker's own user on its host."
    "\n\nExamples:\n"
    "  hermes auth token create desk-3 --expires 90d\n"
    "  hermes auth token list --json\n"
    "  hermes auth token revoke desk-3\n"
    "  hermes auth check token:desk-3 publish orders\n"
    "  hermes auth reload" CLI_EXIT_CODES;

enum { OPTION_EXPIRES = 1, OPTION_TOKENS, OPTION_RULES };

static const struct argp_option options[] = {
    {"expires", OPTION_EXPIRES, "TIME", 0,
     "token create: it is over after so long (30d), or then (2027-01-01)", 0},
    {"tokens", OPTION_TOKENS, "FILE", 0, "The file of tokens, if [auth] tokens names another", 0},
    {"rules", OPTION_RULES, "FILE", 0, "The file of rules, if [auth] rules names another", 0},
    {"json", 'j', NULL, 0, "As JSON", 0},
    {0},
};

enum action { CREATE, LIST, REVOKE, CHECK, RELOAD };

struct arguments {
    enum action action;
    bool has_token, has_action, json;
    const char *words[3];
    unsigned count;
    int64_t ends_s; /* 0: never */
    const char *tokens, *rules;
};

/* ---- what was typed ---- */

static void take_word(struct argp_state *state, struct arguments *a, const char *word)
{
    static const char *const actions[] = {"token", "check", "reload", NULL};
    static const char *const of_tokens[] = {"create", "list", "revoke", NULL}; /* as enum action */
    if (!a->has_token && !a->has_action) {
        int chosen = cli_word(state, "action", word, actions);
        a->has_token = chosen == 0;
        a->has_action = chosen != 0;
        a->action = chosen == 1 ? CHECK : RELOAD;
    } else if (!a->has_action) {
        a->has_action = true;
        a->action = (enum action)cli_word(state, "action", word, of_tokens);
    } else if (a->count < 3) {
        a->words[a->count++] = word;
    } else {
        argp_usage(state);
    }
}

static void check_words(struct argp_state *state, const struct arguments *a)
{
    static const unsigned wanted[] = {[CREATE] = 1, [LIST] = 0, [REVOKE] = 1, [CHECK] = 3, [RELOAD] = 0};
    static const char *const rights[] = {"publish", "subscribe", "create", "administer", NULL};
    if (!a->has_action || a->count != wanted[a->action])
        argp_usage(state);
    cli_refuse(state, a->ends_s != 0 && a->action != CREATE, "--expires", "token create");
    cli_refuse(state, a->rules != NULL && a->action != CHECK, "--rules", "check");
    cli_refuse(state, a->tokens != NULL && !a->has_token, "--tokens", "token create, list and revoke");
    if (a->action == CHECK)
        (void)cli_word(state, "right", a->words[1], rights);
}

/* "30d" is how long, anything else when. */
static int64_t expiry(struct argp_state *state, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    bool is_duration = digits > 0 && value[digits] != 0 && strchr("smhdw", value[digits]) != NULL;
    if (!is_duration)
        return (int64_t)(cli_time(state, "--expires", value) / 1000000000u);
    return (int64_t)time(NULL) + (int64_t)(cli_duration(state, "--expires", value) / 1000000000u);
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case OPTION_EXPIRES:
        a->ends_s = expiry(state, value);
        return 0;
    case OPTION_TOKENS:
        a->tokens = value;
        return 0;
    case OPTION_RULES:
        a->rules = value;
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        take_word(state, a, value);
        return 0;
    case ARGP_KEY_END:
        check_words(state, a);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- tokens ---- */

static const char *time_of(int64_t when_s, char words[WHEN_DATE_BYTES + 1])
{
    if (when_s == 0)
        return "never";
    when_date(when_s, words);
    return strcat(words, "Z");
}

static void print_time_json(const char *name, int64_t when_s)
{
    char words[WHEN_DATE_BYTES + 1];
    if (when_s == 0)
        printf(",\"%s\":null", name);
    else
        printf(",\"%s\":\"%s\"", name, time_of(when_s, words));
}

static int create_token(const struct arguments *a, const char *path)
{
    char secret[TOKEN_SECRET_BYTES], words[WHEN_DATE_BYTES + 1];
    struct error_text text;
    if (a->ends_s != 0 && a->ends_s <= (int64_t)time(NULL))
        return cli_fail(NULL, HERMES_EINVALID, "--expires is over already");
    int rc = tokens_create(path, a->words[0], a->ends_s, secret, &text);
    if (rc < 0)
        return cli_fail(NULL, rc, text.bytes);
    if (a->json) {
        printf("{\"name\":\"%s\",\"token\":\"%s\"", a->words[0], secret);
        print_time_json("expires", a->ends_s);
        puts("}");
    } else {
        puts(secret);
    }
    if (!cli_flush(true)) { /* nobody has it, and it is shown once */
        rc = tokens_revoke(path, a->words[0], &text);
        return rc < 0 ? cli_fail(NULL, rc, text.bytes) : EXIT_FAILED;
    }
    if (a->json)
        return EXIT_GOOD;
    fprintf(stderr,
            "That is the secret of token:%s, shown this once; expires: %s. The broker knows it after "
            "'hermes auth reload'\n",
            a->words[0], time_of(a->ends_s, words));
    return EXIT_GOOD;
}

static void add_row(struct table *table, const struct token *token)
{
    char words[WHEN_DATE_BYTES + 1];
    table_text(table, token->name);
    table_text(table, time_of(token->made_s, words));
    table_text(table, time_of(token->ends_s, words));
    table_text(table, token_is_over(token, (int64_t)time(NULL)) ? "over" : "valid");
}

static void print_json(const struct token *token)
{
    printf("{\"name\":\"%s\"", token->name);
    print_time_json("created", token->made_s);
    print_time_json("expires", token->ends_s);
    printf(",\"valid\":%s}\n", token_is_over(token, (int64_t)time(NULL)) ? "false" : "true");
}

static int list_tokens(const struct arguments *a, const char *path)
{
    static const char *const headings[] = {"TOKEN", "CREATED", "EXPIRES", "STATE", NULL};
    struct error_text text;
    struct tokens tokens = {0};
    struct table table;
    int rc = tokens_read(&tokens, path, &text);
    if (rc < 0 && (rc != HERMES_ENOTFOUND || a->tokens != NULL))
        return cli_fail(NULL, rc, text.bytes);
    table_begin(&table, headings);
    for (unsigned i = 0; i < tokens.count; i++)
        if (a->json)
            print_json(&tokens.all[i]);
        else
            add_row(&table, &tokens.all[i]);
    tokens_free(&tokens);
    if (!a->json && !table_end(&table, stdout, terminal_columns(STDOUT_FILENO)))
        return cli_fail(NULL, HERMES_ENOMEM, NULL);
    return EXIT_GOOD;
}

/* Which name may be meant. */
static void suggest_token(const char *path, const char *name)
{
    struct error_text ignored;
    struct tokens tokens;
    struct suggestion suggestion;
    if (tokens_read(&tokens, path, &ignored) < 0)
        return;
    suggest_begin(&suggestion, name);
    for (unsigned i = 0; i < tokens.count; i++)
        suggest_look_at(&suggestion, tokens.all[i].name);
    if (suggestion.name[0] != 0)
        fprintf(stderr, "hermes: did you mean token '%s'?\n", suggestion.name);
    tokens_free(&tokens);
}

static int revoke_token(const struct arguments *a, const char *path)
{
    struct error_text text;
    int rc = tokens_revoke(path, a->words[0], &text);
    if (rc < 0) {
        cli_fail(NULL, rc, text.bytes);
        if (rc == HERMES_ENOTFOUND)
            suggest_token(path, a->words[0]);
        return EXIT_FAILED;
    }
    fprintf(stderr, "Token '%s' is revoked; the broker knows it after 'hermes auth reload'\n", a->words[0]);
    return EXIT_GOOD;
}

/* ---- rules ---- */

/* Whom rules are not for: on its host root and the broker's own user may do everything. */
static bool is_above_rules(const char *who)
{
    char own[RULE_WHO_BYTES];
    uid_t uid;
    if (strcmp(who, "uid:0") == 0)
        return true;
    if (!place_broker_user(&uid))
        return false;
    snprintf(own, sizeof own, "uid:%u", (unsigned)uid);
    return strcmp(who, own) == 0;
}

struct answer {
    const char *who;
    const struct rule *rule; /* that allows it; NULL: none does */
    bool no_rules, above;    /* why it is allowed all the same */
};

static bool is_allowed(const struct answer *answer)
{
    return answer->rule != NULL || answer->no_rules || answer->above;
}

static void print_answer(const struct arguments *a, const struct answer *answer, const char *path)
{
    const struct rule *rule = answer->rule;
    if (a->json) {
        printf("{\"who\":");
        cli_print_json_string(stdout, answer->who, strlen(answer->who));
        printf(",\"what\":\"%s\",\"topic\":\"%s\",\"allowed\":%s,\"line\":", a->words[1], a->words[2],
               is_allowed(answer) ? "true" : "false");
        printf(rule != NULL ? "%u}\n" : "null}\n", rule != NULL ? rule->line : 0);
    } else if (answer->above) {
        puts("allowed: on its host root and the broker's own user may do everything");
    } else if (rule != NULL) {
        printf("allowed: %s, line %u: topics %s of %s\n", path, rule->line, rule->topic, rule->who);
    } else if (answer->no_rules) {
        printf("allowed: there are no rules in %s\n", path);
    } else {
        printf("denied: no rule in %s allows it\n", path);
    }
}

static int check(const struct arguments *a, const char *path)
{
    char who[RULE_WHO_BYTES];
    struct error_text text;
    struct rules rules = {0};
    int rc = rules_name(a->words[0], who, &text);
    if (rc == 0 && hermes_topic_name_check(a->words[2]) < 0)
        rc = error_set(&text, HERMES_ENAME, "topic '%.100s'", a->words[2]);
    bool is_there = a->rules != NULL || access(path, F_OK) == 0;
    if (rc == 0 && is_there)
        rc = rules_read(&rules, path, &text);
    if (rc < 0)
        return cli_fail(NULL, rc, text.bytes);
    const struct answer answer = {who, rules_find(&rules, who, a->words[2], rules_right(a->words[1])),
                                  rules.count == 0, is_above_rules(who)};
    print_answer(a, &answer, path);
    rules_free(&rules);
    return is_allowed(&answer) ? EXIT_GOOD : EXIT_FAILED;
}

static int reload(void)
{
    struct error_text text;
    int rc = reload_signal(&text);
    return rc < 0 ? cli_fail(NULL, rc, text.bytes) : EXIT_GOOD;
}

int cli_auth(int argc, char **argv)
{
    struct arguments a = {.action = LIST};
    const struct argp argp = {
        options,
        parse,
        "token create NAME\ntoken list\ntoken revoke NAME\ncheck WHO WHAT TOPIC\nreload",
        documentation,
        NULL,
        NULL,
        NULL};
    char path[PATH_BYTES];
    struct error_text text;
    cli_parse(&argp, argc, argv, &a);
    const char *named = a.action == CHECK ? a.rules : a.tokens;
    int rc = named != NULL ? place_absolute(named, path, &text)
                           : place_of(a.action == CHECK ? "rules" : "tokens", path, &text);
    if (rc < 0)
        return cli_fail(NULL, rc, text.bytes);
    switch (a.action) {
    case CREATE:
        return create_token(&a, path);
    case LIST:
        return list_tokens(&a, path);
    case REVOKE:
        return revoke_token(&a, path);
    case CHECK:
        return check(&a, path);
    default:
        return reload();
    }
}
