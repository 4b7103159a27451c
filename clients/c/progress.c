/*
 * Positions that several subscriptions share. Does not know who they are. Pure; the client's thread.
 */
#include "clients/c/progress.h"

#include <stdlib.h>

#include "broker/base/alloc.h"

struct ft_progress *ft_progress_new(const struct ft_positions *at)
{
    struct ft_progress *progress = ft_alloc_zero(sizeof(*progress));
    progress->refs_ = 1;
    if (at)
        ft_positions_raise_all(&progress->at, at);
    return progress;
}

struct ft_progress *ft_progress_ref(struct ft_progress *progress)
{
    progress->refs_++;
    return progress;
}

void ft_progress_unref(struct ft_progress *progress)
{
    if (!progress || --progress->refs_ > 0)
        return;
    ft_positions_fini(&progress->at);
    free(progress);
}

void ft_progress_restart(struct ft_progress *progress, const struct ft_positions *at)
{
    ft_positions_clear(&progress->at);
    ft_positions_raise_all(&progress->at, at);
}
