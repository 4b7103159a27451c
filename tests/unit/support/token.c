/* Tokens and keys for tests. One thread. */
#include "tests/unit/support/token.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "protocol/base64url.h"
#include "protocol/buffer.h"

enum { SIGNATURE_MAX = 1024, TEXT_MAX = 1 << 20 };

static EVP_PKEY *key_of(enum token_key key)
{
    static EVP_PKEY *made[TOKEN_KEYS];
    if (made[key])
        return made[key];
    switch (key) {
    case TOKEN_RSA:
        made[key] = EVP_RSA_gen(2048);
        break;
    case TOKEN_RSA_1024:
        made[key] = EVP_RSA_gen(1024);
        break;
    case TOKEN_P256:
        made[key] = EVP_EC_gen("P-256");
        break;
    case TOKEN_P384:
        made[key] = EVP_EC_gen("P-384");
        break;
    default:
        made[key] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    FT_ASSERT(made[key]);
    return made[key];
}

static void add_base64url(struct ft_buffer *out, struct ft_slice bytes)
{
    uint8_t *at = ft_buffer_reserve(out, FT_BASE64URL_ROOM(bytes.len) + 1);
    out->len += ft_base64url_encode(bytes, (char *)at);
}

/* Ends the text and hands it over. */
static char *finish(struct ft_buffer *out)
{
    ft_buffer_add_byte(out, '\0');
    FT_ASSERT(!out->failed);
    char *text = ft_strdup((const char *)out->ptr);
    ft_buffer_fini(out);
    return text;
}

static void begin(struct ft_buffer *out, const char *header, const char *claims)
{
    ft_buffer_init(out, TEXT_MAX);
    add_base64url(out, ft_slice_str(header));
    ft_buffer_add_byte(out, '.');
    add_base64url(out, ft_slice_str(claims));
}

static char *end(struct ft_buffer *out, struct ft_slice signature)
{
    ft_buffer_add_byte(out, '.');
    add_base64url(out, signature);
    return finish(out);
}

static const EVP_MD *hash_of(const char *alg)
{
    return strstr(alg, "384") ? EVP_sha384() : strstr(alg, "512") ? EVP_sha512() : EVP_sha256();
}

char *token_hmac(const char *alg, struct ft_slice secret, const char *header, const char *claims)
{
    struct ft_buffer out;
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    begin(&out, header, claims);
    FT_ASSERT(HMAC(hash_of(alg), secret.ptr, (int)secret.len, out.ptr, out.len, mac, &len));
    return end(&out, ft_slice(mac, len));
}

/* (r, s), each as long as the curve's coordinates, from DER. */
static size_t raw_of(const uint8_t *der, size_t len, size_t coordinate, uint8_t *out)
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    FT_ASSERT(pair);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, (int)coordinate);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + coordinate, (int)coordinate);
    ECDSA_SIG_free(pair);
    return 2 * coordinate;
}

char *token_sign(const char *alg, enum token_key key, const char *header, const char *claims)
{
    struct ft_buffer out;
    uint8_t signature[SIGNATURE_MAX], raw[SIGNATURE_MAX];
    size_t len = sizeof(signature);
    EVP_PKEY_CTX *options;
    begin(&out, header, claims);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *hash = strcmp(alg, "EdDSA") == 0 ? NULL : hash_of(alg);
    FT_ASSERT(EVP_DigestSignInit(context, &options, hash, NULL, key_of(key)) == 1);
    if (alg[0] == 'P') {
        FT_ASSERT(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1);
        FT_ASSERT(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1);
    }
    FT_ASSERT(EVP_DigestSign(context, signature, &len, out.ptr, out.len) == 1);
    EVP_MD_CTX_free(context);
    if (strncmp(alg, "ES", 2) != 0)
        return end(&out, ft_slice(signature, len));
    size_t coordinate = key == TOKEN_P384 ? 48 : 32;
    return end(&out, ft_slice(raw, raw_of(signature, len, coordinate, raw)));
}

char *token_parts(const char *header, const char *claims, struct ft_slice signature)
{
    struct ft_buffer out;
    begin(&out, header, claims);
    return end(&out, signature);
}

/* ---- keys as files have them ---- */

static char *text_of(BIO *bio)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = ft_alloc((size_t)len + 1);
    memcpy(text, bytes, (size_t)len);
    text[len] = '\0';
    BIO_free(bio);
    return text;
}

char *token_public_pem(enum token_key key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, key_of(key));
    return text_of(bio);
}

char *token_private_pem(enum token_key key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key_of(key), NULL, NULL, 0, NULL, NULL);
    return text_of(bio);
}

char *token_certificate(enum token_key key)
{
    X509 *certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate), -3600); /* its dates do not count */
    X509_set_pubkey(certificate, key_of(key));
    FT_ASSERT(X509_sign(certificate, key_of(key), EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    X509_free(certificate);
    return text_of(bio);
}

static void add_number(struct ft_buffer *out, enum token_key key, const char *member,
                       const char *name)
{
    BIGNUM *value = NULL;
    uint8_t bytes[SIGNATURE_MAX];
    FT_ASSERT(EVP_PKEY_get_bn_param(key_of(key), name, &value) == 1);
    int len = BN_num_bytes(value);
    if (key == TOKEN_P256 || key == TOKEN_P384)
        len = key == TOKEN_P256 ? 32 : 48;
    BN_bn2binpad(value, bytes, len);
    BN_free(value);
    ft_buffer_add_str(out, member);
    add_base64url(out, ft_slice(bytes, (size_t)len));
    ft_buffer_add_byte(out, '"');
}

char *token_jwk(enum token_key key, const char *extra)
{
    struct ft_buffer out;
    ft_buffer_init(&out, TEXT_MAX);
    if (key == TOKEN_ED25519) {
        uint8_t bytes[32];
        size_t len = sizeof(bytes);
        EVP_PKEY_get_raw_public_key(key_of(key), bytes, &len);
        ft_buffer_add_str(&out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
        add_base64url(&out, ft_slice(bytes, len));
        ft_buffer_add_byte(&out, '"');
    } else if (key == TOKEN_P256 || key == TOKEN_P384) {
        ft_buffer_add_str(&out, "{\"kty\":\"EC\",\"crv\":\"");
        ft_buffer_add_str(&out, key == TOKEN_P256 ? "P-256\"" : "P-384\"");
        add_number(&out, key, ",\"x\":\"", OSSL_PKEY_PARAM_EC_PUB_X);
        add_number(&out, key, ",\"y\":\"", OSSL_PKEY_PARAM_EC_PUB_Y);
    } else {
        ft_buffer_add_str(&out, "{\"kty\":\"RSA\"");
        add_number(&out, key, ",\"n\":\"", OSSL_PKEY_PARAM_RSA_N);
        add_number(&out, key, ",\"e\":\"", OSSL_PKEY_PARAM_RSA_E);
    }
    ft_buffer_add_str(&out, extra);
    ft_buffer_add_byte(&out, '}');
    return finish(&out);
}
