/*
 * `history`: answers with the publications of one topic, oldest first, from the topic's own history
 * where a policy keeps one, else from the journal. One reply holds all, so it is bounded in number and
 * in bytes: `last` gives the newest that fit, `since` the oldest, so that a client can go on from there.
 */
#include "broker/base/alloc.h"
#include "broker/hub/reply.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/position.h"
#include "protocol/topic.h"

#include <stdlib.h>

/* Messages of one reply: asked for by default, and at most. */
#define DEFAULT 100
#define MOST    1000

struct query {
    struct ft_rewind_want want;
    uint32_t limit; /* of the oldest ones; 0: of the newest, as many as `want` says */
    bool has_since, is_recovered;
};

/* Messages of one reply, and where they are in a buffer. */
struct found {
    struct ft_buffer bytes;
    uint32_t count;
    struct {
        size_t at, len;
    } items[MOST];
};

static uint32_t at_most(uint64_t asked)
{
    return asked < MOST ? (uint32_t)asked : MOST;
}

static enum ft_err read_query(struct ft_session *session, const struct ft_envelope *envelope,
                              struct query *query, struct ft_problem *problem)
{
    struct ft_worker *w = session->asker.worker;
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
static void collect(struct ft_session *session, struct ft_slice topic, const struct query *query,
                    struct found *found)
{
    struct ft_worker *w = session->asker.worker;
    size_t room = w->options->queue_bytes / 2, used = 0;
    uint32_t most = query->limit > 0 || query->has_since ? query->limit : MOST, first = 0;
    enum ft_frames frames = (enum ft_frames)session->frames;
    struct ft_pick pick;
    ft_rewind_begin(&w->rewind, w->hub->journal, &query->want);
    ft_rewind_add(&w->rewind, topic);
    while (found->count < most && ft_rewind_next(&w->rewind, &pick)) {
        size_t at = found->bytes.len;
        struct ft_slice frame = ft_rewind_frame(&w->rewind, &pick, frames);
        ft_publication_add_item(frame, ft_frames_encoding(frames), &found->bytes);
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

static void reply(struct ft_session *session, struct ft_id id, const struct query *query,
                  const struct found *found)
{
    struct ft_writer *w = ft_reply_begin(session, "ok", id, query->has_since ? 2 : 1);
    if (query->has_since) {
        ft_write_key(w, "recovered");
        ft_write_bool(w, query->is_recovered);
    }
    ft_write_key(w, "messages");
    ft_write_array(w, found->count);
    for (uint32_t i = 0; i < found->count; i++)
        ft_write_raw(w, ft_slice(found->bytes.ptr + found->items[i].at, found->items[i].len));
    ft_reply_end(session);
}

enum ft_err ft_on_history(struct ft_session *session, const struct ft_envelope *envelope,
                          struct ft_problem *problem)
{
    if (!envelope->topic.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "history needs a topic");
    enum ft_err err = ft_topic_check(envelope->topic, problem);
    if (err != FT_OK)
        return err;
    ft_worker_settle(session->asker.worker); /* what this client has just published is in it */
    struct query query;
    err = read_query(session, envelope, &query, problem);
    if (err != FT_OK || envelope->id.kind == FT_ID_NONE)
        return err;
    struct found *found = ft_alloc(sizeof(*found));
    found->count = 0;
    ft_buffer_init(&found->bytes, SIZE_MAX);
    collect(session, envelope->topic, &query, found);
    reply(session, envelope->id, &query, found);
    ft_buffer_fini(&found->bytes);
    free(found);
    return FT_OK;
}
