#include "auth/rules.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 1024, PASSWD_BYTES = 4096 };

static const struct {
    const char *word;
    unsigned right;
    const char *verb;
} rights[] = {
    {"publish", RIGHT_PUBLISH, "publish to"},
    {"subscribe", RIGHT_SUBSCRIBE, "subscribe to"},
    {"create", RIGHT_CREATE, "create"},
    {"administer", RIGHT_ADMINISTER, "administer"},
    {"all", RIGHTS_ALL, "use"},
};

enum { RIGHTS = sizeof rights / sizeof rights[0] };

unsigned rules_right(const char *word)
{
    for (unsigned i = 0; i < RIGHTS; i++)
        if (strcmp(word, rights[i].word) == 0)
            return rights[i].right;
    return 0;
}

const char *rules_verb(unsigned wanted)
{
    for (unsigned i = 0; i < RIGHTS; i++)
        if ((wanted & rights[i].right) != 0)
            return rights[i].verb;
    return "use";
}

/* `*` is any characters. Goes back to the last one alone, so the cost is the product of the lengths. */
static bool matches(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL;
    while (*name != 0) {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

/* ---- asking ---- */

const struct rule *rules_find(const struct rules *rules, const char *who, const char *topic, unsigned wanted)
{
    for (unsigned i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->all[i];
        if ((rule->rights & wanted) != 0 && matches(rule->topic, topic) && matches(rule->who, who))
            return rule;
    }
    return NULL;
}

unsigned rules_rights(const struct rules *rules, const char *who, const char *topic)
{
    unsigned has = rules->count == 0 ? RIGHTS_ALL : 0;
    for (unsigned i = 0; i < rules->count && has != RIGHTS_ALL; i++)
        if (matches(rules->all[i].who, who) && matches(rules->all[i].topic, topic))
            has |= rules->all[i].rights;
    return has;
}

unsigned rules_of(const struct rules *rules, const char *who, const struct rule *of[RULES_MAX])
{
    unsigned count = 0;
    for (unsigned i = 0; i < rules->count; i++)
        if (matches(rules->all[i].who, who))
            of[count++] = &rules->all[i];
    return count;
}

bool rules_any(const struct rule *const of[], unsigned count, const char *topic)
{
    for (unsigned i = 0; i < count; i++)
        if (matches(of[i]->topic, topic))
            return true;
    return false;
}

/* ---- reading ---- */

static bool is_graphic(const char *word)
{
    for (; *word != 0; word++)
        if (*word <= 0x20 || *word >= 0x7f)
            return false;
    return true;
}

static int find_user(const char *name, char who[RULE_WHO_BYTES], struct error_text *text)
{
    struct passwd entry, *found;
    char bytes[PASSWD_BYTES];
    if (getpwnam_r(name, &entry, bytes, sizeof bytes, &found) != 0 || found == NULL)
        return error_say(text, HERMES_ENOTFOUND, "there is no user '%s' on this host", name);
    snprintf(who, RULE_WHO_BYTES, "uid:%u", (unsigned)found->pw_uid);
    return HERMES_OK;
}

int rules_name(const char *who, char name[RULE_WHO_BYTES], struct error_text *text)
{
    static const char *const kinds[] = {"uid:", "cert:", "token:"};
    if (strncmp(who, "user:", 5) == 0)
        return find_user(who + 5, name, text);
    bool known = strcmp(who, "*") == 0 || strcmp(who, "anonymous") == 0;
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        known |= strncmp(who, kinds[i], strlen(kinds[i])) == 0 && who[strlen(kinds[i])] != 0;
    if (!known || strlen(who) >= RULE_WHO_BYTES || !is_graphic(who))
        return error_say(text, HERMES_EINVALID,
                         "'%.100s' is nobody: it is user:NAME, uid:NUMBER, cert:NAME, token:NAME, anonymous "
                         "(no certificate, no token) or * (all)",
                         who);
    snprintf(name, RULE_WHO_BYTES, "%s", who);
    return HERMES_OK;
}

static int read_rights(char *words, unsigned *has, struct error_text *text)
{
    char *rest = NULL;
    *has = 0;
    for (char *word = strtok_r(words, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        unsigned right = rules_right(word);
        if (right == 0)
            return error_say(text, HERMES_EINVALID,
                             "'%.100s' is no right: publish, subscribe, create, administer or all", word);
        *has |= right;
    }
    return HERMES_OK;
}

static int read_topic(const char *word, char topic[RULE_TOPIC_BYTES], struct error_text *text)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-*";
    if (strlen(word) >= RULE_TOPIC_BYTES || word[strspn(word, legal)] != 0)
        return error_say(text, HERMES_EINVALID, "'%.140s' is no topic's name, with * for any characters",
                         word);
    snprintf(topic, RULE_TOPIC_BYTES, "%s", word);
    return HERMES_OK;
}

static int read_rule(char *line, struct rule *rule, struct error_text *text)
{
    char *words[5], *rest = NULL;
    unsigned count = 0;
    for (char *word = strtok_r(line, " \t\r\n", &rest); word != NULL && count < 5;
         word = strtok_r(NULL, " \t\r\n", &rest))
        words[count++] = word;
    if (count != 4 || strcmp(words[0], "allow") != 0)
        return error_say(text, HERMES_EINVALID, "it is: allow WHO RIGHT,RIGHT... TOPIC");
    int rc = rules_name(words[1], rule->who, text);
    if (rc == 0)
        rc = read_rights(words[2], &rule->rights, text);
    return rc < 0 ? rc : read_topic(words[3], rule->topic, text);
}

static int add(struct rules *rules, char *line, unsigned number, struct error_text *text)
{
    if (rules->count == RULES_MAX)
        return error_say(text, HERMES_ELIMIT, "there may be %d rules", RULES_MAX);
    struct rule *rule = &rules->all[rules->count];
    int rc = read_rule(line, rule, text);
    rule->line = number;
    rules->count += rc == 0;
    return rc;
}

static int read_lines(struct rules *rules, FILE *file, const char *path, struct error_text *text)
{
    char line[LINE_BYTES];
    int rc = HERMES_OK;
    for (unsigned number = 1; rc == 0 && fgets(line, sizeof line, file) != NULL; number++) {
        struct error_text why;
        if (strchr(line, '\n') == NULL && !feof(file))
            return error_say(text, HERMES_EINVALID, "%s: line %u is too long", path, number);
        line[strcspn(line, "#")] = 0;
        if (line[strspn(line, " \t\r\n")] == 0)
            continue;
        rc = add(rules, line, number, &why);
        if (rc < 0)
            error_say(text, rc, "%s: line %u: %s", path, number, why.bytes);
    }
    return rc == 0 && ferror(file) ? error_set_errno(text, "read", path) : rc;
}

int rules_read(struct rules *rules, const char *path, struct error_text *text)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set_errno(text, "read the rules in", path);
    *rules = (struct rules){.all = calloc(RULES_MAX, sizeof *rules->all)};
    int rc =
        rules->all == NULL ? error_set(text, HERMES_ENOMEM, "rules") : read_lines(rules, file, path, text);
    (void)fclose(file);
    if (rc < 0)
        rules_free(rules);
    return rc;
}

void rules_free(struct rules *rules)
{
    free(rules->all);
    *rules = (struct rules){0};
}
