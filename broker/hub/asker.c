/* Askers: how they begin and end, and what they are held to. The worker's thread. */
#include "broker/hub/asker.h"

#include "broker/base/alloc.h"
#include "broker/hub/presence.h"
#include "broker/hub/worker.h"

#include <stdlib.h>

void ft_asker_init(struct ft_asker *asker, struct ft_worker *worker, const struct ft_asker_ops *ops,
                   struct ft_identity *who)
{
    asker->worker = worker;
    asker->ops = ops;
    asker->who = who;
}

void ft_asker_fini(struct ft_asker *asker)
{
    ft_worker_forget_pending(asker);
    ft_presence_forget(asker);
    ft_identity_unref(asker->who);
    asker->who = NULL;
    for (int kind = 0; kind < FT_QUOTA_KINDS; kind++)
        ft_quota_release(ft_asker_share(asker, (enum ft_quota_kind)kind));
    free(asker->account);
    asker->account = NULL;
}

struct ft_account *ft_asker_account(struct ft_asker *asker)
{
    if (!asker->account)
        asker->account = ft_alloc_zero(sizeof(*asker->account));
    return asker->account;
}

void ft_asker_limit(struct ft_asker *asker, enum ft_quota_kind kind, struct ft_quota_share *share)
{
    if (!share)
        return;
    struct ft_account *account = ft_asker_account(asker);
    FT_ASSERT(!account->shares[kind]);
    account->shares[kind] = share;
}

struct ft_quota_share *ft_asker_share(const struct ft_asker *asker, enum ft_quota_kind kind)
{
    return asker->account ? asker->account->shares[kind] : NULL;
}

enum ft_err ft_asker_pass(struct ft_asker *asker, enum ft_quota_rate what,
                          struct ft_problem *problem)
{
    uint64_t now_us = asker->worker->mono_ms * 1000;
    uint32_t retry_ms = 0;
    /* The user first: what one is refused must not count for all who share the address. */
    for (int kind = FT_QUOTA_KINDS - 1; kind >= 0; kind--) {
        struct ft_quota_share *share = ft_asker_share(asker, (enum ft_quota_kind)kind);
        enum ft_err err = ft_quota_pass(share, what, now_us, &retry_ms, problem);
        if (err == FT_OK)
            continue;
        if (problem)
            problem->retry_ms = retry_ms;
        return err;
    }
    return FT_OK;
}

enum ft_err ft_admit_user(struct ft_worker *worker, const struct ft_identity *who,
                          struct ft_quota_share **share, struct ft_problem *problem)
{
    struct ft_quota_share *user =
        ft_quota_share(worker->hub->quotas, FT_QUOTA_USER, ft_identity_user(who));
    enum ft_err err = ft_quota_take(user, FT_QUOTA_CONNECTIONS, 1, problem);
    if (err != FT_OK) {
        ft_quota_release(user);
        return err;
    }
    *share = user;
    return FT_OK;
}
