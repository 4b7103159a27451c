/*
 * A node whose relay asks others, over Redis servers that are not there: the hub, ask.c and roll.c are real, the
 * test says what each command is answered with. For unit tests of these, therefore a header alone, which
 * stands for server.c and partition.c.
 */
#ifndef FT_TESTS_ASK_CASE_H
#define FT_TESTS_ASK_CASE_H

#include "broker/relay/ask.h"
#include "broker/relay/ask_message.h"
#include "protocol/msgpack_out.h"
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what ask.c and roll.c live on ---- */

enum { COMMANDS = 32, PARTS = 4 };

struct ft_server {
    enum ft_server_state state;
    char channel[64]; /* that it was asked to subscribe to */
    struct {
        char text[512];
        ft_reply_fn fn;
        void *context;
    } sent[COMMANDS];
    uint32_t count, answered;
};

struct ft_part {
    struct ft_part_figures figures;
};

enum ft_server_state ft_server_state(const struct ft_server *server)
{
    return server->state;
}

/* Keeps what was sent, a word for each argument. */
bool ft_server_send(struct ft_server *server, struct ft_slice command, ft_reply_fn fn,
                    void *context)
{
    if (server->state != FT_SERVER_UP)
        return false;
    cr_assert_lt(server->count, COMMANDS);
    size_t i = server->count++, n = 0;
    const char *at = (const char *)command.ptr, *end = at + command.len;
    char *text = server->sent[i].text;
    server->sent[i].fn = fn;
    server->sent[i].context = context;
    int args = atoi(at + 1);
    for (at = strchr(at, '\n') + 1; args > 0; args--) {
        size_t len = strtoul(at + 1, NULL, 10);
        at = strchr(at, '\n') + 1;
        for (size_t k = 0; k < len && n < sizeof(server->sent[i].text) - 8; k++)
            n += (size_t)snprintf(text + n, 8, at[k] >= ' ' && at[k] <= '~' ? "%c" : "\\x%02x",
                                  (uint8_t)at[k]);
        text[n++] = args > 1 ? ' ' : '\0';
        at += len + 2;
    }
    cr_assert_eq(at, end);
    return true;
}

size_t ft_server_unsent(const struct ft_server *server)
{
    return server->state == FT_SERVER_UP ? 10 : 0;
}

uint32_t ft_server_in_flight(const struct ft_server *server)
{
    return server->count - server->answered;
}

void ft_server_subscribe(struct ft_server *server, struct ft_slice channel, ft_reply_fn confirmed,
                         void *context)
{
    (void)confirmed, (void)context;
    snprintf(server->channel, sizeof(server->channel), "%.*s", (int)channel.len,
             (const char *)channel.ptr);
}

bool ft_part_is_joined(const struct ft_part *part)
{
    return part->figures.is_joined;
}

void ft_part_figures(const struct ft_part *part, struct ft_part_figures *figures)
{
    *figures = part->figures;
}

size_t ft_outgoing_room(const struct ft_outgoing *outgoing, size_t *most)
{
    (void)outgoing;
    *most = 100;
    return 30;
}

static struct ft_relay_ask *present; /* asked of presence.c */

void ft_presences_ask(struct ft_presences *presences, struct ft_relay_ask *ask)
{
    (void)presences;
    present = ask;
}

/* ---- a node ---- */

#define US   "aaaaaaaaaaaaaaaa"
#define THEM "bbbbbbbbbbbbbbbb"

static struct ft_fake_node node;
static struct ft_fake_client client;
static struct ft_relay relay;
static struct ft_server servers[2];
static struct ft_part parts[PARTS];
static struct ft_relay_ask *answered; /* the question that came back last */
static unsigned answers;

static inline void take_ask(void *context, struct ft_relay_ask *ask)
{
    (void)context;
    ft_asks_take(relay.asks, ask);
}

static const struct ft_relay_ops ops = {.ask = take_ask};

static inline void begin(uint32_t count)
{
    ft_fake_node_init(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0}, 2);
    client.who = ft_identity_new(
        &(struct ft_identity_spec){.user = ft_slice_str("ann"), .may_everything = true});
    ft_fake_client_open(&node, &client, 1, FT_FRAMES_JSON);
    relay = (struct ft_relay){
        .options = {.node = "n1", .version = "9.9", .deadline_ms = 2000},
        .instance = US,
        .started_ms = 1000000,
        .wall_ms = 1005999,
        .now_ms = 50000,
        .prefix = (char *)"p",
        .channel_prefix = (char *)"p@2",
        .hub = node.hub,
        .server_count = count,
        .outgoing = (struct ft_outgoing *)&relay, /* it is there */
    };
    relay.interest.partitions.count = PARTS;
    for (uint32_t k = 0; k < PARTS; k++)
        relay.parts[k] = &parts[k];
    for (uint32_t i = 0; i < count; i++) {
        servers[i].state = FT_SERVER_UP;
        relay.servers[i] = &servers[i];
    }
    relay.asks = ft_asks_new(&relay);
    node.hub->relay = &relay;
    node.hub->relay_ops = &ops;
}

static inline void turns(void)
{
    for (int i = 0; i < 4; i++) {
        ft_fake_node_begin(&node, 0);
        (void)ft_fake_node_end(&node, 0);
        ft_fake_node_begin(&node, 1);
        (void)ft_fake_node_end(&node, 1);
    }
}

static inline void forget_answer(void)
{
    if (answered)
        ft_relay_ask_free(answered);
    answered = NULL;
}

static inline void end(void)
{
    ft_asks_free(relay.asks);
    turns();
    forget_answer();
    node.hub->relay_ops = NULL;
    ft_fake_node_fini(&node);
}

static inline void on_answer(struct ft_letter *letter, struct ft_worker *worker)
{
    (void)worker;
    forget_answer();
    answered = ft_relay_ask_of(letter);
    answers++;
}

static inline void ask(enum ft_ask_kind kind)
{
    static const struct ft_order ann = {.kind = FT_ORDER_DISCONNECT,
                                        .user = {(const uint8_t *)"ann", 3}};
    struct ft_relay_ask *question = ft_relay_ask_new(0, kind, on_answer);
    if (kind == FT_ASK_ORDER)
        ft_order_write(&ann, &question->body);
    ft_asks_take(relay.asks, question);
    turns();
}

/* ---- Redis' side ---- */

static inline void reply(uint32_t server, const redisReply *with)
{
    struct ft_server *s = &servers[server];
    cr_assert_lt(s->answered, s->count);
    uint32_t i = s->answered++;
    s->sent[i].fn(s->sent[i].context, with);
    turns();
}

static inline void reply_number(uint32_t server, long long number)
{
    reply(server, &(redisReply){.type = REDIS_REPLY_INTEGER, .integer = number});
}

static inline void reply_error(uint32_t server, const char *text)
{
    reply(server,
          &(redisReply){.type = REDIS_REPLY_ERROR, .str = (char *)text, .len = strlen(text)});
}

static inline redisReply string_of(const void *bytes, size_t len)
{
    return (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)bytes, .len = len};
}

static inline void reply_strings(uint32_t server, redisReply *strings, size_t count)
{
    redisReply *elements[16];
    for (size_t i = 0; i < count; i++)
        elements[i] = &strings[i];
    reply(server, &(redisReply){.type = REDIS_REPLY_ARRAY, .elements = count, .element = elements});
}

static inline void reply_time(uint32_t server) /* 1,000,000,500 ms */
{
    redisReply strings[] = {string_of("1000000", 7), string_of("500123", 6)};
    reply_strings(server, strings, 2);
}

/* What Redis keeps of a node: by its beat at `ms`, behind in partition 1 by so many. */
static inline void write_node(struct ft_buffer *out, const char *name, const char *instance,
                              uint64_t ms, uint64_t head, uint64_t known)
{
    ft_buffer_init(out, 4096);
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, 2);
    msgpack_pack_uint64(&packer, ms);
    msgpack_pack_array(&packer, 1);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_uint64(&packer, 1);
    ft_msgpack_out_str(out, ft_slice_str("stream0001"));
    msgpack_pack_uint64(&packer, head);
    msgpack_pack_uint64(&packer, 7);
    msgpack_pack_array(&packer, 7);
    msgpack_pack_uint64(&packer, 1);
    ft_msgpack_out_str(out, ft_slice_str(name));
    ft_msgpack_out_str(out, ft_slice_str(instance));
    ft_msgpack_out_str(out, ft_slice_str("9.8"));
    msgpack_pack_uint64(&packer, 1004000);
    msgpack_pack_uint64(&packer, 17);
    msgpack_pack_array(&packer, 2);
    for (uint64_t k = 1; k <= 2; k++) { /* Redis knows nothing of partition 2 */
        msgpack_pack_array(&packer, 3);
        msgpack_pack_uint64(&packer, k);
        ft_msgpack_out_str(out, ft_slice_str("stream0001"));
        msgpack_pack_uint64(&packer, known);
    }
}

/* Answers TIME and HGETALL; `name` NULL: nobody but this node is there. */
static inline void reply_nodes(uint32_t server, const char *name, uint64_t ms)
{
    struct ft_buffer us, them;
    write_node(&us, "n1", US, 1000000400, 1, 1);
    write_node(&them, name ? name : "", THEM, ms, 120, 100);
    redisReply strings[] = {string_of("n1", 2), string_of(us.ptr, us.len),
                            string_of(name, name ? strlen(name) : 0),
                            string_of(them.ptr, them.len)};
    reply_time(server);
    reply_strings(server, strings, name ? 4 : 2);
    ft_buffer_fini(&us);
    ft_buffer_fini(&them);
}

static inline void hear(uint32_t server, const char *channel, const char *bytes, size_t len)
{
    cr_assert(
        ft_asks_message(relay.asks, &servers[server], ft_slice_str(channel), ft_slice(bytes, len)));
    turns();
}

#define ALL                 "p@2:all"
#define OWN                 "p@2:node:" US
#define HEAR(channel, text) hear(0, channel, text, sizeof(text) - 1)
#define ORDER      \
    "\x94\x00\xa3" \
    "ann\xc0\x90"

/* This node's own order number 1 comes back, and another node's answer to it. */
static inline void hear_echo(uint32_t server)
{
    hear(server, ALL, "\x95\x01\xa5order\x01\xb0" US ORDER, 34);
}

static inline void hear_done(uint32_t server)
{
    hear(server, OWN,
         "\x96\x01\xa4"
         "done\x01\xb0" THEM "\x03\x04",
         27);
}

static inline uint64_t rejected(enum ft_rejected_label why)
{
    return relay.figures.relay_rejected[why];
}

#endif
