/*
 * Beats: once a second the node's lease is renewed and the heads of its partitions are told, by the node's own
 * channel. What is heard there has to be what the script has answered: then it is the truth, and it came
 * behind everything that was published before. The relay's thread.
 */
#include "broker/relay/server_private.h"

#include "protocol/msgpack_scan.h"
#include "protocol/quote.h"

#include <hiredis/hiredis.h>

/* A beat of FT_PARTITIONS_MAX partitions, and what a node may say of itself. */
#define BEAT_MAX     ((size_t)64 << 10)
#define DESCRIBE_MAX ((size_t)256 << 10)

void ft_beat_init(struct ft_server *server)
{
    ft_buffer_init(&server->beat.answer, BEAT_MAX);
    ft_buffer_init(&server->beat.echo, BEAT_MAX);
}

void ft_beat_fini(struct ft_server *server)
{
    ft_buffer_fini(&server->beat.answer);
    ft_buffer_fini(&server->beat.echo);
}

/* ---- what a beat tells ---- */

static bool next_uint(struct ft_scan *scan, uint64_t *number)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_UINT)
        return false;
    *number = value.num;
    return true;
}

/* Reads [1, number, …] as far as that, and the header of the array behind it. */
static bool read_head(struct ft_scan *scan, uint64_t *number, uint64_t *count)
{
    struct ft_value value;
    uint64_t version;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_ARRAY || value.num < 3)
        return false;
    if (!next_uint(scan, &version) || version != FT_RELAY_VERSION || !next_uint(scan, number))
        return false;
    if (!ft_msgpack_item(scan, &value) || (value.kind != FT_VALUE_ARRAY && value.num > 0))
        return false;
    *count = value.num;
    return true;
}

static bool read_partition(struct ft_scan *scan, const struct ft_server *server, uint64_t *k,
                           struct ft_slice *name, uint64_t *head, uint64_t *ms, uint64_t *base)
{
    struct ft_value value;
    const struct ft_relay *relay = server->relay;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_ARRAY || value.num != 5)
        return false;
    if (!next_uint(scan, k) || !ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_STR)
        return false;
    *name = value.text;
    return next_uint(scan, head) && next_uint(scan, ms) && next_uint(scan, base) &&
           *k < relay->options.partitions.count &&
           ft_relay_server((struct ft_relay *)relay, (uint32_t)*k) == server;
}

/* Tells the partitions what is in the beat. */
static void tell(struct ft_server *server, struct ft_slice payload)
{
    struct ft_scan scan = ft_scan_of(payload);
    uint64_t number, count, k, head, ms, base;
    struct ft_slice name;
    if (!read_head(&scan, &number, &count))
        return;
    while (count-- > 0 && read_partition(&scan, server, &k, &name, &head, &ms, &base))
        ft_part_beat(server->relay->parts[k], name, head, ms, base);
}

/* ---- out, and back by both ways ---- */

/* The beat has come by one way. When it came by both, it is over. */
static void settle(struct ft_server *server)
{
    struct ft_beat *beat = &server->beat;
    if (!beat->is_answered || !beat->is_heard)
        return;
    if (!ft_slice_equal(ft_buffer_slice(&beat->answer), ft_buffer_slice(&beat->echo))) {
        /* Somebody else has sent that; the real one may come yet. */
        ft_count(&server->relay->figures.relay_rejected[FT_REJECTED_SPOOFED], 1);
        beat->is_heard = false;
        return;
    }
    beat->is_out = false;
    server->failures = 0;
    tell(server, ft_buffer_slice(&beat->answer));
}

static void on_answer(void *context, const struct redisReply *reply)
{
    struct ft_server *server = context;
    struct ft_beat *beat = &server->beat;
    char text[FT_QUOTE_MAX];
    if (!reply)
        return;
    if (reply->type == REDIS_REPLY_STRING) {
        ft_buffer_clear(&beat->answer);
        ft_buffer_add(&beat->answer, reply->str, reply->len);
        beat->is_answered = true;
        settle(server);
    } else if (reply->type == REDIS_REPLY_ARRAY) {
        ft_server_doom(server, FT_TROUBLE_AWAY, "another node has taken the name");
    } else if (ft_reply_is_error(reply, "NOSCRIPT")) {
        beat->is_out = false;
        server->beat_ticks = FT_BEAT_TICKS;
    } else {
        ft_server_doom(server, FT_TROUBLE_AWAY, "it says %s",
                       ft_quote(ft_slice(reply->str, reply->str ? reply->len : 0), text));
    }
}

/* Returns how many partitions the beat has to tell of. */
static uint32_t joined(const struct ft_server *server, uint32_t parts[FT_PARTITIONS_MAX])
{
    const struct ft_relay *relay = server->relay;
    uint32_t count = 0;
    for (uint32_t k = server->index; k < relay->options.partitions.count; k += relay->server_count)
        if (ft_part_is_joined(relay->parts[k]))
            parts[count++] = k;
    return count;
}

static void send_beat(struct ft_server *server)
{
    struct ft_relay *relay = server->relay;
    struct ft_buffer *command = &server->command, figures;
    uint32_t parts[FT_PARTITIONS_MAX], count = relay->hub ? joined(server, parts) : 0;
    ft_buffer_init(&figures, DESCRIBE_MAX);
    ft_asks_describe(relay->asks, server, &figures); /* listed before anything is asked of it */
    if (figures.failed)
        ft_buffer_clear(&figures);

    ft_server_script(server, FT_SCRIPT_BEAT, 2 + count, 6 + count);
    ft_command_str(command, server->lease_key);
    ft_command_str(command, server->nodes_key);
    for (uint32_t i = 0; i < count; i++) {
        char key[FT_NODE_KEY_MAX];
        snprintf(key, sizeof(key), "%s:{%u}:meta", relay->prefix, parts[i]);
        ft_command_str(command, key);
    }
    ft_command_str(command, server->node_channel);
    ft_server_add_lease(server);
    ft_command_uint(command, FT_LEASE_MS);
    ft_command_uint(command, ++server->beat.number);
    ft_command_str(command, relay->options.node);
    ft_command_arg(command, ft_buffer_slice(&figures));
    for (uint32_t i = 0; i < count; i++)
        ft_command_uint(command, parts[i]);
    ft_buffer_fini(&figures);
    server->beat_ticks = server->beat.ticks = 0;
    server->beat.is_out = true;
    server->beat.is_answered = server->beat.is_heard = false;
    ft_link_send(server->commands, ft_buffer_slice(command), on_answer, server);
}

void ft_beat_begin(struct ft_server *server)
{
    send_beat(server);
}

void ft_beat_tick(struct ft_server *server)
{
    struct ft_beat *beat = &server->beat;
    server->beat_ticks++;
    if (!beat->is_out) {
        if (server->beat_ticks >= FT_BEAT_TICKS)
            send_beat(server);
        return;
    }
    if (beat->is_answered && !ft_relay_has_room(server->relay)) /* Pub/Sub is not read */
        return;
    if (++beat->ticks % FT_BEAT_TICKS == 0)
        ft_count(server->relay->figures.relay_beats_missed, 1);
    if (beat->ticks >= FT_SILENCE_TICKS)
        ft_server_doom(server, FT_TROUBLE_AWAY, "Pub/Sub is deaf: no echo of a beat for 3 s");
}

bool ft_beat_message(struct ft_server *server, struct ft_slice payload)
{
    struct ft_beat *beat = &server->beat;
    struct ft_scan scan = ft_scan_of(payload);
    uint64_t number, count;
    if (!read_head(&scan, &number, &count))
        return false;
    if (beat->is_out && !beat->is_heard && number == beat->number) {
        ft_buffer_clear(&beat->echo);
        ft_buffer_add(&beat->echo, payload.ptr, payload.len);
        beat->is_heard = true;
        for (uint32_t k = server->index; k < server->relay->options.partitions.count;
             k += server->relay->server_count)
            ft_part_heard(server->relay->parts[k]);
        settle(server);
    } else {
        ft_count(&server->relay->figures.relay_rejected[FT_REJECTED_SPOOFED], 1);
    }
    return true;
}
