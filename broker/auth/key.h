/*
 * One key that signatures are verified with. The key decides about the algorithm, never the token: it
 * knows those that it is for, which for everything but RSA without a word about it is one.
 *
 *     secret, "oct"    HS256; HS384, HS512 where the key says so
 *     RSA              RS256 and PS256; one of RS256…512, PS256…512 where the key says so
 *     P-256 384 521    ES256, ES384, ES512
 *     Ed25519          EdDSA
 *
 * libcjose verifies, but EdDSA, which it does not know. Immutable once made; any number of threads.
 */
#ifndef FT_AUTH_KEY_H
#define FT_AUTH_KEY_H

#include "protocol/error.h"
#include "protocol/slice.h"

/* RFC 7518 section 3.1, RFC 8037. */
enum ft_alg {
    FT_ALG_HS256,
    FT_ALG_HS384,
    FT_ALG_HS512,
    FT_ALG_RS256,
    FT_ALG_RS384,
    FT_ALG_RS512,
    FT_ALG_PS256,
    FT_ALG_PS384,
    FT_ALG_PS512,
    FT_ALG_ES256,
    FT_ALG_ES384,
    FT_ALG_ES512,
    FT_ALG_EDDSA,
    FT_ALGS /* none of them */
};

/* Finds an algorithm by its name, FT_ALGS: there is none of that name. */
enum ft_alg ft_alg_find(struct ft_slice name);

enum ft_key_type {
    FT_KEY_OCT,
    FT_KEY_RSA,
    FT_KEY_P256,
    FT_KEY_P384,
    FT_KEY_P521,
    FT_KEY_ED25519,
    FT_KEY_TYPES
};

/* What a key is made of; everything is copied. */
struct ft_key_spec {
    enum ft_key_type type;
    struct ft_slice first;  /* the secret; RSA's modulus; x */
    struct ft_slice second; /* RSA's exponent; y */
    struct ft_slice kid;    /* absent: none */
    enum ft_alg alg;        /* FT_ALGS: what the type is for */
};

struct ft_key;

/* Makes a key. FT_ERR_BAD_FIELD: it is none, too weak to be used, or not for this algorithm. */
FT_MUST_USE enum ft_err ft_key_new(const struct ft_key_spec *spec, struct ft_key **key,
                                   struct ft_problem *problem);

void ft_key_free(struct ft_key *key); /* NULL is allowed */

/* Lends the key's id; absent: it has none. */
struct ft_slice ft_key_kid(const struct ft_key *key);

bool ft_key_is_for(const struct ft_key *key, enum ft_alg alg);

/* A token whose form was checked, apart. */
struct ft_signed {
    struct ft_slice token;     /* the whole text */
    struct ft_slice input;     /* what was signed: header, dot, payload */
    struct ft_slice signature; /* decoded */
};

/* Says whether the signature is this key's, by an algorithm that the key is for and that the header
 * names. */
bool ft_key_verify(const struct ft_key *key, enum ft_alg alg, const struct ft_signed *parts);

#endif
