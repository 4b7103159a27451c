/* Takes entries from the journal to the outboxes of the sessions that match: the fan-out. */
#ifndef FT_HUB_ROUTER_H
#define FT_HUB_ROUTER_H

#include "broker/hub/worker.h"

/*
 * Fans out from the worker's cursor on, up to the head of the journal or about `bytes` of frames per
 * session. Returns true when the head was reached.
 */
bool ft_router_run(struct ft_worker *worker, size_t bytes);

#endif
