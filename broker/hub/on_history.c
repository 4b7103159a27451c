/* `history`: answers with the publications of one topic. What is found, and how much of it: history.c. An
 * answer takes ten thousand times as much as its request, so who does not read answers gets no more. */
#include "broker/hub/history.h"
#include "broker/hub/reply.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"

static void answer(struct ft_session *session, struct ft_id id, const struct ft_history *history)
{
    struct ft_writer *w = ft_reply_begin(session, "ok", id, ft_history_pairs(history));
    ft_history_write(history, w);
    ft_reply_end(session);
    ft_flush_answers(session);
}

/* Says whether the answer has to wait. */
static bool is_early(struct ft_session *session, const struct ft_envelope *envelope)
{
    struct ft_partition_set missing;
    return ft_history_is_missing(&session->asker, envelope, &missing) &&
           ft_stall_until_joined(session, &missing, &missing);
}

enum ft_err ft_on_history(struct ft_session *session, const struct ft_envelope *envelope,
                          struct ft_problem *problem)
{
    struct ft_history *history = NULL;
    bool is_asked = envelope->id.kind != FT_ID_NONE;
    enum ft_encoding encoding = ft_frames_encoding((enum ft_frames)session->frames);
    enum ft_err err = ft_check_answers(session, problem);
    if (err == FT_OK)
        err = ft_history_check(&session->asker, envelope, problem);
    if (err == FT_OK && is_early(session, envelope))
        return FT_OK;
    if (err == FT_OK)
        err = ft_asker_pass(&session->asker, FT_QUOTA_REQUESTS, problem);
    if (err == FT_OK)
        err = ft_history_find(&session->asker, envelope, encoding, is_asked ? &history : NULL,
                              problem);
    if (err != FT_OK || !is_asked)
        return err;
    answer(session, envelope->id, history);
    ft_history_free(history);
    return FT_OK;
}
