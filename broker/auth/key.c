/*
 * Keys: what they are made of, what they are for, and one verification. libcjose 0.6.2 is lenient with
 * what it is given: it reads beyond a short HMAC, takes RSA signatures that are too short and pairs (r, s)
 * of any length, and does not compare the algorithm with the curve. So lengths are compared here, before it
 * sees a signature, and algorithms by whoever asks. Any thread.
 */
#include "broker/auth/key.h"

#include <cjose/cjose.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/base/log.h"

enum {
    SECRET_BYTES_MIN = 16, /* below, it can be guessed from one token with rented hardware */
    RSA_BITS_MIN = 2048,   /* RFC 7518 section 3.3 */
    RSA_BITS_MAX = 8192,   /* more takes longer than a worker may */
    ED25519_BYTES = 32
};

struct ft_key {
    enum ft_key_type type;
    uint32_t algs;    /* a bit for each enum ft_alg */
    size_t rsa_bytes; /* of its signatures */
    struct ft_slice kid;
    cjose_jwk_t *jwk;  /* all but Ed25519 */
    EVP_PKEY *ed25519; /* Ed25519 */
};

/* `bytes`: of the signature, and of the hash with HMAC; 0: as long as the modulus. */
static const struct {
    const char *name;
    size_t bytes;
} algs[FT_ALGS] = {
    [FT_ALG_HS256] = {"HS256", 32}, [FT_ALG_HS384] = {"HS384", 48}, [FT_ALG_HS512] = {"HS512", 64},
    [FT_ALG_RS256] = {"RS256", 0},  [FT_ALG_RS384] = {"RS384", 0},  [FT_ALG_RS512] = {"RS512", 0},
    [FT_ALG_PS256] = {"PS256", 0},  [FT_ALG_PS384] = {"PS384", 0},  [FT_ALG_PS512] = {"PS512", 0},
    [FT_ALG_ES256] = {"ES256", 64}, [FT_ALG_ES384] = {"ES384", 96}, [FT_ALG_ES512] = {"ES512", 132},
    [FT_ALG_EDDSA] = {"EdDSA", 64},
};

#define BIT(alg) (1u << (alg))

/* What a key of a type can be for, and is when it does not say. */
static const struct {
    uint32_t possible, usual;
    cjose_jwk_ec_curve curve;
    size_t coordinate_bytes;
} types[FT_KEY_TYPES] = {
    [FT_KEY_OCT] = {.possible = BIT(FT_ALG_HS256) | BIT(FT_ALG_HS384) | BIT(FT_ALG_HS512),
                    .usual = BIT(FT_ALG_HS256)},
    [FT_KEY_RSA] = {.possible = BIT(FT_ALG_RS256) | BIT(FT_ALG_RS384) | BIT(FT_ALG_RS512) |
                                BIT(FT_ALG_PS256) | BIT(FT_ALG_PS384) | BIT(FT_ALG_PS512),
                    .usual = BIT(FT_ALG_RS256) | BIT(FT_ALG_PS256)},
    [FT_KEY_P256] = {BIT(FT_ALG_ES256), BIT(FT_ALG_ES256), CJOSE_JWK_EC_P_256, 32},
    [FT_KEY_P384] = {BIT(FT_ALG_ES384), BIT(FT_ALG_ES384), CJOSE_JWK_EC_P_384, 48},
    [FT_KEY_P521] = {BIT(FT_ALG_ES512), BIT(FT_ALG_ES512), CJOSE_JWK_EC_P_521, 66},
    [FT_KEY_ED25519] = {.possible = BIT(FT_ALG_EDDSA), .usual = BIT(FT_ALG_EDDSA)},
};

enum ft_alg ft_alg_find(struct ft_slice name)
{
    enum ft_alg alg = 0;
    while (alg < FT_ALGS && !ft_slice_equal(name, ft_slice_str(algs[alg].name)))
        alg++;
    return alg;
}

/* ---- making one ---- */

static uint8_t *bytes_of(struct ft_slice bytes)
{
    return (uint8_t *)(uintptr_t)bytes.ptr; /* cjose reads them only, but does not say so */
}

static enum ft_err make_secret(struct ft_key *key, const struct ft_key_spec *spec,
                               struct ft_problem *problem)
{
    if (spec->first.len < SECRET_BYTES_MIN)
        return ft_problem_set(
            problem, FT_ERR_BAD_FIELD,
            "the secret has %zu bytes; it must have %d at least, better 32 random "
            "ones (openssl rand -base64 32)",
            spec->first.len, SECRET_BYTES_MIN);
    size_t hash_bytes = algs[spec->alg == FT_ALGS ? FT_ALG_HS256 : spec->alg].bytes;
    if (spec->first.len < hash_bytes)
        ft_log(FT_LOG_WARN, "weak_secret",
               "bytes=%zu note=\"RFC 7518 section 3.2 wants %zu bytes at least\"", spec->first.len,
               hash_bytes);
    key->jwk = cjose_jwk_create_oct_spec(spec->first.ptr, spec->first.len, NULL);
    return FT_OK;
}

static enum ft_err make_rsa(struct ft_key *key, const struct ft_key_spec *spec,
                            struct ft_problem *problem)
{
    BIGNUM *n = BN_bin2bn(spec->first.ptr, (int)spec->first.len, NULL);
    BIGNUM *e = BN_bin2bn(spec->second.ptr, (int)spec->second.len, NULL);
    int bits = n ? BN_num_bits(n) : 0;
    bool is_key = n && e && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= 64;
    BN_free(n);
    BN_free(e);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "the RSA key has %d bits; it must have %d at least and %d at most",
                              bits, RSA_BITS_MIN, RSA_BITS_MAX);
    if (!is_key)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "the RSA key has a modulus or an exponent that none can have");
    key->rsa_bytes = ((size_t)bits + 7) / 8;
    key->jwk = cjose_jwk_create_RSA_spec(&(cjose_jwk_rsa_keyspec){.n = bytes_of(spec->first),
                                                                  .nlen = spec->first.len,
                                                                  .e = bytes_of(spec->second),
                                                                  .elen = spec->second.len},
                                         NULL);
    return FT_OK;
}

static enum ft_err make_ec(struct ft_key *key, const struct ft_key_spec *spec,
                           struct ft_problem *problem)
{
    size_t bytes = types[spec->type].coordinate_bytes;
    if (spec->first.len <= bytes && spec->second.len <= bytes)
        key->jwk = cjose_jwk_create_EC_spec(&(cjose_jwk_ec_keyspec){.crv = types[spec->type].curve,
                                                                    .x = bytes_of(spec->first),
                                                                    .xlen = spec->first.len,
                                                                    .y = bytes_of(spec->second),
                                                                    .ylen = spec->second.len},
                                            NULL);
    if (!key->jwk)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "the elliptic curve key is not a point of its curve");
    return FT_OK;
}

static enum ft_err make_ed25519(struct ft_key *key, const struct ft_key_spec *spec,
                                struct ft_problem *problem)
{
    if (spec->first.len == ED25519_BYTES)
        key->ed25519 =
            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, spec->first.ptr, spec->first.len);
    if (!key->ed25519)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "the Ed25519 key does not have 32 bytes");
    return FT_OK;
}

static enum ft_err make(struct ft_key *key, const struct ft_key_spec *spec,
                        struct ft_problem *problem)
{
    static enum ft_err (*const makers[FT_KEY_TYPES])(struct ft_key *, const struct ft_key_spec *,
                                                     struct ft_problem *) = {
        [FT_KEY_OCT] = make_secret, [FT_KEY_RSA] = make_rsa, [FT_KEY_P256] = make_ec,
        [FT_KEY_P384] = make_ec,    [FT_KEY_P521] = make_ec, [FT_KEY_ED25519] = make_ed25519,
    };
    key->type = spec->type;
    key->algs = spec->alg == FT_ALGS ? types[spec->type].usual
                                     : types[spec->type].possible & BIT(spec->alg);
    if (key->algs == 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "a key of this type is not for %s",
                              algs[spec->alg].name);
    if (spec->kid.ptr) {
        uint8_t *kid = ft_alloc(spec->kid.len + 1);
        memcpy(kid, spec->kid.ptr, spec->kid.len);
        key->kid = ft_slice(kid, spec->kid.len);
    }
    enum ft_err err = makers[spec->type](key, spec, problem);
    if (!err && !key->jwk && !key->ed25519)
        err = ft_problem_set(problem, FT_ERR_BAD_FIELD, "the crypto library does not take the key");
    return err;
}

enum ft_err ft_key_new(const struct ft_key_spec *spec, struct ft_key **key,
                       struct ft_problem *problem)
{
    struct ft_key *made = ft_alloc_zero(sizeof(*made));
    enum ft_err err = make(made, spec, problem);
    ERR_clear_error();
    if (err)
        ft_key_free(made);
    else
        *key = made;
    return err;
}

void ft_key_free(struct ft_key *key)
{
    if (!key)
        return;
    free((void *)(uintptr_t)key->kid.ptr);
    cjose_jwk_release(key->jwk);
    EVP_PKEY_free(key->ed25519);
    free(key);
}

struct ft_slice ft_key_kid(const struct ft_key *key)
{
    return key->kid;
}

bool ft_key_is_for(const struct ft_key *key, enum ft_alg alg)
{
    return alg < FT_ALGS && key->algs & BIT(alg);
}

/* ---- verifying ---- */

static bool verify_ed25519(const struct ft_key *key, const struct ft_signed *parts)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->ed25519) == 1 &&
                   EVP_DigestVerify(context, parts->signature.ptr, parts->signature.len,
                                    parts->input.ptr, parts->input.len) == 1;
    EVP_MD_CTX_free(context);
    return is_good;
}

static bool verify_cjose(const struct ft_key *key, const struct ft_signed *parts)
{
    cjose_jws_t *jws = cjose_jws_import((const char *)parts->token.ptr, parts->token.len, NULL);
    bool is_good = jws && cjose_jws_verify(jws, key->jwk, NULL);
    cjose_jws_release(jws);
    return is_good;
}

bool ft_key_verify(const struct ft_key *key, enum ft_alg alg, const struct ft_signed *parts)
{
    size_t bytes = algs[alg].bytes ? algs[alg].bytes : key->rsa_bytes;
    if (!ft_key_is_for(key, alg) || parts->signature.len != bytes)
        return false;
    bool is_good = alg == FT_ALG_EDDSA ? verify_ed25519(key, parts) : verify_cjose(key, parts);
    ERR_clear_error(); /* TLS on this thread would take what is left there for its own */
    return is_good;
}
