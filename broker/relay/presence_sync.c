/*
 * Is what Redis has of this node what it should have? After a connection was lost the node's index is looked
 * through for clients that have left meanwhile. And once a second it is counted: where there are too few, Redis
 * was emptied, or another node took this one for dead, and all are registered again.
 */
#include "broker/relay/presence_private.h"

#include "broker/base/log.h"

#include <hiredis/hiredis.h>

#define COUNT_EVERY_MS 1000

/* Entries that Redis looks at for one answer. */
#define PAGE "500"

/* ---- counting ---- */

static void on_count(void *context, const redisReply *reply)
{
    struct ft_here *here = context;
    here->is_counting = false;
    if (!reply || reply->type != REDIS_REPLY_INTEGER || here->counted_round != here->round ||
        reply->integer >= here->counted)
        return;
    ft_log(FT_LOG_WARN, "presence_lost", "clients=%u in_redis=%lld", here->counted, reply->integer);
    ft_here_restart(here);
}

static void count(struct ft_here *here)
{
    struct ft_presences *p = here->all;
    if (here->is_counting || here->registered == 0 || p->relay->now_ms < here->count_at_ms)
        return;
    here->count_at_ms = p->relay->now_ms + COUNT_EVERY_MS;
    here->counted = here->registered;
    here->counted_round = here->round;
    ft_here_begin(p, 2);
    ft_command_str(&p->command, "SCARD");
    ft_here_add_index(p, p->relay->instance);
    here->is_counting = ft_here_send(here, on_count, here);
}

/* ---- looking through ---- */

static void send_scan(struct ft_here *here, const char *cursor);

/* One that is in Redis and not here has left while nobody could be told. */
static void compare(struct ft_here *here, struct ft_slice entry)
{
    struct ft_presences *p = here->all;
    struct ft_slice topic;
    struct ft_present who;
    if (ft_entry_read(entry, &topic, &who) && ft_here_of(p, topic, NULL) == here &&
        !ft_presence_find(p->table, topic, who.session))
        ft_here_remove(here, topic, &who, true);
}

static void on_scan(void *context, const redisReply *reply)
{
    struct ft_here *here = context;
    here->is_syncing = false;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return; /* again in the next tick, or when the server is back */
    const redisReply *entries = reply->element[1];
    for (size_t i = 0; i < entries->elements; i++)
        if (entries->element[i]->type == REDIS_REPLY_STRING)
            compare(here, ft_slice(entries->element[i]->str, entries->element[i]->len));
    if (strcmp(reply->element[0]->str, "0") == 0)
        here->is_synced = true;
    else
        send_scan(here, reply->element[0]->str);
}

static void send_scan(struct ft_here *here, const char *cursor)
{
    struct ft_presences *p = here->all;
    ft_here_begin(p, 5);
    ft_command_str(&p->command, "SSCAN");
    ft_here_add_index(p, p->relay->instance);
    ft_command_str(&p->command, cursor);
    ft_command_str(&p->command, "COUNT");
    ft_command_str(&p->command, PAGE);
    here->is_syncing = ft_here_send(here, on_scan, here);
}

void ft_here_sync(struct ft_here *here)
{
    count(here);
    /* Leaves that are on their way are in the index still, and would be told twice. */
    if (!here->is_synced && !here->is_syncing && here->leaving == 0 && here->gone_count == 0)
        send_scan(here, "0");
}
