/*
 * Signed texts in compact form (RFC 7515): three parts in base64url with dots between.
 *
 *     header . payload . signature
 *
 * Knows nothing of what the payload means; that is claims.h.
 */
#ifndef FT_AUTH_JWS_H
#define FT_AUTH_JWS_H

#include "broker/auth/keys.h"

/* Longest token. The tokens of identity providers have one to two thousand bytes. */
#define FT_TOKEN_MAX 8192

/* Room for each of its parts, decoded. */
#define FT_TOKEN_PART_MAX (FT_TOKEN_MAX / 4 * 3 + 2)

/*
 * Checks the form, then the signature, and decodes the payload into `out` of FT_TOKEN_PART_MAX bytes. The
 * form is strict: canonical base64url; a header that is an object without a key twice, has `alg`, and
 * has neither `crit` nor `b64` (extensions that would have to be understood) nor `cty` JWT (a token in a
 * token). Keys and addresses in the header (jwk, jku, x5c, x5u) are not looked at.
 *
 * A `kid` is an exact text: where keys have that id, only these are tried; else those that have no id, such
 * as the secret and PEM files; never one with another id. Without a `kid` every key is. Of these, only the
 * keys for the algorithm that the header names. FT_ERR_UNAUTHORIZED says what is wrong.
 */
FT_MUST_USE enum ft_err ft_jws_verify(const struct ft_keys *keys, struct ft_slice token,
                                      uint8_t *out, struct ft_slice *payload,
                                      struct ft_problem *problem);

#endif
