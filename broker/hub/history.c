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
    uint32_t limit; /* of the oldest ones; 0: of the newest, as many as `want` says */
    bool has_since, is_recovered;
};

/* Messages of one answer, and where they are in a buffer. */
struct ft_history {
    struct ft_buffer bytes;
    bool has_since, is_recovered;
    uint32_t count;
    struct {
        size_t at, len;
    } items[MOST];
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
    struct ft_slice stream = ft_slice_str(ft_journal_stream(w->hub->journal));
    if (!ft_slice_equal(position.stream, stream) || position.offset > query->want.upto)
        return FT_OK; /* of another life: all that is kept, and no claim */
    query->is_recovered = position.offset >= ft_journal_tail(w->hub->journal);
    query->want.after = position.offset;
    return FT_OK;
}

/* Collects messages until number or bytes are used up. For the newest ones, the oldest of what was
 * collected give way. */
static void collect(struct ft_worker *w, struct ft_slice topic, const struct query *query,
                    enum ft_encoding encoding, struct ft_history *found)
{
    size_t room = w->options->queue_bytes / 2, used = 0;
    uint32_t most = query->limit > 0 || query->has_since ? query->limit : MOST, first = 0;
    enum ft_frames frames = encoding == FT_JSON ? FT_FRAMES_JSON : FT_FRAMES_MSGPACK;
    struct ft_pick pick;
    ft_rewind_begin(&w->rewind, w->hub->journal, &query->want);
    ft_rewind_add(&w->rewind, topic);
    while (found->count < most && ft_rewind_next(&w->rewind, &pick)) {
        size_t at = found->bytes.len;
        struct ft_slice frame = ft_rewind_frame(&w->rewind, &pick, frames);
        ft_publication_add_item(frame, encoding, &found->bytes);
        size_t len = found->bytes.len - at;
        if (query->has_since && used + len > room && found->count > 0)
            break;
        found->items[found->count].at = at;
        found->items[found->count++].len = len;
        used += len;
        for (; used > room && first + 1 < found->count; first++)
            used -= found->items[first].len;
    }
    (void)ft_rewind_end(&w->rewind);
    found->count -= first;
    memmove(found->items, found->items + first, found->count * sizeof(found->items[0]));
}

static enum ft_err check(const struct ft_asker *asker, const struct ft_envelope *envelope,
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

enum ft_err ft_history_find(const struct ft_asker *asker, const struct ft_envelope *envelope,
                            enum ft_encoding encoding, struct ft_history **history,
                            struct ft_problem *problem)
{
    enum ft_err err = check(asker, envelope, problem);
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
