/*
 * Publishing: checks a publication, applies its topic's policy, and hands it to the worker's batch, or, where
 * Redis numbers it, to the one of its partition (outgoing.c). What becomes of it the asker hears later. The
 * worker's thread.
 */
#include "broker/hub/publish.h"

#include "broker/hub/outgoing.h"
#include "broker/hub/worker.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

/* Ten years are for ever here, and the clock of tenths of seconds has room for them. */
#define TTL_S_MAX (UINT32_C(10) * 365 * 86400)

enum ft_err ft_publish_check_topic(const struct ft_asker *asker, struct ft_slice topic,
                                   struct ft_problem *problem)
{
    enum ft_err err = ft_topic_check(topic, problem);
    if (err != FT_OK)
        return err;
    char quoted[FT_QUOTE_MAX];
    if (ft_topic_is_reserved(topic))
        return ft_problem_set(problem, FT_ERR_FORBIDDEN,
                              "topic %s begins with $: those are the broker's own",
                              ft_quote(topic, quoted));
    if (!ft_identity_may_pub(asker->who, topic))
        return ft_problem_set(problem, FT_ERR_FORBIDDEN, "publishing to topic %s is not permitted",
                              ft_quote(topic, quoted));
    return FT_OK;
}

static enum ft_err check_data(const struct ft_envelope *envelope, const struct ft_policy *policy,
                              struct ft_problem *problem)
{
    if (envelope->data.kind == FT_DATA_NONE)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "pub needs data (any value) or b64");
    char quoted[FT_QUOTE_MAX];
    size_t len = envelope->data.bytes.len;
    if (policy->max_message > 0 && len > policy->max_message)
        return ft_problem_set(problem, FT_ERR_TOO_LARGE,
                              "data has %zu bytes, but topic %s takes %zu at most (max_message)",
                              len, ft_quote(envelope->topic, quoted), policy->max_message);
    if (policy->ephemeral && envelope->retain)
        return ft_problem_set(problem, FT_ERR_CONFLICT,
                              "topic %s is ephemeral: it keeps no retained publication",
                              ft_quote(envelope->topic, quoted));
    if (envelope->has_ttl && envelope->ttl_s == 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "ttl is 0, but it must be 1 second or more");
    if (envelope->key.ptr && envelope->key.len == 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "key must not be empty");
    return FT_OK;
}

static bool is_null(struct ft_data data)
{
    return (data.kind == FT_DATA_JSON && ft_slice_equal(data.bytes, ft_slice_str("null"))) ||
           (data.kind == FT_DATA_MSGPACK && data.bytes.len == 1 && data.bytes.ptr[0] == 0xc0);
}

/* Returns when it is not to be kept any more, in tenths of a second, or 0: never. The shorter of what
 * publisher and policy say holds. */
static uint32_t expires_ds(const struct ft_worker *w, const struct ft_envelope *envelope,
                           const struct ft_policy *policy)
{
    uint64_t ttl_s = policy->ttl_s;
    if (envelope->has_ttl && (ttl_s == 0 || envelope->ttl_s < ttl_s))
        ttl_s = envelope->ttl_s;
    if (ttl_s == 0)
        return 0;
    return w->now_ds + 1 + (uint32_t)(ttl_s < TTL_S_MAX ? ttl_s : TTL_S_MAX) * 10;
}

/* What this node alone numbers: all of it, or in a cluster what is ephemeral. */
static void publish_here(struct ft_asker *asker, const struct ft_envelope *envelope,
                         struct ft_publication_spec *spec)
{
    struct ft_key key;
    if (envelope->key.ptr) {
        key = ft_journal_key(asker->worker->hub->journal, envelope->topic, envelope->key);
        spec->key = &key;
    }
    ft_worker_publish_for(asker, envelope->id, spec);
}

static enum ft_err take_in(struct ft_asker *asker, const struct ft_envelope *envelope,
                           struct ft_problem *problem)
{
    struct ft_worker *w = asker->worker;
    enum ft_err err = asker->account ? ft_asker_pass(asker, FT_QUOTA_PUBLISHES, problem) : FT_OK;
    if (err == FT_OK && !envelope->topic.ptr)
        err = ft_problem_set(problem, FT_ERR_BAD_FIELD, "pub needs a topic");
    if (err == FT_OK)
        err = ft_publish_check_topic(asker, envelope->topic, problem);
    if (err != FT_OK)
        return err;
    const struct ft_policy *policy = ft_policies_find(w->options->policies, envelope->topic, NULL);
    err = check_data(envelope, policy, problem);
    if (err != FT_OK)
        return err;

    bool is_retained = envelope->retain || policy->retain;
    bool clears = is_retained && is_null(envelope->data);
    bool is_json = envelope->data.kind == FT_DATA_JSON || envelope->data.kind == FT_DATA_B64;
    struct ft_publication_spec spec = {
        .encoding = is_json ? FT_JSON : FT_MSGPACK,
        .topic = envelope->topic,
        .data = envelope->data,
        .expires_ds = expires_ds(w, envelope, policy),
        .history = policy->history,
        .slow = (uint8_t)policy->slow,
        .is_ephemeral = policy->ephemeral,
        .is_retained = is_retained && !clears,
        .clears_retained = clears,
    };
    if (w->outgoing && !policy->ephemeral)
        err = ft_outgoing_publish(asker, envelope, &spec, problem);
    else
        publish_here(asker, envelope, &spec);
    if (err != FT_OK)
        return err;
    ft_count(&w->metrics.publications_received[spec.encoding], 1);
    ft_count(&w->metrics.publications_received_bytes[spec.encoding], spec.data.bytes.len);
    return FT_OK;
}

enum ft_err ft_publish(struct ft_asker *asker, const struct ft_envelope *envelope,
                       struct ft_problem *problem)
{
    enum ft_err err = take_in(asker, envelope, problem);
    if (err != FT_OK)
        ft_count_publication_refused(&asker->worker->metrics, err);
    return err;
}
