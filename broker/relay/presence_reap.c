/*
 * Nodes that are gone: every node looks for them, every two seconds. One that has no lease for a few seconds in a
 * row, while its server was reached, is dead, and who was present there leaves. A script removes entries and
 * hands each to one caller, who tells it; a bounded number at a time, until none is left. A node that was only frozen
 * notices that it was taken for dead, and registers its clients again (presence_sync.c).
 */
#include "broker/relay/presence_private.h"

#include "broker/base/log.h"
#include "protocol/quote.h"

#include <hiredis/hiredis.h>

#define LOOK_EVERY_MS 2000

/* After Redis itself was away leases may have run out that are about to be renewed. */
#define SURE_AFTER_MS 3000

/* Entries that one call removes: a few milliseconds of Redis. */
#define MOST "1000"

/* ---- suspects ---- */

static bool is_sure(const struct ft_here *here, uint32_t i)
{
    return here->all->relay->now_ms - here->suspects[i].since_ms >= SURE_AFTER_MS;
}

static void suspect(struct ft_here *here, const char *instance)
{
    uint32_t i = 0;
    while (i < here->suspect_count &&
           memcmp(here->suspects[i].instance, instance, FT_INSTANCE_LEN) != 0)
        i++;
    if (i == FT_SUSPECTS_MAX)
        return;
    if (i == here->suspect_count) {
        memcpy(here->suspects[i].instance, instance, FT_INSTANCE_LEN);
        here->suspects[i].since_ms = here->all->relay->now_ms;
        here->suspect_count++;
    }
    here->suspects[i].is_seen = true;
}

/* Goes by the dead ones of an answer: who is not among them lives, or is buried. */
static void note_dead(struct ft_here *here, const redisReply *dead)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < here->suspect_count; i++)
        here->suspects[i].is_seen = false;
    for (size_t i = 0; i < dead->elements; i++) {
        const redisReply *name = dead->element[i];
        if (name->type == REDIS_REPLY_STRING && name->len == FT_INSTANCE_LEN &&
            memcmp(name->str, here->all->relay->instance, FT_INSTANCE_LEN) != 0)
            suspect(here, name->str);
    }
    for (uint32_t i = 0; i < here->suspect_count; i++)
        if (here->suspects[i].is_seen)
            here->suspects[kept++] = here->suspects[i];
    here->suspect_count = kept;
}

/* ---- the script ---- */

static void send_reap(struct ft_here *here);

static void tell_left(struct ft_here *here, const redisReply *entries)
{
    for (size_t i = 0; i < entries->elements; i++) {
        struct ft_slice topic;
        struct ft_present who;
        const redisReply *entry = entries->element[i];
        if (entry->type != REDIS_REPLY_STRING ||
            !ft_entry_read(ft_slice(entry->str, entry->len), &topic, &who))
            continue;
        ft_here_tell(here->all, false, topic, &who);
        here->reaped++;
    }
    if (entries->elements > 0 || here->reaped == 0)
        return; /* more are to come */
    ft_log(FT_LOG_INFO, "presence_reaped", "clients=%llu", (unsigned long long)here->reaped);
    here->reaped = 0;
}

static void on_reaped(void *context, const redisReply *reply)
{
    struct ft_here *here = context;
    here->is_reaping = false;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_ARRAY ||
        reply->element[1]->type != REDIS_REPLY_ARRAY) {
        char quoted[FT_QUOTE_MAX];
        if (reply && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) != 0)
            ft_log(FT_LOG_WARN, "presence_reap_failed", "error=%s",
                   ft_quote(ft_slice(reply->str, reply->len), quoted));
        return;
    }
    tell_left(here, reply->element[1]);
    note_dead(here, reply->element[0]);
    /* There may be many more where these were. */
    if (reply->element[1]->elements > 0 && ft_here_has_room(here))
        send_reap(here);
}

static void send_reap(struct ft_here *here)
{
    struct ft_presences *p = here->all;
    uint32_t sure = 0;
    for (uint32_t i = 0; i < here->suspect_count; i++)
        sure += is_sure(here, i);
    ft_here_begin(p, 6 + sure);
    ft_command_str(&p->command, "EVALSHA");
    ft_command_str(&p->command, ft_script_sha(FT_SCRIPT_REAP));
    ft_command_str(&p->command, "1");
    ft_here_add_registry(p);
    ft_command_str(&p->command, p->relay->prefix);
    ft_command_str(&p->command, MOST);
    for (uint32_t i = 0; i < here->suspect_count; i++)
        if (is_sure(here, i))
            ft_command_arg(&p->command, ft_slice(here->suspects[i].instance, FT_INSTANCE_LEN));
    here->is_reaping = ft_here_send(here, on_reaped, here);
}

void ft_here_reap(struct ft_here *here)
{
    uint64_t now_ms = here->all->relay->now_ms;
    if (here->is_reaping || now_ms < here->reap_at_ms)
        return;
    here->reap_at_ms = now_ms + LOOK_EVERY_MS;
    send_reap(here);
}
