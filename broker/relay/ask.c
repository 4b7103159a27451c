/*
 * What nodes ask each other beside publications: who is there, and that an operator's order be carried out.
 * An order goes to the channel of all nodes, and each answers on the channel of the node that gave it. Redis
 * says how many have heard the order, and the nodes' figures (roll.c) who should have: a node that is cut off is
 * still listed. The relay's thread.
 */
#include "broker/relay/ask.h"

#include "broker/base/alloc.h"
#include "broker/relay/ask_message.h"
#include "protocol/quote.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

/* Orders of others that are carried out at the same time, in bytes; more are not heard, and so not answered. */
#define CARRIED_BYTES_MAX ((size_t)8 * 1024 * 1024)

/* A node that was not seen for so long is taken off the list. */
#define FORGET_NODE_MS 3600000

static char *name_of(const char *prefix, const char *rest, const char *more)
{
    size_t size = strlen(prefix) + strlen(rest) + strlen(more) + 1;
    char *name = ft_alloc(size);
    snprintf(name, size, "%s%s%s", prefix, rest, more);
    return name;
}

struct ft_asks *ft_asks_new(struct ft_relay *relay)
{
    struct ft_asks *asks = ft_alloc_zero(sizeof(*asks));
    asks->relay = relay;
    asks->all = name_of(relay->channel_prefix, ":all", "");
    asks->own = name_of(relay->channel_prefix, ":node:", relay->instance);
    asks->nodes = name_of(relay->prefix, ":nodes", "");
    asks->filters = ft_alloc(FT_ORDER_FILTERS_MAX * sizeof(*asks->filters));
    ft_buffer_init(&asks->command, 2 * FT_ASK_MESSAGE_MAX);
    ft_buffer_init(&asks->message, FT_ASK_MESSAGE_MAX);
    ft_relay_gauges(relay);
    return asks;
}

/* ---- questions that wait ---- */

static void wait_free(struct ft_wait *wait)
{
    ft_roll_fini(&wait->roll);
    free(wait->answers);
    free(wait);
}

static void wait_remove(struct ft_wait *wait)
{
    struct ft_wait **at = &wait->asks->waits;
    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
    wait_free(wait);
}

static struct ft_wait *wait_new(struct ft_asks *asks, struct ft_relay_ask *ask)
{
    struct ft_wait *wait = ft_alloc_zero(sizeof(*wait));
    wait->asks = asks;
    wait->ask = ask;
    wait->id = ++asks->last_id;
    wait->deadline_ms = asks->relay->now_ms + asks->relay->options.deadline_ms;
    wait->next = asks->waits;
    asks->waits = wait;
    return wait;
}

/* Gives the question back to whoever asked. */
static void give_back(struct ft_wait *wait)
{
    struct ft_relay_ask *ask = wait->ask;
    wait->ask = NULL;
    ft_letter_post(wait->asks->relay->hub, ask->worker, &ask->letter);
}

static struct ft_wait *find(struct ft_asks *asks, uint64_t id)
{
    for (struct ft_wait *wait = asks->waits; wait; wait = wait->next) {
        if (wait->id == id && wait->ask && wait->ask->kind == FT_ASK_ORDER)
            return wait;
    }
    return NULL;
}

static struct ft_slice instance_of(const struct ft_asks *asks)
{
    return ft_slice(asks->relay->instance, FT_INSTANCE_LEN);
}

static bool is_own(const struct ft_asks *asks, struct ft_slice instance)
{
    return ft_slice_equal(instance, instance_of(asks));
}

/* ---- what came of it ---- */

static bool has_answered(const struct ft_wait *wait, struct ft_slice instance)
{
    for (uint32_t i = 0; i < wait->answer_count; i++) {
        if (memcmp(wait->answers[i].instance, instance.ptr, FT_INSTANCE_LEN) == 0)
            return true;
    }
    return false;
}

/* Returns how many nodes that are there have not answered, and the name of one of them. */
static uint32_t count_missing(const struct ft_wait *wait, struct ft_slice *name)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < wait->roll.count; i++) {
        const struct ft_node_info *info = &wait->roll.nodes[i].info;
        if (is_own(wait->asks, info->instance) || has_answered(wait, info->instance))
            continue;
        if (missing++ == 0)
            *name = info->name;
    }
    return missing;
}

/* Each node counts once, however many servers it answered by. */
static uint32_t count_answered(const struct ft_wait *wait)
{
    uint32_t nodes = 0;
    for (uint32_t i = 0; i < wait->answer_count; i++) {
        uint32_t k = 0;
        while (memcmp(wait->answers[k].instance, wait->answers[i].instance, FT_INSTANCE_LEN) != 0)
            k++;
        nodes += k == i;
    }
    return nodes;
}

static void judge_order(struct ft_wait *wait)
{
    struct ft_problem *problem = &wait->ask->problem;
    struct ft_slice name;
    char quoted[FT_QUOTE_MAX];
    uint32_t missing = count_missing(wait, &name);
    wait->ask->outcome.nodes = count_answered(wait);
    if (wait->refusal[0])
        (void)ft_problem_set(problem, FT_ERR_UNAVAILABLE, "Redis says %s", wait->refusal);
    else if (wait->roll.servers == 0)
        (void)ft_problem_set(problem, FT_ERR_TIMEOUT,
                             "Redis did not answer, so that nobody knows of other nodes");
    else if (missing == 1)
        (void)ft_problem_set(problem, FT_ERR_TIMEOUT, "node %s has not answered",
                             ft_quote(name, quoted));
    else if (missing > 1)
        (void)ft_problem_set(problem, FT_ERR_TIMEOUT, "%u nodes have not answered, %s among them",
                             missing, ft_quote(name, quoted));
}

static void judge_nodes(struct ft_wait *wait)
{
    struct ft_relay_ask *ask = wait->ask;
    if (wait->refusal[0])
        (void)ft_problem_set(&ask->problem, FT_ERR_UNAVAILABLE,
                             "the other nodes are not known: Redis says %s", wait->refusal);
    else if (wait->roll.servers == 0)
        (void)ft_problem_set(&ask->problem, FT_ERR_TIMEOUT,
                             "Redis did not answer, so that the other nodes are not known");
    else
        ft_roll_write(&wait->roll, wait->asks->relay, &ask->answer);
}

static void finish(struct ft_wait *wait)
{
    struct ft_problem *problem = &wait->ask->problem;
    if (wait->ask->kind == FT_ASK_ORDER)
        judge_order(wait);
    else
        judge_nodes(wait);
    if (problem->err)
        problem->retry_ms = 1000;
    give_back(wait);
}

/* Says whether everybody who heard an order by this server has answered, or cannot any more. */
static bool is_part_done(const struct ft_wait_part *part)
{
    return !part->server || part->is_lost || (part->has_heard && part->answered >= part->heard);
}

/* Gives it back when there is nothing to wait for, and frees it when nobody points to it. */
static void settle(struct ft_wait *wait)
{
    bool is_done = wait->out == 0;
    if (wait->ask && wait->ask->kind == FT_ASK_ORDER) {
        for (uint32_t i = 0; i < FT_SERVERS_MAX; i++)
            is_done &= is_part_done(&wait->parts[i]);
    }
    if (wait->ask && is_done)
        finish(wait);
    if (!wait->ask && wait->out == 0)
        wait_remove(wait);
}

/* ---- commands, and what Redis says to them ---- */

static void on_nobody_waits(void *context, const redisReply *reply)
{
    (void)context, (void)reply;
}

static bool send_command(struct ft_asks *asks, struct ft_server *server, ft_reply_fn fn,
                         void *context)
{
    return !asks->command.failed &&
           ft_server_send(server, ft_buffer_slice(&asks->command), fn, context);
}

static struct ft_buffer *begin(struct ft_asks *asks, uint32_t args)
{
    ft_buffer_clear(&asks->command);
    ft_command_begin(&asks->command, args);
    return &asks->command;
}

/* Lays out PUBLISH of asks->message. */
static void compose_publish(struct ft_asks *asks, const char *channel)
{
    struct ft_buffer *command = begin(asks, 3);
    ft_command_str(command, "PUBLISH");
    ft_command_str(command, channel);
    ft_command_arg(command, ft_buffer_slice(&asks->message));
}

static void refused(struct ft_wait *wait, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        ft_quote(ft_slice(reply->str, reply->len), wait->refusal);
}

static void on_time(void *context, const redisReply *reply)
{
    struct ft_wait_part *part = context;
    bool is_time = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                   reply->element[0]->type == REDIS_REPLY_STRING &&
                   reply->element[1]->type == REDIS_REPLY_STRING;
    if (is_time)
        part->now_ms = strtoull(reply->element[0]->str, NULL, 10) * 1000 +
                       strtoull(reply->element[1]->str, NULL, 10) / 1000;
    else if (reply)
        refused(part->wait, reply);
    part->wait->out--;
    settle(part->wait);
}

/* Takes a node that was not seen for long off the list: names of nodes come and go. */
static void forget_node(struct ft_wait_part *part, struct ft_slice name)
{
    struct ft_buffer *command = begin(part->wait->asks, 3);
    ft_command_str(command, "HDEL");
    ft_command_str(command, part->wait->asks->nodes);
    ft_command_arg(command, name);
    (void)send_command(part->wait->asks, part->server, on_nobody_waits, NULL);
}

static void add_node(struct ft_wait_part *part, const redisReply *name, const redisReply *value)
{
    struct ft_roll *roll = &part->wait->roll;
    struct ft_relay *relay = part->wait->asks->relay;
    uint64_t age_ms = 0;
    if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING ||
        !ft_roll_add(roll, ft_slice(name->str, name->len), ft_slice(value->str, value->len),
                     part->now_ms, &age_ms))
        ft_count(&relay->figures.relay_rejected[FT_REJECTED_DAMAGED], 1);
    else if (age_ms > FORGET_NODE_MS)
        forget_node(part, ft_slice(name->str, name->len));
}

static void add_nodes(struct ft_wait_part *part, const redisReply *reply)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        add_node(part, reply->element[i], reply->element[i + 1]);
    part->wait->roll.servers++;
}

static void on_nodes(void *context, const redisReply *reply)
{
    struct ft_wait_part *part = context;
    if (reply && reply->type == REDIS_REPLY_ARRAY && part->now_ms > 0)
        add_nodes(part, reply);
    else if (reply)
        refused(part->wait, reply);
    part->wait->out--;
    settle(part->wait);
}

static void on_order_published(void *context, const redisReply *reply)
{
    struct ft_wait_part *part = context;
    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0) {
        part->has_heard = true;
        part->heard = (uint64_t)reply->integer;
    } else {
        part->is_lost = true;
        if (reply)
            refused(part->wait, reply);
    }
    part->wait->out--;
    settle(part->wait);
}

static bool send_wait(struct ft_wait_part *part, ft_reply_fn fn)
{
    bool is_sent = send_command(part->wait->asks, part->server, fn, part);
    part->wait->out += is_sent;
    return is_sent;
}

/* ---- asking ---- */

/* Asks one server who is there, and publishes the order, if it is one. */
static void ask_server(struct ft_wait_part *part)
{
    struct ft_asks *asks = part->wait->asks;
    struct ft_buffer *command = begin(asks, 1);
    ft_command_str(command, "TIME");
    part->is_lost = !send_wait(part, on_time);
    command = begin(asks, 2);
    ft_command_str(command, "HGETALL");
    ft_command_str(command, asks->nodes);
    part->is_lost |= !send_wait(part, on_nodes);
    if (part->wait->ask->kind != FT_ASK_ORDER)
        return;
    compose_publish(asks, asks->all);
    part->is_lost |= !send_wait(part, on_order_published);
}

static void away(struct ft_asks *asks, struct ft_relay_ask *ask)
{
    (void)ft_problem_set(&ask->problem, FT_ERR_UNAVAILABLE,
                         "Redis is away, so that other nodes are not reached");
    ask->problem.retry_ms = 1000;
    ft_letter_post(asks->relay->hub, ask->worker, &ask->letter);
}

static void ask_all(struct ft_asks *asks, struct ft_relay_ask *ask)
{
    struct ft_relay *relay = asks->relay;
    struct ft_wait *wait = wait_new(asks, ask);
    if (ask->kind == FT_ASK_ORDER) {
        ft_buffer_clear(&asks->message);
        ft_ask_order_write(wait->id, instance_of(asks), ft_buffer_slice(&ask->body),
                           &asks->message);
    }
    for (uint32_t i = 0; i < relay->server_count; i++) {
        struct ft_wait_part *part = &wait->parts[i];
        if (ft_server_state(relay->servers[i]) != FT_SERVER_UP)
            continue;
        part->wait = wait;
        part->server = relay->servers[i];
        ask_server(part);
    }
    if (wait->out > 0)
        return;
    wait->ask = NULL;
    wait_remove(wait);
    away(asks, ask);
}

/* ---- orders of other nodes ---- */

/* What the relay has to know of an order that is carried out here, in the question's `answer`. */
struct carried {
    char origin[FT_INSTANCE_LEN];
    uint32_t server; /* by which it came */
    size_t bytes;
};

static void reject(struct ft_asks *asks, enum ft_rejected_label why)
{
    ft_count(&asks->relay->figures.relay_rejected[why], 1);
}

static uint32_t index_of(const struct ft_relay *relay, const struct ft_server *server)
{
    uint32_t i = 0;
    while (i < relay->server_count - 1 && relay->servers[i] != server)
        i++;
    return i;
}

/* Has an order carried out; `bytes` is one that ft_order_read() took. */
static void carry_out(struct ft_asks *asks, struct ft_server *server, struct ft_slice origin,
                      uint64_t id, struct ft_slice bytes)
{
    struct ft_relay *relay = asks->relay;
    struct carried carried = {.server = index_of(relay, server), .bytes = bytes.len};
    if (asks->carried_bytes + bytes.len > CARRIED_BYTES_MAX) {
        reject(asks, FT_REJECTED_TOO_LARGE);
        return;
    }
    memcpy(carried.origin, origin.ptr, FT_INSTANCE_LEN);
    struct ft_relay_ask *ask = ft_relay_ask_new(0, FT_ASK_CARRIED, NULL);
    ask->token = id;
    ft_buffer_add(&ask->body, bytes.ptr, bytes.len);
    ft_buffer_add(&ask->answer, &carried, sizeof(carried));
    asks->carried_bytes += bytes.len;
    ft_count(relay->figures.relay_orders, 1);
    ft_control_foreign(relay->hub, ask);
}

/* It was carried out: tells whoever gave it. */
static void carried_out(struct ft_asks *asks, struct ft_relay_ask *ask)
{
    struct carried carried;
    memcpy(&carried, ask->answer.ptr, sizeof(carried));
    ft_buffer_clear(&asks->message);
    ft_ask_done_write(ask->token, instance_of(asks), &ask->outcome, &asks->message);
    char origin[FT_INSTANCE_LEN + 1];
    snprintf(origin, sizeof(origin), "%.*s", FT_INSTANCE_LEN, carried.origin);
    char *channel = name_of(asks->relay->channel_prefix, ":node:", origin);
    compose_publish(asks, channel);
    free(channel);
    /* Where that is lost, whoever asked says by himself that this node has not answered. */
    (void)send_command(asks, asks->relay->servers[carried.server], on_nobody_waits, NULL);
    asks->carried_bytes -= carried.bytes;
    ft_relay_ask_free(ask);
}

/* ---- messages ---- */

/* An order, of another node or of this one. */
static void on_order(struct ft_asks *asks, struct ft_server *server,
                     const struct ft_ask_message *message)
{
    struct ft_order order;
    if (is_own(asks, message->instance)) {
        struct ft_wait *wait = find(asks, message->id);
        if (wait) {
            wait->parts[index_of(asks->relay, server)].answered++;
            settle(wait);
        }
        return;
    }
    if (ft_order_read(message->order, &order, asks->filters, NULL) != FT_OK)
        reject(asks, FT_REJECTED_DAMAGED);
    else
        carry_out(asks, server, message->instance, message->id, message->order);
}

static bool has_answered_by(const struct ft_wait *wait, const struct ft_server *server,
                            struct ft_slice instance)
{
    for (uint32_t i = 0; i < wait->answer_count; i++) {
        if (wait->answers[i].server == server &&
            memcmp(wait->answers[i].instance, instance.ptr, FT_INSTANCE_LEN) == 0)
            return true;
    }
    return false;
}

static void on_done(struct ft_asks *asks, struct ft_server *server,
                    const struct ft_ask_message *message)
{
    struct ft_wait *wait = find(asks, message->id);
    if (!wait)
        return; /* too late */
    if (is_own(asks, message->instance) || wait->answer_count == FT_NODES_MAX ||
        has_answered_by(wait, server, message->instance)) {
        reject(asks, FT_REJECTED_SPOOFED);
        return;
    }
    if ((wait->answer_count & (wait->answer_count - 1)) == 0)
        wait->answers =
            ft_realloc(wait->answers, (wait->answer_count ? 2 * (size_t)wait->answer_count : 1) *
                                          sizeof(*wait->answers));
    struct ft_wait_answer *answer = &wait->answers[wait->answer_count++];
    answer->server = server;
    memcpy(answer->instance, message->instance.ptr, FT_INSTANCE_LEN);
    wait->ask->outcome.sessions += message->sessions;
    wait->ask->outcome.subscriptions += message->subscriptions;
    wait->parts[index_of(asks->relay, server)].answered++;
    settle(wait);
}

static void reject_fault(struct ft_asks *asks, enum ft_relay_fault fault)
{
    reject(asks, fault == FT_RELAY_FOREIGN    ? FT_REJECTED_FOREIGN
                 : fault == FT_RELAY_VERSION_ ? FT_REJECTED_VERSION
                                              : FT_REJECTED_DAMAGED);
}

bool ft_asks_message(struct ft_asks *asks, struct ft_server *server, struct ft_slice channel,
                     struct ft_slice payload)
{
    struct ft_ask_message message;
    bool is_all = ft_slice_equal(channel, ft_slice_str(asks->all));
    if (!is_all && !ft_slice_equal(channel, ft_slice_str(asks->own)))
        return false;
    if (payload.len > FT_ASK_MESSAGE_MAX) {
        reject(asks, FT_REJECTED_TOO_LARGE);
        return true;
    }
    enum ft_relay_fault fault = ft_ask_message_read(payload, &message);
    if (fault != FT_RELAY_SOUND)
        reject_fault(asks, fault);
    else if (message.is_order != is_all)
        reject(asks, FT_REJECTED_SPOOFED);
    else if (is_all)
        on_order(asks, server, &message);
    else
        on_done(asks, server, &message);
    return true;
}

/* ---- for relay.c ---- */

void ft_asks_take(struct ft_asks *asks, struct ft_relay_ask *ask)
{
    switch (ask->kind) {
    case FT_ASK_PRESENCE:
        ft_presences_ask(asks->relay->presences, ask);
        break;
    case FT_ASK_CARRIED:
        carried_out(asks, ask);
        break;
    case FT_ASK_NODES:
    case FT_ASK_ORDER:
        ask_all(asks, ask);
        break;
    }
}

void ft_asks_up(struct ft_asks *asks, struct ft_server *server)
{
    ft_server_subscribe(server, ft_slice_str(asks->all), NULL, NULL);
}

void ft_asks_down(struct ft_asks *asks, struct ft_server *server)
{
    for (struct ft_wait *wait = asks->waits, *next; wait; wait = next) {
        next = wait->next;
        for (uint32_t i = 0; i < FT_SERVERS_MAX; i++)
            wait->parts[i].is_lost |= wait->parts[i].server == server;
        settle(wait);
    }
}

void ft_asks_tick(struct ft_asks *asks)
{
    for (struct ft_wait *wait = asks->waits, *next; wait; wait = next) {
        next = wait->next;
        if (wait->ask && asks->relay->now_ms >= wait->deadline_ms)
            finish(wait);
        settle(wait);
    }
}

void ft_asks_free(struct ft_asks *asks)
{
    if (!asks)
        return;
    for (struct ft_wait *wait = asks->waits, *next; wait; wait = next) {
        next = wait->next;
        if (wait->ask)
            finish(wait);
        wait_free(wait);
    }
    ft_buffer_fini(&asks->command);
    ft_buffer_fini(&asks->message);
    free(asks->all);
    free(asks->own);
    free(asks->nodes);
    free(asks->filters);
    free(asks);
}
