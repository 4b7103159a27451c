/*
 * One Redis server: two connections that live and die together, and what other files send over them. How it
 * is greeted is greeting.c's. The relay's thread.
 */
#include "broker/relay/server_private.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "protocol/quote.h"

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* Between two attempts to connect: from … doubling to …, and up to as much less by chance as half of it. */
#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS   1000

/* Two lines about one server come at once, that it is away and that it is back; a third one so long after the
 * first, and another cause so long after the last. */
#define LOG_APART_MS 5000

/* What may wait for the socket beyond what relay.queue admits: everything that is not a publish. */
#define UNSENT_SPARE ((size_t)64 << 20)

/* The longest command that is made here: a beat. */
#define COMMAND_MAX ((size_t)1 << 20)

/* ---- what is logged ---- */

/* Logs what has changed since the last line, if that is not too fresh. */
static void report(struct ft_server *server)
{
    char url[FT_REDIS_URL_SHOWN_MAX * 2], why[FT_LINK_WHY_MAX * 2];
    uint64_t now_ms = server->relay->now_ms;
    bool is_up = server->state == FT_SERVER_UP;
    bool is_turn = is_up != server->is_logged_up;
    bool is_news = is_turn || (!is_up && strcmp(server->why, server->logged_why) != 0);
    uint64_t before_ms = server->logged_ms[is_turn];
    if (!is_news || server->state == FT_SERVER_GREETING ||
        (before_ms != 0 && now_ms - before_ms < LOG_APART_MS))
        return;
    server->logged_ms[1] = server->logged_ms[0];
    server->logged_ms[0] = now_ms;
    server->is_logged_up = is_up;
    snprintf(server->logged_why, sizeof(server->logged_why), "%s", is_up ? "" : server->why);
    ft_log_value(server->url.shown, url, sizeof(url));
    if (is_up)
        ft_log(FT_LOG_INFO, "redis_up", "url=%s after_ms=%llu", url,
               (unsigned long long)(server->up_since_ms - server->away_since_ms));
    else
        ft_log(FT_LOG_WARN, "redis_away", "url=%s cause=%s", url,
               ft_log_value(server->why, why, sizeof(why)));
}

/* ---- losing it ---- */

void ft_server_doom(struct ft_server *server, enum ft_trouble trouble, const char *format, ...)
{
    if (server->is_doomed || server->state == FT_SERVER_AWAY)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(server->why, sizeof(server->why), format, args);
    va_end(args);
    server->is_doomed = true;
    server->trouble = trouble;
    if (server->commands)
        ft_link_mute(server->commands);
    if (server->pubsub)
        ft_link_mute(server->pubsub);
}

static void close_links(struct ft_server *server)
{
    struct ft_link *commands = server->commands, *pubsub = server->pubsub;
    server->commands = server->pubsub = NULL;
    ft_link_close(commands);
    ft_link_close(pubsub);
}

static uint32_t retry_ms(const struct ft_server *server)
{
    uint32_t ms = RETRY_MAX_MS, random = 0;
    if (server->failures < 8 && RETRY_FIRST_MS << server->failures < RETRY_MAX_MS)
        ms = RETRY_FIRST_MS << server->failures;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = 0;
    return ms - random % (ms / 2 + 1);
}

static void on_retry(uv_timer_t *timer)
{
    struct ft_server *server = timer->data;
    ft_relay_enter(server->relay);
    ft_server_start(server);
}

void ft_server_end_turn(struct ft_server *server)
{
    if (!server->is_doomed)
        return;
    struct ft_relay *relay = server->relay;
    bool was_up = server->state == FT_SERVER_UP;
    if (was_up) {
        /* Whoever knows less than others of what Redis has told can be led to tell it otherwise. */
        ft_link_drain(server->commands);
        ft_link_drain(server->pubsub);
    }
    server->is_doomed = false;
    server->state = FT_SERVER_AWAY;
    close_links(server);
    if (was_up) {
        server->away_since_ms = relay->now_ms;
        ft_relay_down(relay, server);
    }
    report(server);
    ft_relay_report(relay, server->index, server->trouble != FT_TROUBLE_AWAY, server->why);
    if (server->trouble == FT_TROUBLE_NAME)
        ft_relay_expel(relay, server->why);
    uv_timer_start(&server->retry, on_retry, retry_ms(server), 0);
    server->failures++;
}

/* ---- what the links say ---- */

static void on_enter(void *owner)
{
    ft_relay_enter(((struct ft_server *)owner)->relay);
}

static void on_opened(void *owner, struct ft_link *link)
{
    ft_greeting_opened(owner, link);
}

static void on_lost(void *owner, struct ft_link *link, const char *why)
{
    ((struct ft_server *)owner)->floods += ft_link_is_flooded(link);
    ft_server_doom(owner, FT_TROUBLE_AWAY, "%s", why);
}

bool ft_reply_is_error(const struct redisReply *reply, const char *code)
{
    char within[32];
    size_t len = strlen(code);
    if (!reply || reply->type != REDIS_REPLY_ERROR)
        return false;
    if (strncmp(reply->str, code, len) == 0 && (reply->str[len] == ' ' || !reply->str[len]))
        return true;
    snprintf(within, sizeof(within), " -%s ", code);
    return strstr(reply->str, within) != NULL;
}

static bool on_command_reply(void *owner, struct ft_link *link, const struct redisReply *reply)
{
    struct ft_server *server = owner;
    char text[FT_QUOTE_MAX];
    (void)link;
    if (reply->type != REDIS_REPLY_ERROR || server->state != FT_SERVER_UP)
        return false;
    if (ft_reply_is_error(reply, "NOSCRIPT"))
        ft_server_load_scripts(server);
    else if (ft_reply_is_error(reply, "READONLY") || ft_reply_is_error(reply, "LOADING") ||
             ft_reply_is_error(reply, "NOAUTH") || ft_reply_is_error(reply, "MASTERDOWN"))
        ft_server_doom(server, FT_TROUBLE_AWAY, "it says %s",
                       ft_quote(ft_slice(reply->str, reply->len), text));
    return false;
}

static struct ft_slice text_of(const struct redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? ft_slice(reply->str, reply->len) : ft_slice(NULL, 0);
}

/* ["message", channel, payload], ["pmessage", pattern, channel, payload] */
static bool on_message(void *owner, struct ft_link *link, const struct redisReply *reply)
{
    struct ft_server *server = owner;
    (void)link;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3)
        return false;
    struct ft_slice kind = text_of(reply->element[0]);
    bool is_pattern = ft_slice_equal(kind, ft_slice_str("pmessage")) && reply->elements == 4;
    if (!is_pattern && !ft_slice_equal(kind, ft_slice_str("message")))
        return false;
    struct ft_slice channel = text_of(reply->element[is_pattern ? 2 : 1]);
    struct ft_slice payload = text_of(reply->element[is_pattern ? 3 : 2]);
    if (!channel.ptr || !payload.ptr) {
        ft_server_doom(server, FT_TROUBLE_AWAY, "it sends a message that is none");
        return true;
    }
    bool is_own = ft_slice_equal(channel, ft_slice_str(server->node_channel));
    if (server->state == FT_SERVER_UP && !(is_own && ft_beat_message(server, payload)))
        ft_relay_message(server->relay, server, channel, payload);
    return true;
}

static const struct ft_link_ops command_ops = {on_enter, on_opened, on_command_reply, on_lost};
static const struct ft_link_ops pubsub_ops = {on_enter, on_opened, on_message, on_lost};

/* ---- life ---- */

static char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *print(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    FT_ASSERT(len >= 0);
    return text;
}

struct ft_server *ft_server_new(struct ft_relay *relay, uint32_t index, const char *url)
{
    struct ft_server *server = ft_alloc_zero(sizeof(*server));
    const struct ft_relay_options *options = &relay->options;
    char error[FT_RELAY_ERROR_MAX];
    bool is_read = ft_redis_url_read(url, &server->url, error);
    FT_ASSERT(is_read);
    server->relay = relay;
    server->index = index;
    server->node_channel = print("%s:node:%s", relay->channel_prefix, relay->instance);
    server->all_channel = print("%s:all", relay->channel_prefix);
    server->lease_key = print("%s:node:%s", relay->prefix, options->node);
    server->nodes_key = print("%s:nodes", relay->prefix);
    server->settings_key = print("%s:settings", relay->prefix);
    server->settings = print("%u partitions=%u hash_levels=%u server=%u/%u", FT_RELAY_VERSION,
                             options->partitions.count, options->partitions.hash_levels, index + 1,
                             options->url_count);
    ft_buffer_init(&server->command, COMMAND_MAX);
    ft_beat_init(server);
    snprintf(server->why, sizeof(server->why), "it was not reached yet");
    snprintf(server->logged_why, sizeof(server->logged_why), "%s", server->why);
    server->away_since_ms = ft_clock_mono_ms();
    uv_timer_init(&relay->loop, &server->retry);
    server->retry.data = server;
    return server;
}

void ft_server_free(struct ft_server *server)
{
    if (!server)
        return;
    ft_redis_url_fini(&server->url);
    free(server->node_channel);
    free(server->all_channel);
    free(server->lease_key);
    free(server->nodes_key);
    free(server->settings_key);
    free(server->settings);
    ft_buffer_fini(&server->command);
    ft_beat_fini(server);
    free(server);
}

void ft_server_start(struct ft_server *server)
{
    size_t unsent_max = 2 * server->relay->options.queue_bytes + UNSENT_SPARE;
    server->state = FT_SERVER_GREETING;
    ft_greeting_begin(server);
    uv_loop_t *loop = &server->relay->loop;
    server->commands = ft_link_new(loop, &server->url, unsent_max, &command_ops, server);
    server->pubsub = ft_link_new(loop, &server->url, unsent_max, &pubsub_ops, server);
}

void ft_server_greeted(struct ft_server *server)
{
    struct ft_relay *relay = server->relay;
    server->state = FT_SERVER_UP;
    server->up_since_ms = relay->now_ms;
    ft_link_pause(server->pubsub, !ft_relay_has_room(relay));
    ft_count(relay->figures.relay_reconnects, server->ups++ > 0);
    report(server);
    ft_relay_report(relay, server->index, false, NULL);
    ft_beat_begin(server);
    ft_relay_up(relay, server);
}

void ft_server_tick(struct ft_server *server)
{
    report(server);
    if (server->state == FT_SERVER_AWAY || server->is_doomed)
        return;
    if (server->is_leaving) /* a beat would take the name again */
        return;
    uint32_t silent = ft_link_tick(server->commands), deaf = ft_link_tick(server->pubsub);
    if (server->state == FT_SERVER_GREETING)
        ft_greeting_tick(server);
    else if (silent >= FT_SILENCE_TICKS || deaf >= FT_SILENCE_TICKS)
        ft_server_doom(server, FT_TROUBLE_AWAY, "no answer to anything for 3 s");
    else
        ft_beat_tick(server);
}

void ft_server_flush(struct ft_server *server)
{
    if (server->state == FT_SERVER_AWAY || server->is_doomed)
        return;
    ft_link_flush(server->commands);
    ft_link_flush(server->pubsub);
}

void ft_server_pause(struct ft_server *server, bool is_paused)
{
    if (server->pubsub)
        ft_link_pause(server->pubsub, is_paused);
}

void ft_server_leave(struct ft_server *server)
{
    server->is_leaving = true;
    if (ft_server_state(server) != FT_SERVER_UP && !server->is_registering)
        return;
    ft_server_script(server, FT_SCRIPT_LEAVE, 3, 3);
    ft_command_str(&server->command, server->lease_key);
    ft_command_str(&server->command, server->nodes_key);
    ft_command_str(&server->command, server->settings_key);
    ft_command_str(&server->command, server->relay->instance);
    ft_command_str(&server->command, server->relay->options.node);
    ft_command_str(&server->command, ft_relay_is_serving(server->relay) ? "" : server->settings);
    ft_link_send(server->commands, ft_buffer_slice(&server->command), NULL, NULL);
}

void ft_server_close(struct ft_server *server)
{
    server->is_doomed = false;
    server->state = FT_SERVER_AWAY;
    close_links(server);
    uv_close((uv_handle_t *)&server->retry, NULL);
}

/* ---- commands ---- */

void ft_server_script(struct ft_server *server, enum ft_script script, uint32_t keys, uint32_t args)
{
    ft_buffer_clear(&server->command);
    ft_command_begin(&server->command, 3 + keys + args);
    ft_command_str(&server->command, "EVALSHA");
    ft_command_str(&server->command, ft_script_sha(script));
    ft_command_uint(&server->command, keys);
}

static void on_loaded(void *context, const struct redisReply *reply)
{
    struct ft_server *server = context;
    char text[FT_QUOTE_MAX];
    const char *sha = ft_script_sha((enum ft_script)(FT_SCRIPTS - server->loading--));
    bool is_text = reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_ERROR);
    if (!reply || (is_text && strcmp(reply->str, sha) == 0))
        return;
    ft_server_doom(server, FT_TROUBLE_AWAY, "it cannot load a script: %s",
                   ft_quote(is_text ? ft_slice(reply->str, reply->len) : ft_slice(NULL, 0), text));
}

void ft_server_load_scripts(struct ft_server *server)
{
    if (server->loading > 0) /* the caller's next command comes behind that */
        return;
    for (int i = 0; i < FT_SCRIPTS; i++) {
        ft_buffer_clear(&server->command);
        ft_command_begin(&server->command, 3);
        ft_command_str(&server->command, "SCRIPT");
        ft_command_str(&server->command, "LOAD");
        ft_command_arg(&server->command, ft_script_text(i));
        ft_link_send(server->commands, ft_buffer_slice(&server->command), on_loaded, server);
        server->loading++;
    }
}

void ft_server_add_lease(struct ft_server *server)
{
    char lease[FT_LEASE_MAX];
    snprintf(lease, sizeof(lease), "%s %llu %llu", server->relay->instance,
             (unsigned long long)server->relay->started_ms, (unsigned long long)++server->leases);
    ft_command_str(&server->command, lease);
}

/* ---- what the other files of the relay call ---- */

enum ft_server_state ft_server_state(const struct ft_server *server)
{
    return server->is_doomed ? FT_SERVER_AWAY : server->state;
}

const char *ft_server_life(const struct ft_server *server)
{
    return server->info.life;
}

bool ft_server_send(struct ft_server *server, struct ft_slice command, ft_reply_fn fn,
                    void *context)
{
    if (ft_server_state(server) != FT_SERVER_UP)
        return false;
    ft_link_send(server->commands, command, fn, context);
    return true;
}

size_t ft_server_unsent(const struct ft_server *server)
{
    return server->commands ? ft_link_unsent(server->commands) : 0;
}

uint32_t ft_server_in_flight(const struct ft_server *server)
{
    return server->commands ? ft_link_in_flight(server->commands) : 0;
}

uint32_t ft_server_floods(const struct ft_server *server)
{
    return server->floods;
}

static void send_pubsub(struct ft_server *server, const char *what, struct ft_slice name,
                        ft_reply_fn fn, void *context)
{
    if (ft_server_state(server) != FT_SERVER_UP)
        return;
    ft_buffer_clear(&server->command);
    ft_command_begin(&server->command, 2);
    ft_command_str(&server->command, what);
    ft_command_arg(&server->command, name);
    ft_link_send(server->pubsub, ft_buffer_slice(&server->command), fn, context);
}

void ft_server_subscribe(struct ft_server *server, struct ft_slice channel, ft_reply_fn confirmed,
                         void *context)
{
    send_pubsub(server, "SUBSCRIBE", channel, confirmed, context);
}

void ft_server_unsubscribe(struct ft_server *server, struct ft_slice channel)
{
    send_pubsub(server, "UNSUBSCRIBE", channel, NULL, NULL);
}

void ft_server_psubscribe(struct ft_server *server, struct ft_slice pattern)
{
    send_pubsub(server, "PSUBSCRIBE", pattern, NULL, NULL);
}

void ft_server_punsubscribe(struct ft_server *server, struct ft_slice pattern)
{
    send_pubsub(server, "PUNSUBSCRIBE", pattern, NULL, NULL);
}

void ft_server_reset(struct ft_server *server, const char *why)
{
    ft_server_doom(server, FT_TROUBLE_AWAY, "%s", why);
}
