#include "auth/certificates.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SERIAL_BYTES = 16, HOSTS_BYTES = 4096 };

static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

static int fail(const char *what, struct error_text *text)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    return error_say(text, HERMES_EIO, "cannot %s: %s", what, why != NULL ? why : "no reason given");
}

static void name_file(const char *directory, const char *name, const char *ending, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%.3900s/%.100s%s", directory, name, ending);
}

/* By kind; a client's have its name. */
static const char *const own_files[] = {[CERTIFICATE_AUTHORITY] = "ca", [CERTIFICATE_SERVER] = "server"};

static const char *file_of(const struct certificate *certificate)
{
    return certificate->kind == CERTIFICATE_CLIENT ? certificate->name : own_files[certificate->kind];
}

bool certificate_has_authority(const char *directory)
{
    char path[PATH_BYTES];
    name_file(directory, "ca", ".crt", path);
    return access(path, F_OK) == 0;
}

/* ---- what was asked for ---- */

static int check_name(const struct certificate *certificate, struct error_text *text)
{
    const char *name = certificate->name;
    size_t length = strlen(name);
    if (length == 0 || length >= CERTIFICATE_NAME_BYTES || strspn(name, legal) != length || name[0] == '.' ||
        name[0] == '-')
        return error_say(text, HERMES_ENAME, "'%.100s' is no name: 1 to %d of A-Z a-z 0-9 . _ -", name,
                         CERTIFICATE_NAME_BYTES - 1);
    bool is_clients = certificate->kind == CERTIFICATE_CLIENT;
    for (int kind = CERTIFICATE_AUTHORITY; is_clients && kind < CERTIFICATE_CLIENT; kind++)
        if (strcmp(name, own_files[kind]) == 0)
            return error_say(text, HERMES_ENAME, "'%s' can be no client: %s.crt and %s.key are the %s's",
                             name, name, name, kind == CERTIFICATE_AUTHORITY ? "authority" : "broker");
    return HERMES_OK;
}

static bool is_address(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* No top-level domain is a number: 10.0.0.256 was to be an address. */
static bool is_name(const char *host)
{
    const char *dot = strrchr(host, '.');
    size_t wildcard = host[0] == '*' ? 1 : 0; /* *.example.org */
    return strlen(host) < 200 && host[wildcard] != 0 &&
           host[wildcard + strspn(host + wildcard, legal)] == 0 &&
           (dot == NULL || dot[1 + strspn(dot + 1, "0123456789")] != 0);
}

/* As X509V3_EXT_conf_nid() wants them: nothing in them may have a meaning there. */
static int list_hosts(const struct certificate *certificate, char list[HOSTS_BYTES], struct error_text *text)
{
    size_t used = 0;
    for (unsigned i = 0; i < certificate->host_count; i++) {
        const char *host = certificate->hosts[i];
        bool address = is_address(host);
        if (!address && !is_name(host))
            return error_say(text, HERMES_ENAME, "'%.100s' is no host's name, and no address", host);
        used += (size_t)snprintf(list + used, HOSTS_BYTES - used, "%s%s:%s", i > 0 ? "," : "",
                                 address ? "IP" : "DNS", host);
    }
    return HERMES_OK;
}

int certificate_check(const struct certificate *certificate, struct error_text *text)
{
    char hosts[HOSTS_BYTES];
    int rc = check_name(certificate, text);
    return rc < 0 ? rc : list_hosts(certificate, hosts, text);
}

/* ---- filling it in ---- */

static bool extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool added = extension != NULL && X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool extend_by_kind(X509 *x509, X509 *issuer, const struct certificate *certificate, const char *hosts)
{
    if (!extend(x509, issuer, NID_subject_key_identifier, "hash"))
        return false;
    if (certificate->kind == CERTIFICATE_AUTHORITY)
        return extend(x509, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
               extend(x509, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    const char *use = certificate->kind == CERTIFICATE_SERVER ? "serverAuth" : "clientAuth";
    return extend(x509, issuer, NID_authority_key_identifier, "keyid") &&
           extend(x509, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           extend(x509, issuer, NID_key_usage, "critical,digitalSignature") &&
           extend(x509, issuer, NID_ext_key_usage, use) &&
           (certificate->host_count == 0 || extend(x509, issuer, NID_subject_alt_name, hosts));
}

static bool number(X509 *x509)
{
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] =
        (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and of this length (RFC 5280, 4.1.2.2) */
    BIGNUM *serial = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool numbered = serial != NULL && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x509)) != NULL;
    BN_free(serial);
    return numbered;
}

static bool name(X509 *x509, const struct certificate *certificate)
{
    X509_NAME *subject = X509_get_subject_name(x509);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)certificate->name,
                                      -1, -1, 0) == 1;
}

static X509 *fill(const struct certificate *certificate, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                  const char *hosts)
{
    X509 *x509 = X509_new();
    if (x509 == NULL)
        return NULL;
    if (issuer == NULL) {
        issuer = x509;
        issuer_key = key;
    }
    if (X509_set_version(x509, X509_VERSION_3) == 1 && number(x509) && name(x509, certificate) &&
        X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1 &&
        ASN1_TIME_set(X509_getm_notBefore(x509), certificate->from_s) != NULL &&
        ASN1_TIME_set(X509_getm_notAfter(x509), certificate->until_s) != NULL &&
        X509_set_pubkey(x509, key) == 1 && extend_by_kind(x509, issuer, certificate, hosts) &&
        X509_sign(x509, issuer_key, EVP_sha256()) > 0)
        return x509;
    X509_free(x509);
    return NULL;
}

/* ---- files ---- */

static FILE *open_for(const char *path, const char *mode, struct error_text *text)
{
    FILE *file = fopen(path, mode);
    if (file == NULL)
        (void)error_set_errno(text, "read", path);
    return file;
}

static int read_authority(const char *directory, X509 **x509, EVP_PKEY **key, struct error_text *text)
{
    char path[PATH_BYTES];
    name_file(directory, "ca", ".crt", path);
    FILE *file = open_for(path, "re", text);
    if (file == NULL)
        return HERMES_ENOTFOUND;
    *x509 = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    name_file(directory, "ca", ".key", path);
    file = open_for(path, "re", text);
    if (file == NULL)
        return HERMES_ENOTFOUND;
    *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    (void)fclose(file);
    return *x509 != NULL && *key != NULL ? HERMES_OK : fail("read the authority", text);
}

/* Whole, or not at all: beside what is there, and then in its place. */
static int write_file(const char *path, mode_t mode, EVP_PKEY *key, X509 *x509, struct error_text *text)
{
    char temporary[PATH_BYTES + 8];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    (void)unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL)
        return error_set_errno(text, "write", temporary);
    bool written = key != NULL ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1
                               : PEM_write_X509(file, x509) == 1;
    bool safe = written && fflush(file) == 0 && fsync(fd) == 0;
    bool closed = fclose(file) == 0;
    if (safe && closed && rename(temporary, path) == 0)
        return path_sync_parent(path, text);
    int rc = error_set_errno(text, "write", path);
    (void)unlink(temporary);
    return rc;
}

static int check_free(const char *path, bool replaces, struct error_text *text)
{
    if (replaces || access(path, F_OK) != 0)
        return HERMES_OK;
    return error_say(text, HERMES_EEXISTS, "%s is there already: --force makes another in its place", path);
}

/* ---- all of it ---- */

static int issue(const struct certificate *certificate, const char *directory, const char *file,
                 const char *key_file, struct error_text *text)
{
    char hosts[HOSTS_BYTES];
    X509 *x509 = NULL, *issuer = NULL;
    EVP_PKEY *key = NULL, *issuer_key = NULL;
    int rc = list_hosts(certificate, hosts, text);
    if (rc == 0 && certificate->kind != CERTIFICATE_AUTHORITY)
        rc = read_authority(directory, &issuer, &issuer_key, text);
    if (rc == 0 && ((key = EVP_EC_gen("P-256")) == NULL ||
                    (x509 = fill(certificate, key, issuer, issuer_key, hosts)) == NULL))
        rc = fail("make a certificate", text);
    if (rc == 0)
        rc = write_file(key_file, 0600, key, NULL, text);
    if (rc == 0)
        rc = write_file(file, 0644, NULL, x509, text);
    X509_free(x509);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer_key);
    return rc;
}

int certificate_make(const struct certificate *certificate, const char *directory, char file[PATH_BYTES],
                     char key[PATH_BYTES], struct error_text *text)
{
    ERR_clear_error();
    int rc = check_name(certificate, text);
    name_file(directory, file_of(certificate), ".crt", file);
    name_file(directory, file_of(certificate), ".key", key);
    if (rc == 0)
        rc = check_free(file, certificate->replaces, text);
    if (rc == 0)
        rc = check_free(key, certificate->replaces, text);
    if (rc == 0)
        rc = path_make_parents(directory, text);
    return rc < 0 ? rc : issue(certificate, directory, file, key, text);
}
