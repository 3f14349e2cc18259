/* A command's options. */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include <argp.h>
#include <stdbool.h>

/* argp_parse(), and of a long option that there is not, the one that may be meant; arguments that are empty
 * are refused. Exits as argp_error() does. */
void cli_parse(const struct argp *argp, int argc, char **argv, void *input);

/* The same of a command that takes --json, whose help that is, and nothing else: was it given? */
bool cli_parse_json(const char *documentation, const char *help, int argc, char **argv);

#endif
