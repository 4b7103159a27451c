/*
 * The relay as the rest of the broker sees it: made, started, stopped, and the hub's port, whose functions are
 * called from the workers' threads. What the thread does is in thread.c.
 */
#include "broker/relay/relay.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/relay/server_private.h"
#include "broker/relay/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

/* How long a start waits for the servers. */
#define START_S 10

/* ---- the hub's port: workers ---- */

/* Locks the inbox. Returns NULL, and keeps no lock, where nothing is taken any more. */
static struct ft_inbox *open_inbox(struct ft_relay *relay)
{
    struct ft_thread *thread = relay->thread_;
    pthread_mutex_lock(&thread->lock);
    if (!thread->is_closed)
        return &thread->inbox;
    pthread_mutex_unlock(&thread->lock);
    return NULL;
}

/* Unlocks it, and wakes the thread where it does not know that there is something. */
static void close_inbox(struct ft_relay *relay, bool was_empty)
{
    pthread_mutex_unlock(&relay->thread_->lock);
    if (was_empty)
        uv_async_send(&relay->thread_->wake);
}

static bool is_empty(const struct ft_inbox *inbox)
{
    return !inbox->batches && !inbox->asks && !inbox->changes && !inbox->is_wanted;
}

static void publish(void *context, struct ft_relay_batch *batch)
{
    struct ft_relay *relay = context;
    struct ft_inbox refused = {.batches = batch}, *inbox;
    ft_outgoing_prepare(relay->outgoing, batch);
    batch->next = NULL;
    if (!(inbox = open_inbox(relay))) {
        ft_inbox_refuse(&refused, relay->thread_->hub);
        return;
    }
    bool was_empty = is_empty(inbox);
    *inbox->batches_end = batch;
    inbox->batches_end = &batch->next;
    close_inbox(relay, was_empty);
}

static void ask(void *context, struct ft_relay_ask *question)
{
    struct ft_relay *relay = context;
    struct ft_inbox refused = {.asks = question}, *inbox = open_inbox(relay);
    question->next = NULL;
    if (!inbox) {
        ft_inbox_refuse(&refused, relay->thread_->hub);
        return;
    }
    bool was_empty = is_empty(inbox);
    *inbox->asks_end = question;
    inbox->asks_end = &question->next;
    close_inbox(relay, was_empty);
}

static void presence(void *context, struct ft_relay_presence *change)
{
    struct ft_relay *relay = context;
    struct ft_inbox *inbox = open_inbox(relay);
    change->next = NULL;
    if (!inbox) {
        free(change);
        return;
    }
    bool was_empty = is_empty(inbox);
    *inbox->changes_end = change;
    inbox->changes_end = &change->next;
    close_inbox(relay, was_empty);
}

static void interest(void *context)
{
    struct ft_relay *relay = context;
    struct ft_inbox *inbox = open_inbox(relay);
    if (!inbox)
        return;
    bool was_empty = is_empty(inbox);
    inbox->is_wanted = true;
    close_inbox(relay, was_empty);
}

static size_t room(void *context, size_t *most)
{
    struct ft_relay *relay = context;
    return ft_outgoing_room(relay->outgoing, most);
}

static bool is_up(void *context, uint32_t partition)
{
    struct ft_relay *relay = context;
    return atomic_load_explicit(&relay->thread_->is_up[partition % relay->server_count],
                                memory_order_relaxed);
}

/* Cuts what is left of a character at the end of a text that was cut. */
static void mend(char *text)
{
    size_t len = strlen(text), at = len;
    while (at > 0 && ((uint8_t)text[at - 1] & 0xc0) == 0x80)
        at--;
    uint8_t lead = at > 0 ? (uint8_t)text[at - 1] : 0;
    size_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (at > 0 && lead >= 0xc0 && len - (at - 1) < whole)
        text[at - 1] = '\0';
}

static bool is_unready(void *context, char why[200])
{
    struct ft_relay *relay = context;
    struct ft_thread *thread = relay->thread_;
    bool is_away = false;
    pthread_mutex_lock(&thread->lock);
    for (uint32_t i = 0; i < relay->server_count && !is_away; i++) {
        is_away = !atomic_load(&thread->is_up[i]);
        if (is_away)
            snprintf(why, 200, "%.60s: %s", relay->servers[i]->url.shown,
                     thread->reports[i].is_judged ? thread->reports[i].why : "not reached yet");
    }
    pthread_mutex_unlock(&thread->lock);
    if (is_away)
        mend(why);
    return is_away;
}

static const struct ft_relay_figures *figures(void *context)
{
    return &((struct ft_relay *)context)->figures;
}

const struct ft_relay_ops *ft_relay_ops(void)
{
    static const struct ft_relay_ops ops = {
        .publish = publish,
        .room = room,
        .is_up = is_up,
        .interest = interest,
        .ask = ask,
        .presence = presence,
        .is_unready = is_unready,
        .figures = figures,
    };
    return &ops;
}

struct ft_interest *ft_relay_interest(struct ft_relay *relay)
{
    return &relay->interest;
}

bool ft_relay_is_expelled(struct ft_relay *relay)
{
    return atomic_load(&relay->thread_->is_expelled);
}

/* ---- life ---- */

static void name_instance(char name[FT_INSTANCE_LEN + 1])
{
    static const char alphabet[32] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t random[FT_INSTANCE_LEN];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort();
    for (int i = 0; i < FT_INSTANCE_LEN; i++)
        name[i] = alphabet[random[i] & 31];
    name[FT_INSTANCE_LEN] = '\0';
}

/* Pub/Sub knows no databases, so that the channels' names have to say which one it is. */
static bool name_channels(struct ft_relay *relay, char error[FT_RELAY_ERROR_MAX])
{
    const struct ft_relay_options *options = &relay->options;
    uint32_t database = 0;
    for (uint32_t i = 0; i < options->url_count; i++) {
        struct ft_redis_url url;
        if (!ft_redis_url_read(options->urls[i], &url, error))
            return false;
        bool is_same = i == 0 || url.database == database;
        database = url.database;
        ft_redis_url_fini(&url);
        if (!is_same) {
            snprintf(error, FT_RELAY_ERROR_MAX, "redis.url: all have to name the same database");
            return false;
        }
    }
    char suffix[16] = "";
    if (database > 0)
        snprintf(suffix, sizeof(suffix), "@%u", database);
    relay->prefix = ft_strdup(options->prefix);
    relay->channel_prefix = ft_alloc(strlen(options->prefix) + sizeof(suffix));
    strcat(strcpy(relay->channel_prefix, options->prefix), suffix);
    return true;
}

static void copy_options(struct ft_relay *relay, const struct ft_relay_options *options)
{
    relay->options = *options;
    relay->options.node = ft_strdup(options->node);
    relay->options.version = ft_strdup(options->version);
}

static void thread_init(struct ft_thread *thread)
{
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&thread->judged, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&thread->lock, NULL);
    ft_inbox_init(&thread->inbox);
}

/* Everything but the thread itself. */
static struct ft_relay *make(const struct ft_relay_options *options, struct ft_journal *journal,
                             char error[FT_RELAY_ERROR_MAX])
{
    struct ft_relay *relay = ft_alloc_zero(sizeof(*relay));
    copy_options(relay, options);
    relay->thread_ = ft_alloc_zero(sizeof(*relay->thread_));
    thread_init(relay->thread_);
    ft_interest_init(&relay->interest, &options->partitions);
    int failed = uv_loop_init(&relay->loop);
    FT_ASSERT(failed == 0);
    if (!name_channels(relay, error)) {
        ft_relay_free(relay);
        return NULL;
    }
    name_instance(relay->instance);
    relay->started_ms = ft_clock_wall_ms();
    relay->journal = journal;
    relay->writer = ft_journal_writer_new(journal);
    ft_relay_enter(relay);
    ft_sink_init(relay);
    for (relay->server_count = 0; relay->server_count < options->url_count; relay->server_count++)
        relay->servers[relay->server_count] =
            ft_server_new(relay, relay->server_count, options->urls[relay->server_count]);
    for (uint32_t k = 0; k < options->partitions.count; k++)
        relay->parts[k] = ft_part_new(relay, k);
    relay->outgoing = ft_outgoing_new(relay);
    relay->inlet = ft_inlet_new(relay);
    relay->asks = ft_asks_new(relay);
    relay->presences = ft_presences_new(relay);
    return relay;
}

/* Says whether a server was found that this node cannot go on with. */
static bool is_refused(const struct ft_relay *relay, char error[FT_RELAY_ERROR_MAX])
{
    const struct ft_thread *thread = relay->thread_;
    for (uint32_t i = 0; i < relay->server_count; i++) {
        if (!thread->reports[i].is_final)
            continue;
        snprintf(error, FT_RELAY_ERROR_MAX, "%s: %.300s", relay->servers[i]->url.shown,
                 thread->reports[i].why);
        return true;
    }
    return false;
}

static bool are_judged(const struct ft_relay *relay)
{
    for (uint32_t i = 0; i < relay->server_count; i++)
        if (!relay->thread_->reports[i].is_judged)
            return false;
    return true;
}

/* Waits until every server has answered in some way, but not for ever. Returns false, and why, where the node
 * must not serve. */
static bool wait_for_servers(struct ft_relay *relay, char error[FT_RELAY_ERROR_MAX])
{
    struct ft_thread *thread = relay->thread_;
    struct timespec until;
    int timed_out = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += START_S;
    pthread_mutex_lock(&thread->lock);
    while (!are_judged(relay) && timed_out == 0)
        timed_out = pthread_cond_timedwait(&thread->judged, &thread->lock, &until);
    bool refused = is_refused(relay, error);
    atomic_store(&thread->is_serving, !refused);
    pthread_mutex_unlock(&thread->lock);
    return !refused;
}

struct ft_relay *ft_relay_new(const struct ft_relay_options *options, struct ft_journal *journal,
                              char error[FT_RELAY_ERROR_MAX])
{
    FT_ASSERT(options->url_count > 0 && options->url_count <= FT_SERVERS_MAX);
    struct ft_relay *relay = make(options, journal, error);
    if (!relay)
        return NULL;
    ft_thread_start(relay);
    if (wait_for_servers(relay, error))
        return relay;
    ft_relay_free(relay);
    return NULL;
}

void ft_relay_start(struct ft_relay *relay, struct ft_hub *hub)
{
    pthread_mutex_lock(&relay->thread_->lock);
    relay->thread_->hub = hub;
    pthread_mutex_unlock(&relay->thread_->lock);
    uv_async_send(&relay->thread_->wake);
}

void ft_relay_stop(struct ft_relay *relay)
{
    ft_thread_stop(relay);
}

void ft_relay_free(struct ft_relay *relay)
{
    if (!relay)
        return;
    ft_thread_stop(relay);
    ft_outgoing_free(relay->outgoing);
    for (uint32_t i = 0; i < relay->server_count; i++)
        ft_server_free(relay->servers[i]);
    if (relay->writer)
        ft_journal_writer_free(relay->writer);
    if (uv_loop_close(&relay->loop) != 0)
        return; /* a resolver that hangs will still tell the loop: it is left to the end of the process */
    ft_interest_fini(&relay->interest);
    pthread_mutex_destroy(&relay->thread_->lock);
    pthread_cond_destroy(&relay->thread_->judged);
    free(relay->thread_);
    free((char *)relay->options.node);
    free((char *)relay->options.version);
    free(relay->prefix);
    free(relay->channel_prefix);
    free(relay);
}
