#include "cli/suggest.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/*
 * Insertions, deletions, changes and swaps of neighbours that make one of the other (Damerau, 1964; optimal
 * string alignment). Three rows of the table are all that a step looks at.
 */
static unsigned distance_of(const char *a, const char *b)
{
    unsigned rows[3][SUGGEST_BYTES];
    size_t lines = strlen(a), columns = strlen(b);
    for (unsigned j = 0; j <= columns; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= lines; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= columns; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], second[j - 2] + 1);
        }
    }
    return rows[lines % 3][columns];
}

/* "publish" for pub, "desc" for describe: who types a part of a name, or more than it, means that. */
static int is_beginning(const char *a, const char *b)
{
    size_t shorter = least((unsigned)strlen(a), (unsigned)strlen(b));
    return shorter >= 3 && strncmp(a, b, shorter) == 0;
}

void suggest_begin(struct suggestion *suggestion, const char *word)
{
    /* One letter may be wrong, and of long words every third. */
    size_t most = strlen(word) < 6 ? 1 : strlen(word) / 3;
    *suggestion = (struct suggestion){.word = word, .distance = (unsigned)most + 1};
}

void suggest_look_at(struct suggestion *suggestion, const char *name)
{
    const char *word = suggestion->word;
    if (strlen(name) >= SUGGEST_BYTES || strlen(word) >= SUGGEST_BYTES)
        return;
    if (strcmp(name, word) == 0) /* nothing is misspelt */
        *suggestion = (struct suggestion){.word = word};
    unsigned distance = is_beginning(word, name) ? 1 : distance_of(word, name);
    /* Another word of one or two letters is no misspelling. */
    if (distance >= suggestion->distance || distance >= strlen(word) || distance >= strlen(name))
        return;
    suggestion->distance = distance;
    snprintf(suggestion->name, sizeof suggestion->name, "%s", name);
}
