/*
 * From two connections to a server that is UP: each is greeted step by step, one answer after the other; when
 * both are, the node takes its name. The relay's thread.
 */
#include "broker/relay/server_private.h"

#include "broker/base/log.h"
#include "protocol/quote.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

/* A lease that nobody has renewed for so long is a dead node's; how often it is looked at. */
#define HELD_TICKS     (2500 / FT_RELAY_TICK_MS)
#define REGISTER_TICKS (500 / FT_RELAY_TICK_MS)

/* A command of the greeting, and what its answer has to be. */
struct ft_step {
    const char *name;

    /* Writes it to server->command; returns false where it is not needed. */
    bool (*write)(struct ft_server *server);

    /* Returns false after it has doomed the server. NULL: all but an error is good. */
    bool (*judge)(struct ft_server *server, const struct redisReply *reply);

    bool is_optional; /* an error is no reason to stop */
};

static void begin(struct ft_server *server, uint32_t args, const char *name)
{
    ft_buffer_clear(&server->command);
    ft_command_begin(&server->command, args);
    ft_command_str(&server->command, name);
}

/* ---- the steps ---- */

static bool write_auth(struct ft_server *server)
{
    const struct ft_redis_url *url = &server->url;
    if (!url->password)
        return false;
    begin(server, url->user ? 3 : 2, "AUTH");
    if (url->user)
        ft_command_str(&server->command, url->user);
    ft_command_str(&server->command, url->password);
    return true;
}

static bool write_name(struct ft_server *server)
{
    begin(server, 3, "CLIENT");
    ft_command_str(&server->command, "SETNAME");
    ft_command_str(&server->command, server->relay->options.node);
    return true;
}

static bool write_select(struct ft_server *server)
{
    if (server->url.database == 0)
        return false;
    begin(server, 2, "SELECT");
    ft_command_uint(&server->command, server->url.database);
    return true;
}

static bool write_info(struct ft_server *server)
{
    begin(server, 1, "INFO");
    return true;
}

/* Says once what was found: of each life of the server. */
static void log_info(struct ft_server *server)
{
    char url[FT_REDIS_URL_SHOWN_MAX * 2];
    const struct ft_redis_info *info = &server->info;
    if (server->is_known && strcmp(server->known_run, info->run_id) == 0)
        return;
    server->is_known = true;
    snprintf(server->known_run, sizeof(server->known_run), "%s", info->run_id);
    ft_log(FT_LOG_INFO, "redis", "url=%s product=%s version=%s run_id=%s aof=%s eviction=%s",
           ft_log_value(server->url.shown, url, sizeof(url)), info->product, info->version,
           *info->run_id ? info->run_id : "unknown", info->has_aof ? "yes" : "no",
           *info->eviction ? info->eviction : "unknown");
}

static bool judge_info(struct ft_server *server, const struct redisReply *reply)
{
    char why[FT_INFO_WHY_MAX];
    struct ft_slice text =
        reply->type == REDIS_REPLY_STRING ? ft_slice(reply->str, reply->len) : ft_slice(NULL, 0);
    enum ft_redis_verdict verdict = ft_redis_info_read(text, &server->info, why);
    if (verdict == FT_REDIS_GOOD) {
        log_info(server);
        return true;
    }
    ft_server_doom(server, verdict == FT_REDIS_LOADING ? FT_TROUBLE_AWAY : FT_TROUBLE_UNSUITABLE,
                   "%s", why);
    return false;
}

static bool write_own(struct ft_server *server)
{
    begin(server, 2, "SUBSCRIBE");
    ft_command_str(&server->command, server->node_channel);
    return true;
}

static bool write_all(struct ft_server *server)
{
    begin(server, 2, "SUBSCRIBE");
    ft_command_str(&server->command, server->all_channel);
    return true;
}

static bool judge_subscribed(struct ft_server *server, const struct redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3)
        return true;
    ft_server_doom(server, FT_TROUBLE_AWAY, "it answers SUBSCRIBE with something else");
    return false;
}

static const struct ft_step command_steps[] = {
    {"AUTH", write_auth, NULL, false},
    {"CLIENT SETNAME", write_name, NULL, true},
    {"SELECT", write_select, NULL, false},
    {"INFO", write_info, judge_info, false},
    {0},
};

static const struct ft_step pubsub_steps[] = {
    {"AUTH", write_auth, NULL, false},
    {"CLIENT SETNAME", write_name, NULL, true},
    {"SUBSCRIBE", write_own, judge_subscribed, false},
    {"SUBSCRIBE", write_all, judge_subscribed, false},
    {0},
};

/* ---- the node's name ---- */

static void on_registered(void *context, const struct redisReply *reply);

/* Asks for the name; `replaceable`: a lease that may be taken over. */
static void take_name(struct ft_server *server, const char *replaceable)
{
    if (server->is_leaving)
        return;
    ft_server_script(server, FT_SCRIPT_REGISTER, 2, 4);
    ft_command_str(&server->command, server->lease_key);
    ft_command_str(&server->command, server->settings_key);
    ft_command_str(&server->command, server->settings);
    ft_server_add_lease(server);
    ft_command_str(&server->command, replaceable);
    ft_command_uint(&server->command, FT_LEASE_MS);
    server->is_registering = true;
    ft_link_send(server->commands, ft_buffer_slice(&server->command), on_registered, server);
}

/* Says whether a lease's holder began after this node did. */
static bool is_younger(const struct ft_server *server, const char *lease)
{
    unsigned long long began_ms = 0, mine_ms = server->relay->started_ms;
    if (sscanf(lease, "%*s %llu", &began_ms) != 1 || began_ms == mine_ms)
        return strcmp(lease, server->relay->instance) > 0;
    return began_ms > mine_ms;
}

/* Another instance has the name. Where it lives, the one that was here first keeps it; a node that is still
 * starting was not. */
static void on_held(struct ft_server *server, struct ft_slice lease)
{
    struct ft_held *held = &server->held;
    char seen[FT_LEASE_MAX], node[FT_QUOTE_MAX];
    snprintf(seen, sizeof(seen), "%.*s", (int)lease.len, (const char *)lease.ptr);
    bool is_same = strcmp(seen, held->lease) == 0;
    bool is_renewed =
        !is_same && held->lease[0] && strncmp(seen, held->lease, FT_INSTANCE_LEN) == 0;
    if (!is_same)
        held->ticks = 0;
    memcpy(held->lease, seen, sizeof(seen));
    if (is_renewed && (!ft_relay_is_serving(server->relay) || !is_younger(server, seen)))
        ft_server_doom(server, FT_TROUBLE_NAME, "another node is there with the name %s",
                       ft_quote(ft_slice_str(server->relay->options.node), node));
    else if (is_renewed || held->ticks >= HELD_TICKS)
        take_name(server, seen);
}

static void on_registered(void *context, const struct redisReply *reply)
{
    struct ft_server *server = context;
    char text[FT_QUOTE_MAX];
    server->is_registering = false;
    if (!reply || server->is_leaving) /* the name is on its way back */
        return;
    if (reply->type == REDIS_REPLY_STATUS) {
        server->held.lease[0] = '\0';
        ft_server_greeted(server);
        return;
    }
    bool is_pair = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                   reply->element[0]->type == REDIS_REPLY_STRING &&
                   reply->element[1]->type == REDIS_REPLY_STRING;
    struct ft_slice second =
        is_pair ? ft_slice(reply->element[1]->str, reply->element[1]->len) : ft_slice(NULL, 0);
    if (is_pair && strcmp(reply->element[0]->str, "held") == 0)
        on_held(server, second);
    else if (is_pair && strcmp(reply->element[0]->str, "settings") == 0)
        ft_server_doom(server, FT_TROUBLE_SETTINGS, "the cluster has other settings: %s; here: %s",
                       ft_quote(second, text), server->settings);
    else if (reply->type == REDIS_REPLY_ERROR)
        ft_server_doom(server, FT_TROUBLE_AWAY, "it says %s",
                       ft_quote(ft_slice(reply->str, reply->len), text));
    else
        ft_server_doom(server, FT_TROUBLE_AWAY, "it answers a script with something else");
}

/* ---- step by step ---- */

static void on_step(void *context, const struct redisReply *reply);

/* Sends the next step that is needed; or it is done, and the other one perhaps, too. */
static void go_on(struct ft_greeter *greeter)
{
    struct ft_server *server = greeter->server;
    while (greeter->steps[greeter->at].name && !greeter->steps[greeter->at].write(server))
        greeter->at++;
    if (greeter->steps[greeter->at].name) {
        ft_link_send(*greeter->link, ft_buffer_slice(&server->command), on_step, greeter);
        return;
    }
    greeter->is_done = true;
    if (!server->greeters[0].is_done || !server->greeters[1].is_done)
        return;
    ft_server_load_scripts(server);
    take_name(server, "");
}

static void on_step(void *context, const struct redisReply *reply)
{
    struct ft_greeter *greeter = context;
    struct ft_server *server = greeter->server;
    const struct ft_step *step = &greeter->steps[greeter->at];
    char text[FT_QUOTE_MAX];
    if (!reply)
        return;
    if (reply->type == REDIS_REPLY_ERROR && !step->is_optional) {
        ft_server_doom(server, FT_TROUBLE_AWAY, "%s: it says %s", step->name,
                       ft_quote(ft_slice(reply->str, reply->len), text));
        return;
    }
    if (step->judge && !step->judge(server, reply))
        return;
    greeter->at++;
    go_on(greeter);
}

void ft_greeting_begin(struct ft_server *server)
{
    server->greeting_ticks = 0;
    server->is_registering = false;
    server->held = (struct ft_held){0};
    server->greeters[0] =
        (struct ft_greeter){.server = server, .link = &server->commands, .steps = command_steps};
    server->greeters[1] =
        (struct ft_greeter){.server = server, .link = &server->pubsub, .steps = pubsub_steps};
}

void ft_greeting_opened(struct ft_server *server, struct ft_link *link)
{
    if (!server->is_doomed)
        go_on(&server->greeters[link == server->pubsub]);
}

void ft_greeting_tick(struct ft_server *server)
{
    bool is_waiting = server->held.lease[0] && !server->is_registering;
    server->held.ticks++;
    if (is_waiting && server->held.ticks % REGISTER_TICKS == 0)
        take_name(server, "");
    if (is_waiting)
        server->greeting_ticks = 0;
    else if (++server->greeting_ticks >= FT_SILENCE_TICKS)
        ft_server_doom(server, FT_TROUBLE_AWAY, "no connection and greeting within 3 s");
}
