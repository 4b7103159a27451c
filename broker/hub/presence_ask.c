/*
 * Who is present: from a `presence` envelope to the answer, out of the node's table, or by way of the relay. An
 * answer lists the clients that came first, within half of limits.queue. The worker's thread.
 */
#include "broker/hub/presence.h"

#include "broker/base/alloc.h"
#include "broker/hub/presence_desk.h"
#include "protocol/msgpack_scan.h"
#include "protocol/quote.h"

#include <stdlib.h>

/* Questions that wait for the relay, of one asker and of all of a worker. A page that shows many rooms asks
 * for all of them at once. */
#define QUERIES_EACH 64
#define QUERIES_MAX  2048

/* What the relay's answer may have: a thousand clients with the longest users. */
#define RELAY_ANSWER_MAX ((size_t)1 << 20)

/* ---- checking ---- */

enum ft_err ft_presence_check(const struct ft_asker *asker, const struct ft_envelope *envelope,
                              struct ft_problem *problem)
{
    char quoted[FT_QUOTE_MAX];
    if (!envelope->topic.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "presence needs a topic");
    enum ft_err err = ft_topic_check(envelope->topic, problem);
    if (err != FT_OK)
        return err;
    if (!ft_identity_may_sub(asker->who, envelope->topic))
        return ft_problem_set(problem, FT_ERR_FORBIDDEN, "the presence of %s is not permitted",
                              ft_quote(envelope->topic, quoted));
    if (!ft_presence_is_on(asker->worker, envelope->topic))
        return ft_problem_set(problem, FT_ERR_NOT_FOUND,
                              "topic %s has no presence; the operator switches it on by "
                              "presence = yes in a [topic] section",
                              ft_quote(envelope->topic, quoted));
    return FT_OK;
}

/* ---- an answer in the making ---- */

struct listing {
    enum ft_encoding encoding;
    size_t room; /* for all of it */
    struct ft_buffer items;
    uint32_t ends[FT_PRESENCE_LISTED_MAX];
    uint32_t count;
};

static void listing_init(struct listing *listing, const struct ft_worker *w,
                         enum ft_encoding encoding)
{
    listing->encoding = encoding;
    listing->room = w->options->queue_bytes / 2;
    listing->count = 0;
    ft_buffer_init(&listing->items, UINT32_MAX);
}

/* Adds a client. False: there is no room for it. */
static bool list(struct listing *listing, const struct ft_present *who)
{
    struct ft_writer w;
    if (listing->count == FT_PRESENCE_LISTED_MAX)
        return false;
    ft_writer_init(&w, listing->encoding, &listing->items);
    ft_presence_write_client(&w, who);
    if (listing->items.len + listing->count > listing->room)
        return false;
    listing->ends[listing->count++] = (uint32_t)listing->items.len;
    return true;
}

/* Makes an array of them, and calls the asker. */
static void tell(struct listing *listing, uint64_t count, struct ft_asker *asker, struct ft_id id,
                 ft_presence_fn answer)
{
    struct ft_buffer array;
    struct ft_writer w;
    ft_buffer_init(&array, UINT32_MAX);
    ft_writer_init(&w, listing->encoding, &array);
    ft_write_array(&w, listing->count);
    for (uint32_t i = 0, at = 0; i < listing->count; at = listing->ends[i++])
        ft_write_raw(&w, ft_slice(listing->items.ptr + at, listing->ends[i] - at));
    struct ft_presence_answer told = {.count = count, .clients = ft_buffer_slice(&array)};
    answer(asker, id, &told, NULL);
    ft_buffer_fini(&array);
}

/* ---- from this node ---- */

static void ask_here(struct ft_asker *asker, const struct ft_envelope *envelope,
                     enum ft_encoding encoding, ft_presence_fn answer)
{
    struct ft_worker *w = asker->worker;
    struct ft_hub_presence *presence = w->hub->presence;
    const struct ft_presence_client *client;
    struct listing listing;
    listing_init(&listing, w, encoding);
    pthread_mutex_lock(&presence->lock);
    uint64_t count = ft_presence_count(presence->table, envelope->topic, &client);
    while (client && list(&listing, &client->who))
        client = ft_presence_next(client);
    pthread_mutex_unlock(&presence->lock);
    tell(&listing, count, asker, envelope->id, answer);
    ft_buffer_fini(&listing.items);
}

/* ---- by way of the relay ---- */

struct ft_presence_query {
    struct ft_relay_ask ask; /* the first: a pointer to its letter is one to the query */
    struct ft_presence_query *next, **link;
    struct ft_asker *asker; /* NULL: gone */
    ft_presence_fn answer;
    enum ft_encoding encoding;
    struct ft_id id; /* a string lies in `text` */
    uint8_t text[FT_ID_BYTES_MAX];
};

static void query_free(struct ft_presence_query *query)
{
    ft_buffer_fini(&query->ask.body);
    ft_buffer_fini(&query->ask.answer);
    free(query);
}

/* Takes it off its worker's list. */
static void detach(struct ft_presence_desk *desk, struct ft_presence_query *query)
{
    if (!query->link)
        return;
    *query->link = query->next;
    if (query->next)
        query->next->link = query->link;
    query->link = NULL;
    query->asker = NULL;
    desk->query_count--;
}

static void listing_read(struct listing *listing, struct ft_slice clients)
{
    struct ft_scan scan = ft_scan_of(clients);
    struct ft_value array;
    struct ft_present who;
    if (!ft_msgpack_item(&scan, &array) || array.kind != FT_VALUE_ARRAY)
        return;
    for (uint64_t i = 0; i < array.num && ft_presence_read_client(&scan, &who); i++)
        if (!list(listing, &who))
            return;
}

static void opened(struct ft_letter *letter, struct ft_worker *w)
{
    struct ft_presence_query *query = (struct ft_presence_query *)letter;
    struct ft_asker *asker = query->asker;
    struct ft_id id = query->id;
    if (id.kind == FT_ID_STR)
        id.str.ptr = query->text;
    detach(w->presence, query);
    if (asker)
        asker->unacked--;
    if (asker && query->ask.problem.err != FT_OK) {
        query->answer(asker, id, NULL, &query->ask.problem);
    } else if (asker) {
        struct listing listing;
        listing_init(&listing, w, query->encoding);
        listing_read(&listing, ft_buffer_slice(&query->ask.answer));
        tell(&listing, query->ask.count, asker, id, query->answer);
        ft_buffer_fini(&listing.items);
    }
    query_free(query);
}

/* The desk is gone by then, or goes. */
static void dropped(struct ft_letter *letter)
{
    query_free((struct ft_presence_query *)letter);
}

static enum ft_err check_room(const struct ft_asker *asker, struct ft_problem *problem)
{
    const struct ft_presence_desk *desk = asker->worker->presence;
    uint32_t own = 0;
    for (const struct ft_presence_query *query = desk->queries;
         query && desk->query_count >= QUERIES_EACH; query = query->next)
        own += query->asker == asker;
    if (own < QUERIES_EACH && desk->query_count < QUERIES_MAX)
        return FT_OK;
    enum ft_err err = ft_problem_set(problem, FT_ERR_TOO_MANY,
                                     "%u questions about presence have to be answered before the "
                                     "next",
                                     own < QUERIES_EACH ? desk->query_count : own);
    if (problem)
        problem->retry_ms = 1000;
    return err;
}

static void ask_relay(struct ft_asker *asker, const struct ft_envelope *envelope,
                      enum ft_encoding encoding, ft_presence_fn answer)
{
    struct ft_worker *w = asker->worker;
    struct ft_presence_desk *desk = w->presence;
    struct ft_presence_query *query = ft_alloc_zero(sizeof(*query));
    query->ask.letter = (struct ft_letter){.open = opened, .drop = dropped};
    query->ask.worker = w->index;
    query->ask.kind = FT_ASK_PRESENCE;
    ft_buffer_init(&query->ask.body, FT_TOPIC_BYTES_MAX);
    ft_buffer_init(&query->ask.answer, RELAY_ANSWER_MAX);
    ft_buffer_add(&query->ask.body, envelope->topic.ptr, envelope->topic.len);
    query->asker = asker;
    query->answer = answer;
    query->encoding = encoding;
    query->id = envelope->id;
    if (query->id.kind == FT_ID_STR)
        memcpy(query->text, envelope->id.str.ptr, envelope->id.str.len);
    query->next = desk->queries;
    query->link = &desk->queries;
    if (query->next)
        query->next->link = &query->next;
    desk->queries = query;
    desk->query_count++;
    asker->unacked++; /* so that a `ping` behind it is answered behind it */
    w->hub->relay_ops->ask(w->hub->relay, &query->ask);
}

enum ft_err ft_presence_ask(struct ft_asker *asker, const struct ft_envelope *envelope,
                            enum ft_encoding encoding, ft_presence_fn answer,
                            struct ft_problem *problem)
{
    if (!asker->worker->hub->relay_ops) {
        ask_here(asker, envelope, encoding, answer);
        return FT_OK;
    }
    enum ft_err err = check_room(asker, problem);
    if (err == FT_OK)
        ask_relay(asker, envelope, encoding, answer);
    return err;
}

void ft_presence_forget(struct ft_asker *asker)
{
    struct ft_presence_desk *desk = asker->worker->presence;
    struct ft_presence_query *query, *next;
    for (query = desk->queries; query; query = next) {
        next = query->next;
        if (query->asker == asker)
            detach(desk, query);
    }
}
