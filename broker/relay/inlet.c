/*
 * The way in for other software: PUBLISH <prefix>:in:<topic> <json> by any client of Redis is a publication.
 * Pub/Sub tells all who listen, so one node at a time does: the one that holds a lease, on each Redis server by
 * itself. What comes in goes to a worker, and from there the way of all publications: its topic's policy holds.
 * The publisher gets no answer, and is promised nothing (Redis' PUBLISH promises nothing either). The relay's
 * thread, but for publish() and what it calls.
 */
#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/hub/publish.h"
#include "broker/hub/worker.h"
#include "broker/relay/private.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define LEASE_MS 5000
#define RENEW_MS 1000
#define LOG_MS   5000

/* What may wait for workers. More is dropped: the sender cannot be made to wait. */
#define WAITING_MAX ((size_t)16 * 1024 * 1024)

#define COMMAND_MAX 4096

/* Takes the lease where nobody else has it, or renews it. */
static const char take_lease[] = "local held = redis.call('GET', KEYS[1]) "
                                 "if held and held ~= ARGV[1] then return 0 end "
                                 "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1";

static const char release_lease[] = "if redis.call('GET', KEYS[1]) == ARGV[1] then "
                                    "return redis.call('DEL', KEYS[1]) end return 0";

/* Bytes that are on their way to workers; outlives the inlet. */
struct waiting {
    _Atomic size_t bytes;
    _Atomic uint32_t refs;
};

struct lane { /* one server */
    struct ft_inlet *inlet;
    struct ft_server *server;
    bool is_asking, is_leader;
    uint64_t asked_ms;
    uint64_t held_ms; /* the lease was taken or renewed then, at the earliest */
};

struct ft_inlet {
    struct ft_relay *relay;
    struct lane lanes[FT_SERVERS_MAX];
    struct waiting *waiting;
    char *lease_key, *pattern;
    uint64_t rejected, log_ms;
};

/* A publication on its way to a worker. */
struct arrival {
    struct ft_letter letter;
    struct waiting *waiting;
    size_t data_len;
    uint8_t topic_len;
    uint8_t bytes[]; /* topic, data */
};

static char *join_texts(const char *prefix, const char *rest)
{
    size_t len = strlen(prefix), more = strlen(rest) + 1;
    char *text = ft_alloc(len + more);
    memcpy(text, prefix, len);
    memcpy(text + len, rest, more);
    return text;
}

struct ft_inlet *ft_inlet_new(struct ft_relay *relay)
{
    struct ft_inlet *inlet = ft_alloc_zero(sizeof(*inlet));
    inlet->relay = relay;
    inlet->lease_key = join_texts(relay->prefix, ":in:leader");
    inlet->pattern = join_texts(relay->channel_prefix, ":in:*");
    inlet->waiting = ft_alloc_zero(sizeof(*inlet->waiting));
    atomic_store(&inlet->waiting->refs, 1);
    for (uint32_t i = 0; i < FT_SERVERS_MAX; i++)
        inlet->lanes[i].inlet = inlet;
    return inlet;
}

static void unref(struct waiting *waiting)
{
    if (atomic_fetch_sub(&waiting->refs, 1) == 1)
        free(waiting);
}

void ft_inlet_free(struct ft_inlet *inlet)
{
    if (!inlet)
        return;
    unref(inlet->waiting);
    free(inlet->lease_key);
    free(inlet->pattern);
    free(inlet);
}

/* ---- the lease ---- */

static struct lane *lane_of(struct ft_inlet *inlet, const struct ft_server *server)
{
    uint32_t i = 0;
    while (inlet->relay->servers[i] != server)
        i++;
    return &inlet->lanes[i];
}

static void follow(struct lane *lane)
{
    if (!lane->is_leader)
        return;
    lane->is_leader = false;
    ft_server_punsubscribe(lane->server, ft_slice_str(lane->inlet->pattern));
}

static void on_lease(void *context, const redisReply *reply)
{
    struct lane *lane = context;
    lane->is_asking = false;
    if (!reply || !lane->server)
        return; /* ft_inlet_down() says the rest, or ft_inlet_leave() has said it */
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1) {
        follow(lane);
        return;
    }
    lane->held_ms = lane->asked_ms;
    if (lane->is_leader)
        return;
    lane->is_leader = true;
    ft_server_psubscribe(lane->server, ft_slice_str(lane->inlet->pattern));
}

static bool send_script(struct lane *lane, const char *script, ft_reply_fn fn)
{
    struct ft_inlet *inlet = lane->inlet;
    struct ft_buffer command;
    ft_buffer_init(&command, COMMAND_MAX);
    ft_command_begin(&command, 6);
    ft_command_str(&command, "EVAL");
    ft_command_str(&command, script);
    ft_command_str(&command, "1");
    ft_command_str(&command, inlet->lease_key);
    ft_command_str(&command, inlet->relay->instance);
    ft_command_uint(&command, LEASE_MS);
    bool is_sent =
        !command.failed && ft_server_send(lane->server, ft_buffer_slice(&command), fn, lane);
    ft_buffer_fini(&command);
    return is_sent;
}

static void ask(struct lane *lane)
{
    lane->asked_ms = lane->inlet->relay->now_ms;
    lane->is_asking = send_script(lane, take_lease, on_lease);
}

void ft_inlet_up(struct ft_inlet *inlet, struct ft_server *server)
{
    struct lane *lane = lane_of(inlet, server);
    lane->server = server;
    if (!lane->is_asking)
        ask(lane);
}

void ft_inlet_down(struct ft_inlet *inlet, struct ft_server *server)
{
    lane_of(inlet, server)->is_leader = false; /* the subscription went with the connection */
}

void ft_inlet_tick(struct ft_inlet *inlet)
{
    for (uint32_t i = 0; i < inlet->relay->server_count; i++) {
        struct lane *lane = &inlet->lanes[i];
        if (lane->server && !lane->is_asking && ft_server_state(lane->server) == FT_SERVER_UP &&
            inlet->relay->now_ms - lane->asked_ms >= RENEW_MS)
            ask(lane);
    }
}

static void on_released(void *context, const redisReply *reply)
{
    (void)context;
    (void)reply;
}

void ft_inlet_leave(struct ft_inlet *inlet)
{
    for (uint32_t i = 0; i < inlet->relay->server_count; i++) {
        struct lane *lane = &inlet->lanes[i];
        if (!lane->is_leader)
            continue;
        follow(lane);
        (void)send_script(lane, release_lease, on_released);
        lane->server = NULL; /* it does not ask again */
    }
}

/* ---- on the worker's thread ---- */

static void on_published(struct ft_asker *asker, struct ft_id id, const struct ft_outcome *outcome)
{
    (void)asker;
    (void)id;
    (void)outcome;
}

static void on_hold(struct ft_asker *asker, bool on)
{
    (void)asker;
    (void)on;
}

static void drop(struct ft_letter *letter)
{
    struct arrival *arrival = (struct arrival *)letter;
    atomic_fetch_sub(&arrival->waiting->bytes, arrival->data_len);
    unref(arrival->waiting);
    free(arrival);
}

/* Publishes as a session would that may do everything; what becomes of it nobody waits for. */
static void publish(struct ft_letter *letter, struct ft_worker *worker)
{
    static const struct ft_asker_ops ops = {.published = on_published, .hold = on_hold};
    struct arrival *arrival = (struct arrival *)letter;
    struct ft_asker asker = {0};
    ft_asker_init(&asker, worker, &ops,
                  ft_identity_new(&(struct ft_identity_spec){.may_everything = true}));
    struct ft_envelope envelope = {
        .op = FT_OP_PUB,
        .topic = ft_slice(arrival->bytes, arrival->topic_len),
        .data = {FT_DATA_JSON, ft_slice(arrival->bytes + arrival->topic_len, arrival->data_len)},
    };
    struct ft_problem problem;
    char text[FT_PROBLEM_TEXT_MAX + 16];
    if (ft_publish(&asker, &envelope, &problem) != FT_OK)
        ft_log(FT_LOG_DEBUG, "inlet_refused", "why=%s",
               ft_log_value(problem.text, text, sizeof(text)));
    ft_asker_fini(&asker);
    drop(letter);
}

/* ---- messages ---- */

static void reject(struct ft_inlet *inlet, enum ft_rejected_label label, struct ft_slice topic,
                   const char *why)
{
    struct ft_relay *relay = inlet->relay;
    ft_count(&relay->figures.relay_rejected[label], 1);
    inlet->rejected++;
    if (inlet->log_ms != 0 && relay->now_ms - inlet->log_ms < LOG_MS)
        return;
    char quoted[FT_QUOTE_MAX], quoted_value[2 * FT_QUOTE_MAX];
    char text[FT_PROBLEM_TEXT_MAX + 16];
    inlet->log_ms = relay->now_ms;
    ft_log(FT_LOG_WARN, "inlet_rejected", "topic=%s why=%s messages=%llu",
           ft_log_value(ft_quote(topic, quoted), quoted_value, sizeof(quoted_value)),
           ft_log_value(why, text, sizeof(text)), (unsigned long long)inlet->rejected);
    inlet->rejected = 0;
}

/* Says whether it is a publication; if not, it is rejected. */
static bool is_sound(struct ft_inlet *inlet, struct ft_slice topic, struct ft_slice data)
{
    struct ft_problem problem;
    if (ft_topic_check(topic, &problem) != FT_OK) {
        reject(inlet, FT_REJECTED_FOREIGN, topic, problem.text);
        return false;
    }
    if (ft_topic_is_reserved(topic)) {
        reject(inlet, FT_REJECTED_FOREIGN, topic, "the topic is the broker's own");
        return false;
    }
    if (data.len > ft_hub_message_bytes(inlet->relay->hub)) {
        reject(inlet, FT_REJECTED_TOO_LARGE, topic, "the data is larger than limits.message");
        return false;
    }
    if (ft_data_check(FT_JSON, data, &problem) != FT_OK) {
        reject(inlet, FT_REJECTED_DAMAGED, topic, problem.text);
        return false;
    }
    return true;
}

/* Cuts white space off: `data` is passed on as it is, and a value has none around it. */
static struct ft_slice trim(struct ft_slice data)
{
    while (data.len > 0 && memchr(" \t\r\n", data.ptr[0], 4)) {
        data.ptr++;
        data.len--;
    }
    while (data.len > 0 && memchr(" \t\r\n", data.ptr[data.len - 1], 4))
        data.len--;
    return data;
}

static void take(struct ft_inlet *inlet, struct ft_slice topic, struct ft_slice data)
{
    struct ft_relay *relay = inlet->relay;
    struct waiting *waiting = inlet->waiting;
    if (atomic_load(&waiting->bytes) + data.len > WAITING_MAX) {
        ft_count(&relay->figures.relay_publishes[FT_OUTCOME_REFUSED], 1);
        return;
    }
    atomic_fetch_add(&waiting->bytes, data.len);
    atomic_fetch_add(&waiting->refs, 1);
    struct arrival *arrival = ft_alloc(sizeof(*arrival) + topic.len + data.len);
    *arrival = (struct arrival){
        .letter = {.open = publish, .drop = drop},
        .waiting = waiting,
        .data_len = data.len,
        .topic_len = (uint8_t)topic.len,
    };
    memcpy(arrival->bytes, topic.ptr, topic.len);
    memcpy(arrival->bytes + topic.len, data.ptr, data.len);
    /* The worker is the topic's, so that what one sender sends keeps its order. */
    uint32_t worker = ft_partition_of(&relay->options.partitions, topic) % relay->hub->worker_count;
    ft_letter_post(relay->hub, worker, &arrival->letter);
}

bool ft_inlet_message(struct ft_inlet *inlet, struct ft_server *server, struct ft_slice channel,
                      struct ft_slice payload)
{
    struct ft_relay *relay = inlet->relay;
    size_t prefix = strlen(inlet->pattern) - 1; /* up to the '*' */
    if (channel.len < prefix || memcmp(channel.ptr, inlet->pattern, prefix) != 0)
        return false;
    const struct lane *lane = lane_of(inlet, server);
    if (!lane->is_leader || relay->now_ms - lane->held_ms >= LEASE_MS)
        return true; /* by now somebody else takes it */
    struct ft_slice topic = ft_slice(channel.ptr + prefix, channel.len - prefix);
    struct ft_slice data = trim(payload);
    if (!is_sound(inlet, topic, data))
        return true;
    ft_count(&relay->figures.relay_messages[FT_KIND_INLET], 1);
    ft_count(&relay->figures.relay_publications[FT_KIND_INLET], 1);
    ft_count(&relay->figures.relay_bytes[FT_KIND_INLET], payload.len);
    take(inlet, topic, data);
    return true;
}
