/*
 * What nodes ask each other beside publications: who is there, that an operator's order be carried out, and who is
 * connected. The latter two go to the channel of all nodes, and each answers on the channel of the node that
 * asked. Redis says how many have heard the question, and the nodes' figures (roll.c) who should have: a node
 * that is cut off is still listed. What others ask is in ask_heard.c. The relay's thread.
 */
#include "broker/relay/ask.h"

#include "broker/base/alloc.h"
#include "broker/relay/ask_message.h"
#include "protocol/msgpack_out.h"
#include "protocol/quote.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

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

struct ft_wait *ft_wait_find(struct ft_asks *asks, uint64_t id, enum ft_ask_kind kind)
{
    for (struct ft_wait *wait = asks->waits; wait; wait = wait->next) {
        if (wait->id == id && wait->ask && wait->ask->kind == kind)
            return wait;
    }
    return NULL;
}

/* Says whether every node answers it, and not Redis alone. */
static bool is_for_nodes(const struct ft_wait *wait)
{
    return wait->ask && wait->ask->kind != FT_ASK_NODES;
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

/* Says whether a node with this name has something to answer: a list of sessions may be for one node alone. */
static bool is_meant(const struct ft_wait *wait, struct ft_slice name)
{
    struct ft_session_query query;
    return wait->ask->kind != FT_ASK_SESSIONS ||
           !ft_session_query_read(ft_buffer_slice(&wait->ask->body), &query) || !query.node.ptr ||
           ft_slice_equal(query.node, name);
}

/* Returns how many nodes that are there have not answered, the name of one of them, and all of them in
 * ask->missing. */
static uint32_t count_missing(const struct ft_wait *wait, struct ft_slice *name)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < wait->roll.count; i++) {
        const struct ft_node_info *info = &wait->roll.nodes[i].info;
        if (ft_asks_is_own(wait->asks, info->instance) || has_answered(wait, info->instance) ||
            !is_meant(wait, info->name))
            continue;
        if (missing++ == 0)
            *name = info->name;
        ft_msgpack_out_str(&wait->ask->missing, info->name);
    }
    wait->ask->missing_count = missing;
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

/* Says whether none of the nodes that are listed was asked for. */
static bool is_for_nobody(const struct ft_wait *wait)
{
    for (uint32_t i = 0; i < wait->roll.count; i++) {
        if (is_meant(wait, wait->roll.nodes[i].info.name))
            return false;
    }
    return wait->ask->count == 0 && !is_meant(wait, ft_slice_str(wait->asks->relay->options.node));
}

/* What came of an order, or of asking who is connected. */
static void judge_answers(struct ft_wait *wait)
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
    else if (is_for_nobody(wait))
        (void)ft_problem_set(problem, FT_ERR_NOT_FOUND, "no node of this name is there");
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
    if (is_for_nodes(wait))
        judge_answers(wait);
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

void ft_wait_settle(struct ft_wait *wait)
{
    bool is_done = wait->out == 0;
    if (is_for_nodes(wait)) {
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

void ft_asks_tell(struct ft_asks *asks, struct ft_server *server, const char *instance)
{
    char *channel = name_of(asks->relay->channel_prefix, ":node:", instance);
    compose_publish(asks, channel);
    free(channel);
    /* Where that is lost, whoever asked says by himself that this node has not answered. */
    (void)send_command(asks, server, on_nobody_waits, NULL);
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
    ft_wait_settle(part->wait);
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
    ft_wait_settle(part->wait);
}

static void on_published(void *context, const redisReply *reply)
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
    ft_wait_settle(part->wait);
}

static bool send_wait(struct ft_wait_part *part, ft_reply_fn fn)
{
    bool is_sent = send_command(part->wait->asks, part->server, fn, part);
    part->wait->out += is_sent;
    return is_sent;
}

/* ---- asking ---- */

/* Asks one server who is there, and publishes what the nodes are to answer. */
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
    if (!is_for_nodes(part->wait))
        return;
    compose_publish(asks, asks->all);
    part->is_lost |= !send_wait(part, on_published);
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
    if (is_for_nodes(wait)) {
        struct ft_ask_message message = {
            .word = ask->kind == FT_ASK_ORDER ? FT_ASK_WORD_ORDER : FT_ASK_WORD_WHO,
            .id = wait->id,
            .instance = ft_asks_instance(asks),
            .body = ft_buffer_slice(&ask->body),
        };
        ft_buffer_clear(&asks->message);
        ft_ask_message_write(&message, &asks->message);
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

/* ---- for relay.c ---- */

void ft_asks_take(struct ft_asks *asks, struct ft_relay_ask *ask)
{
    switch (ask->kind) {
    case FT_ASK_PRESENCE:
        ft_presences_ask(asks->relay->presences, ask);
        break;
    case FT_ASK_CARRIED:
    case FT_ASK_TOLD:
        ft_asks_answer(asks, ask);
        break;
    case FT_ASK_NODES:
    case FT_ASK_ORDER:
    case FT_ASK_SESSIONS:
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
        ft_wait_settle(wait);
    }
}

void ft_asks_tick(struct ft_asks *asks)
{
    for (struct ft_wait *wait = asks->waits, *next; wait; wait = next) {
        next = wait->next;
        if (wait->ask && asks->relay->now_ms >= wait->deadline_ms)
            finish(wait);
        ft_wait_settle(wait);
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
