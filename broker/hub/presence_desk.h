/* What the two files of presence in the hub share; see presence.h. */
#ifndef FT_HUB_PRESENCE_DESK_H
#define FT_HUB_PRESENCE_DESK_H

#include "broker/core/presence.h"
#include "broker/hub/presence.h"
#include "broker/hub/worker.h"

struct ft_presence_event;
struct ft_presence_query;

struct ft_hub_presence {
    pthread_mutex_t lock;
    struct ft_presence *table;
    bool is_full; /* and that is in the log */
};

/* A worker's. */
struct ft_presence_desk {
    struct ft_worker *worker;
    struct ft_flush telling, reconsidering;
    struct ft_presence_event *events, **events_end;
    struct ft_buffer text;
    uint32_t sessions_left; /* to be looked at since the policies have changed */

    struct ft_presence_query *queries; /* that the relay has */
    uint32_t query_count;
};

/* Says whether a filter is a topic that has presence. */
bool ft_presence_is_on(const struct ft_worker *worker, struct ft_slice filter);

#endif
