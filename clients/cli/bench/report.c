/*
 * Prints what the rows found: one table for people, or one JSON array for programs. Judges nothing
 * but whether a figure reaches what it is held to. Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"

#include "broker/base/alloc.h"
#include "protocol/writer.h"

#include <math.h>
#include <stdio.h>

/* Room for the whole report as JSON: 64 figures of 12 short keys each. */
#define REPORT_MAX 65536

void ft_bench_add(struct ft_bench *bench, const struct ft_figure *figure)
{
    FT_ASSERT(bench->figure_count < FT_FIGURES_MAX);
    bench->figures[bench->figure_count++] = *figure;
}

const char *ft_bench_encoding(enum ft_encoding encoding)
{
    return encoding == FT_JSON ? "JSON" : "MessagePack";
}

bool ft_figure_is_met(const struct ft_figure *figure)
{
    switch (figure->spec.kind) {
    case FT_TARGET_RATIO_AT_MOST:
        return figure->ratio <= figure->spec.target;
    case FT_TARGET_RATIO_AT_LEAST:
        return figure->ratio >= figure->spec.target;
    case FT_TARGET_AT_MOST:
        return figure->broker <= figure->spec.target;
    case FT_TARGET_AT_LEAST:
        return figure->broker >= figure->spec.target;
    default:
        return true;
    }
}

/* Writes a number with as many digits as its size deserves. */
static const char *show(double value, char out[32])
{
    if (value >= 1e6)
        snprintf(out, 32, "%.2f M", value / 1e6);
    else if (value >= 1e4)
        snprintf(out, 32, "%.0f k", value / 1e3);
    else
        snprintf(out, 32, "%.*f", value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3, value);
    return out;
}

static const char *show_target(const struct ft_figure_spec *spec, char out[32])
{
    char number[32];
    switch (spec->kind) {
    case FT_TARGET_RATIO_AT_MOST:
        snprintf(out, 32, "<= %.2f x", spec->target);
        return out;
    case FT_TARGET_RATIO_AT_LEAST:
        snprintf(out, 32, ">= %.2f x", spec->target);
        return out;
    case FT_TARGET_AT_MOST:
        snprintf(out, 32, "<= %s", show(spec->target, number));
        return out;
    case FT_TARGET_AT_LEAST:
        snprintf(out, 32, ">= %s", show(spec->target, number));
        return out;
    default:
        return "";
    }
}

void ft_report_table(const struct ft_bench *bench)
{
    static const char format[] = "%-50s %-11s %-21s %9s %9s %-10s %6s %10s %-4s %9s %5s\n";
    printf(format, "", "", "", "broker", "beside", "", "ratio", "target", "met", "a second",
           "busy");
    const char *row = "";
    for (size_t i = 0; i < bench->figure_count; i++) {
        const struct ft_figure *figure = &bench->figures[i];
        char broker[32], beside[32] = "", ratio[32] = "", target[32], per_s[32] = "", busy[32] = "";
        if (figure->beside_name != NULL)
            show(figure->beside, beside);
        if (figure->ratio > 0 && isfinite(figure->ratio))
            snprintf(ratio, sizeof(ratio), "%.2f", figure->ratio);
        if (figure->per_s > 0) {
            show(figure->per_s, per_s);
            snprintf(busy, sizeof(busy), "%.0f %%", figure->busy * 100);
        }
        const char *met = ft_figure_is_met(figure) ? "yes" : "NO";
        printf(format, strcmp(row, figure->row) == 0 ? "" : figure->row, figure->encoding,
               figure->spec.name, show(figure->broker, broker), beside,
               figure->beside_name != NULL ? figure->beside_name : "", ratio,
               show_target(&figure->spec, target), figure->spec.kind == FT_TARGET_NONE ? "" : met,
               per_s, busy);
        row = figure->row;
    }
}

static const char *const target_kinds[] = {[FT_TARGET_NONE] = "none",
                                           [FT_TARGET_RATIO_AT_MOST] = "ratio at most",
                                           [FT_TARGET_RATIO_AT_LEAST] = "ratio at least",
                                           [FT_TARGET_AT_MOST] = "at most",
                                           [FT_TARGET_AT_LEAST] = "at least"};

static void write_text(struct ft_writer *writer, const char *key, const char *value)
{
    ft_write_key(writer, key);
    ft_write_str(writer, ft_slice_str(value));
}

static void write_number(struct ft_writer *writer, const char *key, bool is_known, double value)
{
    ft_write_key(writer, key);
    if (is_known && isfinite(value)) /* beside nothing at all a ratio is none */
        ft_write_double(writer, value);
    else
        ft_write_null(writer);
}

void ft_report_json(const struct ft_bench *bench)
{
    struct ft_buffer out;
    struct ft_writer writer;
    ft_buffer_init(&out, REPORT_MAX);
    ft_writer_init(&writer, FT_JSON, &out);
    ft_write_array(&writer, (uint32_t)bench->figure_count);
    for (size_t i = 0; i < bench->figure_count; i++) {
        const struct ft_figure *figure = &bench->figures[i];
        bool has_target = figure->spec.kind != FT_TARGET_NONE;
        bool has_beside = figure->beside_name != NULL;
        ft_write_map(&writer, 12);
        write_text(&writer, "row", figure->row);
        write_text(&writer, "encoding", figure->encoding);
        write_text(&writer, "figure", figure->spec.name);
        write_number(&writer, "broker", true, figure->broker);
        write_text(&writer, "beside", has_beside ? figure->beside_name : "");
        write_number(&writer, "baseline", has_beside, figure->beside);
        write_number(&writer, "ratio", figure->ratio > 0, figure->ratio);
        write_text(&writer, "target_kind", target_kinds[figure->spec.kind]);
        write_number(&writer, "target", has_target, figure->spec.target);
        ft_write_key(&writer, "met");
        ft_write_bool(&writer, ft_figure_is_met(figure));
        write_number(&writer, "per_s", figure->per_s > 0, figure->per_s);
        write_number(&writer, "busy", figure->per_s > 0, figure->busy);
    }
    FT_ASSERT(!out.failed);
    fwrite(out.ptr, 1, out.len, stdout);
    putchar('\n');
    ft_buffer_fini(&out);
}
