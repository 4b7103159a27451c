/* `history`: answers with the publications of one topic. What is found, and how much of it: history.c. */
#include "broker/hub/history.h"
#include "broker/hub/reply.h"
#include "broker/hub/verbs.h"

enum ft_err ft_on_history(struct ft_session *session, const struct ft_envelope *envelope,
                          struct ft_problem *problem)
{
    struct ft_history *history = NULL;
    bool is_asked = envelope->id.kind != FT_ID_NONE;
    enum ft_encoding encoding = ft_frames_encoding((enum ft_frames)session->frames);
    enum ft_err err =
        ft_history_find(&session->asker, envelope, encoding, is_asked ? &history : NULL, problem);
    if (err != FT_OK || !is_asked)
        return err;
    struct ft_writer *w = ft_reply_begin(session, "ok", envelope->id, ft_history_pairs(history));
    ft_history_write(history, w);
    ft_reply_end(session);
    ft_history_free(history);
    return FT_OK;
}
