/*
 * What a token says (RFC 7519 section 4, SPEC.md section 8), once its signature was checked. Immutable and
 * counted with atomics: what was verified once may be used by every thread.
 */
#ifndef FT_AUTH_CLAIMS_H
#define FT_AUTH_CLAIMS_H

#include <stdint.h>

#include "broker/core/identity.h"

/* Longest user, in bytes: what is longer could be no level of a topic. */
#define FT_USER_MAX 255

struct ft_claims;

/* Who the tokens must come from and be for. Lent. */
struct ft_claims_wanted {
    const char *issuer; /* NULL: any */
    char *const *audiences;
    size_t audience_count; /* 0: a token that is for somebody in particular is not for us */
};

/*
 * Reads the payload and checks all that does not depend on the time: types of every claim that is known
 * here, `iss`, `aud`, the filters. Claims that are not known are passed by; without `exp` a token never
 * expires. Times may be fractions, and whatever a float64 holds. FT_ERR_UNAUTHORIZED says what is wrong.
 */
FT_MUST_USE enum ft_err ft_claims_read(struct ft_slice payload,
                                       const struct ft_claims_wanted *wanted,
                                       struct ft_claims **claims, struct ft_problem *problem);

struct ft_claims *ft_claims_ref(struct ft_claims *claims);
void ft_claims_unref(struct ft_claims *claims); /* NULL is allowed */

/* Checks `nbf` and `exp` with a leeway for both. FT_ERR_UNAUTHORIZED says by how much they are missed. */
FT_MUST_USE enum ft_err ft_claims_check_time(const struct ft_claims *claims, uint64_t now_ms,
                                             uint32_t leeway_ms, struct ft_problem *problem);

/* Makes the identity: its filters are the claims', and it expires at `exp` sharp. */
struct ft_identity *ft_claims_identity(const struct ft_claims *claims, bool may_everything);

#endif
