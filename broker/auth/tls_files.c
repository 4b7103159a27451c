/*
 * Checks a certificate and its key as files: that TLS can be served with them, and which one is wrong
 * where it cannot. It makes no TLS context (broker/net/tls.c) and trusts no certificate. Runs at start
 * and at a reload, on the main thread; it blocks on the disk.
 */
#include "broker/auth/tls_files.h"

#include "broker/auth/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Certificates in a file; three are many. */
#define CHAIN_MAX 16

/* Bits of security that OpenSSL asks of a key (its level 2, Debian's default): RSA with 2048 has them. */
#define SECURITY_BITS 112

struct files {
    const char *cert, *key;
    X509 *chain[CHAIN_MAX];
    size_t count;
    EVP_PKEY *pkey;
    struct ft_problem *problem;
    char *warning; /* FT_TLS_WARNING_MAX */
};

/* Says what is wrong with one of the files, which `option` names. */
static enum ft_err refuse(const struct files *files, const char *option, const char *path,
                          const char *what)
{
    char shown[FT_AUTH_PATH_SHOWN_MAX];

    return ft_problem_set(files->problem, FT_ERR_BAD_FIELD, "%s: %s %s", option,
                          ft_auth_path_show(path, shown), what);
}

/* Adds to the one line of warnings. */
static void warn(struct files *files, const char *option, const char *path, const char *what)
{
    size_t used = strlen(files->warning);
    char shown[FT_AUTH_PATH_SHOWN_MAX];

    snprintf(files->warning + used, FT_TLS_WARNING_MAX - used, "%s%s: %s %s", used > 0 ? "; " : "",
             option, ft_auth_path_show(path, shown), what);
}

static enum ft_err open_file(const struct files *files, const char *option, const char *path,
                             FILE **stream)
{
    char what[128];
    struct stat status;
    /* A pipe that nobody writes to must not hold up the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    if (!file) {
        snprintf(what, sizeof(what), "cannot be opened: %s", strerror(errno));
        return refuse(files, option, path, what);
    }
    if (fstat(fileno(file), &status) == 0 && S_ISDIR(status.st_mode)) {
        fclose(file);
        return refuse(files, option, path, "is a directory");
    }
    *stream = file;
    return FT_OK;
}

static enum ft_err read_chain(struct files *files)
{
    FILE *stream;
    X509 *cert = NULL;
    enum ft_err err = open_file(files, "tls.cert", files->cert, &stream);

    if (err != FT_OK)
        return err;
    while (files->count < CHAIN_MAX && (cert = PEM_read_X509(stream, NULL, NULL, NULL)))
        files->chain[files->count++] = cert;
    /* Running out of blocks is how a file ends; any other error is one in a block. */
    unsigned long cause = ERR_peek_last_error();
    bool is_broken = !cert && !(ERR_GET_LIB(cause) == ERR_LIB_PEM &&
                                ERR_GET_REASON(cause) == PEM_R_NO_START_LINE);
    fclose(stream);
    if (is_broken)
        return refuse(files, "tls.cert", files->cert, "holds a certificate that cannot be read");
    if (files->count == 0)
        return refuse(files, "tls.cert", files->cert, "holds no certificate in PEM");
    return FT_OK;
}

/* Called for an encrypted key alone; nobody is there to give a password. */
static int on_password(char *out, int size, int is_writing, void *was_asked)
{
    (void)out, (void)size, (void)is_writing;
    *(bool *)was_asked = true;
    return -1;
}

static enum ft_err read_key(struct files *files)
{
    FILE *stream;
    struct stat status;
    bool was_asked = false;
    enum ft_err err = open_file(files, "tls.key", files->key, &stream);

    if (err != FT_OK)
        return err;
    files->pkey = PEM_read_PrivateKey(stream, NULL, on_password, &was_asked);
    bool is_open = fstat(fileno(stream), &status) == 0 && (status.st_mode & S_IROTH);
    fclose(stream);
    if (was_asked)
        return refuse(files, "tls.key", files->key,
                      "is encrypted, and nobody is there to give a password; decrypt it");
    if (!files->pkey)
        return refuse(files, "tls.key", files->key, "holds no private key in PEM");
    if (EVP_PKEY_get_security_bits(files->pkey) < SECURITY_BITS)
        return refuse(files, "tls.key", files->key,
                      "is too short a key; RSA needs 2048 bits, elliptic curves 224");
    if (is_open)
        warn(files, "tls.key", files->key, "can be read by every user of this machine");
    return FT_OK;
}

/* Checks that key and certificate are a pair, and the order of the certificates. */
static enum ft_err check_pair(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        if (X509_check_private_key(files->chain[i], files->pkey) != 1)
            continue;
        if (i == 0)
            return FT_OK;
        return refuse(files, "tls.cert", files->cert,
                      "holds the key's certificate behind another one; it has to come first");
    }
    return refuse(files, "tls.key", files->key, "is not the key of the certificate in tls.cert");
}

static void check_order(struct files *files)
{
    for (size_t i = 0; i + 1 < files->count; i++)
        if (X509_check_issued(files->chain[i + 1], files->chain[i]) != X509_V_OK) {
            warn(files, "tls.cert", files->cert,
                 "holds a certificate that did not sign the one before it; some clients mind");
            return;
        }
}

static void check_times(struct files *files, uint64_t now_s)
{
    time_t now = (time_t)now_s;

    for (size_t i = 0; i < files->count; i++) {
        const char *which = i == 0 ? "" : "one of the authorities' certificates in it ";
        char what[128];
        if (X509_cmp_time(X509_get0_notAfter(files->chain[i]), &now) < 0)
            snprintf(what, sizeof(what), "%shas expired", which);
        else if (X509_cmp_time(X509_get0_notBefore(files->chain[i]), &now) > 0)
            snprintf(what, sizeof(what), "%sis not valid yet", which);
        else
            continue;
        warn(files, "tls.cert", files->cert, what);
        return;
    }
}

static enum ft_err check(struct files *files, uint64_t now_s)
{
    enum ft_err err = read_chain(files);

    if (err == FT_OK)
        err = read_key(files);
    if (err == FT_OK)
        err = check_pair(files);
    if (err == FT_OK) {
        check_order(files);
        check_times(files, now_s);
    }
    return err;
}

enum ft_err ft_tls_files_check(const char *cert, const char *key, uint64_t now_s,
                               char warning[FT_TLS_WARNING_MAX], struct ft_problem *problem)
{
    struct files files = {.cert = cert, .key = key, .problem = problem, .warning = warning};

    warning[0] = 0;
    ERR_clear_error();
    enum ft_err err = check(&files, now_s);
    for (size_t i = 0; i < files.count; i++)
        X509_free(files.chain[i]);
    EVP_PKEY_free(files.pkey);
    ERR_clear_error();
    return err;
}
