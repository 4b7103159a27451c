/*
 * What is known of one subscription. Private to subscriptions.c (its life) and ask.c (the requests).
 */
#ifndef FT_CLIENT_SUBSCRIPTION_H
#define FT_CLIENT_SUBSCRIPTION_H

#include <utlist.h>

#include "clients/c/progress.h"
#include "clients/c/subscriptions.h"

enum ft_step { FT_STEP_NEW, FT_STEP_ASKED, FT_STEP_LIVE, FT_STEP_STALE, FT_STEP_REFUSED };

struct fantail_subscription {
    struct ft_route route; /* first, so that a route is its subscription */
    struct fantail_subscribe_options options;
    fantail_message_fn *handler;
    void *user;
    enum ft_step step;
    bool was_answered; /* its owner knows how it went */
    bool is_alone;     /* a joint request was refused: ask for it by itself */
    bool is_joint;     /* ASKED: others are part of the same request */
    bool is_removed;
    bool is_merged;    /* while progress is put together */
    bool is_rewinding; /* older ones come first: `last` was asked for on this connection */
    uint64_t request;  /* ASKED: the number of the request that it is part of */
    uint64_t due_ms;   /* NEW, STALE: not before; 0: now */
    struct ft_progress *progress; /* how far it has come; NULL: it has not begun */
    struct ft_progress *start;    /* what it had before `progress` went back; may be NULL */
    struct ft_positions begin;    /* where its life began: older ones are not for it */
    struct fantail_subscription *prev, *next;
};

/* Says whether it is to be asked for. */
static inline bool ft_subscription_is_waiting(const struct fantail_subscription *sub)
{
    return !sub->is_removed && (sub->step == FT_STEP_NEW || sub->step == FT_STEP_STALE);
}

/* Takes the next step; keeps count of those that wait. */
static inline void ft_subscription_step(struct ft_subscriptions *subs,
                                        struct fantail_subscription *sub, enum ft_step step)
{
    subs->waiting -= ft_subscription_is_waiting(sub);
    sub->step = step;
    subs->waiting += ft_subscription_is_waiting(sub);
}

/* Gives it another progress; takes the share. */
static inline void ft_subscription_set(struct fantail_subscription *sub,
                                       struct ft_progress *progress)
{
    ft_progress_unref(sub->progress);
    sub->progress = progress;
}

/* Returns how many positions it is asked for with; 0: it starts live. */
static inline size_t ft_subscription_since(const struct fantail_subscription *sub)
{
    return sub->progress ? sub->progress->at.count : 0;
}

/* subscriptions.c: says how the resume went, once that is known. */
void ft_subscriptions_tell_resume(struct ft_subscriptions *subs, bool is_recovered);

#endif
