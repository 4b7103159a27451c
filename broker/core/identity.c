/*
 * Identities: the rules of one user, tried one after the other. A token has few of them, and a look
 * into an index would cost more than comparing a handful of levels. Pure: whether the hour of
 * `expires_ms` has come is for the caller to see.
 */
#include "broker/core/identity.h"

#include "broker/base/alloc.h"
#include "protocol/topic.h"

#include <stdlib.h>

/* Filters one behind the other, each with its length, which fits a byte, in front. */
struct rules {
    uint8_t *bytes;
    size_t len, cap;
};

_Static_assert(FT_TOPIC_BYTES_MAX <= UINT8_MAX, "the length of a filter fits a byte");

struct ft_identity {
    struct ft_identity_spec spec;
    struct rules rules[FT_RIGHTS];
    uint32_t refs;
};

struct ft_identity *ft_identity_new(const struct ft_identity_spec *spec)
{
    struct ft_identity *identity = ft_alloc_zero(sizeof(*identity));
    identity->spec = *spec;
    identity->refs = 1;
    if (spec->user.ptr) {
        uint8_t *user = ft_alloc(spec->user.len + 1);
        memcpy(user, spec->user.ptr, spec->user.len);
        identity->spec.user.ptr = user;
    }
    return identity;
}

struct ft_identity *ft_identity_ref(struct ft_identity *identity)
{
    identity->refs++;
    return identity;
}

void ft_identity_unref(struct ft_identity *identity)
{
    if (!identity || --identity->refs > 0)
        return;
    for (int right = 0; right < FT_RIGHTS; right++)
        free(identity->rules[right].bytes);
    free((void *)identity->spec.user.ptr);
    free(identity);
}

/* ---- rules ---- */

static bool stands_for_user(struct ft_slice level)
{
    return ft_slice_equal(level, ft_slice_str("%u"));
}

/* Says whether the user can be one whole level of a filter, the first one or another. A topic that
 * begins with '$' is the broker's: nobody gets there by the choice of a name. */
static bool can_be_level(struct ft_slice user, bool is_first)
{
    if (ft_topic_check(user, NULL) != FT_OK || memchr(user.ptr, '/', user.len))
        return false;
    return !is_first || !ft_topic_is_reserved(user);
}

/* Writes the rule with the user in place of each %u. Returns its length, or 0: it grants nothing. */
static size_t put_user(struct ft_slice rule, struct ft_slice user, uint8_t out[FT_TOPIC_BYTES_MAX])
{
    size_t len = 0, at = 0;
    struct ft_slice level;
    for (bool is_first = true; ft_topic_next_level(rule, &at, &level); is_first = false) {
        if (stands_for_user(level)) {
            if (!can_be_level(user, is_first))
                return 0;
            level = user;
        }
        if (len + !is_first + level.len > FT_TOPIC_BYTES_MAX)
            return 0; /* no topic is that long */
        if (!is_first)
            out[len++] = '/';
        if (level.len > 0)
            memcpy(out + len, level.ptr, level.len);
        len += level.len;
    }
    return len;
}

static void add(struct rules *rules, struct ft_slice filter)
{
    if (rules->cap - rules->len < 1 + filter.len) {
        rules->cap = 2 * rules->cap + 1 + filter.len;
        rules->bytes = ft_realloc(rules->bytes, rules->cap);
    }
    rules->bytes[rules->len++] = (uint8_t)filter.len;
    memcpy(rules->bytes + rules->len, filter.ptr, filter.len);
    rules->len += filter.len;
}

static bool next_rule(const struct rules *rules, size_t *at, struct ft_slice *filter)
{
    if (*at == rules->len)
        return false;
    *filter = ft_slice(rules->bytes + *at + 1, rules->bytes[*at]);
    *at += 1 + filter->len;
    return true;
}

enum ft_err ft_identity_allow(struct ft_identity *identity, enum ft_right right,
                              struct ft_slice rule, struct ft_problem *problem)
{
    enum ft_err err = ft_filter_check(rule, problem);
    if (err)
        return err;
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t len = put_user(rule, identity->spec.user, text);
    if (len > 0)
        add(&identity->rules[right], ft_slice(text, len));
    return FT_OK;
}

/* ---- questions ---- */

struct ft_slice ft_identity_user(const struct ft_identity *identity)
{
    return identity->spec.user;
}

uint64_t ft_identity_expires_ms(const struct ft_identity *identity)
{
    return identity->spec.expires_ms;
}

bool ft_identity_is_admin(const struct ft_identity *identity)
{
    return identity->spec.is_admin;
}

/* Says whether a filter is $sys or below it. No wildcard reaches there from elsewhere. */
static bool is_of_the_system(struct ft_slice filter)
{
    size_t at = 0;
    struct ft_slice first;
    return ft_topic_next_level(filter, &at, &first) && ft_slice_equal(first, ft_slice_str("$sys"));
}

bool ft_identity_may_sub(const struct ft_identity *identity, struct ft_slice filter)
{
    if (is_of_the_system(filter))
        return identity->spec.is_admin;
    if (identity->spec.may_everything)
        return true;
    size_t at = 0;
    struct ft_slice rule;
    while (next_rule(&identity->rules[FT_RIGHT_SUB], &at, &rule))
        if (ft_filter_covers(rule, filter))
            return true;
    return false;
}

bool ft_identity_may_pub(const struct ft_identity *identity, struct ft_slice topic)
{
    if (ft_topic_is_reserved(topic))
        return false;
    if (identity->spec.may_everything)
        return true;
    size_t at = 0;
    struct ft_slice rule;
    while (next_rule(&identity->rules[FT_RIGHT_PUB], &at, &rule))
        if (ft_filter_matches(rule, topic))
            return true;
    return false;
}
