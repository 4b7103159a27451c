/* `presence`: answers with who is present on a topic. Looking it up: presence_ask.c. */
#include "broker/hub/presence.h"
#include "broker/hub/reply.h"
#include "broker/hub/stall.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"

static struct ft_session *session_of(struct ft_asker *asker)
{
    return (struct ft_session *)((char *)asker - offsetof(struct ft_session, asker));
}

static void reply(struct ft_session *session, struct ft_id id,
                  const struct ft_presence_answer *answer)
{
    struct ft_writer *w = ft_reply_begin(session, "ok", id, 2);
    ft_write_key(w, "count");
    ft_write_uint(w, answer->count);
    ft_write_key(w, "clients");
    ft_write_raw(w, answer->clients);
    ft_reply_end(session);
    ft_flush_answers(session);
}

static void answered(struct ft_asker *asker, struct ft_id id,
                     const struct ft_presence_answer *answer, const struct ft_problem *problem)
{
    struct ft_session *session = session_of(asker);
    struct ft_problem full;
    if (session->is_ending)
        return;
    if (answer && ft_check_answers(session, &full) != FT_OK)
        ft_reply_error(session, id, &full); /* of many that were asked at once */
    else if (answer)
        reply(session, id, answer);
    else
        ft_reply_error(session, id, problem);
    if (session->stall)
        ft_stall_answered(session);
}

enum ft_err ft_on_presence(struct ft_session *session, const struct ft_envelope *envelope,
                           struct ft_problem *problem)
{
    enum ft_encoding encoding = ft_frames_encoding((enum ft_frames)session->frames);
    enum ft_err err = ft_check_answers(session, problem);
    if (err == FT_OK)
        err = ft_asker_pass(&session->asker, FT_QUOTA_REQUESTS, problem);
    if (err == FT_OK)
        err = ft_presence_check(&session->asker, envelope, problem);
    if (err != FT_OK || envelope->id.kind == FT_ID_NONE)
        return err;
    return ft_presence_ask(&session->asker, envelope, encoding, answered, problem);
}
