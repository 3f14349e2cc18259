/*
 * Who may do what with which topics: the file that [auth] rules names, a rule in each line.
 *
 *     # WHO            RIGHTS              TOPICS
 *     allow  user:alice      publish,subscribe   orders.*
 *     allow  cert:risk-*     subscribe           *
 *     allow  token:desk-3    all                 desk-3.*
 *     allow  anonymous       subscribe           public.*
 *
 * As long as there is no rule, all may do everything. Once there is one, nobody may do anything that no rule
 * allows. In names `*` stands for any characters, none among them.
 *
 * Threads: what was read changes no more, and any may look.
 */
#ifndef AUTH_RULES_H
#define AUTH_RULES_H

#include <stdbool.h>

#include "base/error.h"

enum right {
    RIGHT_PUBLISH = 1,
    RIGHT_SUBSCRIBE = 2,
    RIGHT_CREATE = 4,
    RIGHT_ADMINISTER = 8, /* alter, purge, delete a topic; reset and delete its groups */
    RIGHTS_ALL = 15
};

enum { RULES_MAX = 256, RULE_WHO_BYTES = 144, RULE_TOPIC_BYTES = 128 };

struct rule {
    char who[RULE_WHO_BYTES];     /* "uid:1000", "cert:NAME", "token:NAME", "anonymous"; a pattern */
    char topic[RULE_TOPIC_BYTES]; /* a pattern */
    unsigned rights;              /* enum right */
    unsigned line;
};

struct rules {
    struct rule *all;
    unsigned count;
};

/* HERMES_ENOTFOUND: there is no such file; HERMES_EINVALID: it says something else than rules, and text
 * which line. On success rules are the caller's, to free. */
int rules_read(struct rules *rules, const char *path, struct error_text *text);
void rules_free(struct rules *rules);

/* What of enum right who has; all where there are no rules. */
unsigned rules_rights(const struct rules *rules, const char *who, const char *topic);
/* The first rule that grants any of them; NULL: none does. */
const struct rule *rules_find(const struct rules *rules, const char *who, const char *topic, unsigned wanted);

/* Those of them that are about who: what is asked for many topics need not look at the others. Returns how
 * many there are. */
unsigned rules_of(const struct rules *rules, const char *who, const struct rule *of[RULES_MAX]);
bool rules_any(const struct rule *const of[], unsigned count, const char *topic);

/* "publish" ... "administer", "all"; 0: no such right. */
unsigned rules_right(const char *word);
/* The first of them in words: "publish to", "administer". */
const char *rules_verb(unsigned rights);

/* Is who somebody? "user:alice" becomes "uid:1000". HERMES_EINVALID, HERMES_ENOTFOUND. */
int rules_name(const char *who, char name[RULE_WHO_BYTES], struct error_text *text);

#endif
