/* Figures as text for Prometheus: exposition format 0.0.4. Reads nothing but the figures. */
#include "broker/hub/metrics.h"
#include "protocol/number.h"

static void add_uint(struct ft_buffer *out, uint64_t value)
{
    char text[FT_UINT_TEXT_MAX];
    ft_buffer_add(out, text, ft_uint_print(value, text));
}

static void add_seconds(struct ft_buffer *out, uint64_t us)
{
    char text[FT_DOUBLE_TEXT_MAX];
    ft_buffer_add(out, text, ft_double_print((double)us / 1e6, text));
}

static void add_value(struct ft_buffer *out, enum ft_metric_unit unit, uint64_t value)
{
    ft_buffer_add_byte(out, ' ');
    if (unit == FT_METRIC_SECONDS)
        add_seconds(out, value);
    else
        add_uint(out, value);
    ft_buffer_add_byte(out, '\n');
}

/* Adds `# HELP` and `# TYPE`. */
static void add_head(struct ft_buffer *out, const struct ft_metric *metric)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    ft_buffer_add_str(out, "# HELP ");
    ft_buffer_add_str(out, metric->name);
    ft_buffer_add_byte(out, ' ');
    ft_buffer_add_str(out, metric->help);
    ft_buffer_add_str(out, "\n# TYPE ");
    ft_buffer_add_str(out, metric->name);
    ft_buffer_add_byte(out, ' ');
    ft_buffer_add_str(out, types[metric->type]);
    ft_buffer_add_byte(out, '\n');
}

static void add_label(struct ft_buffer *out, const char *key, const char *value)
{
    ft_buffer_add_str(out, key);
    ft_buffer_add_str(out, "=\"");
    ft_buffer_add_str(out, value);
    ft_buffer_add_byte(out, '"');
}

/* The values of labels are the broker's own words, so that nothing in them has to be escaped. */
static void add_labels(struct ft_buffer *out, const struct ft_label_set *set, uint32_t slot)
{
    if (!set->keys[0])
        return;
    ft_buffer_add_byte(out, '{');
    add_label(out, set->keys[0], set->values[0][slot / set->counts[1]]);
    if (set->keys[1]) {
        ft_buffer_add_byte(out, ',');
        add_label(out, set->keys[1], set->values[1][slot % set->counts[1]]);
    }
    ft_buffer_add_byte(out, '}');
}

static void add_histogram(struct ft_buffer *out, const struct ft_metric *metric,
                          const uint64_t *values)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < FT_BUCKETS; i++) {
        count += values[i];
        ft_buffer_add_str(out, metric->name);
        ft_buffer_add_str(out, "_bucket{le=\"");
        if (i < FT_BUCKETS - 1)
            add_seconds(out, ft_bucket_bounds_us[i]);
        else
            ft_buffer_add_str(out, "+Inf");
        ft_buffer_add_str(out, "\"}");
        add_value(out, FT_METRIC_NUMBER, count);
    }
    ft_buffer_add_str(out, metric->name);
    ft_buffer_add_str(out, "_sum");
    add_value(out, metric->unit, values[FT_BUCKETS]);
    ft_buffer_add_str(out, metric->name);
    ft_buffer_add_str(out, "_count");
    add_value(out, FT_METRIC_NUMBER, count);
}

/* Adds what is told by number: worker or partition. */
static void add_numbered(struct ft_buffer *out, const struct ft_metric *metric,
                         const uint64_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] == UINT64_MAX)
            continue; /* not known */
        ft_buffer_add_str(out, metric->name);
        ft_buffer_add_byte(out, '{');
        ft_buffer_add_str(out, metric->labels->keys[0]);
        ft_buffer_add_str(out, "=\"");
        add_uint(out, i);
        ft_buffer_add_str(out, "\"}");
        add_value(out, metric->unit, values[i]);
    }
}

static void add_series(struct ft_buffer *out, const struct ft_metric *metric,
                       const uint64_t *values)
{
    for (uint32_t slot = 0; slot < metric->slots; slot++) {
        if (metric->labels->is_sparse && values[slot] == 0)
            continue;
        ft_buffer_add_str(out, metric->name);
        add_labels(out, metric->labels, slot);
        add_value(out, metric->unit, values[slot]);
    }
}

static void add_metric(struct ft_buffer *out, const struct ft_figures *figures,
                       const struct ft_metric *metric)
{
    const uint64_t *values = ft_figures_of(figures, metric);
    bool is_numbered = metric->labels->keys[0] && !metric->labels->values[0];
    if (values[0] == UINT64_MAX && !is_numbered)
        return; /* not known */
    add_head(out, metric);
    if (metric->type == FT_METRIC_HISTOGRAM)
        add_histogram(out, metric, values);
    else if (is_numbered)
        add_numbered(out, metric, values, ft_figures_slots(figures, metric));
    else
        add_series(out, metric, values);
}

void ft_figures_write_text(const struct ft_figures *figures, struct ft_buffer *out)
{
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        if (ft_figures_has(figures, &ft_metric_table[i]))
            add_metric(out, figures, &ft_metric_table[i]);
    }
}
