/* `ping`: a sign of life for clients that cannot see WebSocket's own, and a barrier: its answer comes
 * after those to everything that was sent before it. */
#include "broker/hub/reply.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"

enum ft_err ft_on_ping(struct ft_session *session, const struct ft_envelope *envelope,
                       struct ft_problem *problem)
{
    (void)problem;
    ft_worker_settle(session->asker.worker);
    if (ft_stall_until_answered(session))
        return FT_OK;
    if (envelope->id.kind != FT_ID_NONE) {
        ft_reply_ok(session, envelope->id);
        return FT_OK;
    }
    (void)ft_reply_begin(session, "pong", envelope->id, 0);
    ft_reply_end(session);
    return FT_OK;
}
