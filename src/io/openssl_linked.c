#define OPENSSL_BY_NAME
#include "io/openssl.h"

#define LINKED(name) .name = name,
struct openssl openssl = {OPENSSL_FUNCTIONS(LINKED)};

int openssl_load(struct error_text *text)
{
    (void)text;
    return HERMES_OK;
}
