/* What a certificate says whose it is. What is in it may be anybody's: names come out that fit and are plain.
 */
#ifndef IO_TLS_NAMES_H
#define IO_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum { TLS_NAME_BYTES = 128 };

struct x509_st; /* OpenSSL's X509 */

/* The first URI among its names, else the common name of its subject. */
bool tls_names_subject(const struct x509_st *certificate, char name[TLS_NAME_BYTES]);
/* The common name of who signed it. */
bool tls_names_issuer(const struct x509_st *certificate, char name[TLS_NAME_BYTES]);

/* "localhost, 127.0.0.1, ...": the hosts that it is for, as far as there is room; "no host". */
void tls_names_hosts(const struct x509_st *certificate, char *hosts, size_t size);

#endif
