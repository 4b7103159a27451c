/* Askers: how they begin and end. The worker's thread. */
#include "broker/hub/asker.h"

#include "broker/hub/worker.h"

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
    ft_identity_unref(asker->who);
    asker->who = NULL;
}
