/*
 * The keys that tokens may be signed with: the secret, and those of files. Filled once, then read by any
 * number of threads.
 */
#ifndef FT_AUTH_KEYS_H
#define FT_AUTH_KEYS_H

#include "broker/auth/key.h"

/* A token without a `kid` is tried with every key of its algorithm, so there cannot be any number. */
#define FT_KEYS_MAX 64

struct ft_keys {
    struct ft_key *items[FT_KEYS_MAX];
    size_t count;
};

/* Makes a key and adds it. FT_ERR_BAD_FIELD as ft_key_new(), or there are too many. */
FT_MUST_USE enum ft_err ft_keys_add(struct ft_keys *keys, const struct ft_key_spec *spec,
                                    struct ft_problem *problem);

/*
 * Adds the keys of a file: PEM (public keys and certificates, whose dates and issuers do not count), a
 * JWK, or a JWKS (RFC 7517). Of the latter two, keys that are for something else (`use`, `key_ops`, an
 * unknown type, curve or algorithm) are passed by; one at least must be left. A private key is taken for
 * its public half, with a warning. FT_ERR_BAD_FIELD says what is wrong with the file.
 */
FT_MUST_USE enum ft_err ft_keys_read(struct ft_keys *keys, const char *path,
                                     struct ft_problem *problem);

/* Adds the keys of bytes that are such a file. */
FT_MUST_USE enum ft_err ft_keys_read_bytes(struct ft_keys *keys, struct ft_slice bytes,
                                           struct ft_problem *problem);

/* Frees the keys; the struct is empty then. */
void ft_keys_fini(struct ft_keys *keys);

/* ---- the parts of ft_keys_read_bytes() ---- */

FT_MUST_USE enum ft_err ft_keys_read_pem(struct ft_keys *keys, struct ft_slice bytes,
                                         struct ft_problem *problem);
FT_MUST_USE enum ft_err ft_keys_read_jwk(struct ft_keys *keys, struct ft_slice bytes,
                                         struct ft_problem *problem);

#endif
