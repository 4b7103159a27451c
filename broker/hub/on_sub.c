/*
 * `sub`: subscribes a session to filters, all of them or none, with what of the past it wants. The
 * worker is settled first: everything before is out, everything after comes, and `ok` says where that
 * is. What is to come from the past is left to the session's feed (feed.h).
 */
#include "broker/hub/feed.h"
#include "broker/hub/join_wait.h"
#include "broker/hub/places.h"
#include "broker/hub/presence.h"
#include "broker/hub/reply.h"
#include "broker/hub/since.h"
#include "broker/hub/throttle.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

/* What a `sub` asks for. */
struct wish {
    bool has_since;
    uint32_t last, every_ms;
    struct ft_partition_set touched; /* by its filters, where there are many streams */
    struct ft_partition_set
        missing; /* those of them that were not joined before the worker settled */
    bool is_missing;
    struct ft_since since; /* as it was found */
};

/* Where the filters' feed begins, and what comes before. */
struct start {
    uint64_t from;            /* everything after it comes */
    struct ft_starts *starts; /* where streams are many, and were named: a reference */
    bool is_recovered;
};

static enum ft_err read_wish(const struct ft_envelope *envelope, struct wish *wish,
                             struct ft_problem *problem)
{
    *wish = (struct wish){.has_since = envelope->since.bytes.ptr != NULL};
    if (envelope->every_ms > FT_EVERY_MS_MAX)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "every is %llu, but it must be at most %d milliseconds",
                              (unsigned long long)envelope->every_ms, FT_EVERY_MS_MAX);
    wish->every_ms = (uint32_t)envelope->every_ms;
    wish->last = envelope->last < UINT32_MAX ? (uint32_t)envelope->last : UINT32_MAX;
    if (wish->has_since)
        wish->last = 0; /* who says where it stopped goes on from there */
    if (envelope->has_since_text)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "since must be an array of positions in a sub");
    return ft_since_check(&envelope->since, problem);
}

/* Works out which partitions the filters touch, and which of them are not joined. It is asked before the worker
 * settles: whatever is joined by then is in the journal up to where it settles. */
static void find_touched(const struct ft_session *session, const struct ft_envelope *envelope,
                         struct wish *wish)
{
    const struct ft_worker *w = session->asker.worker;
    const struct ft_interest *interest = w->hub->interest;
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; interest && i < envelope->topics.count; i++)
        ft_partitions_touched(&interest->partitions, ft_next_filter(envelope, &at, text),
                              &wish->touched);
    wish->is_missing = interest && ft_join_is_missing(w, &wish->touched, envelope->since.count > 0,
                                                      &wish->missing);
}

/* Brings the worker to where everything of before is out, and finds what the client has seen of that. More than that
 * it may have seen on another worker or node, which was ahead of this one. */
static void settle(struct ft_worker *w, const struct ft_envelope *envelope, struct wish *wish)
{
    ft_worker_settle(w);
    if (!wish->has_since)
        return;
    ft_since_find(w->hub->journal, w->cursor, &envelope->since, &wish->touched, &wish->since);
    if (!wish->since.is_ahead)
        return;
    ft_worker_settle(w);
    ft_since_find(w->hub->journal, w->cursor, &envelope->since, &wish->touched, &wish->since);
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

/* Waits for partitions that were not joined before the worker settled, or are not now: only since the filters are
 * there they are not left any more. */
static bool waits_for_partitions(struct ft_session *session, const struct ft_envelope *envelope,
                                 const struct wish *wish)
{
    struct ft_partition_set missing;
    if (ft_join_is_missing(session->asker.worker, &wish->touched, envelope->since.count > 0,
                           &missing))
        return ft_stall_until_joined(session, &wish->touched, &missing);
    return wish->is_missing && ft_stall_until_joined(session, &wish->touched, &wish->missing);
}

/* Says whether the session waits now, for what is better known before this goes on. */
static bool is_early(struct ft_session *session, const struct ft_envelope *envelope,
                     const struct wish *wish)
{
    return session->asker.worker->wants &&
           (waits_for_partitions(session, envelope, wish) ||
            ft_stall_until_there(session, &wish->touched, &envelope->since));
}

/* Decides where the feed begins in a node's own journal. */
static struct start start_of_own(const struct ft_worker *w, const struct ft_since *since)
{
    const struct ft_named *named = &since->named[0];
    struct start start = {.from = w->cursor};
    if (!since->is_any || named->found == FT_FOUND_AHEAD)
        return start;
    start.is_recovered = since->is_recovered;
    start.from = named->at;
    return start;
}

/* Decides where each stream begins: those that were not named are live. */
static struct start start_of_many(const struct ft_worker *w, const struct ft_since *since)
{
    uint32_t count = ft_journal_streams(w->hub->journal);
    struct start start = {.from = w->cursor};
    if (!since->is_any)
        return start;
    start.is_recovered = since->is_recovered;
    start.starts = ft_starts_new(count, w->cursor);
    for (uint32_t i = 0; i < count; i++) {
        if (!since->named[i].is_there)
            continue;
        start.starts->at[i] = since->named[i].at;
        start.from = since->named[i].at < start.from ? since->named[i].at : start.from;
    }
    return start;
}

static struct start find_start(const struct ft_worker *w, const struct wish *wish)
{
    return ft_journal_streams(w->hub->journal) > 0 ? start_of_many(w, &wish->since)
                                                   : start_of_own(w, &wish->since);
}

/* Adds the snapshot that the filters are to have, if any; returns its number. */
static uint32_t add_snapshot(struct ft_session *session, const struct wish *wish,
                             const struct start *start, bool is_behind)
{
    struct ft_worker *w = session->asker.worker;
    struct ft_snapshot wanted = {
        .last = wish->last,
        .retained = !start->is_recovered && ft_journal_has_retained(w->hub->journal),
        .upto = start->starts ? w->cursor : start->from,
        .starts = start->starts,
    };
    /* What it has positions of has come then: to a session that has been waiting for more, at the end. */
    wanted.at = start->starts && !is_behind ? start->from : wanted.upto;
    return wanted.last > 0 || wanted.retained ? ft_feed_add_snapshot(session, &wanted) : 0;
}

/* Gives the filters their options and sends them to where they begin. */
static void place(struct ft_session *session, const struct ft_envelope *envelope,
                  const struct wish *wish, const struct start *start)
{
    struct ft_worker *w = session->asker.worker;
    bool is_behind = session->feed != NULL;
    /* An event stream has a feed in any case: where that ends it says that all of the past has come. */
    if (start->from < w->cursor || session->frames == FT_FRAMES_EVENTS)
        ft_feed_resume(session, start->from);
    uint32_t snapshot = add_snapshot(session, wish, start, is_behind);

    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < envelope->topics.count; i++) {
        struct ft_subscription *subscription =
            ft_session_find(session, ft_next_filter(envelope, &at, text));
        ft_feed_assign(subscription, snapshot);
        if (wish->has_since) {
            subscription->from = subscription->had = start->from;
            ft_starts_release(subscription->starts);
            subscription->starts = ft_starts_use(start->starts);
        }
        struct ft_throttle *before = subscription->throttle;
        subscription->throttle =
            wish->every_ms > 0 ? ft_throttle_use(session, wish->every_ms) : NULL;
        ft_throttle_release(before);
    }
}

/* What a session knows of streams: from there nothing that it asks for is missed. */
struct known {
    uint32_t count;
    struct ft_place places[FT_PARTITIONS_MAX];
};

/* Fills in what the session knows before: where all its filters are. */
static void find_known(const struct ft_session *session, const struct wish *wish,
                       const struct start *start, struct known *known)
{
    uint64_t at = session->feed ? session->feed->cursor : session->asker.worker->cursor;
    known->count =
        ft_session_places(session, start->starts ? NULL : &wish->touched, at, known->places);
}

/* Goes back in one stream to where the new filters begin. A client knows best where that is, as long as nothing is
 * missing. */
static void lower(struct ft_journal *journal, const struct ft_named *named, struct ft_place *place)
{
    struct ft_place at = {.seq = named->seq};
    struct ft_partition_set set = {0};
    if (!named->is_there || named->found == FT_FOUND_AHEAD)
        return;
    ft_partition_set_add(&set, place->index);
    if (named->found !=
        FT_FOUND) /* what it has seen it need not get again, whatever is gone after that */
        (void)ft_journal_places(journal, &set, named->at, &at);
    if (at.seq < named->seq)
        at.seq = named->seq;
    if (at.seq < place->seq)
        place->seq = at.seq;
    place->is_later = false;
}

/* Takes into account where the new filters begin; of a session that now has a feed, the feed knows it. */
static void lower_known(struct ft_session *session, const struct wish *wish,
                        const struct start *start, struct known *known)
{
    struct ft_journal *journal = session->asker.worker->hub->journal;
    if (!start->starts) {
        for (uint32_t i = 0; i < known->count && ft_journal_streams(journal) == 0; i++)
            if (start->from < known->places[i].seq)
                known->places[i].seq = start->from;
        return;
    }
    for (uint32_t i = 0; i < known->count; i++)
        lower(journal, &wish->since.named[known->places[i].index], &known->places[i]);
    if (session->feed)
        ft_feed_know(session, known->places, known->count);
}

/* Leaves those that the filters touch. */
static void leave_touched(const struct wish *wish, struct known *known)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        if (ft_partition_set_has(&wish->touched, known->places[i].index))
            known->places[n++] = known->places[i];
    }
    known->count = n;
}

static void reply(struct ft_session *session, struct ft_id id, const struct wish *wish,
                  const struct start *start, struct known *known)
{
    if (id.kind == FT_ID_NONE && session->frames != FT_FRAMES_EVENTS)
        return;
    if (start->starts)
        leave_touched(wish, known);
    struct ft_writer *w = ft_reply_begin(session, "ok", id, wish->has_since ? 2 : 1);
    if (wish->has_since) {
        ft_write_key(w, "recovered");
        ft_write_bool(w, start->is_recovered);
    }
    ft_reply_write_places(session, known->places, known->count);
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
        err = read_wish(envelope, &wish, problem);
    if (err != FT_OK)
        return err;

    struct ft_worker *w = session->asker.worker;
    find_touched(session, envelope, &wish);
    settle(w, envelope, &wish);
    if (session->is_too_slow)
        return FT_OK; /* it ends with this turn: an `ok` would name a place that it has not come to */
    ft_throttles_flush(session);
    uint32_t before = session->subscription_count;
    err = subscribe(session, envelope, problem);
    if (err != FT_OK)
        return err;
    if (is_early(session, envelope, &wish)) {
        take_back(session, before);
        return FT_OK;
    }
    struct start start = find_start(w, &wish);
    struct known known;
    find_known(session, &wish, &start, &known);
    place(session, envelope, &wish, &start);
    lower_known(session, &wish, &start, &known);
    reply(session, envelope->id, &wish, &start, &known);
    ft_hub_presence_begin(session, envelope);
    ft_starts_release(start.starts);
    return FT_OK;
}
