/*
 * The state of each subscription against the broker, and what it has had. Does not send, read answers
 * or keep time: the client does. Its thread.
 */
#include "clients/c/subscriptions.h"

#include <stdlib.h>

#include "broker/base/alloc.h"
#include "clients/c/subscription.h"
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
    ft_progress_unref(sub->progress);
    ft_progress_unref(sub->start);
    ft_positions_fini(&sub->begin);
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
    ft_progress_unref(subs->plain_);
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
        struct ft_position_parts pos;
        enum ft_err err = ft_position_read(ft_slice_str(options->since[i]), &pos, problem);
        if (err)
            return err;
    }
    return FT_OK;
}

/* Takes over options; `since` becomes what it is to go on from. */
static void set_options(struct fantail_subscription *sub,
                        const struct fantail_subscribe_options *options)
{
    sub->options = *options;
    sub->options.since = NULL;
    if (options->since_count == 0)
        return;
    sub->options.last = 0;
    sub->progress = ft_progress_new(NULL);
    for (size_t i = 0; i < options->since_count; i++)
        ft_positions_see(&sub->progress->at, ft_slice_str(options->since[i]));
    ft_positions_raise_all(&sub->begin, &sub->progress->at);
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

static void set_start(struct fantail_subscription *sub, struct ft_progress *start)
{
    ft_progress_unref(sub->start);
    sub->start = start;
}

/* What a subscription has had: the positions that it shares, or its start where that is further on. */
static struct ft_progress *had_of(const struct fantail_subscription *sub)
{
    if (!sub->start)
        return ft_progress_ref(sub->progress);
    struct ft_progress *had = ft_progress_new(&sub->progress->at);
    ft_positions_raise_all(&had->at, &sub->start->at);
    return had;
}

/* Says whether a subscription is to go on together with `first`. */
static bool is_fellow(const struct fantail_subscription *sub,
                      const struct fantail_subscription *first)
{
    return sub->step == FT_STEP_STALE && !sub->is_merged &&
           sub->options.every_ms == first->options.every_ms;
}

/* Lets `first` and its fellows go on from where all of them have been; each keeps what it has had. */
static void merge(struct fantail_subscription *first)
{
    struct ft_progress *merged = ft_progress_new(NULL);
    struct fantail_subscription *sub;
    for (sub = first; sub; sub = sub->next) {
        if (!is_fellow(sub, first))
            continue;
        struct ft_progress *had = had_of(sub);
        struct ft_progress *stands = ft_progress_new(&had->at);
        ft_positions_raise_all(&stands->at, &sub->begin);
        bool is_alike = ft_positions_are_alike(&merged->at, &stands->at);
        if (is_alike)
            ft_positions_lower_all(&merged->at, &stands->at);
        ft_progress_unref(stands);
        if (!is_alike) {
            ft_progress_unref(had);
            continue; /* it goes on by itself */
        }
        set_start(sub, had);
        ft_subscription_set(sub, ft_progress_ref(merged));
        sub->is_merged = true;
    }
    for (sub = first; sub; sub = sub->next)
        if (sub->progress == merged && ft_positions_cover_all(&merged->at, &sub->start->at))
            set_start(sub, NULL);
    ft_progress_unref(merged);
}

void ft_subscriptions_break(struct ft_subscriptions *subs)
{
    struct fantail_subscription *sub;
    subs->resume_ = FT_RESUME_NONE;
    subs->requests_ = subs->replays_ = 0;
    ft_progress_unref(subs->plain_);
    subs->plain_ = NULL;
    DL_FOREACH(subs->all_, sub)
    {
        if (sub->step == FT_STEP_ASKED)
            ft_subscription_step(subs, sub, sub->was_answered ? FT_STEP_STALE : FT_STEP_NEW);
        else if (sub->step == FT_STEP_LIVE)
            ft_subscription_step(subs, sub, FT_STEP_STALE);
        sub->is_alone = sub->is_merged = sub->is_rewinding = false;
        sub->due_ms = 0;
        if (sub->step == FT_STEP_STALE && !sub->is_removed)
            subs->resume_ = FT_RESUME_ASKED;
    }
    DL_FOREACH(subs->all_, sub)
    if (sub->step == FT_STEP_STALE && !sub->is_merged)
        merge(sub);
}

void ft_subscriptions_end(struct ft_subscriptions *subs, struct ft_slice filter)
{
    struct fantail_subscription *sub;
    DL_FOREACH(subs->all_, sub)
    {
        /* What is asked for anew is behind this, and not meant. */
        if (sub->step != FT_STEP_LIVE || sub->is_removed)
            continue;
        ft_routes_drop(subs->routes_, &sub->route, filter);
        if (sub->route.filter_count == 0)
            ft_subscription_step(subs, sub, FT_STEP_REFUSED);
    }
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

/* Takes over the streams that are new. One that is known stays where it is: the answer may have overtaken
 * deliveries. */
static void learn(struct ft_positions *at, const struct ft_positions *starts)
{
    for (size_t i = 0; i < starts->count; i++) {
        struct ft_position_parts pos = ft_positions_peek(starts, i);
        struct ft_position_parts any = {.stream = pos.stream};
        if (!ft_positions_cover(at, &any))
            ft_positions_raise(at, &pos);
    }
}

/* Begins live, together with the others that did on this connection. */
static void start_plain(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                        const struct ft_positions *starts)
{
    if (!subs->plain_)
        subs->plain_ = ft_progress_new(NULL);
    ft_subscription_set(sub, ft_progress_ref(subs->plain_));
    learn(&subs->plain_->at, starts);
}

/* A subscription without `since` is in force: it begins where the answer says. */
static void begin(struct ft_subscriptions *subs, struct fantail_subscription *sub,
                  const struct ft_positions *starts)
{
    ft_positions_raise_all(&sub->begin, starts);
    if (sub->progress) {
        ft_positions_raise_all(&sub->progress->at, starts); /* it had no position to go on from */
    } else if (sub->options.every_ms == 0 && sub->options.last == 0) {
        start_plain(subs, sub, starts);
    } else {
        ft_subscription_set(sub, ft_progress_new(starts));
        sub->is_rewinding = sub->options.last > 0;
    }
}

/* What a subscription has not had is gone, or all that it knew: it begins anew. */
static void restart(struct fantail_subscription *sub, const struct ft_positions *starts)
{
    ft_progress_restart(sub->progress, starts);
    ft_positions_clear(&sub->begin);
    ft_positions_raise_all(&sub->begin, starts);
}

/* What was named came back whole. Streams that it could not name, because the broker did not know them when it
 * was last asked, begin here. */
static void learn_more(struct fantail_subscription *sub, const struct ft_positions *starts)
{
    learn(&sub->begin, starts);
    learn(&sub->progress->at, starts);
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
    begin_handlers(subs);
    DL_FOREACH(subs->all_, sub)
    {
        if (!is_part_of(sub, request))
            continue;
        bool is_told = settle(subs, sub, result, now_ms);
        if (sub->step == FT_STEP_LIVE && !had_since)
            begin(subs, sub, starts);
        else if (sub->step == FT_STEP_LIVE && !result->recovered)
            restart(sub, starts);
        else if (sub->step == FT_STEP_LIVE)
            learn_more(sub, starts);
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

/* Says whether a subscription takes part: it is in force, or will be from a position on. The broker
 * brings a publication once, by the first of the session's filters that resumes with it; what comes
 * for others while the answer is still due does not come again. */
static bool is_open(const struct fantail_subscription *sub)
{
    return sub->step == FT_STEP_LIVE ||
           (sub->step != FT_STEP_REFUSED && ft_subscription_since(sub) > 0);
}

/* Says whether a subscription has had this one, and with it all the others that it was for. */
static bool has_had(const struct ft_subscriptions *subs, const struct fantail_subscription *sub,
                    const struct ft_position_parts *pos)
{
    if (!sub->progress || ft_positions_cover(&sub->begin, pos))
        return false;
    if (sub->start && ft_positions_cover(&sub->start->at, pos))
        return true;
    /* Where several requests were made and one of them replays, it may bring what came for another. */
    return subs->replays_ > 0 && subs->requests_ > 1 && ft_positions_cover(&sub->progress->at, pos);
}

/* Moves on those of the `n` routes whose order this delivery kept. */
static void advance(struct ft_route **routes, size_t n, const struct ft_position_parts *pos)
{
    uint32_t shortest_ms = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct fantail_subscription *sub = of_route(routes[i]);
        if (sub->step == FT_STEP_LIVE && sub->options.every_ms < shortest_ms)
            shortest_ms = sub->options.every_ms;
    }
    for (size_t i = 0; i < n; i++) {
        struct fantail_subscription *sub = of_route(routes[i]);
        if (sub->step != FT_STEP_LIVE || sub->options.every_ms != shortest_ms)
            continue;
        ft_positions_raise(&sub->progress->at, pos);
        sub->is_rewinding = false;
    }
}

/* Keeps those of the `n` routes that are to get a publication with this position, and moves them on;
 * returns how many. */
static size_t sift(const struct ft_subscriptions *subs, struct ft_route **routes, size_t n,
                   const struct ft_position_parts *pos)
{
    bool is_past = false, was_had = false; /* part of a rewind, perhaps; has come before */
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const struct fantail_subscription *sub = of_route(routes[i]);
        is_past |= sub->is_rewinding && ft_positions_cover(&sub->begin, pos);
        was_had |= has_had(subs, sub, pos);
    }
    for (size_t i = 0; i < n; i++) {
        const struct fantail_subscription *sub = of_route(routes[i]);
        bool is_for_it =
            ft_positions_cover(&sub->begin, pos) ? sub->is_rewinding : !was_had && is_open(sub);
        if (is_for_it)
            routes[kept++] = routes[i];
    }
    if (!is_past)
        advance(routes, kept, pos);
    return kept;
}

/* Keeps those that are in force: for last values, and for what has no position. */
static size_t sift_live(struct ft_route **routes, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (of_route(routes[i])->step == FT_STEP_LIVE)
            routes[kept++] = routes[i];
    return kept;
}

void ft_subscriptions_deliver(struct ft_subscriptions *subs, const struct fantail_message *message,
                              fantail_message_fn *unhandled, void *user)
{
    struct ft_route **routes;
    size_t n =
        ft_routes_match(subs->routes_, ft_slice(message->topic.ptr, message->topic.len), &routes);
    struct ft_position_parts pos;
    struct ft_slice text = ft_slice(message->pos.ptr, message->pos.len);
    if (!message->retained && text.ptr && ft_position_read(text, &pos, NULL) == FT_OK)
        n = sift(subs, routes, n, &pos);
    else
        n = sift_live(routes, n); /* the position of a last value is that of long ago */
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
        ft_positions_raise_all(&sub->progress->at, positions);
}

size_t ft_subscription_position_count(const struct fantail_subscription *sub)
{
    return ft_subscription_since(sub);
}

/* Returns the place in `positions` of a stream, past `offset`; `count` where there is none. */
static size_t find_beyond(const struct ft_positions *positions, const struct ft_position_parts *pos)
{
    for (size_t i = 0; i < positions->count; i++) {
        struct ft_position_parts other = ft_positions_peek(positions, i);
        if (ft_slice_equal(other.stream, pos->stream) && other.offset > pos->offset)
            return i;
    }
    return positions->count;
}

size_t ft_subscription_position(const struct fantail_subscription *sub, size_t n, char *out,
                                size_t size)
{
    if (n >= ft_subscription_since(sub))
        return 0;
    struct ft_position_parts pos = ft_positions_peek(&sub->progress->at, n);
    const struct ft_positions *others[] = {sub->start ? &sub->start->at : &sub->begin, &sub->begin};
    for (size_t i = 0; i < 2; i++) {
        size_t at = find_beyond(others[i], &pos);
        if (at < others[i]->count)
            return ft_positions_print(others[i], at, out, size);
    }
    return ft_positions_print(&sub->progress->at, n, out, size);
}
