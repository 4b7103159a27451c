/* Certificates and keys as files: right ones, and each way in which an operator gets them wrong. */
#include "broker/auth/tls_files.h"

#include "broker/auth/file.h"
#include "protocol/utf8.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY 86400L

static char directory[] = "/tmp/fantail-tls-test-XXXXXX";
static char cert_path[64], key_path[64], warning[FT_TLS_WARNING_MAX];
static struct ft_problem problem;
static uint64_t now_s;

static void begin(void)
{
    cr_assert(mkdtemp(directory));
    snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", directory);
    snprintf(key_path, sizeof(key_path), "%s/key.pem", directory);
    now_s = (uint64_t)time(NULL);
}

static void end(void)
{
    unlink(cert_path);
    unlink(key_path);
    rmdir(directory);
}

TestSuite(tls_files, .init = begin, .fini = end);

/* Makes a certificate of `key` called `name`, signed by `ca_key` as `issuer`. The caller frees it. */
static X509 *certificate(EVP_PKEY *key, const char *name, EVP_PKEY *ca_key, const char *issuer,
                         long from_s, long to_s)
{
    X509 *cert = X509_new();

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), to_s);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)issuer, -1, -1, 0);
    cr_assert(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    return cert;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
}

static void add_cert(X509 *cert)
{
    FILE *file = fopen(cert_path, "a");

    cr_assert(PEM_write_X509(file, cert));
    fclose(file);
    X509_free(cert);
}

static void write_key(EVP_PKEY *key, const char *password)
{
    FILE *file = fopen(key_path, "w");

    cr_assert(PEM_write_PKCS8PrivateKey(file, key, password ? EVP_aes_128_cbc() : NULL, password,
                                        password ? (int)strlen(password) : 0, NULL, NULL));
    fclose(file);
    chmod(key_path, 0600);
}

/* Writes a pair that works, valid between these times, counted from now. */
static void write_pair(long from_s, long to_s)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    add_cert(certificate(key, "broker", key, "broker", from_s, to_s));
    write_key(key, NULL);
    EVP_PKEY_free(key);
}

static enum ft_err check(void)
{
    return ft_tls_files_check(cert_path, key_path, now_s, warning, &problem);
}

#define assert_refused(fragment)                                                       \
    do {                                                                               \
        cr_assert_eq(check(), FT_ERR_BAD_FIELD);                                       \
        cr_assert(strstr(problem.text, fragment), "\"%s\" is not in \"%s\"", fragment, \
                  problem.text);                                                       \
    } while (0)

Test(tls_files, a_pair_that_works_is_taken_without_a_word)
{
    write_pair(-DAY, DAY);
    cr_assert_eq(check(), FT_OK, "%s", problem.text);
    cr_assert_str_eq(warning, "");
}

Test(tls_files, a_chain_has_the_authority_behind_the_certificate)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *ca = EVP_EC_gen("P-256");

    add_cert(certificate(key, "broker", ca, "ca", -DAY, DAY));
    add_cert(certificate(ca, "ca", ca, "ca", -DAY, DAY));
    write_key(key, NULL);
    cr_assert_eq(check(), FT_OK, "%s", problem.text);
    cr_assert_str_eq(warning, "");
    unlink(cert_path);
    add_cert(certificate(ca, "ca", ca, "ca", -DAY, DAY));
    add_cert(certificate(key, "broker", ca, "ca", -DAY, DAY));
    assert_refused("holds the key's certificate behind another one; it has to come first");
    cr_assert(strstr(problem.text, cert_path), "%s", problem.text);
    unlink(cert_path);
    add_cert(certificate(key, "broker", ca, "other", -DAY, DAY));
    add_cert(certificate(ca, "ca", ca, "ca", -DAY, DAY));
    cr_assert_eq(check(), FT_OK, "%s", problem.text);
    cr_assert(strstr(warning, "did not sign the one before it"), "%s", warning);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca);
}

Test(tls_files, files_that_are_not_there_are_named)
{
    assert_refused("tls.cert: \"/tmp/fantail-tls-test-");
    assert_refused("cert.pem\" cannot be opened: No such file");
    write_pair(-DAY, DAY);
    unlink(key_path);
    assert_refused("key.pem\" cannot be opened: No such file");
    cr_assert_eq(ft_tls_files_check(directory, key_path, now_s, warning, &problem),
                 FT_ERR_BAD_FIELD);
    cr_assert(strstr(problem.text, "is a directory"), "%s", problem.text);
}

Test(tls_files, what_is_not_pem_is_named)
{
    write_pair(-DAY, DAY);
    write_text(key_path, "");
    assert_refused("key.pem\" holds no private key in PEM");
    write_text(key_path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert_refused("key.pem\" holds no private key in PEM");
    write_text(cert_path, "nothing\n");
    assert_refused("cert.pem\" holds no certificate in PEM");
    write_text(cert_path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_refused("cert.pem\" holds a certificate that cannot be read");
}

Test(tls_files, a_chain_that_breaks_off_is_refused)
{
    write_pair(-DAY, DAY);
    FILE *file = fopen(cert_path, "a");
    fputs("-----BEGIN CERTIFICATE-----\nAAAA\n", file);
    fclose(file);
    assert_refused("holds a certificate that cannot be read");
}

Test(tls_files, key_and_certificate_belong_together)
{
    EVP_PKEY *other = EVP_EC_gen("P-256");

    write_pair(-DAY, DAY);
    write_key(other, NULL);
    assert_refused("key.pem\" is not the key of the certificate in tls.cert");
    EVP_PKEY_free(other);
}

Test(tls_files, an_encrypted_key_does_not_ask_a_terminal)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    add_cert(certificate(key, "broker", key, "broker", -DAY, DAY));
    write_key(key, "password");
    assert_refused("key.pem\" is encrypted");
    EVP_PKEY_free(key);
}

Test(tls_files, a_key_that_openssl_would_refuse_later_is_refused_now)
{
    EVP_PKEY *key = EVP_RSA_gen(1024);

    add_cert(certificate(key, "broker", key, "broker", -DAY, DAY));
    write_key(key, NULL);
    assert_refused("key.pem\" is too short a key; RSA needs 2048 bits");
    EVP_PKEY_free(key);
}

Test(tls_files, what_works_but_not_for_everybody_is_warned_about)
{
    write_pair(-2 * DAY, -DAY);
    cr_assert_eq(check(), FT_OK);
    cr_assert(strstr(warning, "cert.pem\" has expired"), "%s", warning);
    unlink(cert_path);
    write_pair(DAY, 2 * DAY);
    chmod(key_path, 0644);
    cr_assert_eq(check(), FT_OK);
    cr_assert(strstr(warning, "cert.pem\" is not valid yet"), "%s", warning);
    cr_assert(strstr(warning, "key.pem\" can be read by every user of this machine; tls.cert"),
              "%s", warning);
}

Test(tls_files, of_a_long_path_the_end_is_shown)
{
    char path[600] = "", shown[FT_AUTH_PATH_SHOWN_MAX];

    for (int i = 0; i < 40; i++)
        strcat(path, "/\xc3\xa9 directory");
    strcat(path, "/key.pem");
    ft_auth_path_show(path, shown);
    cr_assert(strstr(shown, "directory/key.pem\""), "%s", shown);
    cr_assert_eq(strncmp(shown, "\"\xe2\x80\xa6", 4), 0, "%s", shown);
    cr_assert(ft_utf8_is_valid(ft_slice_str(shown)));
    cr_assert_str_eq(ft_auth_path_show("/a", shown), "\"/a\"");
    for (size_t len = 100; len < 160; len++) {
        memset(path, 'p', len);
        path[len] = 0;
        cr_assert_lt(strlen(ft_auth_path_show(path, shown)), sizeof(shown));
        cr_assert_eq(shown[strlen(shown) - 1], '"');
        cr_assert_eq(strstr(shown, "\xe2\x80\xa6") == NULL, len <= FT_AUTH_PATH_SHOWN_MAX - 3);
    }
}
