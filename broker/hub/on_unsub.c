/* `unsub`: ends subscriptions, all that are named or none. Naming one that is not there is no error:
 * the outcome is what was asked for. */
#include "broker/hub/reply.h"
#include "broker/hub/throttle.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/topic.h"

enum ft_err ft_on_unsub(struct ft_session *session, const struct ft_envelope *envelope,
                        struct ft_problem *problem)
{
    enum ft_err err = ft_check_filters(envelope, problem);
    if (err != FT_OK)
        return err;

    ft_worker_settle(session->asker.worker); /* what was accepted before still comes … */
    ft_throttles_flush(session);             /* … also what was held back */
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < envelope->topics.count; i++) {
        struct ft_slice filter = ft_next_filter(envelope, &at, text);
        struct ft_subscription *subscription = ft_session_find(session, filter);
        if (subscription)
            ft_session_unsubscribe(subscription);
    }
    ft_reply_ok(session, envelope->id);
    return FT_OK;
}
