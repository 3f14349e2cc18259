/*
 * OpenSSL, behind a table of those of its functions that TLS needs. Two files fill it, and each program has
 * one of them:
 *
 *     openssl_loaded.c   libhermes: by dlopen(3), when the first tls:// URL is met. A program that shares
 *                        memory with its broker has neither the library's pages nor its millisecond at the
 *                        start, and runs where there is no OpenSSL
 *     openssl_linked.c   our own programs, which are linked to it anyhow
 *
 * Includes OpenSSL's headers, and comes after all others. A call that is not in the list is a symbol that
 * programs with libhermes do not find: their link fails.
 */
#ifndef IO_OPENSSL_H
#define IO_OPENSSL_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/error.h"

/* clang-format off */
#define OPENSSL_FUNCTIONS(X) \
    X(ASN1_STRING_get0_data) \
    X(ASN1_STRING_length) \
    X(ASN1_STRING_to_UTF8) \
    X(ASN1_TIME_to_tm) \
    X(BIO_clear_flags) \
    X(BIO_get_data) \
    X(BIO_get_new_index) \
    X(BIO_meth_free) \
    X(BIO_meth_new) \
    X(BIO_meth_set_ctrl) \
    X(BIO_meth_set_read) \
    X(BIO_meth_set_write) \
    X(BIO_new) \
    X(BIO_set_data) \
    X(BIO_set_flags) \
    X(BIO_set_init) \
    X(CRYPTO_free) \
    X(ERR_clear_error) \
    X(ERR_peek_error) \
    X(ERR_peek_last_error) \
    X(ERR_reason_error_string) \
    X(GENERAL_NAMES_free) \
    X(OPENSSL_sk_num) \
    X(OPENSSL_sk_value) \
    X(SSL_CTX_ctrl) \
    X(SSL_CTX_free) \
    X(SSL_CTX_get_cert_store) \
    X(SSL_CTX_load_verify_file) \
    X(SSL_CTX_new) \
    X(SSL_CTX_set_client_CA_list) \
    X(SSL_CTX_set_default_passwd_cb) \
    X(SSL_CTX_set_default_verify_paths) \
    X(SSL_CTX_set_num_tickets) \
    X(SSL_CTX_set_options) \
    X(SSL_CTX_set_verify) \
    X(SSL_CTX_use_PrivateKey_file) \
    X(SSL_CTX_use_certificate_chain_file) \
    X(SSL_ctrl) \
    X(SSL_export_keying_material) \
    X(SSL_free) \
    X(SSL_get0_param) \
    X(SSL_get0_peer_certificate) \
    X(SSL_get_error) \
    X(SSL_get_ex_data) \
    X(SSL_get_ex_data_X509_STORE_CTX_idx) \
    X(SSL_get_peer_cert_chain) \
    X(SSL_get_verify_result) \
    X(SSL_is_init_finished) \
    X(SSL_load_client_CA_file) \
    X(SSL_new) \
    X(SSL_read_ex) \
    X(SSL_set1_host) \
    X(SSL_set_accept_state) \
    X(SSL_set_bio) \
    X(SSL_set_connect_state) \
    X(SSL_set_ex_data) \
    X(SSL_set_hostflags) \
    X(SSL_shutdown) \
    X(SSL_write_ex) \
    X(TLS_client_method) \
    X(TLS_server_method) \
    X(X509_NAME_ENTRY_get_data) \
    X(X509_NAME_get_entry) \
    X(X509_NAME_get_index_by_NID) \
    X(X509_STORE_CTX_free) \
    X(X509_STORE_CTX_get_current_cert) \
    X(X509_STORE_CTX_get_error) \
    X(X509_STORE_CTX_get_ex_data) \
    X(X509_STORE_CTX_init) \
    X(X509_STORE_CTX_new) \
    X(X509_STORE_CTX_set_default) \
    X(X509_VERIFY_PARAM_set1_ip_asc) \
    X(X509_get0_notAfter) \
    X(X509_get0_notBefore) \
    X(X509_get_ext_d2i) \
    X(X509_get_issuer_name) \
    X(X509_get_subject_name) \
    X(X509_verify_cert) \
    X(X509_verify_cert_error_string)
/* clang-format on */

#define OPENSSL_MEMBER(name) __typeof__(name) *name;
struct openssl {
    OPENSSL_FUNCTIONS(OPENSSL_MEMBER)
};

extern struct openssl openssl;

/* Before the first call of any. On any thread, as often as one likes. HERMES_ENOTSUP: it is not there. */
int openssl_load(struct error_text *text);

#ifndef OPENSSL_BY_NAME /* who fills the table in */
#define ASN1_STRING_get0_data openssl.ASN1_STRING_get0_data
#define ASN1_STRING_length openssl.ASN1_STRING_length
#define ASN1_STRING_to_UTF8 openssl.ASN1_STRING_to_UTF8
#define ASN1_TIME_to_tm openssl.ASN1_TIME_to_tm
#define BIO_clear_flags openssl.BIO_clear_flags
#define BIO_get_data openssl.BIO_get_data
#define BIO_get_new_index openssl.BIO_get_new_index
#define BIO_meth_free openssl.BIO_meth_free
#define BIO_meth_new openssl.BIO_meth_new
#define BIO_meth_set_ctrl openssl.BIO_meth_set_ctrl
#define BIO_meth_set_read openssl.BIO_meth_set_read
#define BIO_meth_set_write openssl.BIO_meth_set_write
#define BIO_new openssl.BIO_new
#define BIO_set_data openssl.BIO_set_data
#define BIO_set_flags openssl.BIO_set_flags
#define BIO_set_init openssl.BIO_set_init
#define CRYPTO_free openssl.CRYPTO_free
#define ERR_clear_error openssl.ERR_clear_error
#define ERR_peek_error openssl.ERR_peek_error
#define ERR_peek_last_error openssl.ERR_peek_last_error
#define ERR_reason_error_string openssl.ERR_reason_error_string
#define GENERAL_NAMES_free openssl.GENERAL_NAMES_free
#define OPENSSL_sk_num openssl.OPENSSL_sk_num
#define OPENSSL_sk_value openssl.OPENSSL_sk_value
#define SSL_CTX_ctrl openssl.SSL_CTX_ctrl
#define SSL_CTX_free openssl.SSL_CTX_free
#define SSL_CTX_get_cert_store openssl.SSL_CTX_get_cert_store
#define SSL_CTX_load_verify_file openssl.SSL_CTX_load_verify_file
#define SSL_CTX_new openssl.SSL_CTX_new
#define SSL_CTX_set_client_CA_list openssl.SSL_CTX_set_client_CA_list
#define SSL_CTX_set_default_passwd_cb openssl.SSL_CTX_set_default_passwd_cb
#define SSL_CTX_set_default_verify_paths openssl.SSL_CTX_set_default_verify_paths
#define SSL_CTX_set_num_tickets openssl.SSL_CTX_set_num_tickets
#define SSL_CTX_set_options openssl.SSL_CTX_set_options
#define SSL_CTX_set_verify openssl.SSL_CTX_set_verify
#define SSL_CTX_use_PrivateKey_file openssl.SSL_CTX_use_PrivateKey_file
#define SSL_CTX_use_certificate_chain_file openssl.SSL_CTX_use_certificate_chain_file
#define SSL_ctrl openssl.SSL_ctrl
#define SSL_export_keying_material openssl.SSL_export_keying_material
#define SSL_free openssl.SSL_free
#define SSL_get0_param openssl.SSL_get0_param
#define SSL_get0_peer_certificate openssl.SSL_get0_peer_certificate
#define SSL_get_error openssl.SSL_get_error
#define SSL_get_ex_data openssl.SSL_get_ex_data
#define SSL_get_ex_data_X509_STORE_CTX_idx openssl.SSL_get_ex_data_X509_STORE_CTX_idx
#define SSL_get_peer_cert_chain openssl.SSL_get_peer_cert_chain
#define SSL_get_verify_result openssl.SSL_get_verify_result
#define SSL_is_init_finished openssl.SSL_is_init_finished
#define SSL_load_client_CA_file openssl.SSL_load_client_CA_file
#define SSL_new openssl.SSL_new
#define SSL_read_ex openssl.SSL_read_ex
#define SSL_set1_host openssl.SSL_set1_host
#define SSL_set_accept_state openssl.SSL_set_accept_state
#define SSL_set_bio openssl.SSL_set_bio
#define SSL_set_connect_state openssl.SSL_set_connect_state
#define SSL_set_ex_data openssl.SSL_set_ex_data
#define SSL_set_hostflags openssl.SSL_set_hostflags
#define SSL_shutdown openssl.SSL_shutdown
#define SSL_write_ex openssl.SSL_write_ex
#define TLS_client_method openssl.TLS_client_method
#define TLS_server_method openssl.TLS_server_method
#define X509_NAME_ENTRY_get_data openssl.X509_NAME_ENTRY_get_data
#define X509_NAME_get_entry openssl.X509_NAME_get_entry
#define X509_NAME_get_index_by_NID openssl.X509_NAME_get_index_by_NID
#define X509_STORE_CTX_free openssl.X509_STORE_CTX_free
#define X509_STORE_CTX_get_current_cert openssl.X509_STORE_CTX_get_current_cert
#define X509_STORE_CTX_get_error openssl.X509_STORE_CTX_get_error
#define X509_STORE_CTX_get_ex_data openssl.X509_STORE_CTX_get_ex_data
#define X509_STORE_CTX_init openssl.X509_STORE_CTX_init
#define X509_STORE_CTX_new openssl.X509_STORE_CTX_new
#define X509_STORE_CTX_set_default openssl.X509_STORE_CTX_set_default
#define X509_VERIFY_PARAM_set1_ip_asc openssl.X509_VERIFY_PARAM_set1_ip_asc
#define X509_get0_notAfter openssl.X509_get0_notAfter
#define X509_get0_notBefore openssl.X509_get0_notBefore
#define X509_get_ext_d2i openssl.X509_get_ext_d2i
#define X509_get_issuer_name openssl.X509_get_issuer_name
#define X509_get_subject_name openssl.X509_get_subject_name
#define X509_verify_cert openssl.X509_verify_cert
#define X509_verify_cert_error_string openssl.X509_verify_cert_error_string
#endif

#endif
