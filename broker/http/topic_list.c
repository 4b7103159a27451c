/*
 * GET /v1/topics: what this node's journal knows of topics, as a list or level by level. In a cluster the node first
 * takes part in what is asked for, as for a subscriber. The walk goes on from turn to turn as a letter of the worker
 * to itself, so that with a million topics everybody else is served in between. The worker's thread.
 */
#include "broker/core/topic_levels.h"
#include "broker/core/topic_list.h"

#include "broker/base/alloc.h"
#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/http/query.h"
#include "broker/hub/worker.h"
#include "protocol/quote.h"

#include <stddef.h>
#include <stdlib.h>

#define LIMIT_DEFAULT 100

/* Portions that are looked at in one turn: about half a millisecond. */
#define STEPS_A_TURN 16

/* A list, or one of levels, in the making. */
struct walk {
    struct ft_letter letter; /* the first: a pointer to one is a pointer to the other */
    struct ft_join_wait join;
    struct ft_exchange *x;          /* NULL: it is gone */
    struct ft_partition_set wanted; /* in a cluster, until it is answered */
    enum ft_encoding encoding;
    bool is_waiting; /* for partitions to be joined */
    bool is_by_level;
    union {
        struct ft_topic_list list;
        struct ft_topic_levels levels;
    };
};

_Static_assert(offsetof(struct walk, letter) == 0, "a letter is its walk");

/* ---- the query ---- */

struct wishes {
    struct ft_query query;
    struct ft_topic_want want;
    struct ft_slice under; /* absent: not said */
    uint64_t limit;        /* 0: not said */
    bool has_sort, has_levels, is_by_level;
};

static enum ft_err take_filter(struct wishes *wishes, struct ft_slice value,
                               struct ft_problem *problem)
{
    enum ft_err err = ft_query_once("filter", wishes->want.filter.ptr, problem);
    ft_query_keep_wildcards(&wishes->query, value);
    wishes->want.filter = value;
    return err == FT_OK ? ft_filter_check(value, problem) : err;
}

static enum ft_err take_sort(struct wishes *wishes, struct ft_slice value,
                             struct ft_problem *problem)
{
    char quoted[FT_QUOTE_MAX];
    enum ft_err err = ft_query_once("sort", wishes->has_sort, problem);
    if (err != FT_OK)
        return err;
    wishes->has_sort = true;
    if (ft_slice_equal(value, ft_slice_str("topic")))
        wishes->want.order = FT_TOPICS_BY_NAME;
    else if (!ft_slice_equal(value, ft_slice_str("rate")))
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "sort must be rate or topic, not %s",
                              ft_quote(value, quoted));
    return FT_OK;
}

static enum ft_err take_limit(struct wishes *wishes, struct ft_slice value,
                              struct ft_problem *problem)
{
    enum ft_err err = ft_query_once("limit", wishes->limit, problem);
    return err == FT_OK ? ft_query_limit(value, FT_TOPIC_LIST_MAX, &wishes->limit, problem) : err;
}

/* A text that names have: as long as one at most, and perhaps nothing. */
static enum ft_err take_text(const char *what, struct ft_slice value, struct ft_slice *text,
                             struct ft_problem *problem)
{
    enum ft_err err = ft_query_once(what, text->ptr, problem);
    *text = value;
    if (err != FT_OK || value.len <= FT_TOPIC_BYTES_MAX)
        return err;
    return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "%s has %zu bytes, but %d are the most",
                          what, value.len, FT_TOPIC_BYTES_MAX);
}

static enum ft_err take_levels(struct wishes *wishes, struct ft_slice value,
                               struct ft_problem *problem)
{
    enum ft_err err = ft_query_once("levels", wishes->has_levels, problem);
    wishes->has_levels = true;
    return err == FT_OK ? ft_query_bool("levels", value, &wishes->is_by_level, problem) : err;
}

static enum ft_err take(void *context, struct ft_slice name, struct ft_slice value,
                        struct ft_problem *problem)
{
    struct wishes *wishes = context;
    if (ft_slice_equal(name, ft_slice_str("filter")))
        return take_filter(wishes, value, problem);
    if (ft_slice_equal(name, ft_slice_str("sort")))
        return take_sort(wishes, value, problem);
    if (ft_slice_equal(name, ft_slice_str("limit")))
        return take_limit(wishes, value, problem);
    if (ft_slice_equal(name, ft_slice_str("levels")))
        return take_levels(wishes, value, problem);
    if (ft_slice_equal(name, ft_slice_str("contains")))
        return take_text("contains", value, &wishes->want.contains, problem);
    if (ft_slice_equal(name, ft_slice_str("under")))
        return take_text("under", value, &wishes->under, problem);
    if (ft_slice_equal(name, ft_slice_str("after")))
        return take_text("after", value, &wishes->want.after, problem);
    return FT_OK;
}

/* Says what does not go together. */
static enum ft_err check(const struct wishes *wishes, struct ft_problem *problem)
{
    const struct ft_topic_want *want = &wishes->want;
    if (wishes->is_by_level && (want->filter.ptr || want->contains.ptr || wishes->has_sort))
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                              "levels goes with under, after and limit alone");
    if (wishes->is_by_level)
        return FT_OK;
    if (wishes->under.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "under goes with levels=1 alone");
    if (want->after.ptr && want->order != FT_TOPICS_BY_NAME)
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "after goes with sort=topic alone");
    return want->after.ptr ? ft_topic_check(want->after, problem) : FT_OK;
}

static enum ft_err read_query(struct wishes *wishes, const struct ft_http_head *head,
                              struct ft_problem *problem)
{
    enum ft_err err = ft_query_walk(&wishes->query, head, take, wishes, problem);
    if (err != FT_OK)
        return err;
    wishes->want.limit = wishes->limit ? (uint32_t)wishes->limit : LIMIT_DEFAULT;
    return check(wishes, problem);
}

/* ---- the answer ---- */

static void write_count(struct ft_writer *w, const char *key, uint64_t n)
{
    ft_write_key(w, key);
    ft_write_uint(w, n);
}

static void write_figures(struct ft_writer *w, const struct ft_level_figures *figures)
{
    ft_write_key(w, "rate");
    ft_write_double(w, (double)figures->rate / 1000);
    write_count(w, "publications", figures->publications);
    write_count(w, "bytes", figures->bytes);
    write_count(w, "at", figures->at_ms);
}

static void write_row(struct ft_writer *w, const struct ft_topic_row *row)
{
    struct ft_level_figures figures = {row->rate, row->publications, row->bytes, row->at_ms};
    ft_write_map(w, 6);
    ft_write_key(w, "topic");
    ft_write_str(w, ft_topic_row_name(row));
    write_figures(w, &figures);
    ft_write_key(w, "retained");
    ft_write_bool(w, row->is_retained);
}

static void write_level(struct ft_writer *w, const struct ft_level_row *row)
{
    ft_write_map(w, row->is_topic ? 7 : 6);
    ft_write_key(w, "level");
    ft_write_str(w, ft_level_row_name(row));
    write_count(w, "topics", row->topics);
    write_figures(w, &row->all);
    if (!row->is_topic)
        return;
    ft_write_key(w, "topic");
    ft_write_map(w, 5);
    write_figures(w, &row->own);
    ft_write_key(w, "retained");
    ft_write_bool(w, row->is_retained);
}

static void write_list(struct ft_writer *w, struct ft_topic_list *list)
{
    ft_topic_list_settle(list);
    ft_write_map(w, 3);
    ft_write_key(w, "topics");
    ft_write_array(w, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        write_row(w, &list->rows[i]);
    write_count(w, "total", list->total);
    ft_write_key(w, "more");
    ft_write_bool(w, list->further > list->count);
}

static void write_levels(struct ft_writer *w, const struct ft_topic_levels *levels)
{
    ft_write_map(w, 2);
    ft_write_key(w, "levels");
    ft_write_array(w, levels->count);
    for (uint32_t i = 0; i < levels->count; i++)
        write_level(w, ft_topic_levels_at(levels, i));
    ft_write_key(w, "more");
    ft_write_bool(w, levels->has_more);
}

/* The exchange and the walk part. What the node has joined it keeps for a while, for the next one who asks. */
static struct ft_exchange *part(struct walk *walk)
{
    struct ft_exchange *x = walk->x;
    struct ft_worker *worker = x->asker.worker;
    if (worker->wants)
        ft_worker_unwant(worker, &walk->wanted);
    x->state = NULL;
    walk->x = NULL;
    return x;
}

static void answer(struct walk *walk)
{
    struct ft_exchange *x = part(walk);
    struct ft_writer w;
    ft_answer_begin(x, walk->encoding, &w);
    if (walk->is_by_level)
        write_levels(&w, &walk->levels);
    else
        write_list(&w, &walk->list);
    ft_answer_end(x);
}

/* ---- the walk ---- */

static void drop(struct ft_letter *letter)
{
    struct walk *walk = (struct walk *)letter;
    if (walk->is_by_level)
        ft_topic_levels_fini(&walk->levels);
    else
        ft_topic_list_fini(&walk->list);
    free(walk);
}

static bool step(struct walk *walk, struct ft_journal *journal)
{
    return walk->is_by_level ? ft_topic_levels_step(&walk->levels, journal)
                             : ft_topic_list_step(&walk->list, journal);
}

static void go_on(struct ft_letter *letter, struct ft_worker *worker)
{
    struct walk *walk = (struct walk *)letter;
    bool has_more = walk->x != NULL;
    for (int i = 0; i < STEPS_A_TURN && has_more; i++)
        has_more = step(walk, worker->hub->journal);
    if (has_more) {
        ft_letter_post(worker->hub, worker->index, &walk->letter);
        return;
    }
    if (walk->x)
        answer(walk);
    drop(letter);
}

static void abandon(struct ft_exchange *x)
{
    struct walk *walk = x->state;
    if (!walk)
        return;
    part(walk);
    if (walk->is_waiting) {
        ft_join_wait_end(&walk->join);
        drop(&walk->letter);
    }
}

static void set_out(struct walk *walk)
{
    const struct ft_worker *worker = walk->x->asker.worker;
    walk->is_waiting = false;
    ft_letter_post(worker->hub, worker->index, &walk->letter);
}

static void on_joined(struct ft_join_wait *join)
{
    set_out((struct walk *)((char *)join - offsetof(struct walk, join)));
}

/* Has the node take part in the partitions of the filter; says whether that takes a while. */
static bool has_to_wait(struct walk *walk, struct ft_slice filter)
{
    struct ft_worker *worker = walk->x->asker.worker;
    struct ft_partition_set missing;
    if (!worker->wants)
        return false;
    ft_partitions_touched(&worker->hub->interest->partitions,
                          filter.ptr ? filter : ft_slice_str("#"), &walk->wanted);
    ft_worker_want(worker, &walk->wanted);
    if (!ft_join_is_missing(worker, &walk->wanted, false, &missing))
        return false;
    walk->join.ready = on_joined;
    ft_join_wait_begin(&walk->join, worker, &missing);
    return true;
}

static void begin(struct walk *walk, const struct wishes *wishes)
{
    const struct ft_topic_want *want = &wishes->want;
    walk->is_by_level = wishes->is_by_level;
    if (!walk->is_by_level) {
        ft_topic_list_init(&walk->list, want);
        return;
    }
    ft_topic_levels_init(&walk->levels, &(struct ft_level_want){.limit = want->limit,
                                                                .under = wishes->under,
                                                                .after = want->after,
                                                                .now_ms = want->now_ms});
}

void ft_answer_topic_list(struct ft_exchange *x, const struct ft_http_request *request)
{
    struct wishes wishes = {.want = {.order = FT_TOPICS_BY_RATE}};
    struct ft_problem problem;
    if (read_query(&wishes, request->head, &problem) != FT_OK) {
        ft_exchange_problem(x, request, &problem);
        return;
    }
    wishes.want.now_ms = x->asker.worker->mono_ms;
    struct walk *walk = ft_alloc_zero(sizeof(*walk));
    walk->letter = (struct ft_letter){.open = go_on, .drop = drop};
    walk->x = x;
    walk->encoding = ft_negotiate_encoding(request->head, FT_JSON);
    begin(walk, &wishes);
    x->state = walk;
    x->free_state = abandon;
    walk->is_waiting = has_to_wait(walk, wishes.want.filter);
    if (!walk->is_waiting)
        set_out(walk);
}
