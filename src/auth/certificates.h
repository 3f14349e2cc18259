/*
 * A private authority, and the certificates that it signs: for a first try, and for few hosts. ECDSA on
 * P-256 (a signature of a handshake costs some ten microseconds), files in PEM, keys with mode 0600.
 *
 *     DIRECTORY/ca.crt, ca.key             the authority
 *     DIRECTORY/server.crt, server.key     what hermesd shows
 *     DIRECTORY/NAME.crt, NAME.key         what a client shows
 */
#ifndef AUTH_CERTIFICATES_H
#define AUTH_CERTIFICATES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/path.h"

enum { CERTIFICATE_HOSTS_MAX = 16, CERTIFICATE_NAME_BYTES = 64 };

enum certificate_kind { CERTIFICATE_AUTHORITY, CERTIFICATE_SERVER, CERTIFICATE_CLIENT };

struct certificate {
    enum certificate_kind kind;
    const char *name; /* 1 to 63 of A-Z a-z 0-9 . _ - : the common name, and a client's
                         file: not ca and server, which are the files of the others */
    const char *hosts[CERTIFICATE_HOSTS_MAX]; /* a server's: names and addresses */
    unsigned host_count;
    int64_t from_s, until_s; /* since 1970 */
    bool replaces;           /* what is there already */
};

/* May it be made, by its names? HERMES_ENAME. */
int certificate_check(const struct certificate *certificate, struct error_text *text);

/* Makes key and certificate, signed by the authority in the directory (or by itself, if it is one), and says
 * where they are. HERMES_EEXISTS: one of the files is there, and certificate->replaces is not set;
 * HERMES_ENOTFOUND: there is no authority; HERMES_ENAME. */
int certificate_make(const struct certificate *certificate, const char *directory, char file[PATH_BYTES],
                     char key[PATH_BYTES], struct error_text *text);

/* Is there an authority? */
bool certificate_has_authority(const char *directory);

#endif
