/*
 * Tokens for tests, made with OpenSSL alone and not by anything that is tested: well-formed ones, and ones
 * with whatever header, payload and signature a test wants.
 */
#ifndef FT_TESTS_TOKEN_H
#define FT_TESTS_TOKEN_H

#include "protocol/slice.h"

/* Keys of the tests, made at first use and the same ever after within a process. */
enum token_key { TOKEN_RSA, TOKEN_RSA_1024, TOKEN_P256, TOKEN_P384, TOKEN_ED25519, TOKEN_KEYS };

/* All of these return text that the caller frees. */

/* Puts base64url of header and claims together with an HMAC, `alg` "HS256", "HS384" or "HS512". */
char *token_hmac(const char *alg, struct ft_slice secret, const char *header, const char *claims);

/* Signs with a private key; `alg` as in RFC 7518, whatever the header says. */
char *token_sign(const char *alg, enum token_key key, const char *header, const char *claims);

/* Puts three parts together; the signature is given as bytes. */
char *token_parts(const char *header, const char *claims, struct ft_slice signature);

char *token_public_pem(enum token_key key);
char *token_private_pem(enum token_key key);

/* A self-signed certificate of the key. */
char *token_certificate(enum token_key key);

/* The public JWK, with `extra` members such as ",\"kid\":\"a\"" behind the others. */
char *token_jwk(enum token_key key, const char *extra);

#endif
