/* hermes doctor: what this machine gives and withholds. */
#include <unistd.h>

#include "cli/checks.h"
#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/terminal.h"

static const char documentation[] = "Look at what Hermes needs of this machine, and tell for each thing what "
                                    "it means and which command mends it.\v"
                                    "good: as it should be. note: it works, but something is slower or less "
                                    "safe than it could be. BAD: it does not work "
                                    "so. unknown: it cannot be seen from here, as in a container. Nothing is "
                                    "ever changed: commands are printed, not run. "
                                    "It needs no broker, and sees what a program of this user in this place "
                                    "would get. The last check keeps two processors "
                                    "busy for some milliseconds. What is BAD counts as failed."
                                    "\n\nExamples:\n"
                                    "  hermes doctor\n"
                                    "  hermes doctor --json" CLI_EXIT_CODES;

static void print_member(const char *name, const char *value)
{
    printf(",\"%s\":", name);
    cli_print_json_string(stdout, value, strlen(value));
}

static void print_json(const struct check *check)
{
    static const char *const states[] = {"good", "note", "bad", "unknown"};
    printf("{\"check\":\"%s\",\"state\":\"%s\"", check->name, states[check->state]);
    print_member("found", check->found);
    print_member("meaning", check->meaning);
    print_member("remedy", check->remedy);
    puts("}");
}

/* "COMMAND    (when another one)": on a terminal each has a line of its own. */
static void print_remedy(const struct check *check, unsigned indentation, unsigned columns)
{
    const char *aside = columns > 0 ? strstr(check->remedy, "    (") : NULL;
    char remedy[sizeof check->remedy];
    snprintf(remedy, sizeof remedy, "%.*s",
             aside != NULL ? (int)(aside - check->remedy) : (int)strlen(check->remedy), check->remedy);
    printf("%*smend: ", (int)indentation, "");
    indentation += (unsigned)strlen("mend: ");
    (check->is_command ? terminal_print_command : terminal_print_wrapped)(remedy, indentation, columns);
    if (aside == NULL)
        return;
    printf("%*s", (int)indentation, "");
    terminal_print_wrapped(aside + strspn(aside, " "), indentation, columns);
}

static void print_check(const struct check *check, unsigned columns)
{
    enum { INDENTATION = 9, FOUND = INDENTATION + 15 };
    static const char *const states[] = {"good", "note", "BAD", "unknown"};
    printf("%-8s %-14s ", states[check->state], check->name);
    terminal_print_wrapped(check->found, FOUND, columns);
    printf("%*s", INDENTATION, "");
    terminal_print_wrapped(check->meaning, INDENTATION, columns);
    if (check->remedy[0] != 0)
        print_remedy(check, INDENTATION, columns);
}

int cli_doctor(int argc, char **argv)
{
    bool json = cli_parse_json(documentation, "As JSON, a line for each", argc, argv), bad = false;
    struct check check;
    unsigned columns = terminal_columns(STDOUT_FILENO);
    for (unsigned i = 0; check_name(i) != NULL; i++) {
        check_run("", i, &check);
        bad |= check.state == CHECK_BAD;
        if (json)
            print_json(&check);
        else
            print_check(&check, columns);
    }
    return bad ? EXIT_FAILED : EXIT_GOOD;
}
