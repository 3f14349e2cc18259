/* What the protocol achieves in virtual time, where the network is all there is: no processor, no kernel. */
#ifndef TESTS_MIRROR_REPORT_H
#define TESTS_MIRROR_REPORT_H

#include <stdbool.h>

/* Prints a line for each figure. false: one is not what is asked of it. */
bool report(void);

#endif
