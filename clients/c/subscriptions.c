/*
 * The state of each subscription against the broker. Does not send, read answers or keep time: the
 * client does. Its thread.
 */
#include "clients/c/subscriptions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "broker/base/alloc.h"
#include "protocol/topic.h"
#include "protocol/writer.h"

enum step { NEW, ASKED, LIVE, STALE, REFUSED };

struct fantail_subscription {
    struct ft_route route; /* first, so that a route is its subscription */
    struct fantail_subscribe_options options;
    fantail_message_fn *handler;
    void *user;
    enum step step;
    bool was_answered; /* its owner knows how it went */
    bool is_alone;     /* a joint request was refused: ask for it by itself */
    bool is_joint;     /* ASKED: others are part of the same request */
    bool is_removed;
    uint64_t request; /* ASKED: the number of the request that it is part of */
    uint64_t due_ms;  /* NEW, STALE: not before; 0: now */
    struct fantail_subscription *prev, *next;
};

static struct fantail_subscription *of_route(struct ft_route *route)
{
    return (struct fantail_subscription *)route;
}

void ft_subscriptions_init(struct ft_subscriptions *subs, struct fantail *client)
{
    *subs = (struct ft_subscriptions){.client_ = client, .routes_ = ft_routes_new()};
}

static void free_one(struct ft_subscriptions *subs, struct fantail_subscription *sub)
{
    DL_DELETE(subs->all_, sub);
    free(sub);
}

void ft_subscriptions_fini(struct ft_subscriptions *subs)
{
    struct fantail_subscription *sub, *next;
    DL_FOREACH_SAFE(subs->all_, sub, next)
    {
        if (!sub->is_removed)
            ft_routes_remove(subs->routes_, &sub->route);
        free_one(subs, sub);
    }
    ft_routes_free(subs->routes_);
}

static bool is_waiting(const struct fantail_subscription *sub)
{
    return !sub->is_removed && (sub->step == NEW || sub->step == STALE);
}

static void set_step(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                     enum step step)
{
    subs->waiting -= is_waiting(sub);
    sub->step = step;
    subs->waiting += is_waiting(sub);
}

static enum ft_err check_filters(const struct ft_subscriptions *subs, const char *const *filters,
                                 size_t n, struct ft_problem *problem)
{
    if (n == 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "a subscription needs a filter");
    if (n > FT_SUBSCRIPTION_FILTERS_MAX - ft_routes_filter_count(subs->routes_))
        return ft_problem_set(problem, FT_ERR_TOO_MANY, "a client may have %d filters",
                              FT_SUBSCRIPTION_FILTERS_MAX);
    for (size_t i = 0; i < n; i++) {
        enum ft_err err = ft_filter_check(ft_slice_str(filters[i]), problem);
        if (err)
            return err;
    }
    return FT_OK;
}

enum ft_err ft_subscriptions_add(struct ft_subscriptions *subs, const char *const *filters,
                                 size_t n, const struct fantail_subscribe_options *options,
                                 fantail_message_fn *handler, void *user,
                                 struct fantail_subscription **subscription,
                                 struct ft_problem *problem)
{
    enum ft_err err = check_filters(subs, filters, n, problem);
    if (err)
        return err;
    struct fantail_subscription *sub = ft_alloc_zero(sizeof(*sub));
    struct ft_slice *texts = ft_alloc(n * sizeof(*texts));
    for (size_t i = 0; i < n; i++)
        texts[i] = ft_slice_str(filters[i]);
    ft_routes_add(subs->routes_, &sub->route, texts, n);
    free(texts);
    if (options)
        sub->options = *options;
    sub->handler = handler;
    sub->user = user;
    DL_APPEND(subs->all_, sub);
    subs->waiting++;
    *subscription = sub;
    return FT_OK;
}

static void write_id(struct ft_writer *writer, uint64_t request)
{
    char id[24];
    snprintf(id, sizeof(id), "%c%" PRIu64, FT_SUBSCRIPTION_ID, request);
    ft_write_key(writer, "id");
    ft_write_str(writer, ft_slice_str(id));
}

/* Writes the `unsub` of the filters that only this subscription has. */
static void write_unsub(const struct fantail_subscription *sub, enum ft_encoding encoding,
                        struct ft_buffer *envelope)
{
    uint32_t count = 0;
    for (size_t i = 0; i < sub->route.filter_count; i++)
        count += ft_route_is_sole(&sub->route, i);
    if (count == 0)
        return;
    struct ft_writer writer;
    ft_writer_init(&writer, encoding, envelope);
    ft_write_map(&writer, 2);
    ft_write_key(&writer, "op");
    ft_write_str(&writer, ft_slice_str("unsub"));
    ft_write_key(&writer, "topics");
    ft_write_array(&writer, count);
    for (size_t i = 0; i < sub->route.filter_count; i++)
        if (ft_route_is_sole(&sub->route, i))
            ft_write_str(&writer, ft_route_filter(&sub->route, i));
}

void ft_subscriptions_remove(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                             enum ft_encoding encoding, struct ft_buffer *envelope)
{
    FT_ASSERT(!sub->is_removed);
    if (sub->step == ASKED || sub->step == LIVE)
        write_unsub(sub, encoding, envelope);
    ft_routes_remove(subs->routes_, &sub->route);
    set_step(subs, sub, REFUSED);
    sub->is_removed = true;
    if (subs->busy_ == 0)
        free_one(subs, sub);
    else
        subs->has_removed_ = true;
}

/* Handlers run between these two; what they remove is freed after the last has returned. */
static void begin_handlers(struct ft_subscriptions *subs)
{
    subs->busy_++;
}

static void end_handlers(struct ft_subscriptions *subs)
{
    if (--subs->busy_ > 0 || !subs->has_removed_)
        return;
    struct fantail_subscription *sub, *next;
    DL_FOREACH_SAFE(subs->all_, sub, next)
    if (sub->is_removed)
        free_one(subs, sub);
    subs->has_removed_ = false;
}

void ft_subscriptions_break(struct ft_subscriptions *subs)
{
    struct fantail_subscription *sub;
    DL_FOREACH(subs->all_, sub)
    {
        if (sub->step == ASKED)
            set_step(subs, sub, sub->was_answered ? STALE : NEW);
        else if (sub->step == LIVE)
            set_step(subs, sub, STALE);
        sub->is_alone = false;
        sub->due_ms = 0;
    }
}

/* What the filters of a subscription need in an envelope at most: JSON may double each byte. */
static size_t filter_bytes(const struct fantail_subscription *sub)
{
    size_t n = 0;
    for (size_t i = 0; i < sub->route.filter_count; i++)
        n += 2 * ft_route_filter(&sub->route, i).len + 3;
    return n;
}

static bool is_due(const struct fantail_subscription *sub, uint64_t now_ms)
{
    return is_waiting(sub) && sub->due_ms <= now_ms;
}

/* Says whether a subscription can be asked for together with `first`. */
static bool may_join(const struct fantail_subscription *sub,
                     const struct fantail_subscription *first, uint64_t now_ms)
{
    return sub == first ||
           (first->step == STALE && !first->is_alone && sub->step == STALE && !sub->is_alone &&
            is_due(sub, now_ms) && sub->options.every_ms == first->options.every_ms);
}

/* Marks everything that goes into the next request with its number; returns how many filters. */
static uint32_t mark_request(struct ft_subscriptions *subs, struct fantail_subscription *first,
                             uint64_t now_ms, size_t max)
{
    uint32_t count = 0;
    size_t bytes = 0;
    for (struct fantail_subscription *sub = first; sub; sub = sub->next) {
        if (!may_join(sub, first, now_ms))
            continue;
        bytes += filter_bytes(sub);
        if (sub != first && bytes > max)
            break;
        sub->request = subs->last_request_ + 1;
        count += (uint32_t)sub->route.filter_count;
    }
    subs->last_request_++;
    return count;
}

static void write_sub(struct ft_subscriptions *subs, struct fantail_subscription *first,
                      uint32_t count, enum ft_encoding encoding, struct ft_buffer *envelope)
{
    uint32_t every_ms = first->options.every_ms;
    uint32_t last = first->was_answered ? 0 : first->options.last;
    struct ft_writer writer;
    ft_writer_init(&writer, encoding, envelope);
    ft_write_map(&writer, 3 + (every_ms > 0) + (last > 0));
    ft_write_key(&writer, "op");
    ft_write_str(&writer, ft_slice_str("sub"));
    write_id(&writer, subs->last_request_);
    if (every_ms > 0) {
        ft_write_key(&writer, "every");
        ft_write_uint(&writer, every_ms);
    }
    if (last > 0) {
        ft_write_key(&writer, "last");
        ft_write_uint(&writer, last);
    }
    ft_write_key(&writer, "topics");
    ft_write_array(&writer, count);
    for (struct fantail_subscription *sub = first; sub; sub = sub->next) {
        if (!is_waiting(sub) || sub->request != subs->last_request_)
            continue;
        for (size_t i = 0; i < sub->route.filter_count; i++)
            ft_write_str(&writer, ft_route_filter(&sub->route, i));
        sub->is_joint = count > sub->route.filter_count;
        set_step(subs, sub, ASKED);
    }
}

bool ft_subscriptions_ask(struct ft_subscriptions *subs, uint64_t now_ms, size_t max,
                          enum ft_encoding encoding, struct ft_buffer *envelope)
{
    if (subs->waiting == 0)
        return false;
    struct fantail_subscription *first;
    DL_FOREACH(subs->all_, first)
    if (is_due(first, now_ms))
        break;
    if (!first)
        return false;
    uint32_t count = mark_request(subs, first, now_ms, max);
    write_sub(subs, first, count, encoding, envelope);
    return true;
}

uint64_t ft_subscriptions_due_ms(const struct ft_subscriptions *subs)
{
    uint64_t due_ms = 0;
    const struct fantail_subscription *sub;
    if (subs->waiting == 0)
        return 0;
    DL_FOREACH(subs->all_, sub)
    if (is_waiting(sub) && (due_ms == 0 || sub->due_ms < due_ms))
        due_ms = sub->due_ms ? sub->due_ms : 1;
    return due_ms;
}

/* Reads "s12". A peer chose it. */
static bool read_id(struct ft_slice id, uint64_t *request)
{
    uint64_t value = 0;
    if (id.len < 2 || id.len > 20 || id.ptr[0] != FT_SUBSCRIPTION_ID)
        return false;
    for (size_t i = 1; i < id.len; i++) {
        if (id.ptr[i] < '0' || id.ptr[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(id.ptr[i] - '0');
    }
    *request = value;
    return true;
}

static bool is_part_of(const struct fantail_subscription *sub, uint64_t request)
{
    return !sub->is_removed && sub->step == ASKED && sub->request == request;
}

/* Moves one subscription on by the answer to its request. Says whether its owner is to hear it. */
static bool settle(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                   const struct fantail_result *result, uint64_t now_ms)
{
    bool is_refused = result->code != 0;
    if (is_refused && (sub->is_joint || result->retry_ms > 0)) {
        set_step(subs, sub, sub->was_answered ? STALE : NEW);
        sub->is_alone = sub->is_joint || sub->is_alone;
        sub->due_ms = result->retry_ms > 0 ? now_ms + result->retry_ms : 0;
        return false;
    }
    set_step(subs, sub, is_refused ? REFUSED : LIVE);
    bool is_news = !sub->was_answered;
    sub->was_answered = true;
    return is_news;
}

bool ft_subscriptions_answer(struct ft_subscriptions *subs, struct ft_slice id,
                             const struct fantail_result *result, uint64_t now_ms,
                             void (*on_error)(struct fantail *f, const struct fantail_result *r))
{
    uint64_t request;
    if (!read_id(id, &request))
        return false;
    bool is_known = false;
    bool is_reported = false;
    begin_handlers(subs);
    struct fantail_subscription *sub;
    DL_FOREACH(subs->all_, sub)
    {
        if (!is_part_of(sub, request))
            continue;
        is_known = true;
        bool is_told = settle(subs, sub, result, now_ms);
        if (is_told && sub->options.on_result) {
            sub->options.on_result(subs->client_, result, sub->user);
        } else if (result->code != 0 && !is_reported) {
            is_reported = true;
            on_error(subs->client_, result);
        }
    }
    end_handlers(subs);
    return is_known;
}

void ft_subscriptions_deliver(struct ft_subscriptions *subs, const struct fantail_message *message,
                              fantail_message_fn *unhandled, void *user)
{
    struct ft_route **routes;
    size_t n =
        ft_routes_match(subs->routes_, ft_slice(message->topic.ptr, message->topic.len), &routes);
    bool is_unhandled = false;
    begin_handlers(subs);
    for (size_t i = 0; i < n; i++) {
        struct fantail_subscription *sub = of_route(routes[i]);
        if (sub->is_removed)
            continue;
        if (sub->handler)
            sub->handler(subs->client_, message, sub->user);
        else
            is_unhandled = true;
    }
    if (is_unhandled && unhandled)
        unhandled(subs->client_, message, user);
    end_handlers(subs);
}
