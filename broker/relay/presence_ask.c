/*
 * Who is present in the whole cluster: how many, and those who came first. Two commands and no script: between
 * them somebody may come or go, which is no harm.
 */
#include "broker/relay/presence_private.h"

#include "broker/base/alloc.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#define RETRY_MS 1000

/* A question that was sent. It lives until Redis has answered; the asker may be told before. */
struct ft_presence_query {
    struct ft_presences *presences;
    struct ft_relay_ask *ask; /* NULL: it was told */
    struct ft_presence_query *next, **link;
    uint64_t deadline_ms;
    uint32_t pending; /* commands that are not answered */
    uint64_t count;
};

static void give_back(struct ft_presences *p, struct ft_relay_ask *ask)
{
    ft_letter_post(p->relay->hub, ask->worker, &ask->letter);
}

static void refuse(struct ft_presences *p, struct ft_relay_ask *ask, enum ft_err err,
                   const char *why)
{
    (void)ft_problem_set(&ask->problem, err, "who is present in the cluster is not known now: %s",
                         why);
    ask->problem.retry_ms = RETRY_MS;
    give_back(p, ask);
}

/* Takes the question off the list of those that wait. */
static struct ft_relay_ask *take_ask(struct ft_presence_query *query)
{
    struct ft_relay_ask *ask = query->ask;
    if (!ask)
        return NULL;
    *query->link = query->next;
    if (query->next)
        query->next->link = query->link;
    query->ask = NULL;
    return ask;
}

/* Reads a pair of member and score. */
static bool read_pair(const redisReply *member, const redisReply *score, struct ft_present *who)
{
    if (member->type != REDIS_REPLY_STRING || score->type != REDIS_REPLY_STRING ||
        !ft_member_read(ft_slice(member->str, member->len), who))
        return false;
    who->since_ms = strtoull(score->str, NULL, 10);
    return true;
}

static void write_answer(struct ft_relay_ask *ask, const redisReply *list)
{
    struct ft_present who;
    struct ft_writer w;
    uint32_t sound = 0;
    for (size_t i = 0; i + 1 < list->elements; i += 2)
        sound += read_pair(list->element[i], list->element[i + 1], &who);
    ft_writer_init(&w, FT_MSGPACK, &ask->answer);
    ft_write_array(&w, sound);
    for (size_t i = 0; i + 1 < list->elements; i += 2)
        if (read_pair(list->element[i], list->element[i + 1], &who))
            ft_presence_write_client(&w, &who);
}

/* A command was answered, or will not be. After the last one the question goes; nobody told so far: it was lost. */
static void answered(struct ft_presence_query *query, const redisReply *reply)
{
    if (--query->pending > 0)
        return;
    struct ft_relay_ask *ask = take_ask(query);
    if (ask)
        refuse(query->presences, ask, FT_ERR_UNAVAILABLE,
               reply ? "Redis refuses to say" : "the connection to Redis was lost");
    free(query);
}

static void on_count(void *context, const redisReply *reply)
{
    struct ft_presence_query *query = context;
    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0)
        query->count = (uint64_t)reply->integer;
    answered(query, reply);
}

static void on_list(void *context, const redisReply *reply)
{
    struct ft_presence_query *query = context;
    if (reply && reply->type == REDIS_REPLY_ARRAY && query->ask) {
        struct ft_relay_ask *ask = take_ask(query);
        write_answer(ask, reply);
        ask->count = query->count;
        give_back(query->presences, ask);
    }
    answered(query, reply);
}

static struct ft_presence_query *query_new(struct ft_presences *p, struct ft_relay_ask *ask)
{
    struct ft_presence_query *query = ft_alloc_zero(sizeof(*query));
    query->presences = p;
    query->ask = ask;
    query->deadline_ms = p->relay->now_ms + p->relay->options.deadline_ms;
    query->next = p->queries;
    query->link = &p->queries;
    if (query->next)
        query->next->link = &query->next;
    p->queries = query;
    return query;
}

static void send_query(struct ft_here *here, uint32_t partition, struct ft_slice topic,
                       struct ft_presence_query *query)
{
    struct ft_presences *p = here->all;
    ft_here_begin(p, 2);
    ft_command_str(&p->command, "ZCARD");
    ft_here_add_key(p, partition, topic);
    query->pending += ft_here_send(here, on_count, query);
    ft_here_begin(p, 5);
    ft_command_str(&p->command, "ZRANGE");
    ft_here_add_key(p, partition, topic);
    ft_command_str(&p->command, "0");
    ft_command_uint(&p->command, FT_PRESENCE_LISTED_MAX - 1);
    ft_command_str(&p->command, "WITHSCORES");
    query->pending += ft_here_send(here, on_list, query);
}

void ft_presences_ask(struct ft_presences *p, struct ft_relay_ask *ask)
{
    uint32_t partition;
    struct ft_slice topic = ft_buffer_slice(&ask->body);
    struct ft_here *here = ft_here_of(p, topic, &partition);
    if (!ft_here_has_room(here)) {
        refuse(p, ask, FT_ERR_UNAVAILABLE,
               here->is_up ? "too much waits for Redis" : "Redis is not reached");
        return;
    }
    struct ft_presence_query *query = query_new(p, ask);
    query->pending = 1; /* this one, too */
    send_query(here, partition, topic, query);
    answered(query, NULL);
}

void ft_presences_expire(struct ft_presences *p)
{
    struct ft_presence_query *query, *next;
    for (query = p->queries; query; query = next) {
        next = query->next;
        if (p->relay->now_ms >= query->deadline_ms)
            refuse(p, take_ask(query), FT_ERR_TIMEOUT, "Redis did not answer in time");
    }
}
