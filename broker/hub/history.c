/*
 * A topic's past: its publications, oldest first, from the topic's own history where a policy keeps one, else
 * from the journal. One answer holds all, so it is bounded in number and in bytes: `last` gives the newest
 * that fit, `since` the oldest, so that a client can go on from there. The worker's thread.
 */
#include "broker/hub/history.h"

#include "broker/base/alloc.h"
#include "broker/hub/worker.h"
#include "protocol/position.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

#include <stdlib.h>

/* Messages of one answer: asked for by default, and at most. */
#define DEFAULT 100
#define MOST    1000

struct query {
    struct ft_rewind_want want;
    uint32_t limit; /* of the oldest ones */
    bool has_since, is_recovered;
};

/* Where a message is in a buffer. */
struct ft_item {
    size_t at, len;
};

/* Messages of one answer. */
struct ft_history {
    struct ft_buffer bytes;
    bool has_since, is_recovered;
    uint32_t count;
    struct ft_item items[MOST];
};

static uint32_t at_most(uint64_t asked)
{
    return asked < MOST ? (uint32_t)asked : MOST;
}

static enum ft_err read_query(const struct ft_worker *w, const struct ft_envelope *envelope,
                              struct query *query, struct ft_problem *problem)
{
    *query = (struct query){
        .want = {.upto = ft_journal_head(w->hub->journal), .now_ds = w->now_ds},
        .has_since = envelope->has_since_text,
    };
    if (envelope->since.bytes.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "since must be one position in a history, not an array");
    if (!query->has_since) {
        query->want.last = at_most(envelope->has_last ? envelope->last : DEFAULT);
        return FT_OK;
    }
    struct ft_position_parts position;
    enum ft_err err = ft_position_read(envelope->since_text, &position, problem);
    if (err != FT_OK)
        return err;
    query->want.last = UINT32_MAX;
    query->limit = at_most(envelope->has_limit ? envelope->limit : DEFAULT);
    uint32_t index;
    uint64_t at;
    enum ft_found found =
        ft_journal_find(w->hub->journal, position.stream, position.offset, UINT64_MAX, &index, &at);
    if (found == FT_FOUND_UNKNOWN || found == FT_FOUND_AHEAD || found == FT_FOUND_LATER)
        return FT_OK; /* of another life: all that is kept, and no claim */
    query->is_recovered = found == FT_FOUND;
    query->want.seq = position.offset;
    query->want.stream = position.stream;
    if (found == FT_FOUND)
        query->want.after = at;
    return FT_OK;
}

/* Adds one message, unless it is one too many: the first one fits always. */
static bool add(struct ft_worker *w, const struct ft_pick *pick, enum ft_encoding encoding,
                struct ft_history *found)
{
    size_t room = w->options->queue_bytes / 2, at = found->bytes.len;
    enum ft_frames frames = encoding == FT_JSON ? FT_FRAMES_JSON : FT_FRAMES_MSGPACK;
    ft_publication_add_item(ft_rewind_frame(&w->rewind, pick, frames), encoding, &found->bytes);
    if (found->bytes.len > room && found->count > 0)
        return false;
    found->items[found->count].at = at;
    found->items[found->count++].len = found->bytes.len - at;
    return true;
}

/* Collects the oldest, until number or bytes are used up. */
static void collect_oldest(struct ft_worker *w, const struct query *query,
                           enum ft_encoding encoding, struct ft_history *found)
{
    struct ft_pick pick;
    while (found->count < query->limit && ft_rewind_next(&w->rewind, &pick) &&
           add(w, &pick, encoding, found))
        continue;
}

/* Collects the newest, from the last one back, so that what does not fit costs nothing: the journal is
 * locked meanwhile. */
static void collect_newest(struct ft_worker *w, enum ft_encoding encoding, struct ft_history *found)
{
    struct ft_pick picks[MOST];
    uint32_t n = 0;
    while (n < MOST && ft_rewind_next(&w->rewind, &picks[n]))
        n++;
    while (n > 0 && add(w, &picks[n - 1], encoding, found))
        n--;
    for (uint32_t i = 0, last = found->count; i + 1 < last; i++) {
        struct ft_item swapped = found->items[i];
        found->items[i] = found->items[--last];
        found->items[last] = swapped;
    }
}

static void collect(struct ft_worker *w, struct ft_slice topic, const struct query *query,
                    enum ft_encoding encoding, struct ft_history *found)
{
    ft_rewind_begin(&w->rewind, w->hub->journal, &query->want);
    ft_rewind_add(&w->rewind, topic);
    if (query->has_since)
        collect_oldest(w, query, encoding, found);
    else
        collect_newest(w, encoding, found);
    (void)ft_rewind_end(&w->rewind);
}

enum ft_err ft_history_check(const struct ft_asker *asker, const struct ft_envelope *envelope,
                             struct ft_problem *problem)
{
    if (!envelope->topic.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "history needs a topic");
    enum ft_err err = ft_topic_check(envelope->topic, problem);
    if (err != FT_OK || ft_identity_may_sub(asker->who, envelope->topic))
        return err;
    char quoted[FT_QUOTE_MAX];
    return ft_problem_set(problem, FT_ERR_FORBIDDEN, "the history of %s is not permitted",
                          ft_quote(envelope->topic, quoted));
}

bool ft_history_is_missing(const struct ft_asker *asker, const struct ft_envelope *envelope,
                           struct ft_partition_set *missing)
{
    const struct ft_worker *w = asker->worker;
    struct ft_partition_set own = {0};
    if (!w->wants)
        return false;
    ft_partition_set_add(&own, ft_partition_of(&w->hub->interest->partitions, envelope->topic));
    return ft_join_is_missing(w, &own, envelope->has_since_text, missing);
}

enum ft_err ft_history_find(const struct ft_asker *asker, const struct ft_envelope *envelope,
                            enum ft_encoding encoding, struct ft_history **history,
                            struct ft_problem *problem)
{
    enum ft_err err = ft_history_check(asker, envelope, problem);
    if (err != FT_OK)
        return err;
    ft_worker_settle(asker->worker);
    struct query query;
    err = read_query(asker->worker, envelope, &query, problem);
    if (err != FT_OK || !history)
        return err;
    struct ft_history *found = ft_alloc(sizeof(*found));
    found->count = 0;
    found->has_since = query.has_since;
    found->is_recovered = query.is_recovered;
    ft_buffer_init(&found->bytes, SIZE_MAX);
    collect(asker->worker, envelope->topic, &query, encoding, found);
    *history = found;
    return FT_OK;
}

void ft_history_free(struct ft_history *history)
{
    if (!history)
        return;
    ft_buffer_fini(&history->bytes);
    free(history);
}

uint32_t ft_history_pairs(const struct ft_history *history)
{
    return history->has_since ? 2 : 1;
}

void ft_history_write(const struct ft_history *history, struct ft_writer *w)
{
    if (history->has_since) {
        ft_write_key(w, "recovered");
        ft_write_bool(w, history->is_recovered);
    }
    ft_write_key(w, "messages");
    ft_write_array(w, history->count);
    for (uint32_t i = 0; i < history->count; i++)
        ft_write_raw(w, ft_slice(history->bytes.ptr + history->items[i].at, history->items[i].len));
}
