/*
 * Presence in a cluster. The table here is the truth about this node's own sessions; Redis has a copy, which is
 * brought up to it whenever a server comes back or has lost something. Joins and leaves are told once Redis
 * has answered, by the node of the session: at least once, since an answer may be lost.
 */
#include "broker/relay/presence_private.h"

#include "broker/base/alloc.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <sys/random.h>

/* Clients that a tick looks at, when all are to be registered: 100,000 take two seconds. */
#define WALK_MAX 5000

/* What may wait for a socket, and for answers, before changes have to wait, too. */
#define UNSENT_MAX    ((size_t)4 << 20)
#define IN_FLIGHT_MAX 50000

/* When Redis refuses (OOM) what it should keep, it is asked again. */
#define RETRY_MS 2000

/* Longest command, and longest event: a user may be escaped. */
#define COMMAND_MAX ((size_t)8192)

/* A change that was sent; see struct ft_gone. */
struct change {
    struct ft_here *here;
    struct ft_gone *of;
};

struct ft_presences *ft_presences_new(struct ft_relay *relay)
{
    struct ft_presences *p = ft_alloc_zero(sizeof(*p));
    uint64_t seed;
    FT_ASSERT(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
    p->relay = relay;
    p->table = ft_presence_new(seed, FT_PRESENCE_MAX);
    ft_buffer_init(&p->command, COMMAND_MAX);
    ft_buffer_init(&p->text, COMMAND_MAX);
    for (uint32_t i = 0; i < FT_SERVERS_MAX; i++) {
        p->here[i].all = p;
        p->here[i].round = ++p->last_round;
        p->here[i].gone_end = &p->here[i].gone;
    }
    return p;
}

/* ---- clients that have left ---- */

static struct ft_gone *gone_new(struct ft_slice topic, const struct ft_present *who, bool is_told)
{
    struct ft_gone *gone = ft_alloc_zero(sizeof(*gone) + topic.len + who->user.len);
    gone->who = *who;
    gone->is_told = is_told;
    gone->topic_len = (uint8_t)topic.len;
    memcpy(gone->bytes, topic.ptr, topic.len);
    if (who->user.ptr) {
        gone->who.user.ptr = gone->bytes + topic.len;
        memcpy(gone->bytes + topic.len, who->user.ptr, who->user.len);
    }
    return gone;
}

static struct ft_slice topic_of(const struct ft_gone *gone)
{
    return ft_slice(gone->bytes, gone->topic_len);
}

static struct ft_gone *take_gone(struct ft_here *here)
{
    struct ft_gone *gone = here->gone;
    if (!gone)
        return NULL;
    here->gone = gone->next;
    here->gone_count--;
    if (!here->gone)
        here->gone_end = &here->gone;
    return gone;
}

static void keep_gone(struct ft_here *here, struct ft_gone *gone)
{
    if (here->gone_count == FT_GONE_MAX)
        free(take_gone(here));
    gone->next = NULL;
    *here->gone_end = gone;
    here->gone_end = &gone->next;
    here->gone_count++;
}

void ft_presences_free(struct ft_presences *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < FT_SERVERS_MAX; i++) {
        struct ft_gone *gone;
        while ((gone = take_gone(&p->here[i])))
            free(gone);
    }
    ft_presence_free(p->table);
    ft_buffer_fini(&p->command);
    ft_buffer_fini(&p->text);
    free(p);
}

/* ---- commands ---- */

struct ft_here *ft_here_of(struct ft_presences *p, struct ft_slice topic, uint32_t *partition)
{
    uint32_t k = ft_partition_of(&p->relay->options.partitions, topic);
    if (partition)
        *partition = k;
    return &p->here[k % p->relay->server_count];
}

bool ft_here_has_room(const struct ft_here *here)
{
    return here->is_up && ft_server_unsent(here->server) < UNSENT_MAX &&
           ft_server_in_flight(here->server) < IN_FLIGHT_MAX;
}

void ft_here_begin(struct ft_presences *p, uint32_t args)
{
    ft_buffer_clear(&p->command);
    ft_command_begin(&p->command, args);
}

bool ft_here_send(struct ft_here *here, ft_reply_fn fn, void *context)
{
    FT_ASSERT(!here->all->command.failed);
    return ft_server_send(here->server, ft_buffer_slice(&here->all->command), fn, context);
}

static void add_text(struct ft_presences *p)
{
    ft_command_arg(&p->command, ft_buffer_slice(&p->text));
}

void ft_here_add_key(struct ft_presences *p, uint32_t partition, struct ft_slice topic)
{
    char between[24];
    snprintf(between, sizeof(between), ":{%u}:here:", partition);
    ft_buffer_clear(&p->text);
    ft_buffer_add_str(&p->text, p->relay->prefix);
    ft_buffer_add_str(&p->text, between);
    ft_buffer_add(&p->text, topic.ptr, topic.len);
    add_text(p);
}

void ft_here_add_index(struct ft_presences *p, const char *instance)
{
    ft_buffer_clear(&p->text);
    ft_buffer_add_str(&p->text, p->relay->prefix);
    ft_buffer_add_str(&p->text, ":here:");
    ft_buffer_add(&p->text, instance, FT_INSTANCE_LEN);
    add_text(p);
}

void ft_here_add_registry(struct ft_presences *p)
{
    ft_buffer_clear(&p->text);
    ft_buffer_add_str(&p->text, p->relay->prefix);
    ft_buffer_add_str(&p->text, ":here");
    add_text(p);
}

static void add_member(struct ft_presences *p, const struct ft_present *who)
{
    ft_buffer_clear(&p->text);
    ft_member_write(who, p->relay->instance, &p->text);
    add_text(p);
}

static void no_answer(void *context, const redisReply *reply)
{
    (void)context, (void)reply;
}

/* Adds an entry to the node's index, or removes it. */
static bool send_index(struct ft_here *here, const char *name, uint32_t partition,
                       struct ft_slice topic, const struct ft_present *who)
{
    struct ft_presences *p = here->all;
    ft_here_begin(p, 3);
    ft_command_str(&p->command, name);
    ft_here_add_index(p, p->relay->instance);
    ft_buffer_clear(&p->text);
    ft_entry_write(partition, topic, who, p->relay->instance, &p->text);
    add_text(p);
    return ft_here_send(here, no_answer, NULL);
}

void ft_here_tell(struct ft_presences *p, bool is_join, struct ft_slice topic,
                  const struct ft_present *who)
{
    char name[FT_TOPIC_BYTES_MAX];
    struct ft_slice told = ft_presence_event_topic(topic, name);
    struct ft_writer w;
    if (!told.ptr)
        return; /* a foreign entry */
    ft_buffer_clear(&p->text);
    ft_writer_init(&w, FT_JSON, &p->text);
    ft_presence_write_event(&w, is_join, who);
    ft_relay_announce(p->relay, told, ft_buffer_slice(&p->text));
}

/* Says in Redis by which name's lease this instance lives; empty: it does not any more. */
static void send_name(struct ft_here *here, const char *name)
{
    struct ft_presences *p = here->all;
    ft_here_begin(p, 4);
    ft_command_str(&p->command, "HSET");
    ft_here_add_registry(p);
    ft_command_arg(&p->command, ft_slice(p->relay->instance, FT_INSTANCE_LEN));
    ft_command_str(&p->command, name);
    (void)ft_here_send(here, no_answer, NULL);
}

/* ---- joining ---- */

static bool is_registered(const struct ft_here *here, const struct ft_presence_client *client)
{
    return client->mark / 2 == here->round;
}

static void forget_registration(struct ft_here *here, struct ft_presence_client *client)
{
    if (is_registered(here, client))
        here->registered--;
    client->mark &= FT_MARK_TOLD;
}

static void want_walk(struct ft_presences *p, uint64_t in_ms)
{
    uint64_t at = p->relay->now_ms + in_ms;
    if (p->walk_at_ms == 0 || at < p->walk_at_ms)
        p->walk_at_ms = at;
}

static struct change *change_new(struct ft_here *here, struct ft_gone *of)
{
    struct change *change = ft_alloc(sizeof(*change));
    *change = (struct change){.here = here, .of = of};
    return change;
}

static void on_joined(void *context, const redisReply *reply)
{
    struct change *change = context;
    struct ft_here *here = change->here;
    struct ft_gone *joined = change->of;
    struct ft_slice topic = topic_of(joined);
    struct ft_presence_client *client =
        ft_presence_find(here->all->table, topic, joined->who.session);
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        bool is_new = reply->integer == 1;
        if (is_new || (client && !(client->mark & FT_MARK_TOLD)))
            ft_here_tell(here->all, true, topic, &joined->who);
        if (client)
            client->mark |= FT_MARK_TOLD;
    } else if (reply && client) {
        forget_registration(here, client);
        want_walk(here->all, RETRY_MS);
    }
    free(joined);
    free(change);
}

/* Has Redis know a client. */
static void enter(struct ft_here *here, uint32_t partition, struct ft_presence_client *client)
{
    struct ft_presences *p = here->all;
    struct ft_slice topic = ft_presence_topic(client);
    if (!send_index(here, "SADD", partition, topic, &client->who))
        return;
    ft_here_begin(p, 4);
    ft_command_str(&p->command, "ZADD");
    ft_here_add_key(p, partition, topic);
    ft_command_uint(&p->command, client->who.since_ms);
    add_member(p, &client->who);
    struct change *change = change_new(here, gone_new(topic, &client->who, false));
    if (!ft_here_send(here, on_joined, change)) {
        free(change->of);
        free(change);
        return;
    }
    client->mark = 2 * here->round | (client->mark & FT_MARK_TOLD);
    here->registered++;
}

/* ---- leaving ---- */

static void on_left(void *context, const redisReply *reply)
{
    struct change *change = context;
    struct ft_here *here = change->here;
    struct ft_gone *gone = change->of;
    struct ft_slice topic = topic_of(gone);
    uint32_t partition;
    here->leaving--;
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        if (reply->integer == 1 || gone->is_told)
            ft_here_tell(here->all, false, topic, &gone->who);
        /* Only now, so that it is found by others if this node dies in between. It may be back already. */
        (void)ft_here_of(here->all, topic, &partition);
        if (!ft_presence_find(here->all->table, topic, gone->who.session))
            (void)send_index(here, "SREM", partition, topic, &gone->who);
        free(gone);
    } else {
        keep_gone(here, gone);
    }
    if (here->is_stopping && here->leaving == 0)
        send_name(here, "");
    free(change);
}

/* Has Redis forget one that has left; takes it. */
static void remove_gone(struct ft_here *here, struct ft_gone *gone)
{
    struct ft_presences *p = here->all;
    uint32_t partition;
    (void)ft_here_of(p, topic_of(gone), &partition);
    ft_here_begin(p, 3);
    ft_command_str(&p->command, "ZREM");
    ft_here_add_key(p, partition, topic_of(gone));
    add_member(p, &gone->who);
    struct change *change = change_new(here, gone);
    if (ft_here_has_room(here) && ft_here_send(here, on_left, change)) {
        here->leaving++;
        return;
    }
    keep_gone(here, gone);
    free(change);
}

void ft_here_remove(struct ft_here *here, struct ft_slice topic, const struct ft_present *who,
                    bool is_told)
{
    remove_gone(here, gone_new(topic, who, is_told));
}

/* Those that have waited. One that is back needs no leave: it was registered, or will be. */
static void remove_waiting(struct ft_here *here)
{
    for (uint32_t n = here->gone_count; n > 0 && ft_here_has_room(here); n--) {
        struct ft_gone *gone = take_gone(here);
        if (ft_presence_find(here->all->table, topic_of(gone), gone->who.session))
            free(gone);
        else
            remove_gone(here, gone);
    }
}

/* ---- what comes from the workers ---- */

static void join(struct ft_presences *p, struct ft_slice topic, const struct ft_present *who)
{
    uint32_t partition;
    struct ft_here *here = ft_here_of(p, topic, &partition);
    struct ft_presence_client *client = ft_presence_join(p->table, topic, who);
    if (client && ft_here_has_room(here) && here->gone_count == 0)
        enter(here, partition, client);
    else if (client)
        want_walk(p, 0);
}

static void leave(struct ft_presences *p, struct ft_slice topic, const struct ft_present *who)
{
    struct ft_here *here = ft_here_of(p, topic, NULL);
    struct ft_presence_client *client = ft_presence_find(p->table, topic, who->session);
    if (!client)
        return; /* the table was full */
    bool is_told = (client->mark & FT_MARK_TOLD) != 0;
    bool is_known = is_told || is_registered(here, client);
    forget_registration(here, client);
    ft_presence_leave(p->table, client);
    if (is_known || here->is_up)
        ft_here_remove(here, topic, who, is_told);
}

void ft_presences_take(struct ft_presences *p, struct ft_relay_presence *change)
{
    struct ft_slice topic = ft_slice(change->bytes, change->topic_len);
    struct ft_present who = {.since_ms = change->since_ms};
    memcpy(who.session, change->session, sizeof(who.session));
    if (change->user_len != UINT32_MAX)
        who.user = ft_slice(change->bytes + change->topic_len, change->user_len);
    if (change->is_join)
        join(p, topic, &who);
    else
        leave(p, topic, &who);
    free(change);
}

/* ---- registering again ---- */

void ft_here_restart(struct ft_here *here)
{
    struct ft_presences *p = here->all;
    here->round = ++p->last_round;
    here->registered = 0;
    send_name(here, p->relay->options.node);
    want_walk(p, 0);
}

static void walk(struct ft_presences *p)
{
    if (p->walk_at_ms != 0 && p->relay->now_ms >= p->walk_at_ms) {
        p->turns = ft_presence_clients(p->table);
        p->walk_at_ms = 0;
    }
    for (uint32_t n = 0; p->turns > 0 && n < WALK_MAX; n++, p->turns--) {
        struct ft_presence_client *client = ft_presence_turn(p->table);
        if (!client)
            break;
        uint32_t partition;
        struct ft_here *here = ft_here_of(p, ft_presence_topic(client), &partition);
        if (!here->is_up || is_registered(here, client))
            continue;
        if (ft_here_has_room(here))
            enter(here, partition, client);
        else
            want_walk(p, FT_RELAY_TICK_MS);
    }
}

/* ---- servers ---- */

static struct ft_here *find(struct ft_presences *p, const struct ft_server *server)
{
    uint32_t i = 0;
    while (p->relay->servers[i] != server)
        FT_ASSERT(++i < p->relay->server_count);
    return &p->here[i];
}

void ft_presences_up(struct ft_presences *p, struct ft_server *server)
{
    struct ft_here *here = find(p, server);
    here->server = server;
    here->is_up = true;
    here->is_synced = here->is_syncing = here->is_counting = here->is_reaping = false;
    here->suspect_count = 0;
    ft_here_restart(here);
}

void ft_presences_down(struct ft_presences *p, struct ft_server *server)
{
    struct ft_here *here = find(p, server);
    here->is_up = false;
    here->round = ++p->last_round;
    here->registered = 0;
}

/* The sessions are still there, and are closed in a moment. What there is no room for is left to the other nodes. */
void ft_presences_stop(struct ft_presences *p)
{
    struct ft_presence_client *client;
    while ((client = ft_presence_turn(p->table))) {
        struct ft_here *here = ft_here_of(p, ft_presence_topic(client), NULL);
        bool is_told = (client->mark & FT_MARK_TOLD) != 0;
        struct ft_gone *gone = gone_new(ft_presence_topic(client), &client->who, is_told);
        ft_presence_leave(p->table, client);
        remove_gone(here, gone);
    }
    for (uint32_t i = 0; i < p->relay->server_count; i++) {
        struct ft_here *here = &p->here[i];
        if (here->is_up && here->leaving == 0)
            send_name(here, "");
        here->is_stopping = here->is_up;
        here->is_up = false;
    }
}

void ft_presences_tick(struct ft_presences *p)
{
    walk(p);
    for (uint32_t i = 0; i < p->relay->server_count; i++) {
        struct ft_here *here = &p->here[i];
        if (!here->is_up)
            continue;
        remove_waiting(here);
        ft_here_sync(here);
        ft_here_reap(here);
    }
    ft_presences_expire(p);
}
