/*
 * Signatures with OpenSSL's EVP, which takes every kind of key alike. Does not know what a claim is. The main
 * thread.
 */
#include "clients/cli/signer.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "protocol/base64url.h"

enum {
    SIGNATURE_MAX = 1024, /* RSA with 8192 bits */
    MEMBER_MAX = 4096     /* of a JWK, decoded */
};

struct ft_signer {
    EVP_PKEY *key;
    const char *alg;
    size_t coordinate_bytes; /* of an elliptic curve's numbers; 0: another type */
};

static enum ft_err refuse(struct ft_problem *problem, const char *why)
{
    return ft_problem_set(problem, FT_ERR_BAD_FIELD, "%s", why);
}

/* ---- which algorithm ---- */

static const struct {
    const char *group, *curve, *alg;
    size_t coordinate_bytes;
} curves[] = {
    {"prime256v1", "P-256", "ES256", 32},
    {"secp384r1", "P-384", "ES384", 48},
    {"secp521r1", "P-521", "ES512", 66},
};

enum { CURVES = sizeof(curves) / sizeof(curves[0]) };

static void choose_curve(struct ft_signer *signer)
{
    char group[64];
    if (EVP_PKEY_get_group_name(signer->key, group, sizeof(group), NULL) != 1)
        return;
    for (size_t i = 0; i < CURVES; i++)
        if (strcmp(group, curves[i].group) == 0) {
            signer->alg = curves[i].alg;
            signer->coordinate_bytes = curves[i].coordinate_bytes;
        }
}

/* Takes the key over. */
static enum ft_err take(EVP_PKEY *key, struct ft_signer **signer, struct ft_problem *problem)
{
    static const struct {
        const char *type, *alg;
    } types[] = {{"HMAC", "HS256"}, {"RSA", "RS256"}, {"RSA-PSS", "PS256"}, {"ED25519", "EdDSA"}};
    struct ft_signer *made = ft_alloc_zero(sizeof(*made));
    made->key = key;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (EVP_PKEY_is_a(key, types[i].type))
            made->alg = types[i].alg;
    if (EVP_PKEY_is_a(key, "EC"))
        choose_curve(made);
    if (made->alg) {
        *signer = made;
        return FT_OK;
    }
    ft_signer_free(made);
    return refuse(problem, "its type signs no tokens: it must be RSA, EC P-256, P-384, P-521 or "
                           "Ed25519");
}

bool ft_signer_use_pss(struct ft_signer *signer)
{
    if (!EVP_PKEY_is_a(signer->key, "RSA") && !EVP_PKEY_is_a(signer->key, "RSA-PSS"))
        return false;
    signer->alg = "PS256";
    return true;
}

/* ---- from a secret, from PEM ---- */

enum ft_err ft_signer_new_secret(struct ft_slice secret, struct ft_signer **signer,
                                 struct ft_problem *problem)
{
    if (secret.len < FT_SIGNER_SECRET_MIN)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "the secret has %zu bytes; a broker takes %d at least", secret.len,
                              FT_SIGNER_SECRET_MIN);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, secret.ptr, secret.len);
    FT_ASSERT(key);
    return take(key, signer, problem);
}

/* An encrypted key is not asked for its password: this is for development. */
static int no_password(char *out, int size, int is_writing, void *user)
{
    (void)out, (void)size, (void)is_writing, (void)user;
    return -1;
}

static EVP_PKEY *read_pem(struct ft_slice text)
{
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    return key;
}

/* ---- from a JWK ---- */

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* Decodes a member; absent: it is not there or no base64url. */
static struct ft_slice member(const json_t *jwk, const char *name, uint8_t out[MEMBER_MAX])
{
    const json_t *value = json_object_get(jwk, name);
    size_t len;
    if (!json_is_string(value) || json_string_length(value) > MEMBER_MAX ||
        !ft_base64url_decode(ft_slice(json_string_value(value), json_string_length(value)), out,
                             &len))
        return ft_slice(NULL, 0);
    return ft_slice(out, len);
}

/* Adds a member as a number; false: there is none. `numbers` keeps it alive. */
static bool push(OSSL_PARAM_BLD *builder, const json_t *jwk, const char *name, const char *param,
                 BIGNUM **number)
{
    uint8_t bytes[MEMBER_MAX];
    struct ft_slice value = member(jwk, name, bytes);
    if (!value.ptr)
        return false;
    *number = BN_bin2bn(value.ptr, (int)value.len, NULL);
    return *number && OSSL_PARAM_BLD_push_BN(builder, param, *number) == 1;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
    BIGNUM *n = NULL, *e = NULL, *d = NULL;
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (push(builder, jwk, "n", OSSL_PKEY_PARAM_RSA_N, &n) &&
        push(builder, jwk, "e", OSSL_PKEY_PARAM_RSA_E, &e) &&
        push(builder, jwk, "d", OSSL_PKEY_PARAM_RSA_D, &d))
        key = from_params("RSA", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    BN_clear_free(d);
    return key;
}

/* The public point, uncompressed: 4, x, y. */
static size_t read_point(const json_t *jwk, size_t bytes, uint8_t out[2 * MEMBER_MAX])
{
    struct ft_slice x = member(jwk, "x", out + 1);
    struct ft_slice y = x.len == bytes ? member(jwk, "y", out + 1 + bytes) : ft_slice(NULL, 0);
    out[0] = 4;
    return y.len == bytes ? 1 + 2 * bytes : 0;
}

static EVP_PKEY *read_ec(const json_t *jwk)
{
    uint8_t point[2 * MEMBER_MAX];
    BIGNUM *d = NULL;
    EVP_PKEY *key = NULL;
    size_t i = 0;
    while (i < CURVES && !is_text(json_object_get(jwk, "crv"), curves[i].curve))
        i++;
    size_t len = i < CURVES ? read_point(jwk, curves[i].coordinate_bytes, point) : 0;
    if (len == 0)
        return NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, len) &&
        push(builder, jwk, "d", OSSL_PKEY_PARAM_PRIV_KEY, &d))
        key = from_params("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_clear_free(d);
    return key;
}

static EVP_PKEY *read_okp(const json_t *jwk)
{
    uint8_t bytes[MEMBER_MAX];
    struct ft_slice d = member(jwk, "d", bytes);
    if (!is_text(json_object_get(jwk, "crv"), "Ed25519") || !d.ptr)
        return NULL;
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d.ptr, d.len);
}

static EVP_PKEY *read_oct(const json_t *jwk)
{
    uint8_t bytes[MEMBER_MAX];
    struct ft_slice k = member(jwk, "k", bytes);
    if (k.len < FT_SIGNER_SECRET_MIN)
        return NULL;
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, k.ptr, k.len);
}

static EVP_PKEY *read_jwk(struct ft_slice text)
{
    static const struct {
        const char *kty;
        EVP_PKEY *(*read)(const json_t *jwk);
    } kinds[] = {{"RSA", read_rsa}, {"EC", read_ec}, {"OKP", read_okp}, {"oct", read_oct}};
    json_t *jwk = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    EVP_PKEY *key = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (is_text(json_object_get(jwk, "kty"), kinds[i].kty))
            key = kinds[i].read(jwk);
    json_decref(jwk);
    return key;
}

enum ft_err ft_signer_new_key(struct ft_slice text, struct ft_signer **signer,
                              struct ft_problem *problem)
{
    EVP_PKEY *key = memmem(text.ptr, text.len, "-----BEGIN", 10) ? read_pem(text) : read_jwk(text);
    if (!key)
        return refuse(problem, "that is no private key, in PEM without a password or as a JWK");
    return take(key, signer, problem);
}

void ft_signer_free(struct ft_signer *signer)
{
    if (!signer)
        return;
    EVP_PKEY_free(signer->key);
    free(signer);
}

const char *ft_signer_alg(const struct ft_signer *signer)
{
    return signer->alg;
}

/* ---- signing ---- */

/* Turns the DER of an elliptic curve signature into its two numbers (RFC 7518 section 3.4). */
static size_t raw_of(const struct ft_signer *signer, uint8_t *signature, size_t len)
{
    const uint8_t *at = signature;
    int bytes = (int)signer->coordinate_bytes;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    FT_ASSERT(pair); /* OpenSSL made it */
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, bytes);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + bytes, bytes);
    ECDSA_SIG_free(pair);
    return 2 * signer->coordinate_bytes;
}

/* Returns the length of the signature; 0: it failed. */
static size_t make_signature(const struct ft_signer *signer, struct ft_slice input,
                             uint8_t signature[SIGNATURE_MAX])
{
    EVP_PKEY_CTX *options = NULL;
    size_t len = SIGNATURE_MAX;
    const EVP_MD *hash = strstr(signer->alg, "256")   ? EVP_sha256()
                         : strstr(signer->alg, "384") ? EVP_sha384()
                         : strstr(signer->alg, "512") ? EVP_sha512()
                                                      : NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_done = EVP_DigestSignInit(context, &options, hash, NULL, signer->key) == 1;
    if (is_done && strcmp(signer->alg, "PS256") == 0)
        is_done = EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
    is_done = is_done && EVP_DigestSign(context, signature, &len, input.ptr, input.len) == 1;
    EVP_MD_CTX_free(context);
    if (!is_done)
        return 0;
    return signer->coordinate_bytes ? raw_of(signer, signature, len) : len;
}

char *ft_signer_sign(const struct ft_signer *signer, const char *header, const char *claims)
{
    uint8_t signature[SIGNATURE_MAX];
    struct ft_slice first = ft_slice_str(header), second = ft_slice_str(claims);
    char *text = ft_alloc(FT_BASE64URL_ROOM(first.len) + FT_BASE64URL_ROOM(second.len) +
                          FT_BASE64URL_ROOM(SIGNATURE_MAX) + 3);
    size_t len = ft_base64url_encode(first, text);
    text[len++] = '.';
    len += ft_base64url_encode(second, text + len);
    size_t bytes = make_signature(signer, ft_slice(text, len), signature);
    if (bytes == 0) {
        free(text);
        return NULL;
    }
    text[len++] = '.';
    len += ft_base64url_encode(ft_slice(signature, bytes), text + len);
    text[len] = '\0';
    return text;
}
