/* `pub`: checks a publication and hands it to the worker's batch. Its `ok` comes with the position,
 * when the batch is numbered (worker.c). */
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

enum ft_err ft_on_pub(struct ft_session *session, const struct ft_envelope *envelope,
                      struct ft_problem *problem)
{
    if (!envelope->topic.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "pub needs a topic");
    enum ft_err err = ft_topic_check(envelope->topic, problem);
    if (err != FT_OK)
        return err;
    if (ft_topic_is_reserved(envelope->topic)) {
        char quoted[FT_QUOTE_MAX];
        return ft_problem_set(problem, FT_ERR_FORBIDDEN,
                              "topic %s begins with $: those are the broker's own",
                              ft_quote(envelope->topic, quoted));
    }
    if (envelope->data.kind == FT_DATA_NONE)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "pub needs data (any value) or b64");
    ft_worker_publish(session->worker, session, envelope->id, envelope->topic, envelope->data);
    return FT_OK;
}
