/*
 * Presence: subscriptions that begin and end, and what is told of it. Questions are answered in
 * presence_ask.c. The table is shared by all workers, under its lock; all else is the worker's thread.
 */
#include "broker/hub/presence.h"

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/hub/outgoing.h"
#include "broker/hub/presence_desk.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/topic.h"

#include <stdlib.h>
#include <sys/random.h>

/* Longest event: a user of 255 bytes, each of them escaped, and 100 around it. */
#define EVENT_MAX ((size_t)4096)

/* Subscriptions that are looked at in a turn when policies have changed: 1 ms. */
#define PORTION 4096

/* ---- the node's table ---- */

struct ft_hub_presence *ft_hub_presence_new(void)
{
    struct ft_hub_presence *presence = ft_alloc_zero(sizeof(*presence));
    uint64_t seed;
    FT_ASSERT(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
    pthread_mutex_init(&presence->lock, NULL);
    presence->table = ft_presence_new(seed, FT_PRESENCE_MAX);
    return presence;
}

void ft_hub_presence_free(struct ft_hub_presence *presence)
{
    if (!presence)
        return;
    ft_presence_free(presence->table);
    pthread_mutex_destroy(&presence->lock);
    free(presence);
}

/* ---- events ---- */

/* A join or a leave that will be published at the end of the turn. */
struct ft_presence_event {
    struct ft_presence_event *next;
    bool is_join;
    struct ft_present who;
    uint8_t topic_len;
    char topic[FT_TOPIC_BYTES_MAX];
    uint8_t user[];
};

static void publish_event(struct ft_presence_desk *desk, const struct ft_presence_event *event)
{
    struct ft_writer out;
    ft_buffer_clear(&desk->text);
    ft_writer_init(&out, FT_JSON, &desk->text);
    ft_presence_write_event(&out, event->is_join, &event->who);
    ft_outgoing_announce(desk->worker, ft_slice(event->topic, event->topic_len),
                         ft_buffer_slice(&desk->text));
}

static struct ft_presence_event *take_event(struct ft_presence_desk *desk)
{
    struct ft_presence_event *event = desk->events;
    if (!event)
        return NULL;
    desk->events = event->next;
    if (!desk->events)
        desk->events_end = &desk->events;
    return event;
}

/* Not where a session ends or a subscription begins: that may be while publications are handed out. */
static void publish_events(struct ft_flush *flush)
{
    struct ft_presence_desk *desk =
        (struct ft_presence_desk *)((char *)flush - offsetof(struct ft_presence_desk, telling));
    struct ft_presence_event *event;
    while ((event = take_event(desk))) {
        publish_event(desk, event);
        free(event);
    }
}

static void add_event(struct ft_worker *w, bool is_join, struct ft_slice topic,
                      const struct ft_present *who)
{
    struct ft_presence_desk *desk = w->presence;
    if (w->is_ending)
        return; /* all sessions end, and nobody is left to hear of it */
    struct ft_presence_event *event = ft_alloc_zero(sizeof(*event) + who->user.len);
    event->is_join = is_join;
    event->who = *who;
    if (who->user.ptr) {
        memcpy(event->user, who->user.ptr, who->user.len);
        event->who.user.ptr = event->user;
    }
    struct ft_slice told = ft_presence_event_topic(topic, event->topic);
    FT_ASSERT(told.ptr);
    event->topic_len = (uint8_t)told.len;
    *desk->events_end = event;
    desk->events_end = &event->next;
    ft_worker_flush_later(w, &desk->telling);
}

/* ---- joining and leaving ---- */

static bool join_here(struct ft_worker *w, struct ft_slice topic, const struct ft_present *who)
{
    struct ft_hub_presence *presence = w->hub->presence;
    pthread_mutex_lock(&presence->lock);
    bool is_in = ft_presence_join(presence->table, topic, who) != NULL;
    bool is_first_refused = !is_in && !presence->is_full;
    presence->is_full = !is_in;
    pthread_mutex_unlock(&presence->lock);
    if (is_in)
        add_event(w, true, topic, who);
    else if (is_first_refused)
        ft_log(FT_LOG_WARN, "presence_full",
               "clients=%u note=\"more subscriptions do not count as present\"", FT_PRESENCE_MAX);
    return is_in;
}

static void leave_here(struct ft_worker *w, struct ft_slice topic, const struct ft_present *who)
{
    struct ft_hub_presence *presence = w->hub->presence;
    pthread_mutex_lock(&presence->lock);
    struct ft_presence_client *client = ft_presence_find(presence->table, topic, who->session);
    FT_ASSERT(client);
    ft_presence_leave(presence->table, client);
    pthread_mutex_unlock(&presence->lock);
    add_event(w, false, topic, who);
}

static void tell_relay(struct ft_worker *w, bool is_join, struct ft_slice topic,
                       const struct ft_present *who)
{
    struct ft_relay_presence *change = ft_alloc_zero(sizeof(*change) + topic.len + who->user.len);
    change->is_join = is_join;
    change->since_ms = who->since_ms;
    change->topic_len = (uint8_t)topic.len;
    change->user_len = who->user.ptr ? (uint32_t)who->user.len : UINT32_MAX;
    memcpy(change->session, who->session, sizeof(change->session));
    memcpy(change->bytes, topic.ptr, topic.len);
    if (who->user.len > 0)
        memcpy(change->bytes + topic.len, who->user.ptr, who->user.len);
    w->hub->relay_ops->presence(w->hub->relay, change);
}

static void change(struct ft_subscription *subscription, bool is_join, struct ft_slice topic)
{
    struct ft_session *s = subscription->session;
    struct ft_worker *w = s->asker.worker;
    struct ft_present who = {.since_ms = w->now_ms, .user = ft_identity_user(s->asker.who)};
    memcpy(who.session, s->id, sizeof(who.session));
    if (w->hub->relay_ops)
        tell_relay(w, is_join, topic, &who);
    else if (!is_join)
        leave_here(w, topic, &who);
    else if (!join_here(w, topic, &who))
        return;
    subscription->is_present = is_join;
    ft_count(w->metrics.present, is_join ? 1 : 0 - UINT64_C(1));
}

bool ft_presence_is_on(const struct ft_worker *w, struct ft_slice filter)
{
    char text[FT_TOPIC_BYTES_MAX];
    const struct ft_policies *policies = w->options->policies;
    return ft_policies_have_presence(policies) && ft_filter_is_exact(filter) &&
           ft_policies_find(policies, filter, NULL)->presence &&
           ft_presence_event_topic(filter, text).ptr;
}

void ft_hub_presence_begin(struct ft_session *session, const struct ft_envelope *envelope)
{
    struct ft_worker *w = session->asker.worker;
    if (!ft_policies_have_presence(w->options->policies))
        return;
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < envelope->topics.count; i++) {
        struct ft_slice filter = ft_next_filter(envelope, &at, text);
        struct ft_subscription *subscription = ft_session_find(session, filter);
        if (subscription && !subscription->is_present && ft_presence_is_on(w, filter))
            change(subscription, true, filter);
    }
}

static struct ft_slice filter_of(const struct ft_subscription *subscription,
                                 char text[FT_TOPIC_BYTES_MAX])
{
    const struct ft_topic_trie *trie = subscription->session->asker.worker->trie;
    return ft_slice(text, ft_topic_trie_filter_of(trie, &subscription->sub, text));
}

void ft_hub_presence_end(struct ft_subscription *subscription)
{
    char text[FT_TOPIC_BYTES_MAX];
    if (subscription->is_present)
        change(subscription, false, filter_of(subscription, text));
}

/* ---- after a reload ---- */

static uint32_t reconsider_session(struct ft_session *session)
{
    char text[FT_TOPIC_BYTES_MAX];
    struct ft_subscription *subscription = session->subscriptions;
    for (; subscription; subscription = subscription->next) {
        struct ft_slice filter = filter_of(subscription, text);
        bool is_on = ft_presence_is_on(session->asker.worker, filter);
        if (is_on != subscription->is_present)
            change(subscription, is_on, filter);
    }
    return session->subscription_count + 1;
}

/* From the last session to the first: who goes leaves his place to the last one, which was looked at already,
 * or is new and so goes by the new policies. */
static void reconsider_some(struct ft_flush *flush)
{
    struct ft_presence_desk *desk =
        (struct ft_presence_desk *)((char *)flush -
                                    offsetof(struct ft_presence_desk, reconsidering));
    struct ft_worker *w = desk->worker;
    uint32_t done = 0;
    if (desk->sessions_left > w->sessions.count)
        desk->sessions_left = w->sessions.count;
    while (desk->sessions_left > 0 && done < PORTION)
        done += reconsider_session(w->sessions.entries[--desk->sessions_left].session);
    if (desk->sessions_left > 0)
        ft_worker_flush_later(w, &desk->reconsidering);
}

void ft_hub_presence_reconsider(struct ft_worker *w)
{
    w->presence->sessions_left = w->sessions.count;
    ft_worker_flush_later(w, &w->presence->reconsidering);
}

/* ---- a worker's own ---- */

struct ft_presence_desk *ft_presence_desk_new(struct ft_worker *w)
{
    struct ft_presence_desk *desk = ft_alloc_zero(sizeof(*desk));
    desk->worker = w;
    desk->telling.flush = publish_events;
    desk->reconsidering.flush = reconsider_some;
    desk->events_end = &desk->events;
    ft_buffer_init(&desk->text, EVENT_MAX);
    return desk;
}

void ft_presence_desk_free(struct ft_presence_desk *desk)
{
    struct ft_presence_event *event;
    while ((event = take_event(desk)))
        free(event);
    ft_buffer_fini(&desk->text);
    free(desk);
}
