#include "cli/parse.h"

#include <stdlib.h>
#include <string.h>

#include "cli/suggest.h"

static const struct argp_option own[] = {
    /* argp's */
    {"help", '?', NULL, 0, NULL, 0},
    {"usage", 0, NULL, 0, NULL, 0},
    {"version", 'V', NULL, 0, NULL, 0},
    {0},
};

static bool is_last(const struct argp_option *option)
{
    return option->name == NULL && option->key == 0;
}

/* The option whose name begins so, or has that key: what getopt_long(3) would take, or say is ambiguous. */
static const struct argp_option *find(const struct argp_option *options, const char *name, size_t length,
                                      int key)
{
    const struct argp_option *found = NULL;
    for (const struct argp_option *option = options; option != NULL && !is_last(option); option++) {
        if (key != 0 && option->key == key)
            return option;
        if (key != 0 || option->name == NULL || strncmp(option->name, name, length) != 0)
            continue;
        if (option->name[length] == 0)
            return option;
        found = found == NULL ? option : found;
    }
    return found;
}

static const struct argp_option *find_anywhere(const struct argp_option *options, const char *name,
                                               size_t length, int key)
{
    const struct argp_option *option = find(options, name, length, key);
    return option != NULL ? option : find(own, name, length, key);
}

/* Is the next argument its own? One that may be left out stands in the same (--watch=2, -w2). */
static bool takes_next(const struct argp_option *option)
{
    return option->arg != NULL && (option->flags & OPTION_ARG_OPTIONAL) == 0;
}

static void look_at_all(struct suggestion *suggestion, const struct argp_option *options)
{
    for (; options != NULL && !is_last(options); options++)
        if (options->name != NULL)
            suggest_look_at(suggestion, options->name);
}

static void refuse(const struct argp_option *options, char **argv, const char *name, size_t length)
{
    struct suggestion suggestion;
    char word[SUGGEST_BYTES];
    snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), name);
    suggest_begin(&suggestion, word);
    look_at_all(&suggestion, options);
    look_at_all(&suggestion, own);
    fprintf(stderr, "%s: unrecognized option '--%.*s'", argv[0], (int)length, name);
    if (suggestion.name[0] != 0)
        fprintf(stderr, "; did you mean --%s?", suggestion.name);
    fprintf(stderr, "\nTry `%s --help' for more information.\n", argv[0]);
    exit(argp_err_exit_status);
}

/* Does a cluster of short options ("-jn", "-n5") take the next argument as well? What is wrong in it is
 * argp's to say. */
static bool short_takes_next(const struct argp_option *options, const char *letters)
{
    for (; *letters != 0; letters++) {
        const struct argp_option *option = find_anywhere(options, NULL, 0, *letters);
        if (option == NULL || option->arg != NULL)
            return option != NULL && takes_next(option) && letters[1] == 0;
    }
    return false;
}

/* getopt(3) prints what it does not know itself, and leaves no place for a suggestion: so this looks first.
 */
static void refuse_unknown_options(const struct argp_option *options, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *argument = argv[i];
        if (argument[0] != '-' || argument[1] == 0)
            continue;
        if (argument[1] != '-') {
            i += short_takes_next(options, argument + 1);
            continue;
        }
        size_t length = strcspn(argument + 2, "=");
        const struct argp_option *option = find_anywhere(options, argument + 2, length, 0);
        if (option == NULL)
            refuse(options, argv, argument + 2, length);
        else if (takes_next(option) && argument[2 + length] == 0)
            i++;
    }
}

/* argp's and ours, of one command. */
struct command {
    const struct argp *argp;
    void *input;
};

/* Nothing that a command takes may be empty: "$NAME" of a name that is not set is not taken for something
 * else. */
static void refuse_empty(const struct argp_option *options, int key, struct argp_state *state)
{
    const struct argp_option *option = key == ARGP_KEY_ARG ? NULL : find(options, NULL, 0, key);
    if (option != NULL)
        argp_error(state, "--%s '': it is empty", option->name);
    if (key == ARGP_KEY_ARG)
        argp_error(state, "an argument is empty ('')");
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    const struct command *command = state->input;
    if (value != NULL && value[0] == 0)
        refuse_empty(command->argp->options, key, state);
    state->input = command->input;
    return command->argp->parser(key, value, state);
}

void cli_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    refuse_unknown_options(argp->options, argc, argv);
    struct command command = {argp, input};
    struct argp checked = *argp;
    checked.parser = parse;
    argp_parse(&checked, argc, argv, 0, NULL, &command);
}

static error_t parse_json(int key, char *value, struct argp_state *state)
{
    bool *json = state->input;
    if (key == 'j')
        *json = true;
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "unexpected argument '%s'", value);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

bool cli_parse_json(const char *documentation, const char *help, int argc, char **argv)
{
    const struct argp_option options[] = {{"json", 'j', NULL, 0, help, 0}, {0}};
    const struct argp argp = {options, parse_json, NULL, documentation, NULL, NULL, NULL};
    bool json = false;
    cli_parse(&argp, argc, argv, &json);
    return json;
}
