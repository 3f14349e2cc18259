/* What is wrong with a feed, in a sentence that says where. */
#ifndef CLI_FEED_REFUSAL_H
#define CLI_FEED_REFUSAL_H

#include "base/error.h"

/* Formats the sentence; returns HERMES_EMALFORMED. */
__attribute__((format(printf, 2, 3))) int feed_refuse(struct error_text *text, const char *format, ...);

/* The sentence, and what errno means, which is also returned, as a code. */
int feed_refuse_errno(struct error_text *text, const char *sentence);

#endif
