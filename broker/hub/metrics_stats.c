/* Figures as one map, for /v1/stats and $sys/<node>/stats. Reads nothing but the figures. */
#include "broker/hub/metrics.h"

#include <stdio.h>

#define PREFIX "fantail_"
#define SUFFIX "_total"

/* Longest key, its NUL included; a unit test measures them. */
#define KEY_MAX 64

/* Writes the metric's name without what only Prometheus wants as a key. */
static void write_key(struct ft_writer *out, const struct ft_metric *metric)
{
    const char *name = metric->name;
    if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0)
        name += sizeof(PREFIX) - 1;
    size_t len = strlen(name), suffix = sizeof(SUFFIX) - 1;
    if (len > suffix && strcmp(name + len - suffix, SUFFIX) == 0)
        len -= suffix;
    char key[KEY_MAX];
    snprintf(key, sizeof(key), "%.*s", (int)len, name);
    ft_write_key(out, key);
}

static void write_value(struct ft_writer *out, enum ft_metric_unit unit, uint64_t value)
{
    if (value == UINT64_MAX)
        ft_write_null(out); /* not known */
    else if (unit == FT_METRIC_SECONDS)
        ft_write_double(out, (double)value / 1e6);
    else
        ft_write_uint(out, value);
}

/* Returns what `share` of all observations stayed below, in microseconds, taking those of a bucket for
 * evenly spread; of the last one its lower bound, as there is no other. */
static double quantile_us(const uint64_t *buckets, uint64_t count, double share)
{
    double wanted = share * (double)count, before = 0, low = 0;
    for (uint32_t i = 0; i < FT_BUCKETS - 1; i++) {
        double in = (double)buckets[i], high = (double)ft_bucket_bounds_us[i];
        if (in > 0 && before + in >= wanted)
            return low + (high - low) * (wanted - before) / in;
        before += in;
        low = high;
    }
    return low;
}

static void write_histogram(struct ft_writer *out, const struct ft_metric *metric,
                            const uint64_t *values)
{
    static const struct {
        const char *key;
        double share;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
    uint64_t count = 0;
    for (uint32_t i = 0; i < FT_BUCKETS; i++)
        count += values[i];
    ft_write_map(out, 5);
    ft_write_key(out, "count");
    ft_write_uint(out, count);
    ft_write_key(out, "sum");
    write_value(out, metric->unit, values[FT_BUCKETS]);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        ft_write_key(out, quantiles[i].key);
        ft_write_double(out, count ? quantile_us(values, count, quantiles[i].share) / 1e6 : 0.0);
    }
}

static uint32_t count_told(const uint64_t *values, uint32_t n, bool is_sparse)
{
    uint32_t told = 0;
    for (uint32_t i = 0; i < n; i++)
        told += !is_sparse || values[i] != 0;
    return told;
}

/* Writes the values of one label as a map. */
static void write_row(struct ft_writer *out, const struct ft_metric *metric, uint32_t label,
                      const uint64_t *values)
{
    const struct ft_label_set *set = metric->labels;
    ft_write_map(out, count_told(values, set->counts[label], set->is_sparse));
    for (uint32_t i = 0; i < set->counts[label]; i++) {
        if (set->is_sparse && values[i] == 0)
            continue;
        ft_write_key(out, set->values[label][i]);
        write_value(out, metric->unit, values[i]);
    }
}

/* Writes the values of two labels as a map of maps. */
static void write_rows(struct ft_writer *out, const struct ft_metric *metric,
                       const uint64_t *values)
{
    const struct ft_label_set *set = metric->labels;
    uint32_t columns = set->counts[1], rows = 0;
    for (uint32_t i = 0; i < set->counts[0]; i++)
        rows += count_told(values + i * columns, columns, set->is_sparse) > 0;
    ft_write_map(out, rows);
    for (uint32_t i = 0; i < set->counts[0]; i++) {
        if (count_told(values + i * columns, columns, set->is_sparse) == 0)
            continue;
        ft_write_key(out, set->values[0][i]);
        write_row(out, metric, 1, values + i * columns);
    }
}

static void write_metric(struct ft_writer *out, const struct ft_figures *figures,
                         const struct ft_metric *metric)
{
    const uint64_t *values = ft_figures_of(figures, metric);
    uint32_t slots = ft_figures_slots(figures, metric);
    write_key(out, metric);
    if (metric->type == FT_METRIC_HISTOGRAM) {
        write_histogram(out, metric, values);
    } else if (metric->labels->keys[0] && !metric->labels->values[0]) { /* told by number */
        ft_write_array(out, slots);
        for (uint32_t i = 0; i < slots; i++)
            write_value(out, metric->unit, values[i]);
    } else if (metric->labels->keys[1]) {
        write_rows(out, metric, values);
    } else if (metric->labels->keys[0]) {
        write_row(out, metric, 0, values);
    } else {
        write_value(out, metric->unit, values[0]);
    }
}

/* ---- rates ---- */

static bool has_rate(const struct ft_figures *figures, const struct ft_metric *metric)
{
    return metric->type == FT_METRIC_COUNTER && ft_figures_has(figures, metric);
}

static uint64_t sum_of(const struct ft_figures *figures, const struct ft_metric *metric)
{
    const uint64_t *values = ft_figures_of(figures, metric);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < metric->slots; i++)
        sum += values[i];
    return sum;
}

/* Writes by how much each counter has grown a second, all its labels together. */
static void write_rates(struct ft_writer *out, const struct ft_figures *now,
                        const struct ft_figures *before)
{
    uint64_t us = now->measure_us - before->measure_us;
    double scale = us > 0 ? 1e6 / (double)us : 0.0;
    uint32_t rates = 0;
    for (uint32_t i = 0; i < ft_metric_count; i++)
        rates += has_rate(now, &ft_metric_table[i]);
    ft_write_map(out, rates);
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        const struct ft_metric *metric = &ft_metric_table[i];
        if (!has_rate(now, metric))
            continue;
        double grown = (double)(sum_of(now, metric) - sum_of(before, metric));
        write_key(out, metric);
        ft_write_double(out, grown * scale / (metric->unit == FT_METRIC_SECONDS ? 1e6 : 1.0));
    }
}

/* The version is written by itself. */
static bool is_told(const struct ft_figures *figures, const struct ft_metric *metric)
{
    return ft_figures_of(figures, metric) != figures->build && ft_figures_has(figures, metric);
}

void ft_figures_write_stats(const struct ft_figures *figures, const struct ft_figures *before,
                            struct ft_writer *out)
{
    uint32_t told = 0;
    for (uint32_t i = 0; i < ft_metric_count; i++)
        told += is_told(figures, &ft_metric_table[i]);
    bool is_ready = figures->unready[0] == '\0';
    ft_write_map(out, 3 + told + (is_ready ? 0 : 1) + (before ? 1 : 0));
    ft_write_key(out, "node");
    ft_write_str(out, ft_slice_str(figures->node));
    ft_write_key(out, "version");
    ft_write_str(out, ft_slice_str(FT_VERSION));
    ft_write_key(out, "at");
    ft_write_uint(out, figures->at_ms);
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        if (is_told(figures, &ft_metric_table[i]))
            write_metric(out, figures, &ft_metric_table[i]);
    }
    if (!is_ready) {
        ft_write_key(out, "unready");
        ft_write_str(out, ft_slice_str(figures->unready));
    }
    if (before) {
        ft_write_key(out, "rates");
        write_rates(out, figures, before);
    }
}
