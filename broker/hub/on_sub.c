/*
 * `sub`: subscribes a session to filters, all of them or none. The `ok` says where their live feed
 * begins: the worker is settled first, so that everything before is out and everything after comes.
 */
#include "broker/hub/reply.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/topic.h"

#include <stdio.h>

/* Takes back the newest subscriptions, down to `keep` of them. */
static void take_back(struct ft_session *session, uint32_t keep)
{
    while (session->subscription_count > keep)
        ft_session_unsubscribe(session, &session->subscriptions);
}

static void reply(struct ft_session *session, struct ft_id id)
{
    if (id.kind == FT_ID_NONE)
        return;
    const struct ft_worker *worker = session->worker;
    char pos[FT_POS_LEN_MAX + 8];
    snprintf(pos, sizeof(pos), "%s.%llu", ft_journal_stream(worker->hub->journal),
             (unsigned long long)worker->cursor);
    struct ft_writer *w = ft_reply_begin(session);
    ft_write_map(w, 3);
    ft_write_key(w, "op");
    ft_write_str(w, ft_slice_str("ok"));
    ft_write_key(w, "id");
    ft_write_id(w, id);
    ft_write_key(w, "pos");
    ft_write_array(w, 1);
    ft_write_str(w, ft_slice_str(pos));
    ft_reply_end(session);
}

enum ft_err ft_on_sub(struct ft_session *session, const struct ft_envelope *envelope,
                      struct ft_problem *problem)
{
    enum ft_err err = ft_check_filters(envelope, problem);
    if (err != FT_OK)
        return err;

    ft_worker_settle(session->worker);
    uint32_t before = session->subscription_count;
    uint32_t limit = session->worker->hub->options.topics;
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < envelope->topics.count; i++) {
        struct ft_slice filter = ft_next_filter(envelope, &at, text);
        if (ft_session_find(session, filter))
            continue;
        if (session->subscription_count == limit) {
            take_back(session, before);
            return ft_problem_set(problem, FT_ERR_TOO_MANY,
                                  "a session may have %u subscriptions at most (limits.topics)",
                                  limit);
        }
        ft_session_subscribe(session, filter);
    }
    reply(session, envelope->id);
    return FT_OK;
}
