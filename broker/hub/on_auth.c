/*
 * `auth`: a fresh token for a session that goes on. It has to be the same user's; what it does not
 * permit any more ends, and the answer names it. On an error the session stays what it was.
 */
#include "broker/hub/reply.h"
#include "broker/hub/throttle.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/quote.h"

static bool is_same_user(const struct ft_identity *a, const struct ft_identity *b)
{
    struct ft_slice x = ft_identity_user(a), y = ft_identity_user(b);
    return !x.ptr == !y.ptr && ft_slice_equal(x, y);
}

/* Has the token checked, and that it is for this session. */
static enum ft_err check(struct ft_session *session, struct ft_slice token,
                         struct ft_identity **who, struct ft_problem *problem)
{
    struct ft_worker *w = session->asker.worker;
    const struct ft_hub *hub = w->hub;
    if (!hub->gate_ops)
        return ft_problem_set(problem, FT_ERR_CONFLICT, "this broker takes no tokens");
    struct ft_identity *fresh = NULL;
    enum ft_err err =
        hub->gate_ops->check(hub->gate, FT_TOKEN_ENVELOPE, token, w->now_ms, &fresh, problem);
    if (err != FT_OK) {
        ft_count(&w->metrics.credentials_refused[FT_CREDENTIALS_INVALID], 1);
        return err;
    }
    if (!is_same_user(session->asker.who, fresh)) {
        ft_count(&w->metrics.credentials_refused[FT_CREDENTIALS_SUBJECT], 1);
        ft_identity_unref(fresh);
        return ft_problem_set(problem, FT_ERR_FORBIDDEN,
                              "the token is not for the user of this session");
    }
    *who = fresh;
    return FT_OK;
}

static bool may_keep(const struct ft_subscription *subscription, char filter[FT_TOPIC_BYTES_MAX],
                     struct ft_slice *text)
{
    const struct ft_session *session = subscription->session;
    *text = ft_slice(
        filter, ft_topic_trie_filter_of(session->asker.worker->trie, &subscription->sub, filter));
    return ft_identity_may_sub(session->asker.who, *text);
}

static uint32_t count_lost(const struct ft_session *session)
{
    char filter[FT_TOPIC_BYTES_MAX];
    struct ft_slice text;
    uint32_t lost = 0;
    for (const struct ft_subscription *sub = session->subscriptions; sub; sub = sub->next)
        lost += !may_keep(sub, filter, &text);
    return lost;
}

/* Ends the subscriptions that are not permitted any more, and writes their names. */
static void end_lost(struct ft_session *session, uint32_t lost, struct ft_writer *w)
{
    if (lost == 0)
        return;
    ft_write_key(w, "unsubscribed");
    ft_write_array(w, lost);
    char filter[FT_TOPIC_BYTES_MAX];
    struct ft_slice text;
    struct ft_subscription *next;
    for (struct ft_subscription *sub = session->subscriptions; sub; sub = next) {
        next = sub->next;
        if (may_keep(sub, filter, &text))
            continue;
        ft_write_str(w, text);
        ft_session_unsubscribe(sub);
    }
}

static void reply(struct ft_session *session, struct ft_id id)
{
    uint64_t expires_ms = ft_identity_expires_ms(session->asker.who);
    uint32_t lost = count_lost(session);
    struct ft_writer *w = ft_reply_begin(session, "ok", id, (expires_ms > 0) + (lost > 0));
    if (expires_ms > 0) {
        ft_write_key(w, "expires");
        ft_write_uint(w, expires_ms);
    }
    end_lost(session, lost, w);
    ft_reply_end(session);
}

/* Nobody asked to be told how it went; but that subscriptions end, a client has to know. */
static void tell_lost(struct ft_session *session, struct ft_id no_id)
{
    uint32_t lost = count_lost(session);
    if (lost == 0)
        return;
    struct ft_writer *w = ft_reply_begin(session, "error", no_id, 3);
    ft_write_key(w, "code");
    ft_write_uint(w, (uint64_t)ft_err_wire(FT_ERR_FORBIDDEN));
    ft_write_key(w, "message");
    ft_write_str(w, ft_slice_str("the fresh token does not permit these subscriptions"));
    end_lost(session, lost, w);
    ft_reply_end(session);
}

enum ft_err ft_on_auth(struct ft_session *session, const struct ft_envelope *envelope,
                       struct ft_problem *problem)
{
    if (!envelope->token.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "auth needs a token");
    struct ft_identity *who = NULL;
    enum ft_err err = ft_asker_pass(&session->asker, FT_QUOTA_REQUESTS, problem);
    if (err == FT_OK)
        err = check(session, envelope->token, &who, problem);
    if (err != FT_OK)
        return err;

    ft_worker_settle(session->asker.worker); /* what was accepted before still comes … */
    ft_throttles_flush(session);             /* … also what was held back */
    ft_session_renew(session, who);
    if (envelope->id.kind != FT_ID_NONE)
        reply(session, envelope->id);
    else
        tell_lost(session, envelope->id);
    return FT_OK;
}
