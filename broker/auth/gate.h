/*
 * Checks credentials: JSON Web Tokens (RFC 7519, signed as RFC 7515 has it) and API keys, against what the
 * operator configured. It is what broker/app/ gives to the hub as the port of broker/hub/gate.h.
 *
 *     token ──▶ jws: form, header, key, signature ──▶ claims: types, times, issuer ──▶ identity
 *     fk_…  ──▶ api_keys: SHA-256, look-up ─────────────────────────────────────────▶ identity
 *
 * What it was configured with is one immutable snapshot, counted: workers verify at the same time, and a
 * reload puts another snapshot in its place. Tokens, keys and secrets are never logged or shown.
 */
#ifndef FT_AUTH_GATE_H
#define FT_AUTH_GATE_H

#include "broker/hub/gate.h"

struct ft_auth;

enum ft_auth_mode {
    FT_AUTH_NONE, /* a token is not needed: everybody may everything; see ft_auth_gate_ops() */
    FT_AUTH_TOKEN
};

/* A list of texts that somebody else owns. */
struct ft_auth_texts {
    char *const *items;
    size_t count;
};

/* Everything is copied or read within the call that it is given to. NULL and "" are "not set". */
struct ft_auth_options {
    enum ft_auth_mode mode;
    const char *secret;             /* auth.secret: the HMAC key of HS256, 16 bytes at least */
    struct ft_auth_texts key_files; /* auth.keys: PEM (public keys, certificates), JWK or JWKS */
    const char *issuer;             /* auth.issuer: what `iss` must be */
    struct ft_auth_texts audiences; /* auth.audience: one of them must be in `aud` */
    uint32_t leeway_s;    /* auth.leeway: how far clocks may differ, for `exp` and `nbf` */
    uint32_t grace_s;     /* auth.grace */
    const char *api_keys; /* auth.api_keys: path of the file, see api_keys.h */

    /* Filters for those without a token; and, beside their own, for all with one (%u is the user). */
    struct ft_auth_texts anonymous_sub, anonymous_pub;
    struct ft_auth_texts user_sub, user_pub;
};

/*
 * Makes a gate; reads the files. FT_ERR_BAD_FIELD says which option is wrong, and how: the sentence begins
 * with its name ("auth.keys: …"). In mode token there must be something to check with, or something
 * that is allowed without a token. Warns in the log about what is weak but allowed.
 */
FT_MUST_USE enum ft_err ft_auth_new(const struct ft_auth_options *options, struct ft_auth **auth,
                                    struct ft_problem *problem);

/*
 * Reads everything again and goes over to it; what was verified before is forgotten. On failure, as
 * ft_auth_new(), nothing has changed. One thread at a time; workers may be verifying.
 */
FT_MUST_USE enum ft_err ft_auth_configure(struct ft_auth *auth,
                                          const struct ft_auth_options *options,
                                          struct ft_problem *problem);

/* Frees the gate; no check may be under way. NULL is allowed. */
void ft_auth_free(struct ft_auth *auth);

/*
 * The port; its first argument is the struct ft_auth.
 *
 * In mode none an identity may do everything, and anonymous local ones are admins. Tokens are verified
 * nevertheless where there is a key to do it with, so that there are users and expiry; where there is
 * none they are ignored, and the identity is nobody in particular and no admin. The same for API keys.
 */
const struct ft_gate_ops *ft_auth_gate_ops(void);

#endif
