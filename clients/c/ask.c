/*
 * Which subscriptions go into the next request, and its text. Does not send it. Pure; the client's
 * thread.
 */
#include "clients/c/subscription.h"

#include <inttypes.h>
#include <stdio.h>

#include "protocol/writer.h"

static void write_id(struct ft_writer *writer, uint64_t request)
{
    char id[24];
    snprintf(id, sizeof(id), "%c%" PRIu64, FT_SUBSCRIPTION_ID, request);
    ft_write_key(writer, "id");
    ft_write_str(writer, ft_slice_str(id));
}

/* What the filters of a subscription need in an envelope at most: JSON may double each byte. */
static size_t filter_bytes(const struct fantail_subscription *sub)
{
    size_t n = 0;
    for (size_t i = 0; i < sub->route.filter_count; i++)
        n += 2 * ft_route_filter(&sub->route, i).len + 3;
    return n;
}

/* The same for its positions: a name, a dot, 20 digits, quotes and a comma. */
static size_t since_bytes(const struct fantail_subscription *sub)
{
    size_t n = 0;
    for (size_t i = 0; i < ft_subscription_since(sub); i++)
        n += 2 * ft_positions_peek(&sub->progress->at, i).stream.len + 24;
    return n;
}

/* What a rewind brings cannot be told from what a resume replays, so it waits until that is likely to be
 * through: a broker sends tens of megabytes a second. */
enum { REWIND_AFTER_MS = 3000 };

static void hold_rewinds(struct ft_subscriptions *subs)
{
    struct fantail_subscription *sub;
    DL_FOREACH(subs->all_, sub)
    if (sub->step == FT_STEP_NEW && sub->options.last > 0 && sub->due_ms == 0)
        sub->due_ms = subs->replay_ms_ + REWIND_AFTER_MS;
}

static bool is_due(const struct fantail_subscription *sub, uint64_t now_ms)
{
    return ft_subscription_is_waiting(sub) && sub->due_ms <= now_ms;
}

/* Says whether two subscriptions go on from the same positions. */
static bool is_level(const struct fantail_subscription *a, const struct fantail_subscription *b)
{
    return a->progress == b->progress ||
           (ft_subscription_since(a) > 0 && ft_subscription_since(a) == ft_subscription_since(b) &&
            ft_positions_cover_all(&a->progress->at, &b->progress->at) &&
            ft_positions_cover_all(&b->progress->at, &a->progress->at));
}

/* Says whether a subscription can be asked for together with `first`: those that go on from the same
 * positions. New ones that start live each get an answer of their own. */
static bool may_join(const struct fantail_subscription *sub,
                     const struct fantail_subscription *first, uint64_t now_ms)
{
    return sub == first ||
           (sub->step == first->step &&
            (first->step == FT_STEP_STALE || ft_subscription_since(first) > 0) &&
            !first->is_alone && !sub->is_alone && is_due(sub, now_ms) &&
            sub->options.every_ms == first->options.every_ms && is_level(sub, first));
}

/* Marks everything that goes into the next request with its number; returns how many filters. */
static uint32_t mark_request(struct ft_subscriptions *subs, struct fantail_subscription *first,
                             uint64_t now_ms, size_t max)
{
    uint32_t count = 0;
    size_t bytes = since_bytes(first);
    for (struct fantail_subscription *sub = subs->all_; sub; sub = sub->next) {
        if (!may_join(sub, first, now_ms))
            continue;
        bytes += filter_bytes(sub);
        if (sub != first && bytes > max)
            break;
        sub->request = subs->last_request_ + 1;
        count += (uint32_t)sub->route.filter_count;
        if (sub->progress != first->progress)
            ft_subscription_set(sub, ft_progress_ref(first->progress));
    }
    subs->last_request_++;
    return count;
}

/* Parts those that wait on from the request that is made of the others that they share their progress
 * with: they do not move on by what comes for it. */
static void leave_behind(struct ft_subscriptions *subs, const struct fantail_subscription *first)
{
    struct ft_progress *rest = NULL;
    struct fantail_subscription *sub;
    DL_FOREACH(subs->all_, sub)
    {
        if (!first->progress || sub->progress != first->progress ||
            !ft_subscription_is_waiting(sub))
            continue;
        if (!rest)
            rest = ft_progress_new(&first->progress->at);
        ft_subscription_set(sub, ft_progress_ref(rest));
    }
    ft_progress_unref(rest);
}

static void write_since(struct ft_writer *writer, const struct fantail_subscription *sub)
{
    char text[FT_POSITION_BYTES_MAX];
    size_t n = ft_subscription_since(sub);
    ft_write_key(writer, "since");
    ft_write_array(writer, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        ft_positions_print(&sub->progress->at, i, text, sizeof(text));
        ft_write_str(writer, ft_slice_str(text));
    }
}

static void write_sub(struct ft_subscriptions *subs, struct fantail_subscription *first,
                      uint32_t count, enum ft_encoding encoding, struct ft_buffer *envelope)
{
    uint32_t every_ms = first->options.every_ms;
    uint32_t last = first->was_answered ? 0 : first->options.last;
    bool has_since = ft_subscription_since(first) > 0;
    struct ft_writer writer;
    ft_writer_init(&writer, encoding, envelope);
    ft_write_map(&writer, 3 + has_since + (every_ms > 0) + (last > 0));
    ft_write_key(&writer, "op");
    ft_write_str(&writer, ft_slice_str("sub"));
    write_id(&writer, subs->last_request_);
    if (has_since)
        write_since(&writer, first);
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
    for (struct fantail_subscription *sub = subs->all_; sub; sub = sub->next) {
        if (!ft_subscription_is_waiting(sub) || sub->request != subs->last_request_)
            continue;
        for (size_t i = 0; i < sub->route.filter_count; i++)
            ft_write_str(&writer, ft_route_filter(&sub->route, i));
        sub->is_joint = count > sub->route.filter_count;
        ft_subscription_step(subs, sub, FT_STEP_ASKED);
    }
    subs->requests_++;
    subs->replays_ += has_since;
}

/* What goes first: what resumes, of that what is not held back, then what is new. */
static int rank(const struct fantail_subscription *sub)
{
    return sub->step == FT_STEP_NEW ? 2 : sub->options.every_ms > 0;
}

bool ft_subscriptions_ask(struct ft_subscriptions *subs, uint64_t now_ms, size_t max,
                          enum ft_encoding encoding, struct ft_buffer *envelope)
{
    ft_subscriptions_tell_resume(subs, true); /* the last one that it waited for may have gone */
    if (subs->waiting == 0)
        return false;
    if (subs->replays_ > 0)
        hold_rewinds(subs);
    struct fantail_subscription *sub, *first = NULL;
    DL_FOREACH(subs->all_, sub)
    if (is_due(sub, now_ms) && (!first || rank(sub) < rank(first)))
        first = sub;
    if (!first)
        return false;
    uint32_t count = mark_request(subs, first, now_ms, max);
    write_sub(subs, first, count, encoding, envelope);
    leave_behind(subs, first);
    if (ft_subscription_since(first) > 0)
        subs->replay_ms_ = now_ms;
    return true;
}

uint64_t ft_subscriptions_due_ms(const struct ft_subscriptions *subs)
{
    uint64_t due_ms = 0;
    const struct fantail_subscription *sub;
    if (subs->waiting == 0)
        return 0;
    DL_FOREACH(subs->all_, sub)
    if (ft_subscription_is_waiting(sub) && (due_ms == 0 || sub->due_ms < due_ms))
        due_ms = sub->due_ms ? sub->due_ms : 1;
    return due_ms;
}
