/*
 * The gate: which kind of credential it is, what it is checked with, what comes out. Which snapshot holds
 * is under a lock that is held for a reference only. Workers check; the main thread configures.
 */
#include "broker/auth/gate.h"

#include <pthread.h>
#include <stdlib.h>

#include "broker/auth/jws.h"
#include "broker/auth/snapshot.h"
#include "broker/base/alloc.h"

struct ft_auth {
    pthread_mutex_t lock;
    struct ft_snapshot *now; /* under the lock */
};

static struct ft_snapshot *take(struct ft_auth *auth)
{
    pthread_mutex_lock(&auth->lock);
    struct ft_snapshot *snapshot = ft_snapshot_ref(auth->now);
    pthread_mutex_unlock(&auth->lock);
    return snapshot;
}

enum ft_err ft_auth_new(const struct ft_auth_options *options, struct ft_auth **auth,
                        struct ft_problem *problem)
{
    struct ft_snapshot *snapshot;
    enum ft_err err = ft_snapshot_new(options, &snapshot, problem);
    if (err)
        return err;
    struct ft_auth *made = ft_alloc_zero(sizeof(*made));
    pthread_mutex_init(&made->lock, NULL);
    made->now = snapshot;
    *auth = made;
    return FT_OK;
}

enum ft_err ft_auth_configure(struct ft_auth *auth, const struct ft_auth_options *options,
                              struct ft_problem *problem)
{
    struct ft_snapshot *next;
    enum ft_err err = ft_snapshot_new(options, &next, problem);
    if (err)
        return err;
    pthread_mutex_lock(&auth->lock);
    struct ft_snapshot *before = auth->now;
    auth->now = next;
    pthread_mutex_unlock(&auth->lock);
    ft_snapshot_unref(before);
    return FT_OK;
}

void ft_auth_free(struct ft_auth *auth)
{
    if (!auth)
        return;
    ft_snapshot_unref(auth->now);
    pthread_mutex_destroy(&auth->lock);
    free(auth);
}

/* ---- checking ---- */

/* Verifies a token, or remembers that it was. */
static enum ft_err read_token(struct ft_snapshot *snapshot, struct ft_slice token,
                              struct ft_claims **claims, struct ft_problem *problem)
{
    struct ft_token_hash hash = ft_token_hash(token);
    *claims = ft_token_cache_find(snapshot->cache, &hash);
    if (*claims)
        return FT_OK;
    uint8_t bytes[FT_TOKEN_PART_MAX];
    struct ft_slice payload;
    enum ft_err err = ft_jws_verify(&snapshot->keys, token, bytes, &payload, problem);
    if (err)
        return err;
    struct ft_claims_wanted wanted = {
        .issuer = snapshot->issuer,
        .audiences = snapshot->audiences.items,
        .audience_count = snapshot->audiences.count,
    };
    err = ft_claims_read(payload, &wanted, claims, problem);
    if (!err)
        ft_token_cache_add(snapshot->cache, &hash, token.len, *claims);
    return err;
}

static enum ft_err check_token(struct ft_snapshot *snapshot, struct ft_slice token, uint64_t now_ms,
                               struct ft_identity **who, struct ft_problem *problem)
{
    struct ft_claims *claims;
    enum ft_err err = read_token(snapshot, token, &claims, problem);
    if (err)
        return err;
    err = ft_claims_check_time(claims, now_ms, snapshot->leeway_ms, problem);
    if (!err) {
        *who = ft_claims_identity(claims, snapshot->mode == FT_AUTH_NONE);
        ft_snapshot_allow(*who, snapshot->user);
    }
    ft_claims_unref(claims);
    return err;
}

static enum ft_err check_api_key(const struct ft_snapshot *snapshot, enum ft_token_place place,
                                 struct ft_slice key, struct ft_identity **who,
                                 struct ft_problem *problem)
{
    /* Elsewhere it would end up in histories, in logs of proxies, or with a browser's user. */
    if (place != FT_TOKEN_HEADER)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              "an API key is taken from the header Authorization: Bearer only");
    struct ft_identity *found =
        ft_api_keys_find(snapshot->api_keys, key, snapshot->mode == FT_AUTH_NONE);
    if (!found)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED, "the API key is not known here");
    *who = found;
    return FT_OK;
}

static struct ft_identity *open_identity(bool is_admin)
{
    return ft_identity_new(
        &(struct ft_identity_spec){.is_admin = is_admin, .may_everything = true});
}

static enum ft_err check_with(struct ft_snapshot *snapshot, enum ft_token_place place,
                              struct ft_slice token, uint64_t now_ms, struct ft_identity **who,
                              struct ft_problem *problem)
{
    bool is_key = ft_api_key_is_one(token);
    bool has_means = is_key ? snapshot->api_keys != NULL : snapshot->keys.count > 0;
    if (!has_means && snapshot->mode == FT_AUTH_NONE) {
        *who = open_identity(false);
        return FT_OK;
    }
    if (!has_means)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              is_key ? "there are no API keys here" : "tokens are not taken here");
    if (is_key)
        return check_api_key(snapshot, place, token, who, problem);
    return check_token(snapshot, token, now_ms, who, problem);
}

static enum ft_err check(void *gate, enum ft_token_place place, struct ft_slice token,
                         uint64_t now_ms, struct ft_identity **who, struct ft_problem *problem)
{
    struct ft_snapshot *snapshot = take(gate);
    enum ft_err err = check_with(snapshot, place, token, now_ms, who, problem);
    ft_snapshot_unref(snapshot);
    return err;
}

/* ---- without a token ---- */

static struct ft_identity *anonymous(void *gate, bool is_local)
{
    struct ft_snapshot *snapshot = take(gate);
    struct ft_identity *who = NULL;
    if (snapshot->mode == FT_AUTH_NONE) {
        who = open_identity(is_local);
    } else if (snapshot->anonymous[FT_RIGHT_SUB].count + snapshot->anonymous[FT_RIGHT_PUB].count) {
        who = ft_identity_new(&(struct ft_identity_spec){0});
        ft_snapshot_allow(who, snapshot->anonymous);
    }
    ft_snapshot_unref(snapshot);
    return who;
}

static uint32_t grace_ms(void *gate)
{
    struct ft_snapshot *snapshot = take(gate);
    uint32_t ms = snapshot->grace_ms;
    ft_snapshot_unref(snapshot);
    return ms;
}

const struct ft_gate_ops *ft_auth_gate_ops(void)
{
    static const struct ft_gate_ops ops = {
        .check = check, .anonymous = anonymous, .grace_ms = grace_ms};
    return &ops;
}
