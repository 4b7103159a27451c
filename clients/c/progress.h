/*
 * How far subscriptions have come that go on together: the positions up to which each of them has got
 * everything, and from which a resume goes on for all of them.
 *
 *     progress ─▶ at: node-1.70 ───────▶ deliveries raise it; `since` when the connection is back
 *      ▲ ▲
 *      │ └── subscription a/#
 *      └──── subscription b      start: node-1.80, has had what is up to there from an older one
 *                                begin: node-1.60, nothing up to there is for it
 */
#ifndef FT_CLIENT_PROGRESS_H
#define FT_CLIENT_PROGRESS_H

#include "clients/c/positions.h"

struct ft_progress {
    unsigned refs_;
    struct ft_positions at;
};

/* Returns a progress at `at` (NULL: nowhere yet) that the caller owns a share of. */
struct ft_progress *ft_progress_new(const struct ft_positions *at);

/* Shares it; gives a share back (NULL is allowed). The last one frees it. */
struct ft_progress *ft_progress_ref(struct ft_progress *progress);
void ft_progress_unref(struct ft_progress *progress);

/* It is to begin at `at`, whatever was before. */
void ft_progress_restart(struct ft_progress *progress, const struct ft_positions *at);

#endif
