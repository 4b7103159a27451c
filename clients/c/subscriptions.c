/*
 * The state of each subscription against the broker, and what it has had. Does not send, read answers
 * or keep time: the client does. Its thread.
 */
#include "clients/c/subscriptions.h"

#include <stdlib.h>

#include "broker/base/alloc.h"
#include "clients/c/subscription.h"
#include "protocol/quote.h"
#include "protocol/topic.h"
#include "protocol/writer.h"

static struct fantail_subscription *of_route(struct ft_route *route)
{
    return (struct fantail_subscription *)route;
}

void ft_subscriptions_init(struct ft_subscriptions *subs, struct fantail *client,
                           void (*on_resume)(struct fantail *f, bool is_recovered))
{
    *subs = (struct ft_subscriptions){
        .client_ = client, .on_resume_ = on_resume, .routes_ = ft_routes_new()};
}

static void free_one(struct ft_subscriptions *subs, struct fantail_subscription *sub)
{
    DL_DELETE(subs->all_, sub);
    ft_feed_unref(sub->feed);
    ft_feed_unref(sub->start);
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
    ft_feed_unref(subs->plain_);
    ft_routes_free(subs->routes_);
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

static enum ft_err check_since(const struct fantail_subscribe_options *options,
                               struct ft_problem *problem)
{
    for (size_t i = 0; options && i < options->since_count; i++) {
        struct ft_slice text = ft_slice_str(options->since[i]);
        char quoted[FT_QUOTE_MAX];
        struct ft_pos pos;
        if (!ft_pos_read(text, &pos))
            return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                                  "the position %s is not <stream>.<offset>",
                                  ft_quote(text, quoted));
    }
    return FT_OK;
}

/* Takes over options; `since` becomes the feed that is to go on. */
static void set_options(struct fantail_subscription *sub,
                        const struct fantail_subscribe_options *options)
{
    sub->options = *options;
    sub->options.since = NULL;
    if (options->since_count == 0)
        return;
    sub->options.last = 0;
    sub->feed = ft_feed_new(options->every_ms, NULL);
    for (size_t i = 0; i < options->since_count; i++)
        ft_positions_see(&sub->feed->at, ft_slice_str(options->since[i]));
}

enum ft_err ft_subscriptions_add(struct ft_subscriptions *subs, const char *const *filters,
                                 size_t n, const struct fantail_subscribe_options *options,
                                 fantail_message_fn *handler, void *user,
                                 struct fantail_subscription **subscription,
                                 struct ft_problem *problem)
{
    enum ft_err err = check_filters(subs, filters, n, problem);
    if (!err)
        err = check_since(options, problem);
    if (err)
        return err;
    struct fantail_subscription *sub = ft_alloc_zero(sizeof(*sub));
    struct ft_slice *texts = ft_alloc(n * sizeof(*texts));
    for (size_t i = 0; i < n; i++)
        texts[i] = ft_slice_str(filters[i]);
    ft_routes_add(subs->routes_, &sub->route, texts, n);
    free(texts);
    if (options)
        set_options(sub, options);
    sub->handler = handler;
    sub->user = user;
    DL_APPEND(subs->all_, sub);
    subs->waiting++;
    *subscription = sub;
    return FT_OK;
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

void ft_subscriptions_tell_resume(struct ft_subscriptions *subs, bool is_recovered)
{
    if (subs->resume_ != FT_RESUME_ASKED)
        return;
    const struct fantail_subscription *sub;
    DL_FOREACH(subs->all_, sub)
    if (is_recovered && sub->was_answered &&
        (sub->step == FT_STEP_STALE || sub->step == FT_STEP_ASKED))
        return;
    subs->resume_ = FT_RESUME_TOLD;
    if (subs->on_resume_)
        subs->on_resume_(subs->client_, is_recovered);
}

void ft_subscriptions_remove(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                             enum ft_encoding encoding, struct ft_buffer *envelope)
{
    FT_ASSERT(!sub->is_removed);
    if (sub->step == FT_STEP_ASKED || sub->step == FT_STEP_LIVE)
        write_unsub(sub, encoding, envelope);
    ft_routes_remove(subs->routes_, &sub->route);
    ft_subscription_step(subs, sub, FT_STEP_REFUSED);
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

static void set_start(struct fantail_subscription *sub, struct ft_feed *start)
{
    ft_feed_unref(sub->start);
    sub->start = start;
}

/* What a subscription has had: its feed's positions, or its start where that is further on. */
static struct ft_feed *progress_of(const struct fantail_subscription *sub)
{
    if (!sub->start)
        return ft_feed_ref(sub->feed);
    struct ft_feed *progress = ft_feed_new(0, &sub->feed->at);
    ft_positions_raise_all(&progress->at, &sub->start->at);
    return progress;
}

/* Says whether a subscription is to go on together with `first`. */
static bool is_fellow(const struct fantail_subscription *sub,
                      const struct fantail_subscription *first)
{
    return sub->step == FT_STEP_STALE && sub->options.every_ms == first->options.every_ms;
}

/* Lets `first` and its fellows go on from where all of them have been; each keeps what it has had. */
static void merge_feeds(struct fantail_subscription *first)
{
    struct ft_feed *merged = ft_feed_new(first->options.every_ms, NULL);
    struct fantail_subscription *sub;
    for (sub = first; sub; sub = sub->next) {
        if (!is_fellow(sub, first))
            continue;
        struct ft_feed *progress = progress_of(sub);
        ft_positions_lower_all(&merged->at, &progress->at);
        set_start(sub, progress);
        ft_subscription_feed(sub, ft_feed_ref(merged));
        sub->is_merged = true;
    }
    for (sub = first; sub; sub = sub->next)
        /* What was held back may come out of its order, so nothing of it is old. */
        if (is_fellow(sub, first) &&
            (merged->every_ms > 0 || ft_positions_cover_all(&merged->at, &sub->start->at)))
            set_start(sub, NULL);
    ft_feed_unref(merged);
}

void ft_subscriptions_break(struct ft_subscriptions *subs)
{
    struct fantail_subscription *sub;
    subs->resume_ = FT_RESUME_NONE;
    subs->requests_ = subs->replays_ = 0;
    ft_feed_unref(subs->plain_);
    subs->plain_ = NULL;
    DL_FOREACH(subs->all_, sub)
    {
        if (sub->step == FT_STEP_ASKED)
            ft_subscription_step(subs, sub, sub->was_answered ? FT_STEP_STALE : FT_STEP_NEW);
        else if (sub->step == FT_STEP_LIVE)
            ft_subscription_step(subs, sub, FT_STEP_STALE);
        sub->is_alone = sub->is_merged = false;
        sub->due_ms = 0;
        if (sub->step == FT_STEP_STALE && !sub->is_removed)
            subs->resume_ = FT_RESUME_ASKED;
        if (sub->feed)
            ft_feed_break(sub->feed);
    }
    DL_FOREACH(subs->all_, sub)
    if (sub->step == FT_STEP_STALE && !sub->is_merged)
        merge_feeds(sub);
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
    return !sub->is_removed && sub->step == FT_STEP_ASKED && sub->request == request;
}

/* Moves one subscription on by the answer to its request. Says whether its owner is to hear it. */
static bool settle(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                   const struct fantail_result *result, uint64_t now_ms)
{
    bool is_refused = result->code != 0;
    if (is_refused && (sub->is_joint || result->retry_ms > 0)) {
        ft_subscription_step(subs, sub, sub->was_answered ? FT_STEP_STALE : FT_STEP_NEW);
        sub->is_alone = sub->is_joint || sub->is_alone;
        sub->due_ms = result->retry_ms > 0 ? now_ms + result->retry_ms : 0;
        return false;
    }
    ft_subscription_step(subs, sub, is_refused ? FT_STEP_REFUSED : FT_STEP_LIVE);
    bool is_news = !sub->was_answered;
    sub->was_answered = true;
    return is_news;
}

/* Begins a feed that starts live: together with the others that did on this connection, though what
 * they had before this one came is not for it. */
static void start_plain(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                        const struct ft_positions *starts)
{
    if (!subs->plain_)
        subs->plain_ = ft_feed_new(0, NULL);
    ft_subscription_feed(sub, ft_feed_ref(subs->plain_));
    for (size_t i = 0; i < starts->count; i++) {
        struct ft_pos pos = ft_positions_peek(starts, i);
        struct ft_pos any = {.stream = pos.stream};
        /* A stream that the feed knows stays where it is: the answer may have overtaken deliveries. */
        if (!ft_positions_cover(&subs->plain_->at, &any))
            ft_positions_raise(&subs->plain_->at, &pos);
    }
    if (!ft_positions_cover_all(&subs->plain_->at, starts))
        set_start(sub, ft_feed_new(0, starts));
}

/* A subscription without `since` is in force: its feed begins where the answer says. */
static void start_feed(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                       const struct ft_positions *starts)
{
    if (sub->feed) {
        ft_positions_raise_all(&sub->feed->at, starts); /* it had no position to go on from */
    } else if (sub->options.every_ms == 0 && sub->options.last == 0) {
        start_plain(subs, sub, starts);
    } else {
        ft_subscription_feed(sub, ft_feed_new(sub->options.every_ms, starts));
        sub->feed->is_rewinding = sub->options.last > 0;
    }
}

/* Finds one of the subscriptions that a request was made of. */
static struct fantail_subscription *find_asked(struct ft_subscriptions *subs, uint64_t request)
{
    struct fantail_subscription *sub;
    DL_FOREACH(subs->all_, sub)
    if (is_part_of(sub, request))
        return sub;
    return NULL;
}

bool ft_subscriptions_answer(struct ft_subscriptions *subs, struct ft_slice id,
                             const struct fantail_result *result, const struct ft_positions *starts,
                             uint64_t now_ms,
                             void (*on_error)(struct fantail *f, const struct fantail_result *r))
{
    uint64_t request;
    struct fantail_subscription *sub = read_id(id, &request) ? find_asked(subs, request) : NULL;
    if (!sub)
        return false;
    bool had_since = ft_subscription_since(sub) > 0;
    bool is_missing = result->code == 0 && sub->was_answered && !(had_since && result->recovered);
    bool is_reported = false;
    if (result->code == 0 && had_since && !result->recovered)
        ft_feed_restart(sub->feed, starts);
    begin_handlers(subs);
    DL_FOREACH(subs->all_, sub)
    {
        if (!is_part_of(sub, request))
            continue;
        bool is_told = settle(subs, sub, result, now_ms);
        if (sub->step == FT_STEP_LIVE && !had_since)
            start_feed(subs, sub, starts);
        if (is_told && sub->options.on_result) {
            sub->options.on_result(subs->client_, result, sub->user);
        } else if (result->code != 0 && !is_reported) {
            is_reported = true;
            on_error(subs->client_, result);
        }
    }
    ft_subscriptions_tell_resume(subs, !is_missing);
    end_handlers(subs);
    return true;
}

/* Says whether a subscription is to get this one: it is in force, and has not had it. */
static bool is_news(const struct ft_subscriptions *subs, const struct fantail_subscription *sub,
                    const struct ft_pos *pos)
{
    if (sub->step != FT_STEP_LIVE)
        return false;
    if (!pos)
        return true;
    if (sub->start && ft_positions_cover(&sub->start->at, pos))
        return false;
    /* Where several requests were made and one of them replays, it may bring what came for another. */
    bool may_repeat = subs->replays_ > 0 && subs->requests_ > 1 && sub->feed->every_ms == 0 &&
                      !sub->feed->is_rewinding;
    return !may_repeat || !ft_positions_cover(&sub->feed->at, pos);
}

/* Keeps those of the `n` routes that are to get the delivery, and moves them on; returns how many. */
static size_t sift(const struct ft_subscriptions *subs, struct ft_route **routes, size_t n,
                   const struct fantail_message *message, uint64_t now_ms)
{
    struct ft_pos place;
    bool has_place = !message->retained && /* its position is that of long ago */
                     ft_pos_read(ft_slice(message->pos.ptr, message->pos.len), &place);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (is_news(subs, of_route(routes[i]), has_place ? &place : NULL))
            routes[kept++] = routes[i];
    for (size_t i = 0; has_place && i < kept; i++)
        ft_feed_advance(of_route(routes[i])->feed, &place, message->at_ms, now_ms);
    return kept;
}

void ft_subscriptions_deliver(struct ft_subscriptions *subs, const struct fantail_message *message,
                              uint64_t now_ms, fantail_message_fn *unhandled, void *user)
{
    struct ft_route **routes;
    size_t n =
        ft_routes_match(subs->routes_, ft_slice(message->topic.ptr, message->topic.len), &routes);
    n = sift(subs, routes, n, message, now_ms);
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

void ft_subscriptions_skip(struct ft_subscriptions *subs, const struct ft_positions *positions)
{
    struct fantail_subscription *sub;
    DL_FOREACH(subs->all_, sub)
    if (sub->step == FT_STEP_LIVE)
        ft_positions_raise_all(&sub->feed->at, positions);
}

size_t ft_subscription_position_count(const struct fantail_subscription *sub)
{
    return ft_subscription_since(sub);
}

size_t ft_subscription_position(const struct fantail_subscription *sub, size_t n, char *out,
                                size_t size)
{
    if (n >= ft_subscription_since(sub))
        return 0;
    struct ft_pos pos = ft_positions_peek(&sub->feed->at, n);
    for (size_t i = 0; sub->start && i < sub->start->at.count; i++) {
        struct ft_pos start = ft_positions_peek(&sub->start->at, i);
        if (ft_slice_equal(start.stream, pos.stream) && start.offset > pos.offset)
            return ft_positions_print(&sub->start->at, i, out, size);
    }
    return ft_positions_print(&sub->feed->at, n, out, size);
}
