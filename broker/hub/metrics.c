/*
 * Counting, and reading what was counted: the table of metrics as data, the sums over workers, and what is
 * looked up in the journal and the system. How figures are written down is in metrics_text.c and
 * metrics_stats.c. Counting is the worker's thread; reading, any worker's.
 */
#include "broker/hub/metrics.h"

#include "broker/base/process.h"
#include "broker/hub/quota.h"
#include "broker/hub/worker.h"
#include "protocol/number.h"

#include <stddef.h>

_Static_assert(FT_SLOTS_WORKER == FT_WORKERS_MAX, "a slot for each worker");
_Static_assert(FT_FRAMES_JSON == 0 && FT_FRAMES_MSGPACK == 1 && FT_FRAMES_EVENTS == 2,
               "the order of the labels");
_Static_assert((int)FT_SLOTS_PARTITION == FT_PARTITIONS_MAX, "a slot for each partition");

_Static_assert((int)FT_QUOTA_ADDRESS == (int)FT_BY_ADDRESS &&
                   (int)FT_QUOTA_CONNECTIONS == (int)FT_LIMIT_CONNECTIONS &&
                   (int)FT_QUOTA_SUBSCRIPTIONS == (int)FT_LIMIT_SUBSCRIPTIONS &&
                   FT_QUOTA_HELD + (int)FT_QUOTA_CONNECTS == (int)FT_LIMIT_CONNECTS &&
                   FT_QUOTA_HELD + (int)FT_QUOTA_PUBLISHES == (int)FT_LIMIT_PUBLISHES &&
                   FT_QUOTA_HELD + (int)FT_QUOTA_REQUESTS == (int)FT_LIMIT_REQUESTS,
               "what is held comes first, then rates");

/* ---- the table ---- */

const uint64_t ft_bucket_bounds_us[] = {FT_BUCKET_BOUNDS_US};

_Static_assert(sizeof(ft_bucket_bounds_us) / sizeof(ft_bucket_bounds_us[0]) == FT_BUCKETS - 1,
               "one bucket more than bounds");

#define TEXT(set, id, text) text,
#define VALUES(name, set)   static const char *const name[] = {FT_LABEL_VALUES_##set(TEXT)};

VALUES(frames, FRAMES)
VALUES(refusals, REFUSAL)
VALUES(reasons, REASON)
VALUES(drops, DROP)
VALUES(gaps, GAP)
VALUES(credentials, CREDENTIALS)
VALUES(forgotten, FORGOTTEN)
VALUES(closes, CLOSE)
VALUES(errors, ERROR)
VALUES(bys, BY)
VALUES(limits, LIMIT)
VALUES(outcomes, OUTCOME)
VALUES(kinds, KIND)
VALUES(rejections, REJECTED)
VALUES(routes, ROUTE)
VALUES(statuses, STATUS)
static const char *const versions[] = {FT_VERSION};

#define ONE_LABEL(key, values, count)                  \
    {                                                  \
        {key, NULL}, {values, NULL}, {count, 1}, false \
    }

static const struct ft_label_set set_none = {{NULL, NULL}, {NULL, NULL}, {1, 1}, false};
static const struct ft_label_set set_build = ONE_LABEL("version", versions, 1);
static const struct ft_label_set set_encoding = ONE_LABEL("encoding", frames, FT_SLOTS_ENCODING);
static const struct ft_label_set set_frames = ONE_LABEL("encoding", frames, FT_FRAMES_KINDS);
static const struct ft_label_set set_refusal = ONE_LABEL("reason", refusals, FT_REFUSAL_COUNT);
static const struct ft_label_set set_reason = ONE_LABEL("reason", reasons, FT_REASON_COUNT);
static const struct ft_label_set set_drop = ONE_LABEL("reason", drops, FT_DROP_COUNT);
static const struct ft_label_set set_gap = ONE_LABEL("reason", gaps, FT_GAP_COUNT);
static const struct ft_label_set set_credentials =
    ONE_LABEL("reason", credentials, FT_CREDENTIALS_COUNT);
static const struct ft_label_set set_forgotten = ONE_LABEL("what", forgotten, FT_FORGOTTEN_COUNT);
static const struct ft_label_set set_close = ONE_LABEL("code", closes, FT_CLOSE_COUNT);
static const struct ft_label_set set_error = ONE_LABEL("code", errors, FT_ERROR_COUNT);
static const struct ft_label_set set_limit = {
    {"by", "limit"}, {bys, limits}, {FT_BY_COUNT, FT_LIMIT_COUNT}, false};
static const struct ft_label_set set_http = {
    {"route", "status"}, {routes, statuses}, {FT_ROUTE_COUNT, FT_STATUS_COUNT}, true};
static const struct ft_label_set set_outcome = ONE_LABEL("outcome", outcomes, FT_OUTCOME_COUNT);
static const struct ft_label_set set_kind = ONE_LABEL("kind", kinds, FT_KIND_COUNT);
static const struct ft_label_set set_rejected = ONE_LABEL("reason", rejections, FT_REJECTED_COUNT);
/* The values of these are numbers: bounds, and places among the workers and partitions. */
static const struct ft_label_set set_buckets = ONE_LABEL("le", NULL, FT_SLOTS_BUCKETS);
static const struct ft_label_set set_worker = ONE_LABEL("worker", NULL, FT_SLOTS_WORKER);
static const struct ft_label_set set_partition = ONE_LABEL("partition", NULL, FT_SLOTS_PARTITION);

#define SET_NONE        &set_none
#define SET_BUILD       &set_build
#define SET_ENCODING    &set_encoding
#define SET_FRAMES      &set_frames
#define SET_REFUSAL     &set_refusal
#define SET_REASON      &set_reason
#define SET_DROP        &set_drop
#define SET_GAP         &set_gap
#define SET_CREDENTIALS &set_credentials
#define SET_FORGOTTEN   &set_forgotten
#define SET_CLOSE       &set_close
#define SET_ERROR       &set_error
#define SET_LIMIT       &set_limit
#define SET_HTTP        &set_http
#define SET_BUCKETS     &set_buckets
#define SET_WORKER      &set_worker
#define SET_OUTCOME     &set_outcome
#define SET_KIND        &set_kind
#define SET_REJECTED    &set_rejected
#define SET_PARTITION   &set_partition

#define AT_WORKER(field) offsetof(struct ft_metrics, field) / sizeof(uint64_t)
#define AT_EACH(field)   AT_WORKER(field)
#define AT_RELAY(field)  offsetof(struct ft_relay_figures, field) / sizeof(uint64_t)
#define AT_READ(field)   0

const struct ft_metric ft_metric_table[] = {
#define FT_METRIC(source, type, unit, field, labels, name, help) \
    {FT_METRIC_##source,                                         \
     FT_METRIC_##type,                                           \
     FT_METRIC_##unit,                                           \
     SET_##labels,                                               \
     name,                                                       \
     help,                                                       \
     FT_SLOTS_##labels,                                          \
     offsetof(struct ft_figures, field) / sizeof(uint64_t),      \
     AT_##source(field)},
#include "broker/hub/metrics.def"
#undef FT_METRIC
};

const uint32_t ft_metric_count = sizeof(ft_metric_table) / sizeof(ft_metric_table[0]);

/* ---- counting ---- */

void ft_observe_us(ft_counter *histogram, uint64_t us)
{
    uint32_t bucket = 0;
    while (bucket < FT_BUCKETS - 1 && us > ft_bucket_bounds_us[bucket])
        bucket++;
    ft_count(&histogram[bucket], 1);
    ft_count(&histogram[FT_BUCKETS], us);
}

/* Finds a number among the values of a label; the last one of them stands for all others. */
static uint32_t find(const char *const *values, uint32_t count, unsigned number)
{
    char text[FT_UINT_TEXT_MAX + 1];
    text[ft_uint_print(number, text)] = '\0';
    uint32_t i = 0;
    while (i < count - 1 && strcmp(values[i], text) != 0)
        i++;
    return i;
}

void ft_count_close(struct ft_metrics *m, uint16_t code)
{
    ft_count(&m->close_codes[find(closes, FT_CLOSE_COUNT, code)], 1);
}

void ft_count_error(struct ft_metrics *m, enum ft_err err)
{
    ft_count(&m->errors[find(errors, FT_ERROR_COUNT, (unsigned)ft_err_wire(err))], 1);
}

static enum ft_reason_label reason_of(enum ft_err err)
{
    switch (ft_err_wire(err)) {
    case 400:
        return FT_REASON_INVALID;
    case 403:
        return FT_REASON_FORBIDDEN;
    case 409:
        return FT_REASON_CONFLICT;
    case 413:
        return FT_REASON_TOO_LARGE;
    case 429:
        return FT_REASON_TOO_FAST;
    case 503:
        return FT_REASON_UNAVAILABLE;
    case 504:
        return FT_REASON_UNANSWERED;
    default:
        return FT_REASON_OTHER;
    }
}

void ft_count_publication_refused(struct ft_metrics *m, enum ft_err err)
{
    ft_count(&m->publications_refused[reason_of(err)], 1);
}

void ft_count_http(struct ft_metrics *m, enum ft_route route, int status, uint64_t us)
{
    uint32_t column = find(statuses, FT_STATUS_COUNT, (unsigned)status);
    ft_count(&m->http_requests[route * FT_STATUS_COUNT + column], 1);
    if (us != UINT64_MAX)
        ft_observe_us(m->http_duration, us);
}

/* How long the greatest lag of a worker is told: until the window after this one is over. */
#define LAG_WINDOW_US 15000000

void ft_count_tick(struct ft_metrics *m, struct ft_lag *lag, uint64_t now_us, uint32_t tick_us)
{
    uint64_t due_us = lag->ticked_us + tick_us;
    uint64_t late_us = lag->ticked_us > 0 && now_us > due_us ? now_us - due_us : 0;
    lag->ticked_us = now_us;
    if (now_us - lag->window_us >= LAG_WINDOW_US) {
        lag->window_us = now_us;
        lag->max_before_us = lag->max_us;
        lag->max_us = 0;
    }
    if (late_us > lag->max_us)
        lag->max_us = late_us;
    uint64_t max_us = lag->max_us > lag->max_before_us ? lag->max_us : lag->max_before_us;
    ft_count(m->worker_ticks, 1);
    ft_count(m->worker_lag, late_us);
    atomic_store_explicit(m->worker_lag_max, max_us, memory_order_relaxed);
}

/* ---- reading ---- */

void ft_figures_add_up(struct ft_figures *figures, struct ft_metrics *const *workers, uint32_t n)
{
    figures->worker_count = n;
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        const struct ft_metric *metric = &ft_metric_table[i];
        uint64_t *to = (uint64_t *)figures + metric->figures_at;
        if (metric->source != FT_METRIC_WORKER && metric->source != FT_METRIC_EACH)
            continue;
        memset(to, 0, metric->slots * sizeof(*to));
        for (uint32_t k = 0; k < n; k++) {
            ft_counter *from = (ft_counter *)workers[k] + metric->metrics_at;
            if (metric->source == FT_METRIC_EACH)
                to[k] = atomic_load_explicit(from, memory_order_relaxed);
            for (uint32_t slot = 0; metric->source == FT_METRIC_WORKER && slot < metric->slots;
                 slot++)
                to[slot] += atomic_load_explicit(from + slot, memory_order_relaxed);
        }
    }
}

void ft_figures_take_relay(struct ft_figures *figures, const struct ft_relay_figures *relay,
                           uint32_t partitions)
{
    figures->partition_count = relay ? partitions : 0;
    for (uint32_t i = 0; relay && i < ft_metric_count; i++) {
        const struct ft_metric *metric = &ft_metric_table[i];
        if (metric->source != FT_METRIC_RELAY)
            continue;
        uint64_t *to = (uint64_t *)figures + metric->figures_at;
        const ft_counter *from = (const ft_counter *)relay + metric->metrics_at;
        for (uint32_t slot = 0; slot < metric->slots; slot++)
            to[slot] = atomic_load_explicit(from + slot, memory_order_relaxed);
    }
}

bool ft_figures_has(const struct ft_figures *figures, const struct ft_metric *metric)
{
    return metric->source != FT_METRIC_RELAY || figures->partition_count > 0;
}

uint32_t ft_figures_slots(const struct ft_figures *figures, const struct ft_metric *metric)
{
    if (metric->labels == &set_worker)
        return figures->worker_count;
    return metric->labels == &set_partition ? figures->partition_count : metric->slots;
}

static void read_relay(struct ft_figures *figures, const struct ft_hub *hub)
{
    if (hub->relay_ops)
        ft_figures_take_relay(figures, hub->relay_ops->figures(hub->relay),
                              hub->interest->partitions.count);
}

static void read_journal(struct ft_figures *figures, const struct ft_worker *w)
{
    struct ft_journal_stats stats;
    ft_journal_stats(w->hub->journal, &stats);
    uint64_t age_s =
        stats.head > stats.tail && w->now_s > stats.oldest_s ? w->now_s - stats.oldest_s : 0;
    figures->journal_bytes[0] = stats.bytes;
    figures->journal_publications[0] = stats.head - stats.tail;
    figures->journal_oldest_age[0] = age_s * 1000000;
    figures->publications_duplicate[0] = stats.duplicates;
    figures->journal_waits[0] = stats.refused;
    figures->topics[0] = stats.topics.topics;
    figures->retained[0] = stats.topics.retained;
    figures->history_bytes[0] = stats.topics.kept_bytes;
    figures->keys[0] = stats.keys;
    figures->forgotten[FT_FORGOTTEN_TOPIC] = stats.topics.topics_dropped;
    figures->forgotten[FT_FORGOTTEN_RETAINED] = stats.topics.retained_dropped;
    figures->forgotten[FT_FORGOTTEN_HISTORY] = stats.topics.kept_dropped;
    figures->forgotten[FT_FORGOTTEN_KEY] = stats.keys_dropped;
}

static void read_quotas(struct ft_figures *figures, const struct ft_hub *hub)
{
    if (!hub->quotas)
        return;
    struct ft_quota_stats stats;
    ft_quotas_stats(hub->quotas, &stats);
    uint64_t *to = figures->limit_refusals;
    for (int by = 0; by < FT_QUOTA_KINDS; by++) {
        for (int i = 0; i < FT_QUOTA_HELD; i++)
            *to++ = stats.held[by][i];
        for (int i = 0; i < FT_QUOTA_RATES; i++)
            *to++ = stats.rates[by][i];
    }
}

/* What GET /readyz says, too. */
static void read_ready(struct ft_figures *figures, const struct ft_worker *w)
{
    const struct ft_hub *hub = w->hub;
    figures->unready[0] = '\0';
    if (w->is_ending)
        memcpy(figures->unready, "stopping", sizeof("stopping"));
    else if (hub->relay_ops && !hub->relay_ops->is_unready(hub->relay, figures->unready))
        figures->unready[0] = '\0';
    figures->ready[0] = figures->unready[0] == '\0';
}

static void read_process(struct ft_figures *figures, const struct ft_hub *hub, bool fast)
{
    struct ft_process process;
    ft_process_read(&process, fast);
    figures->process_start_time[0] = hub->started_ms * 1000;
    figures->process_cpu[0] = process.cpu_us;
    figures->process_resident_memory[0] = process.resident_bytes;
    figures->process_virtual_memory[0] = process.virtual_bytes;
    figures->process_open_fds[0] = process.open_files;
    figures->process_max_fds[0] = process.max_files;
}

void ft_figures_read(struct ft_figures *figures, struct ft_worker *w, bool fast)
{
    struct ft_hub *hub = w->hub;
    struct ft_metrics *workers[FT_WORKERS_MAX];
    for (uint32_t i = 0; i < hub->worker_count; i++)
        workers[i] = &hub->workers[i]->metrics;
    memset(figures, 0, sizeof(*figures));
    ft_figures_add_up(figures, workers, hub->worker_count);
    figures->build[0] = 1;
    read_ready(figures, w);
    for (uint32_t i = 0; i < hub->worker_count; i++)
        figures->connections[0] += figures->worker_connections[i];
    read_relay(figures, hub);
    read_journal(figures, w);
    read_quotas(figures, hub);
    read_process(figures, hub, fast);
    figures->at_ms = w->now_ms;
    figures->measure_us = w->turn_us;
    figures->node = w->options->node;
}
