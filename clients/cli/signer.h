/*
 * Signs tokens for `fantail token`: with a secret, or with a private key from PEM or a JWK. The key decides
 * about the algorithm: HS256; RS256 (PS256 for an RSA-PSS key, or where asked for); ES256, ES384, ES512 by
 * the curve; EdDSA.
 */
#ifndef FT_CLI_SIGNER_H
#define FT_CLI_SIGNER_H

#include "protocol/error.h"
#include "protocol/slice.h"

struct ft_signer;

/* Shortest secret that a broker takes. */
#define FT_SIGNER_SECRET_MIN 16

/* Makes a signer with a secret, which is copied. FT_ERR_BAD_FIELD: it is too short. */
FT_MUST_USE enum ft_err ft_signer_new_secret(struct ft_slice secret, struct ft_signer **signer,
                                             struct ft_problem *problem);

/* Makes a signer from the text of a key file. FT_ERR_BAD_FIELD says what is wrong with it. */
FT_MUST_USE enum ft_err ft_signer_new_key(struct ft_slice text, struct ft_signer **signer,
                                          struct ft_problem *problem);

/* Makes an RSA signer use PS256; false: its key is of another type. */
FT_MUST_USE bool ft_signer_use_pss(struct ft_signer *signer);

void ft_signer_free(struct ft_signer *signer); /* NULL is allowed */

/* "HS256" and so on. */
const char *ft_signer_alg(const struct ft_signer *signer);

/* Returns the token for a header and claims, both JSON text; free() frees it. NULL: OpenSSL failed. */
char *ft_signer_sign(const struct ft_signer *signer, const char *header, const char *claims);

#endif
