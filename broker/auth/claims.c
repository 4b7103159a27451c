/*
 * From the payload of a token to an identity. Strict about types: a claim of the wrong one refuses the
 * token, it is never passed by. Any thread.
 */
#include "broker/auth/claims.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "broker/auth/json.h"
#include "broker/base/alloc.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

/* The largest time that we count in milliseconds: a whole number that JSON carries to every client. */
#define TIME_MS_MAX 9007199254740991.0

struct ft_claims {
    atomic_uint refs;
    uint64_t expires_ms, not_before_ms; /* 0: never, always */
    bool is_admin, has_user;
    uint8_t user_len;
    size_t len; /* of what follows: the user; then of each filter its right, its length, its text */
    uint8_t bytes[]; /* never longer than the payload: there each text has quotes and a comma */
};

static enum ft_err refuse(struct ft_problem *problem, const char *claim, const char *wanted)
{
    return ft_problem_set(problem, FT_ERR_UNAUTHORIZED, "the token's \"%s\" is not %s", claim,
                          wanted);
}

/* ---- time ---- */

/* Reads a NumericDate as milliseconds, 1 for what is before 1970. 0: there is none. */
static enum ft_err read_time(const json_t *object, const char *name, uint64_t *ms,
                             struct ft_problem *problem)
{
    const json_t *value = json_object_get(object, name);
    *ms = 0;
    if (!value)
        return FT_OK;
    if (!json_is_real(value))
        return refuse(problem, name, "a number of seconds since 1970");
    double exact = json_real_value(value) * 1000;
    *ms = exact < 1 ? 1 : exact > TIME_MS_MAX ? (uint64_t)TIME_MS_MAX : (uint64_t)exact;
    return FT_OK;
}

static enum ft_err read_times(struct ft_claims *claims, const json_t *object,
                              struct ft_problem *problem)
{
    uint64_t issued_ms; /* says when, not whether */
    enum ft_err err = read_time(object, "exp", &claims->expires_ms, problem);
    if (!err)
        err = read_time(object, "nbf", &claims->not_before_ms, problem);
    return err ? err : read_time(object, "iat", &issued_ms, problem);
}

enum ft_err ft_claims_check_time(const struct ft_claims *claims, uint64_t now_ms,
                                 uint32_t leeway_ms, struct ft_problem *problem)
{
    if (claims->expires_ms && now_ms >= claims->expires_ms + leeway_ms)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED, "the token expired %llu s ago",
                              (unsigned long long)((now_ms - claims->expires_ms) / 1000));
    if (claims->not_before_ms > now_ms + leeway_ms)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              "the token is not valid yet (\"nbf\"): only in %llu s",
                              (unsigned long long)((claims->not_before_ms - now_ms + 999) / 1000));
    return FT_OK;
}

/* ---- who from, who for, who ---- */

static enum ft_err check_issuer(const json_t *object, const struct ft_claims_wanted *wanted,
                                struct ft_problem *problem)
{
    const json_t *issuer = json_object_get(object, "iss");
    char quoted[FT_QUOTE_MAX];
    if (issuer && !json_is_string(issuer))
        return refuse(problem, "iss", "a string");
    if (!wanted->issuer)
        return FT_OK;
    if (!issuer)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              "the token has no \"iss\"; its issuer must be %s",
                              ft_quote(ft_slice_str(wanted->issuer), quoted));
    if (!ft_slice_equal(ft_auth_json_text(issuer), ft_slice_str(wanted->issuer)))
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              "the token's issuer is %s, which is not the one that is trusted here",
                              ft_quote(ft_auth_json_text(issuer), quoted));
    return FT_OK;
}

static bool is_wanted(const json_t *audience, const struct ft_claims_wanted *wanted)
{
    for (size_t i = 0; i < wanted->audience_count; i++)
        if (ft_slice_equal(ft_auth_json_text(audience), ft_slice_str(wanted->audiences[i])))
            return true;
    return false;
}

/* RFC 7519 section 4.1.3: who does not find itself in `aud` must refuse the token, so a broker without
 * a name of its own refuses every token that has one. */
static enum ft_err check_audience(const json_t *object, const struct ft_claims_wanted *wanted,
                                  struct ft_problem *problem)
{
    const json_t *audience = json_object_get(object, "aud");
    if (!audience)
        return wanted->audience_count == 0
                   ? FT_OK
                   : refuse(problem, "aud", "there; it must name this service");
    bool is_ours = is_wanted(audience, wanted);
    if (!json_is_string(audience) && !json_is_array(audience))
        return refuse(problem, "aud", "a string or an array of strings");
    for (size_t i = 0; i < json_array_size(audience); i++) {
        if (!json_is_string(json_array_get(audience, i)))
            return refuse(problem, "aud", "a string or an array of strings");
        is_ours |= is_wanted(json_array_get(audience, i), wanted);
    }
    if (is_ours)
        return FT_OK;
    if (wanted->audience_count == 0)
        return refuse(problem, "aud", "for this broker, which has no auth.audience of its own");
    return refuse(problem, "aud", "one that this broker is");
}

static void keep(struct ft_claims *claims, struct ft_slice text)
{
    memcpy(claims->bytes + claims->len, text.ptr, text.len);
    claims->len += text.len;
}

static enum ft_err read_user(struct ft_claims *claims, const json_t *object,
                             struct ft_problem *problem)
{
    const json_t *user = json_object_get(object, "sub");
    const json_t *id = json_object_get(object, "jti");
    if (id && !json_is_string(id))
        return refuse(problem, "jti", "a string");
    if (!user)
        return FT_OK;
    struct ft_slice text = ft_auth_json_text(user);
    if (!text.ptr || text.len == 0 || text.len > FT_USER_MAX)
        return refuse(problem, "sub", "a string of 1 to 255 bytes");
    claims->has_user = true;
    claims->user_len = (uint8_t)text.len;
    keep(claims, text);
    return FT_OK;
}

/* ---- permissions ---- */

static enum ft_err read_filters(struct ft_claims *claims, enum ft_right right, const json_t *list,
                                struct ft_problem *problem)
{
    static const char *const names[FT_RIGHTS] = {
        [FT_RIGHT_SUB] = "fantail.sub", [FT_RIGHT_PUB] = "fantail.pub"};
    if (list && !json_is_array(list))
        return refuse(problem, names[right], "an array of filters");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct ft_slice text = ft_auth_json_text(json_array_get(list, i));
        char quoted[FT_QUOTE_MAX];
        if (!text.ptr)
            return refuse(problem, names[right], "an array of strings");
        if (ft_filter_check(text, NULL) != FT_OK)
            return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                                  "the token's \"%s\" holds %s, which is no filter", names[right],
                                  ft_quote(text, quoted));
        claims->bytes[claims->len++] = (uint8_t)right;
        claims->bytes[claims->len++] = (uint8_t)text.len;
        keep(claims, text);
    }
    return FT_OK;
}

static enum ft_err read_permissions(struct ft_claims *claims, const json_t *object,
                                    struct ft_problem *problem)
{
    const json_t *own = json_object_get(object, "fantail");
    if (!own)
        return FT_OK;
    if (!json_is_object(own))
        return refuse(problem, "fantail", "an object");
    const json_t *sub = json_object_get(own, "sub");
    const json_t *pub = json_object_get(own, "pub");
    const json_t *admin = json_object_get(own, "admin");
    if (admin && !json_is_boolean(admin))
        return refuse(problem, "fantail.admin", "true or false");
    claims->is_admin = json_is_true(admin);
    enum ft_err err = read_filters(claims, FT_RIGHT_SUB, sub, problem);
    return err ? err : read_filters(claims, FT_RIGHT_PUB, pub, problem);
}

/* ---- all of it ---- */

static enum ft_err read_all(struct ft_claims *claims, const json_t *object,
                            const struct ft_claims_wanted *wanted, struct ft_problem *problem)
{
    enum ft_err err = read_times(claims, object, problem);
    if (!err)
        err = check_issuer(object, wanted, problem);
    if (!err)
        err = check_audience(object, wanted, problem);
    if (!err)
        err = read_user(claims, object, problem);
    return err ? err : read_permissions(claims, object, problem);
}

enum ft_err ft_claims_read(struct ft_slice payload, const struct ft_claims_wanted *wanted,
                           struct ft_claims **claims, struct ft_problem *problem)
{
    json_t *object = ft_auth_json(payload);
    if (!object)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              "the token's claims are not a JSON object with each key once");
    struct ft_claims *made = ft_alloc_zero(sizeof(*made) + payload.len);
    atomic_init(&made->refs, 1);
    enum ft_err err = read_all(made, object, wanted, problem);
    json_decref(object);
    if (err)
        ft_claims_unref(made);
    else
        *claims = made;
    return err;
}

struct ft_claims *ft_claims_ref(struct ft_claims *claims)
{
    atomic_fetch_add_explicit(&claims->refs, 1, memory_order_relaxed);
    return claims;
}

void ft_claims_unref(struct ft_claims *claims)
{
    if (!claims || atomic_fetch_sub_explicit(&claims->refs, 1, memory_order_acq_rel) > 1)
        return;
    free(claims);
}

struct ft_identity *ft_claims_identity(const struct ft_claims *claims, bool may_everything)
{
    struct ft_identity *identity = ft_identity_new(&(struct ft_identity_spec){
        .user = ft_slice(claims->has_user ? claims->bytes : NULL, claims->user_len),
        .expires_ms = claims->expires_ms,
        .is_admin = claims->is_admin,
        .may_everything = may_everything,
    });
    for (size_t at = claims->user_len; at < claims->len;) {
        enum ft_right right = claims->bytes[at++];
        struct ft_slice filter = ft_slice(claims->bytes + at + 1, claims->bytes[at]);
        enum ft_err err = ft_identity_allow(identity, right, filter, NULL);
        FT_ASSERT(err == FT_OK); /* it was checked when it was read */
        at += 1 + filter.len;
    }
    return identity;
}
