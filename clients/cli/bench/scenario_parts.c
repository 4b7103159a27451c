/*
 * Rows of single parts, without a broker: the filter index and the envelope reader have programs of
 * their own (tests/bench/), which print lines of `key=value`. This runs them, pinned to the server's
 * core, and takes their figures into the table. A program that was not built is left out, and said so.
 * Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/child.h"

#include "broker/base/alloc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PART_MS    90000 /* a million filters are built and matched in 3 s here */
#define OUTPUT_MAX 4096

/* A key of a part's output, and the figure that it becomes. */
struct part_figure {
    const char *key;
    const char *row; /* %s is the line's `shape` */
    const char *encoding;
    struct ft_figure_spec spec;
};

static const struct part_figure trie_figures[] = {
    {"trie_match_ns", "match among 1 M filters, %s", "", {"ns", FT_TARGET_AT_MOST, 500}},
    {"trie_bytes_per_filter",
     "match among 1 M filters, %s",
     "",
     {"bytes a filter", FT_TARGET_AT_MOST, 200}},
};

static const struct part_figure codec_figures[] = {
    {"parse_json_ns", "read an envelope of 139 B", "JSON", {"ns", FT_TARGET_NONE, 0}},
    {"jansson_ns", "the same with jansson", "JSON", {"ns", FT_TARGET_NONE, 0}},
    {"parse_msgpack_ns", "read the same envelope", "MessagePack", {"ns", FT_TARGET_NONE, 0}},
    {"msgpack_c_ns", "the same with msgpack-c", "MessagePack", {"ns", FT_TARGET_NONE, 0}},
};

/* Returns the text behind `key=` in the line, or NULL. */
static const char *find_value(const char *line, const char *key)
{
    size_t n = strlen(key);
    for (const char *at = line; (at = strstr(at, key)) != NULL; at += n)
        if ((at == line || at[-1] == ' ') && at[n] == '=')
            return at + n + 1;
    return NULL;
}

/* Makes the name of a row, which lives as long as the table. */
static const char *name_row(const char *format, const char *line)
{
    static char names[FT_FIGURES_MAX][64];
    static size_t count;
    const char *shape = find_value(line, "shape");
    int shape_len = shape == NULL ? 0 : (int)strcspn(shape, " ");
    const char *mark = strstr(format, "%s");
    if (mark == NULL)
        return format;
    FT_ASSERT(count < FT_FIGURES_MAX);
    char *name = names[count++];
    snprintf(name, sizeof(names[0]), "%.*s%.*s", (int)(mark - format), format, shape_len,
             shape_len > 0 ? shape : "");
    return name;
}

static void take_line(struct ft_bench *bench, const struct part_figure *figures, size_t count,
                      const char *line)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = find_value(line, figures[i].key);
        if (value == NULL)
            continue;
        ft_bench_add(bench, &(struct ft_figure){.row = name_row(figures[i].row, line),
                                                .encoding = figures[i].encoding,
                                                .spec = figures[i].spec,
                                                .broker = strtod(value, NULL)});
    }
}

static enum ft_err run_part(struct ft_bench *bench, const char *name,
                            const struct part_figure *figures, size_t count)
{
    char path[PATH_MAX], output[OUTPUT_MAX];
    snprintf(path, sizeof(path), "%s/bench/%s", bench->programs, name);
    if (access(path, X_OK) != 0) {
        fprintf(stderr, "fantail bench: %s is left out: there is no %s; `make bench` builds it\n",
                name, path);
        return FT_OK;
    }
    enum ft_err err =
        ft_child_run(&(struct ft_child_options){.arguments = (const char *const[]){path, NULL},
                                                .core = bench->server_core,
                                                .limit_ms = PART_MS},
                     output, sizeof(output), &bench->problem);
    if (err != FT_OK)
        return err;
    char *rest = output;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        take_line(bench, figures, count, line);
    return FT_OK;
}

enum ft_err ft_row_trie(struct ft_bench *bench)
{
    return run_part(bench, "trie", trie_figures, sizeof(trie_figures) / sizeof(trie_figures[0]));
}

enum ft_err ft_row_codec(struct ft_bench *bench)
{
    return run_part(bench, "codec", codec_figures,
                    sizeof(codec_figures) / sizeof(codec_figures[0]));
}
