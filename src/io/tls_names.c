#include "io/tls_names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "io/openssl.h"

/* Whoever has a name with spaces, controls or zeros in it could be taken for another. */
static bool is_graphic(const unsigned char *name, int length)
{
    for (int i = 0; i < length; i++)
        if (name[i] <= 0x20 || name[i] >= 0x7f)
            return false;
    return length > 0 && length < TLS_NAME_BYTES;
}

static bool copy_name(const ASN1_STRING *from, char name[TLS_NAME_BYTES])
{
    unsigned char *utf8;
    int length = ASN1_STRING_to_UTF8(&utf8, from);
    if (length < 0)
        return false;
    bool fits = is_graphic(utf8, length);
    if (fits) {
        memcpy(name, utf8, (size_t)length);
        name[length] = 0;
    }
    OPENSSL_free(utf8);
    return fits;
}

static bool copy_address(const ASN1_STRING *from, char name[TLS_NAME_BYTES])
{
    int length = ASN1_STRING_length(from);
    return (length == 4 || length == 16) &&
           inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(from), name, TLS_NAME_BYTES) !=
               NULL;
}

static bool find_uri(const X509 *certificate, char name[TLS_NAME_BYTES])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; names != NULL && !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        found = one->type == GEN_URI && copy_name(one->d.uniformResourceIdentifier, name);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static bool find_common_name(const X509_NAME *who, char name[TLS_NAME_BYTES])
{
    int at = X509_NAME_get_index_by_NID(who, NID_commonName, -1);
    return at >= 0 && copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(who, at)), name);
}

bool tls_names_subject(const X509 *certificate, char name[TLS_NAME_BYTES])
{
    return find_uri(certificate, name) || find_common_name(X509_get_subject_name(certificate), name);
}

bool tls_names_issuer(const X509 *certificate, char name[TLS_NAME_BYTES])
{
    return find_common_name(X509_get_issuer_name(certificate), name);
}

void tls_names_hosts(const X509 *certificate, char *hosts, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        char name[TLS_NAME_BYTES];
        bool is_host = (one->type == GEN_DNS && copy_name(one->d.dNSName, name)) ||
                       (one->type == GEN_IPADD && copy_address(one->d.iPAddress, name));
        if (is_host && used + strlen(name) + sizeof ", " <= size)
            used += (size_t)snprintf(hosts + used, size - used, "%s%s", used > 0 ? ", " : "", name);
    }
    if (used == 0)
        snprintf(hosts, size, "no host");
    GENERAL_NAMES_free(names);
}
