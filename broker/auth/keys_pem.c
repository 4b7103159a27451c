/*
 * Keys from PEM: public keys, certificates, and private keys for their public halves. OpenSSL reads them;
 * what leaves this file is numbers. The main thread.
 */
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "broker/auth/keys.h"
#include "broker/base/log.h"
#include "protocol/quote.h"

/* The modulus of the largest RSA key that is taken is half of this. */
enum { NUMBER_BYTES_MAX = 2048 };

struct block {
    char *name, *header;
    unsigned char *data;
    long len;
};

static const struct {
    const char *group;
    enum ft_key_type type;
} curves[] = {
    {"prime256v1", FT_KEY_P256},
    {"secp384r1", FT_KEY_P384},
    {"secp521r1", FT_KEY_P521},
};

enum { CURVES = sizeof(curves) / sizeof(curves[0]) };

static bool is_private(const char *name)
{
    return strcmp(name, "PRIVATE KEY") == 0 || strcmp(name, "RSA PRIVATE KEY") == 0 ||
           strcmp(name, "EC PRIVATE KEY") == 0;
}

static EVP_PKEY *read_certificate(const unsigned char *at, long len)
{
    X509 *certificate = d2i_X509(NULL, &at, len);
    EVP_PKEY *key = certificate ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    return key;
}

static EVP_PKEY *read_block(const struct block *block)
{
    const unsigned char *at = block->data;
    if (block->header[0] != '\0')
        return NULL; /* encrypted */
    if (strcmp(block->name, "PUBLIC KEY") == 0)
        return d2i_PUBKEY(NULL, &at, block->len);
    if (strcmp(block->name, "RSA PUBLIC KEY") == 0)
        return d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, block->len);
    if (strcmp(block->name, "CERTIFICATE") == 0)
        return read_certificate(at, block->len);
    return is_private(block->name) ? d2i_AutoPrivateKey(NULL, &at, block->len) : NULL;
}

/* Reads a number of the key; absent: it has none of that name. */
static struct ft_slice number(EVP_PKEY *pkey, const char *name, uint8_t out[NUMBER_BYTES_MAX])
{
    BIGNUM *value = NULL;
    struct ft_slice bytes = {0};
    if (EVP_PKEY_get_bn_param(pkey, name, &value) == 1 && BN_num_bytes(value) <= NUMBER_BYTES_MAX)
        bytes = ft_slice(out, (size_t)BN_bn2bin(value, out));
    BN_free(value);
    return bytes;
}

static enum ft_key_type curve_of(EVP_PKEY *pkey)
{
    char group[64];
    size_t len;
    if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) == 1)
        for (size_t i = 0; i < CURVES; i++)
            if (strcmp(group, curves[i].group) == 0)
                return curves[i].type;
    return FT_KEY_TYPES;
}

static enum ft_err add(struct ft_keys *keys, EVP_PKEY *pkey, struct ft_problem *problem)
{
    uint8_t first[NUMBER_BYTES_MAX], second[NUMBER_BYTES_MAX];
    size_t len = sizeof(first);
    struct ft_key_spec spec = {.type = FT_KEY_TYPES, .alg = FT_ALGS};
    int id = EVP_PKEY_get_id(pkey);
    if (id == EVP_PKEY_RSA || id == EVP_PKEY_RSA_PSS) {
        spec.type = FT_KEY_RSA;
        spec.alg = id == EVP_PKEY_RSA ? FT_ALGS : FT_ALG_PS256;
        spec.first = number(pkey, OSSL_PKEY_PARAM_RSA_N, first);
        spec.second = number(pkey, OSSL_PKEY_PARAM_RSA_E, second);
    } else if (id == EVP_PKEY_EC) {
        spec.type = curve_of(pkey);
        spec.first = number(pkey, OSSL_PKEY_PARAM_EC_PUB_X, first);
        spec.second = number(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, second);
    } else if (id == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_public_key(pkey, first, &len) == 1) {
        spec.type = FT_KEY_ED25519;
        spec.first = ft_slice(first, len);
    }
    if (spec.type == FT_KEY_TYPES)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "it holds a key of a type that tokens are not signed with here; it "
                              "must be RSA, EC P-256, P-384, P-521 or Ed25519");
    return ft_keys_add(keys, &spec, problem);
}

static enum ft_err take(struct ft_keys *keys, const struct block *block, struct ft_problem *problem)
{
    if (strcmp(block->name, "EC PARAMETERS") == 0)
        return FT_OK; /* openssl ecparam writes it in front of the key */
    EVP_PKEY *pkey = read_block(block);
    char quoted[FT_QUOTE_MAX];
    if (!pkey)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "its block %s cannot be read as a public key or certificate",
                              ft_quote(ft_slice_str(block->name), quoted));
    enum ft_err err = add(keys, pkey, problem);
    if (!err && is_private(block->name))
        ft_log(FT_LOG_WARN, "private_key",
               "note=\"a file of auth.keys holds a private key; the public half is enough: "
               "openssl pkey -pubout\"");
    EVP_PKEY_free(pkey);
    return err;
}

enum ft_err ft_keys_read_pem(struct ft_keys *keys, struct ft_slice bytes,
                             struct ft_problem *problem)
{
    size_t before = keys->count;
    enum ft_err err = FT_OK;
    struct block block;
    BIO *bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
    while (!err && PEM_read_bio(bio, &block.name, &block.header, &block.data, &block.len) == 1) {
        err = take(keys, &block, problem);
        OPENSSL_free(block.name);
        OPENSSL_free(block.header);
        OPENSSL_clear_free(block.data, (size_t)block.len);
    }
    bool is_at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    if (!err && (!is_at_end || keys->count == before))
        err = ft_problem_set(problem, FT_ERR_BAD_FIELD, "it is PEM that is cut off or broken");
    return err;
}
