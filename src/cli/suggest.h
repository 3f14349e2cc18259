/* "Did you mean": which of some names a mistyped word stands for. */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

enum { SUGGEST_BYTES = 128 };

struct suggestion {
    const char *word;
    unsigned distance;        /* of name; what is not closer is passed over */
    char name[SUGGEST_BYTES]; /* "": none is close enough */
};

/*
 *     struct suggestion suggestion;
 *     suggest_begin(&suggestion, "lsit");
 *     suggest_look_at(&suggestion, "list");        each name that there is
 *     if (suggestion.name[0] != 0) ...
 *
 * The word must stay. Of names that are as close the first is kept; the word itself is none. Cost: of each
 * name, its length times the word's.
 */
void suggest_begin(struct suggestion *suggestion, const char *word);
void suggest_look_at(struct suggestion *suggestion, const char *name);

#endif
