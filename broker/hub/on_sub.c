/*
 * `sub`: subscribes a session to filters, all of them or none, with what of the past it wants. The
 * worker is settled first: everything before is out, everything after comes, and `ok` says where that
 * is. What is to come from the past is left to the session's feed (feed.h).
 */
#include "broker/hub/feed.h"
#include "broker/hub/presence.h"
#include "broker/hub/reply.h"
#include "broker/hub/throttle.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/position.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

/* What a `sub` asks for. */
struct wish {
    bool has_since;    /* `since` is there … */
    bool names_us;     /* … and names the broker's stream … */
    bool names_others; /* … and streams that it does not know */
    uint64_t since;    /* the offset in the broker's stream */
    uint32_t last, every_ms;
};

/* Where the filters' feed begins, and what comes before. */
struct start {
    uint64_t from; /* everything after it comes */
    bool is_recovered;
};

static enum ft_err read_since(const struct ft_session *session, const struct ft_envelope *envelope,
                              struct wish *wish, struct ft_problem *problem)
{
    wish->has_since = envelope->since.bytes.ptr != NULL;
    if (envelope->has_since_text)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "since must be an array of positions in a sub");
    struct ft_slice stream = ft_slice_str(ft_journal_stream(session->asker.worker->hub->journal));
    uint8_t text[FT_POSITION_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < envelope->since.count; i++) {
        struct ft_slice item;
        struct ft_position_parts position;
        if (ft_list_next(&envelope->since, &at, text, sizeof(text), &item) != FT_OK)
            return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                                  "position %u of since is longer than %zu bytes", i + 1,
                                  sizeof(text));
        enum ft_err err = ft_position_read(item, &position, problem);
        if (err != FT_OK)
            return err;
        if (!ft_slice_equal(position.stream, stream)) {
            wish->names_others = true;
            continue;
        }
        if (!wish->names_us || position.offset > wish->since)
            wish->since = position.offset;
        wish->names_us = true;
    }
    return FT_OK;
}

static enum ft_err read_wish(const struct ft_session *session, const struct ft_envelope *envelope,
                             struct wish *wish, struct ft_problem *problem)
{
    *wish = (struct wish){0};
    if (envelope->every_ms > FT_EVERY_MS_MAX)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "every is %llu, but it must be at most %d milliseconds",
                              (unsigned long long)envelope->every_ms, FT_EVERY_MS_MAX);
    wish->every_ms = (uint32_t)envelope->every_ms;
    wish->last = envelope->last < UINT32_MAX ? (uint32_t)envelope->last : UINT32_MAX;
    enum ft_err err = read_since(session, envelope, wish, problem);
    if (wish->has_since)
        wish->last = 0; /* who says where it stopped goes on from there */
    return err;
}

static enum ft_err check_permission(const struct ft_session *session,
                                    const struct ft_envelope *envelope, struct ft_problem *problem)
{
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < envelope->topics.count; i++) {
        struct ft_slice filter = ft_next_filter(envelope, &at, text);
        char quoted[FT_QUOTE_MAX];
        if (!ft_identity_may_sub(session->asker.who, filter))
            return ft_problem_set(problem, FT_ERR_FORBIDDEN,
                                  "a subscription to %s is not permitted",
                                  ft_quote(filter, quoted));
    }
    return FT_OK;
}

/* Takes back the newest subscriptions, down to `keep` of them. */
static void take_back(struct ft_session *session, uint32_t keep)
{
    while (session->subscription_count > keep)
        ft_session_unsubscribe(session->subscriptions);
}

/* Adds those of the filters that are not there yet. */
static enum ft_err subscribe(struct ft_session *session, const struct ft_envelope *envelope,
                             struct ft_problem *problem)
{
    uint32_t before = session->subscription_count;
    uint32_t limit = session->asker.worker->options->topics;
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < envelope->topics.count; i++) {
        struct ft_slice filter = ft_next_filter(envelope, &at, text);
        if (ft_session_find(session, filter))
            continue;
        if (session->subscription_count >= limit) {
            take_back(session, before);
            return ft_problem_set(problem, FT_ERR_TOO_MANY,
                                  "a session may have %u subscriptions at most (limits.topics)",
                                  limit);
        }
        enum ft_err err = ft_session_subscribe(session, filter, problem);
        if (err != FT_OK) {
            take_back(session, before);
            return err;
        }
    }
    return FT_OK;
}

/* Says whether the answer has to wait, because more is about to be known: then nothing has changed. The filters are
 * there, so what is joined stays joined. */
static bool is_early(struct ft_session *session, const struct ft_envelope *envelope)
{
    const struct ft_worker *w = session->asker.worker;
    struct ft_partition_set touched = {0};
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    if (!w->wants)
        return false;
    for (uint32_t i = 0; i < envelope->topics.count; i++)
        ft_partitions_touched(&w->hub->interest->partitions, ft_next_filter(envelope, &at, text),
                              &touched);
    return ft_stall_until_joined(session, &touched) ||
           ft_stall_until_there(session, &touched, &envelope->since);
}

/* Decides where the feed begins. It is recovered when the journal has everything since. */
static struct start find_start(struct ft_session *session, const struct wish *wish)
{
    struct ft_worker *w = session->asker.worker;
    struct start start = {.from = w->cursor};
    if (!wish->names_us || wish->since > w->cursor)
        return start;
    uint64_t tail = ft_journal_tail(w->hub->journal);
    start.is_recovered = wish->since >= tail && !wish->names_others;
    start.from = wish->since >= tail ? wish->since : tail;
    return start;
}

/* Gives the filters their options and sends them to where they begin. */
static void place(struct ft_session *session, const struct ft_envelope *envelope,
                  const struct wish *wish, const struct start *start)
{
    struct ft_worker *w = session->asker.worker;
    if (start->from < w->cursor)
        ft_feed_resume(session, start->from);
    struct ft_snapshot wanted = {
        .last = wish->last,
        .retained = !start->is_recovered && ft_journal_has_retained(w->hub->journal),
        .upto = start->from,
    };
    uint32_t snapshot = 0;
    if (wanted.last > 0 || wanted.retained)
        snapshot = ft_feed_add_snapshot(session, &wanted);

    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < envelope->topics.count; i++) {
        struct ft_subscription *subscription =
            ft_session_find(session, ft_next_filter(envelope, &at, text));
        ft_feed_assign(subscription, snapshot);
        if (wish->has_since)
            subscription->from = subscription->had = start->from;
        struct ft_throttle *before = subscription->throttle;
        subscription->throttle =
            wish->every_ms > 0 ? ft_throttle_use(session, wish->every_ms) : NULL;
        ft_throttle_release(before);
    }
}

static void reply(struct ft_session *session, struct ft_id id, const struct wish *wish,
                  const struct start *start)
{
    if (id.kind == FT_ID_NONE && session->frames != FT_FRAMES_EVENTS)
        return;
    /* Where it is safe to resume from: what the session's other filters are behind with comes after. */
    uint64_t pos = start->from;
    if (session->feed && session->feed->cursor < pos)
        pos = session->feed->cursor;
    struct ft_writer *w = ft_reply_begin(session, "ok", id, wish->has_since ? 2 : 1);
    if (wish->has_since) {
        ft_write_key(w, "recovered");
        ft_write_bool(w, start->is_recovered);
    }
    ft_write_key(w, "pos");
    ft_write_array(w, 1);
    ft_reply_write_pos(session, pos);
    ft_reply_end(session);
}

enum ft_err ft_on_sub(struct ft_session *session, const struct ft_envelope *envelope,
                      struct ft_problem *problem)
{
    struct wish wish;
    enum ft_err err = ft_check_filters(envelope, problem);
    if (err == FT_OK)
        err = check_permission(session, envelope, problem);
    if (err == FT_OK)
        err = read_wish(session, envelope, &wish, problem);
    if (err != FT_OK)
        return err;

    ft_worker_settle(session->asker.worker);
    if (wish.names_us && wish.since > session->asker.worker->cursor)
        ft_worker_settle(
            session->asker.worker); /* seen on another worker, which was ahead of this one */
    if (session->is_too_slow)
        return FT_OK; /* it ends with this turn: an `ok` would name a place that it has not come to */
    ft_throttles_flush(session);
    uint32_t before = session->subscription_count;
    err = subscribe(session, envelope, problem);
    if (err != FT_OK)
        return err;
    if (is_early(session, envelope)) {
        take_back(session, before);
        return FT_OK;
    }
    struct start start = find_start(session, &wish);
    place(session, envelope, &wish, &start);
    reply(session, envelope->id, &wish, &start);
    ft_hub_presence_begin(session, envelope);
    return FT_OK;
}
