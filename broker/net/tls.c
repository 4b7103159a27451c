/*
 * TLS, as far as libwebsockets leaves it to us. It shakes hands and reads. We choose what is spoken, load
 * the certificate (so that a reload is the same as the start, and both say what is wrong), and write: what
 * libwebsockets cannot send at once it keeps, and does not read from the connection until that is gone, so
 * that a reader who has fallen behind would not be heard any more.
 */
#include "broker/base/alloc.h"
#include "broker/net/private.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

/* TLS 1.2 with forward secrecy and authenticated encryption only (RFC 9325 section 4.2); all of 1.3. */
#define CIPHERS_12                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* Shows the certificate that holds now. */
static int show(SSL *ssl, void *arg)
{
    SSL_CTX *shown = *(void **)arg;
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(shown, &chain);
    return SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(shown),
                                SSL_CTX_get0_privatekey(shown), chain, 1);
}

void ft_tls_prepare(void *context, void **shown)
{
    SSL_CTX *ctx = context;
    /* A context keeps a certificate of each kind of key: one that is replaced by another kind would still
     * be shown. So it has none, and each handshake gets what `shown` has. */
    SSL_CTX_set_cert_cb(ctx, show, shown);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, CIPHERS_12);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
    /* libwebsockets would look for a virtual host by name, and find the one without TLS. */
    SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
}

/*
 * Makes a context for connections that we never make. Without it libwebsockets has one for each virtual
 * host, with all certificates of the system in it (1.5 MB), and with several workers it does not find them
 * again to free them: it keeps the place of a mark in them for the latest worker only.
 */
void *ft_tls_client(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    FT_ASSERT(ctx);
    return ctx;
}

void ft_tls_free(void *context)
{
    SSL_CTX_free(context);
}

static bool fail(const char *path, char error[FT_LOOPS_ERROR_MAX])
{
    char reason[128];
    ERR_error_string_n(ERR_peek_error(), reason, sizeof(reason));
    snprintf(error, FT_LOOPS_ERROR_MAX, "cannot use %s for TLS: %s", path, reason);
    ERR_clear_error();
    return false;
}

bool ft_tls_load(void **shown, const char *cert, const char *key, char error[FT_LOOPS_ERROR_MAX])
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    FT_ASSERT(ctx);
    ERR_clear_error();
    bool ok = SSL_CTX_use_certificate_chain_file(ctx, cert) == 1 || fail(cert, error);
    ok = ok && (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1 || fail(key, error));
    SSL_CTX_free(ok ? *shown : ctx);
    if (ok)
        *shown = ctx;
    return ok;
}

bool ft_tls_try(const char *cert, const char *key, char error[FT_LOOPS_ERROR_MAX])
{
    void *tried = NULL;
    bool ok = ft_tls_load(&tried, cert, key, error);
    ft_tls_free(tried);
    return ok;
}

ssize_t ft_tls_write(void *ssl, const void *bytes, size_t len)
{
    size_t sent = 0;
    ERR_clear_error();
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    while (sent < len) {
        size_t n;
        if (SSL_write_ex(ssl, (const uint8_t *)bytes + sent, len - sent, &n) == 1) {
            sent += n;
            continue;
        }
        int why = SSL_get_error(ssl, 0);
        ERR_clear_error();
        if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ)
            break;
        errno = EPIPE;
        return -1;
    }
    if (sent > 0)
        return (ssize_t)sent;
    errno = EAGAIN;
    return -1;
}

bool ft_tls_is_agreed(void *ssl)
{
    return ssl && SSL_is_init_finished(ssl);
}

void ft_tls_goodbye(void *ssl)
{
    if (SSL_is_init_finished(ssl))
        (void)SSL_shutdown(ssl); /* sends the alert; nobody waits for the answer */
    ERR_clear_error();
}
