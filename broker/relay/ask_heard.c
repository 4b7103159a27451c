/*
 * What comes on the channels of questions (ask.c): what other nodes ask, which the workers carry out or look up, and
 * what they answer to this one. All of it is foreign. The relay's thread.
 */
#include "broker/relay/ask.h"
#include "broker/relay/ask_message.h"

#include "broker/base/alloc.h"
#include "broker/hub/session_list.h"
#include "protocol/msgpack_scan.h"

#include <stdlib.h>

/* Questions of others that are being answered at the same time, in bytes; more are not heard, and so not
 * answered. One that is short has a long answer: it counts as that. */
#define HEARD_BYTES_MAX ((size_t)16 * 1024 * 1024)

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

/* ---- what others ask ---- */

/* What the relay has to know of a question that is answered here, in the question's `answer`. */
struct heard {
    char origin[FT_INSTANCE_LEN];
    uint32_t server; /* by which it came */
    size_t bytes;
};

/* Has the workers see to a question whose body they can read. */
static void see_to(struct ft_asks *asks, struct ft_server *server,
                   const struct ft_ask_message *message)
{
    struct ft_relay *relay = asks->relay;
    bool is_order = message->word == FT_ASK_WORD_ORDER;
    struct heard heard = {
        .server = index_of(relay, server),
        .bytes = is_order ? message->body.len : FT_SESSION_LIST_BYTES_MAX,
    };
    if (asks->heard_bytes + heard.bytes > HEARD_BYTES_MAX) {
        reject(asks, FT_REJECTED_TOO_LARGE);
        return;
    }
    memcpy(heard.origin, message->instance.ptr, FT_INSTANCE_LEN);
    struct ft_relay_ask *ask = ft_relay_ask_new(0, is_order ? FT_ASK_CARRIED : FT_ASK_TOLD, NULL);
    ask->token = message->id;
    ft_buffer_add(&ask->body, message->body.ptr, message->body.len);
    ft_buffer_add(&ask->answer, &heard, sizeof(heard));
    asks->heard_bytes += heard.bytes;
    if (is_order) {
        ft_count(relay->figures.relay_orders, 1);
        ft_control_foreign(relay->hub, ask);
    } else {
        ft_session_list_foreign(relay->hub, ask);
    }
}

void ft_asks_answer(struct ft_asks *asks, struct ft_relay_ask *ask)
{
    struct heard heard;
    char origin[FT_INSTANCE_LEN + 1] = "";
    bool is_order = ask->kind == FT_ASK_CARRIED;
    struct ft_ask_message message = {
        .word = is_order ? FT_ASK_WORD_DONE : FT_ASK_WORD_THESE,
        .id = ask->token,
        .instance = ft_asks_instance(asks),
        .body = ft_buffer_slice(&ask->body),
        .sessions = is_order ? ask->outcome.sessions : ask->count,
        .subscriptions = ask->outcome.subscriptions,
    };
    memcpy(&heard, ask->answer.ptr, sizeof(heard));
    memcpy(origin, heard.origin, FT_INSTANCE_LEN);
    ft_buffer_clear(&asks->message);
    ft_ask_message_write(&message, &asks->message);
    ft_asks_tell(asks, asks->relay->servers[heard.server], origin);
    asks->heard_bytes -= heard.bytes;
    ft_relay_ask_free(ask);
}

/* A question to all nodes, of another one or of this one. */
static void on_question(struct ft_asks *asks, struct ft_server *server,
                        const struct ft_ask_message *message)
{
    struct ft_order order;
    struct ft_session_query query;
    bool is_order = message->word == FT_ASK_WORD_ORDER;
    if (ft_asks_is_own(asks, message->instance)) {
        struct ft_wait *wait =
            ft_wait_find(asks, message->id, is_order ? FT_ASK_ORDER : FT_ASK_SESSIONS);
        if (wait) {
            wait->parts[index_of(asks->relay, server)].answered++;
            ft_wait_settle(wait);
        }
        return;
    }
    bool is_sound = is_order ? ft_order_read(message->body, &order, asks->filters, NULL) == FT_OK
                             : ft_session_query_read(message->body, &query);
    if (is_sound)
        see_to(asks, server, message);
    else
        reject(asks, FT_REJECTED_DAMAGED);
}

/* ---- what they answer ---- */

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

/* Returns whether that node has answered by another server already: it is then the same once more. */
static bool has_answered(const struct ft_wait *wait, struct ft_slice instance)
{
    for (uint32_t i = 0; i < wait->answer_count; i++) {
        if (memcmp(wait->answers[i].instance, instance.ptr, FT_INSTANCE_LEN) == 0)
            return true;
    }
    return false;
}

static void add_answer(struct ft_wait *wait, struct ft_server *server, struct ft_slice instance)
{
    uint32_t n = wait->answer_count;
    if ((n & (n - 1)) == 0)
        wait->answers = ft_realloc(wait->answers, (n ? 2 * (size_t)n : 1) * sizeof(*wait->answers));
    wait->answers[n].server = server;
    memcpy(wait->answers[n].instance, instance.ptr, FT_INSTANCE_LEN);
    wait->answer_count++;
}

/* Adds the sessions of a node to those of others: the elements of its array. */
static void add_sessions(struct ft_relay_ask *ask, const struct ft_ask_message *message)
{
    struct ft_scan scan = ft_scan_of(message->body);
    struct ft_value head;
    ask->count += message->sessions;
    if (ft_msgpack_item(&scan, &head))
        ft_buffer_add(&ask->answer, scan.at, (size_t)(scan.end - scan.at));
}

static void on_answer(struct ft_asks *asks, struct ft_server *server,
                      const struct ft_ask_message *message)
{
    bool is_order = message->word == FT_ASK_WORD_DONE;
    struct ft_wait *wait =
        ft_wait_find(asks, message->id, is_order ? FT_ASK_ORDER : FT_ASK_SESSIONS);
    if (!wait)
        return; /* too late */
    if (ft_asks_is_own(asks, message->instance) || wait->answer_count == FT_NODES_MAX ||
        has_answered_by(wait, server, message->instance)) {
        reject(asks, FT_REJECTED_SPOOFED);
        return;
    }
    if (!is_order && !ft_session_infos_are_sound(message->body)) {
        reject(asks, FT_REJECTED_DAMAGED);
        return;
    }
    if (is_order) {
        wait->ask->outcome.sessions += message->sessions;
        wait->ask->outcome.subscriptions += message->subscriptions;
    } else if (!has_answered(wait, message->instance)) {
        add_sessions(wait->ask, message);
    }
    add_answer(wait, server, message->instance);
    wait->parts[index_of(asks->relay, server)].answered++;
    ft_wait_settle(wait);
}

/* ---- messages ---- */

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
    else if (ft_ask_message_asks(&message) != is_all)
        reject(asks, FT_REJECTED_SPOOFED);
    else if (is_all)
        on_question(asks, server, &message);
    else
        on_answer(asks, server, &message);
    return true;
}
