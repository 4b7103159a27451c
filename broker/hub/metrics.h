/*
 * What a node counts of itself, and what it tells of it. Each worker has a struct ft_metrics that it alone
 * writes, without locks; who wants to know adds them up (struct ft_figures). The rows are in metrics.def.
 *
 *     worker 0  struct ft_metrics ─┐                       ┌─▶ text for Prometheus
 *     worker 1  struct ft_metrics ─┼─▶ struct ft_figures ──┤
 *     relay, journal, process ─────┘                       └─▶ JSON or MessagePack
 */
#ifndef FT_HUB_METRICS_H
#define FT_HUB_METRICS_H

#include "broker/core/publication.h"
#include "protocol/buffer.h"
#include "protocol/error.h"
#include "protocol/writer.h"

#include <stdatomic.h>

/* ---- labels ---- */

/* clang-format off */
/* In the order of enum ft_frames; the first two are enum ft_encoding. */
#define FT_LABEL_VALUES_FRAMES(X) X(FRAMES, JSON, "json") X(FRAMES, MSGPACK, "msgpack") \
    X(FRAMES, EVENTS, "events")
#define FT_LABEL_VALUES_REFUSAL(X) X(REFUSAL, FULL, "full") X(REFUSAL, ADDRESS, "address") \
    X(REFUSAL, PROXY, "proxy") X(REFUSAL, TLS, "tls")
#define FT_LABEL_VALUES_REASON(X) X(REASON, INVALID, "invalid") \
    X(REASON, FORBIDDEN, "forbidden") X(REASON, CONFLICT, "conflict") \
    X(REASON, TOO_LARGE, "too_large") X(REASON, TOO_FAST, "too_fast") \
    X(REASON, UNAVAILABLE, "unavailable") X(REASON, UNANSWERED, "unanswered") \
    X(REASON, OTHER, "other")
#define FT_LABEL_VALUES_DROP(X) X(DROP, SLOW, "slow") X(DROP, LATEST, "latest") \
    X(DROP, EVERY, "every")
#define FT_LABEL_VALUES_GAP(X) X(GAP, SLOW, "slow") X(GAP, EXPIRED, "expired") \
    X(GAP, RELAY, "relay")
#define FT_LABEL_VALUES_CREDENTIALS(X) X(CREDENTIALS, MISSING, "missing") \
    X(CREDENTIALS, INVALID, "invalid") X(CREDENTIALS, EXPIRED, "expired") \
    X(CREDENTIALS, SUBJECT, "subject")
#define FT_LABEL_VALUES_FORGOTTEN(X) X(FORGOTTEN, TOPIC, "topic") \
    X(FORGOTTEN, RETAINED, "retained") X(FORGOTTEN, HISTORY, "history") X(FORGOTTEN, KEY, "key")
#define FT_LABEL_VALUES_CLOSE(X) X(CLOSE, 1000, "1000") X(CLOSE, 1001, "1001") \
    X(CLOSE, 1002, "1002") X(CLOSE, 1003, "1003") X(CLOSE, 1005, "1005") X(CLOSE, 1007, "1007") \
    X(CLOSE, 1008, "1008") X(CLOSE, 1009, "1009") X(CLOSE, 1011, "1011") X(CLOSE, 1012, "1012") \
    X(CLOSE, 1013, "1013") X(CLOSE, 4400, "4400") X(CLOSE, 4401, "4401") X(CLOSE, 4403, "4403") \
    X(CLOSE, 4408, "4408") X(CLOSE, 4429, "4429") X(CLOSE, 4508, "4508") \
    X(CLOSE, OTHER, "other")
#define FT_LABEL_VALUES_ERROR(X) X(ERROR, 400, "400") X(ERROR, 401, "401") X(ERROR, 403, "403") \
    X(ERROR, 404, "404") X(ERROR, 409, "409") X(ERROR, 413, "413") X(ERROR, 429, "429") \
    X(ERROR, 500, "500") X(ERROR, 503, "503") X(ERROR, 504, "504") X(ERROR, OTHER, "other")
#define FT_LABEL_VALUES_BY(X) X(BY, ADDRESS, "address") X(BY, USER, "user")
#define FT_LABEL_VALUES_LIMIT(X) X(LIMIT, CONNECTIONS, "connections") \
    X(LIMIT, SUBSCRIPTIONS, "subscriptions") X(LIMIT, CONNECTS, "connects") \
    X(LIMIT, PUBLISHES, "publishes") X(LIMIT, REQUESTS, "requests")
#define FT_LABEL_VALUES_OUTCOME(X) X(OUTCOME, ACCEPTED, "accepted") \
    X(OUTCOME, DUPLICATE, "duplicate") X(OUTCOME, REFUSED, "refused") \
    X(OUTCOME, UNANSWERED, "unanswered") X(OUTCOME, EPHEMERAL, "ephemeral") \
    X(OUTCOME, DROPPED, "dropped")
#define FT_LABEL_VALUES_KIND(X) X(KIND, STORED, "stored") X(KIND, EPHEMERAL, "ephemeral") \
    X(KIND, INLET, "inlet")
#define FT_LABEL_VALUES_REJECTED(X) X(REJECTED, FOREIGN, "foreign") \
    X(REJECTED, VERSION, "version") X(REJECTED, DAMAGED, "damaged") \
    X(REJECTED, TOO_LARGE, "too_large") X(REJECTED, SPOOFED, "spoofed") \
    X(REJECTED, CONFLICT, "conflict")
/* NONE: no request came of it, or to a path that there is not. */
#define FT_LABEL_VALUES_ROUTE(X) X(ROUTE, NONE, "none") X(ROUTE, PUBLISH, "publish") \
    X(ROUTE, TOPICS, "topics") X(ROUTE, EVENTS, "events") X(ROUTE, HISTORY, "history") \
    X(ROUTE, PRESENCE, "presence") X(ROUTE, DISCONNECT, "disconnect") \
    X(ROUTE, UNSUBSCRIBE, "unsubscribe") X(ROUTE, STATS, "stats") X(ROUTE, NODES, "nodes") \
    X(ROUTE, TOPIC_LIST, "topic_list") X(ROUTE, SESSIONS, "sessions") \
    X(ROUTE, METRICS, "metrics") X(ROUTE, HEALTHZ, "healthz") X(ROUTE, READYZ, "readyz") \
    X(ROUTE, WEBSOCKET, "websocket") X(ROUTE, CONSOLE, "console")
#define FT_LABEL_VALUES_STATUS(X) X(STATUS, 101, "101") X(STATUS, 200, "200") \
    X(STATUS, 204, "204") X(STATUS, 304, "304") X(STATUS, 400, "400") X(STATUS, 401, "401") \
    X(STATUS, 403, "403") X(STATUS, 404, "404") X(STATUS, 405, "405") X(STATUS, 406, "406") \
    X(STATUS, 408, "408") X(STATUS, 409, "409") X(STATUS, 411, "411") X(STATUS, 413, "413") \
    X(STATUS, 414, "414") X(STATUS, 415, "415") X(STATUS, 417, "417") X(STATUS, 426, "426") \
    X(STATUS, 429, "429") X(STATUS, 431, "431") X(STATUS, 500, "500") X(STATUS, 501, "501") \
    X(STATUS, 503, "503") X(STATUS, 504, "504") X(STATUS, 505, "505") X(STATUS, OTHER, "other")
/* clang-format on */

/* FT_ROUTE_PUBLISH and so on, from 0, with FT_ROUTE_COUNT at the end. */
#define FT_LABEL_ENUM_ROW(set, id, text) FT_##set##_##id,
#define FT_LABEL_ENUM(name, set) \
    enum name { FT_LABEL_VALUES_##set(FT_LABEL_ENUM_ROW) FT_##set##_COUNT }

FT_LABEL_ENUM(ft_refusal_label, REFUSAL);
FT_LABEL_ENUM(ft_reason_label, REASON);
FT_LABEL_ENUM(ft_drop_label, DROP);
FT_LABEL_ENUM(ft_gap_label, GAP);
FT_LABEL_ENUM(ft_credentials_label, CREDENTIALS);
FT_LABEL_ENUM(ft_forgotten_label, FORGOTTEN);
FT_LABEL_ENUM(ft_close_label, CLOSE);
FT_LABEL_ENUM(ft_error_label, ERROR);
FT_LABEL_ENUM(ft_by_label, BY);
FT_LABEL_ENUM(ft_limit_label, LIMIT);
FT_LABEL_ENUM(ft_outcome_label, OUTCOME);
FT_LABEL_ENUM(ft_kind_label, KIND);
FT_LABEL_ENUM(ft_rejected_label, REJECTED);
FT_LABEL_ENUM(ft_route, ROUTE);
FT_LABEL_ENUM(ft_status_label, STATUS);

/* Upper bounds of a histogram's buckets, in microseconds; one more takes the rest. */
#define FT_BUCKET_BOUNDS_US                                                                \
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, \
        2500000, 5000000, 10000000
#define FT_BUCKETS 17

/* Values that a set of labels makes. */
enum {
    FT_SLOTS_NONE = 1,
    FT_SLOTS_BUILD = 1,
    FT_SLOTS_ENCODING = FT_ENCODINGS,
    FT_SLOTS_FRAMES = FT_FRAMES_KINDS,
    FT_SLOTS_REFUSAL = FT_REFUSAL_COUNT,
    FT_SLOTS_REASON = FT_REASON_COUNT,
    FT_SLOTS_DROP = FT_DROP_COUNT,
    FT_SLOTS_GAP = FT_GAP_COUNT,
    FT_SLOTS_CREDENTIALS = FT_CREDENTIALS_COUNT,
    FT_SLOTS_FORGOTTEN = FT_FORGOTTEN_COUNT,
    FT_SLOTS_CLOSE = FT_CLOSE_COUNT,
    FT_SLOTS_ERROR = FT_ERROR_COUNT,
    FT_SLOTS_LIMIT = FT_BY_COUNT * FT_LIMIT_COUNT,
    FT_SLOTS_OUTCOME = FT_OUTCOME_COUNT,
    FT_SLOTS_KIND = FT_KIND_COUNT,
    FT_SLOTS_REJECTED = FT_REJECTED_COUNT,
    FT_SLOTS_HTTP = FT_ROUTE_COUNT * FT_STATUS_COUNT,
    FT_SLOTS_BUCKETS = FT_BUCKETS + 1, /* the last one is the sum */
    FT_SLOTS_WORKER = 64,              /* FT_WORKERS_MAX */
    FT_SLOTS_PARTITION = 256           /* FT_PARTITIONS_MAX */
};

/* ---- the counters of a worker, and of the relay ---- */

typedef _Atomic uint64_t ft_counter; /* written by one thread, read by any */

struct ft_metrics {
#define FT_FIELD_WORKER(field, labels) ft_counter field[FT_SLOTS_##labels];
#define FT_FIELD_EACH(field, labels)   ft_counter field[1];
#define FT_FIELD_RELAY(field, labels)
#define FT_FIELD_READ(field, labels)
#define FT_METRIC(source, type, unit, field, labels, name, help) FT_FIELD_##source(field, labels)
#include "broker/hub/metrics.def"
#undef FT_METRIC
};

/* The relay's thread writes them. The lag of a partition that is not joined is UINT64_MAX. */
struct ft_relay_figures {
#define FT_RELAY_FIELD_WORKER(field, labels)
#define FT_RELAY_FIELD_EACH(field, labels)
#define FT_RELAY_FIELD_READ(field, labels)
#define FT_RELAY_FIELD_RELAY(field, labels) ft_counter field[FT_SLOTS_##labels];
#define FT_METRIC(source, type, unit, field, labels, name, help) \
    FT_RELAY_FIELD_##source(field, labels)
#include "broker/hub/metrics.def"
#undef FT_METRIC
};

/* All of this is for the thread that writes them. */

static inline void ft_count(ft_counter *counter, uint64_t n)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

static inline void ft_uncount(ft_counter *counter, uint64_t n)
{
    ft_count(counter, 0 - n);
}

/* Sets a gauge. */
static inline void ft_gauge(ft_counter *gauge, uint64_t n)
{
    atomic_store_explicit(gauge, n, memory_order_relaxed);
}

/* Adds an observation to a histogram. */
void ft_observe_us(ft_counter *histogram, uint64_t us);

/* Count by a number on the wire: a close code (1005: without one); the code of an error envelope; why a
 * publication was refused. */
void ft_count_close(struct ft_metrics *metrics, uint16_t code);
void ft_count_error(struct ft_metrics *metrics, enum ft_err err);
void ft_count_publication_refused(struct ft_metrics *metrics, enum ft_err err);

/* Counts an HTTP response. `us`: since the request was complete; UINT64_MAX: that says nothing, as with
 * WebSockets and streams of events. */
void ft_count_http(struct ft_metrics *metrics, enum ft_route route, int status, uint64_t us);

/* How late a worker's clock ticks. Zero at first. */
struct ft_lag {
    uint64_t ticked_us, window_us;  /* the last tick; begin of this window */
    uint64_t max_us, max_before_us; /* in this window and in the one before */
};

/* Notes a tick, which is due every `tick_us`. */
void ft_count_tick(struct ft_metrics *metrics, struct ft_lag *lag, uint64_t now_us,
                   uint32_t tick_us);

/* ---- figures ---- */

/* All figures at one time. SECONDS are in microseconds; what is not known is UINT64_MAX. */
struct ft_figures {
#define FT_METRIC(source, type, unit, field, labels, name, help) uint64_t field[FT_SLOTS_##labels];
#include "broker/hub/metrics.def"
#undef FT_METRIC
    uint64_t at_ms;      /* wall clock */
    uint64_t measure_us; /* monotonic, for rates */
    const char *node;
    char unready[200]; /* why new clients may not come; empty: they may */
    uint32_t worker_count;
    uint32_t partition_count; /* 0: there is no relay, and nothing is told of one */
};

struct ft_worker;

/* Reads all figures, in a turn of `worker`. With `fast` what takes the system long to tell is left out. */
void ft_figures_read(struct ft_figures *figures, struct ft_worker *worker, bool fast);

/* Writes them as Prometheus reads them (text format 0.0.4). */
void ft_figures_write_text(const struct ft_figures *figures, struct ft_buffer *out);

/* Writes them as one map. `before`, earlier figures or NULL, adds what came a second since. */
void ft_figures_write_stats(const struct ft_figures *figures, const struct ft_figures *before,
                            struct ft_writer *out);

/* ---- the table, for who writes figures and for tests ---- */

enum ft_metric_source { FT_METRIC_WORKER, FT_METRIC_EACH, FT_METRIC_RELAY, FT_METRIC_READ };
enum ft_metric_type { FT_METRIC_COUNTER, FT_METRIC_GAUGE, FT_METRIC_HISTOGRAM };
enum ft_metric_unit { FT_METRIC_NUMBER, FT_METRIC_BYTES, FT_METRIC_SECONDS };

/* A label or two, and what they can be. */
struct ft_label_set {
    const char *keys[2]; /* NULL: none */
    const char *const *values[2];
    uint32_t counts[2]; /* at least 1; all together `counts[0] * counts[1]` */
    bool is_sparse;     /* only what is not 0 is told */
};

struct ft_metric {
    enum ft_metric_source source;
    enum ft_metric_type type;
    enum ft_metric_unit unit;
    const struct ft_label_set *labels;
    const char *name, *help;
    uint32_t slots;      /* in struct ft_figures */
    uint32_t figures_at; /* places among the 64-bit values of struct ft_figures … */
    uint32_t metrics_at; /* … and of struct ft_metrics, or ft_relay_figures; not for READ */
};

extern const struct ft_metric ft_metric_table[];
extern const uint32_t ft_metric_count;

/* Upper bounds of the buckets, FT_BUCKETS - 1 of them. */
extern const uint64_t ft_bucket_bounds_us[];

/* Lends the first value of a metric. */
static inline const uint64_t *ft_figures_of(const struct ft_figures *figures,
                                            const struct ft_metric *metric)
{
    return (const uint64_t *)figures + metric->figures_at;
}

/* Says whether a metric is told at all, and how many values it has: workers and partitions that there are. */
bool ft_figures_has(const struct ft_figures *figures, const struct ft_metric *metric);
uint32_t ft_figures_slots(const struct ft_figures *figures, const struct ft_metric *metric);

/* Takes the relay's figures over, as ft_figures_read() does; NULL: there is none. */
void ft_figures_take_relay(struct ft_figures *figures, const struct ft_relay_figures *relay,
                           uint32_t partitions);

/* Adds up the counters of so many workers, as ft_figures_read() does. */
void ft_figures_add_up(struct ft_figures *figures, struct ft_metrics *const *workers, uint32_t n);

#endif
