/* Lists of topics, held against a twin that knows all of them and sorts; and how often something is counted. */
#include "broker/core/topic_list.h"

#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define SEED 20261122

/* ---- counting ---- */

static uint64_t rate_at(const struct ft_topic_count *count, double s)
{
    return ft_topic_count_rate(count, (uint64_t)(s * 1000));
}

Test(topic_count, a_steady_rate_is_told_as_it_is_once_a_window_is_full)
{
    struct ft_topic_count count = {0};
    for (uint32_t s = 1000; s < 1100; s++) {
        for (int i = 0; i < 10; i++)
            ft_topic_count_add(&count, 7, s);
        if (s >
            1000 +
                FT_COUNT_WINDOW_S) /* all of this second came at its begin, or was still to come */
            cr_assert(rate_at(&count, s + 0.999) >= 10000 && rate_at(&count, s + 0.999) < 10100);
    }
    cr_assert_eq(count.publications, 1000);
    cr_assert_eq(count.bytes, 7000);
}

Test(topic_count, a_burst_fades_within_two_windows)
{
    struct ft_topic_count count = {0};
    for (int i = 0; i < 400; i++)
        ft_topic_count_add(&count, 1, 4000);
    uint64_t before = UINT64_MAX;
    for (double s = 4003.9; s < 4000 + 2 * FT_COUNT_WINDOW_S; s += 0.1) {
        cr_assert_leq(rate_at(&count, s), before);
        before = rate_at(&count, s);
    }
    cr_assert_eq(rate_at(&count, 4003.9), 100000);
    cr_assert_eq(rate_at(&count, 4006), 50000, "half of it is as old as a window");
    cr_assert_eq(rate_at(&count, 4008), 0);
    cr_assert_eq(rate_at(&count, 999999), 0);
    ft_topic_count_add(&count, 1, 5000);
    cr_assert_eq(rate_at(&count, 5000.5), 250, "what was long ago does not count");
    cr_assert_eq(count.publications, 401);
}

Test(topic_count, another_threads_clock_may_be_a_moment_behind)
{
    struct ft_topic_count count = {0};
    ft_topic_count_add(&count, 1, 4000);
    ft_topic_count_add(&count, 1, 3999); /* of the window before */
    ft_topic_count_add(&count, 1, 4000);
    cr_assert_eq(rate_at(&count, 4001), 750);
}

/* ---- lists ---- */

enum { TOPICS = 3000, NAMES = 4000 };

static struct ft_journal *journal;
static struct ft_journal_writer *writer;
static uint32_t times[NAMES]; /* what the twin knows: how often */

static struct ft_slice name_of(uint32_t i, char text[64])
{
    static const char *const roots[] = {"a", "b/x", "b/y", "", "ü"};
    return ft_slice(text, (size_t)snprintf(text, 64, "%s/%u", roots[i % 5], i));
}

static void publish(uint32_t i, uint32_t now_s)
{
    char text[64];
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = name_of(i, text),
        .data = {FT_DATA_JSON, ft_slice_str("12345")},
        .at_ms = 1763700000000 + i * 500,
        .accepted_s = now_s,
        .is_retained = i % 7 == 0,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    cr_assert(ft_journal_append(writer, &p, 1, now_s));
    times[i]++;
}

static void begin(void)
{
    uint64_t state = SEED;
    memset(times, 0, sizeof(times));
    journal = ft_journal_new(&(struct ft_journal_options){
        .stream = "teststream", .size_bytes = (size_t)16 << 20, .age_s = 1000000});
    writer = ft_journal_writer_new(journal);
    for (uint32_t n = 0; n < 4 * TOPICS; n++)
        publish((uint32_t)ft_input_random(&state, ft_input_random(&state, 3) ? 100 : TOPICS), 4000);
}

static void end(void)
{
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

static int by_name(const void *a, const void *b)
{
    char x[64], y[64];
    struct ft_slice left = name_of(*(const uint32_t *)a, x),
                    right = name_of(*(const uint32_t *)b, y);
    int order = memcmp(left.ptr, right.ptr, left.len < right.len ? left.len : right.len);
    return order ? order : (left.len > right.len) - (left.len < right.len);
}

static int by_times(const void *a, const void *b)
{
    uint32_t x = times[*(const uint32_t *)a], y = times[*(const uint32_t *)b];
    return x != y ? (x < y) - (x > y) : by_name(a, b);
}

/* Puts what is expected into `found`; returns how many the filter matches, and sets how many are behind `after`. */
static uint32_t expect(const struct ft_topic_want *want, uint32_t found[NAMES], uint32_t *further)
{
    uint32_t matched = 0, n = 0;
    for (uint32_t i = 0; i < NAMES; i++) {
        char text[64], after[64];
        struct ft_slice name = name_of(i, text);
        if (times[i] == 0 || (want->filter.ptr && !ft_filter_matches(want->filter, name)))
            continue;
        matched++;
        snprintf(after, sizeof(after), "%.*s", (int)want->after.len, (const char *)want->after.ptr);
        if (want->after.ptr && strcmp(text, after) <= 0)
            continue;
        found[n++] = i;
    }
    qsort(found, n, sizeof(*found), want->order == FT_TOPICS_BY_NAME ? by_name : by_times);
    *further = n;
    return matched;
}

static void check(const struct ft_topic_want *want)
{
    static uint32_t expected[NAMES];
    uint32_t further, matched = expect(want, expected, &further), steps = 1;
    struct ft_topic_list list;
    ft_topic_list_init(&list, want);
    while (ft_topic_list_step(&list, journal))
        steps++;
    ft_topic_list_settle(&list);
    cr_assert_geq(steps, 2000 / FT_TOPIC_LIST_STEP);
    cr_assert_eq(list.total, matched);
    cr_assert_eq(list.further, further);
    cr_assert_eq(list.count, further < want->limit ? further : want->limit);
    for (uint32_t i = 0; i < list.count; i++) {
        const struct ft_topic_row *row = &list.rows[i];
        char text[64];
        cr_assert(ft_slice_equal(ft_topic_row_name(row), name_of(expected[i], text)), "%u", i);
        cr_assert_eq(row->publications, times[expected[i]]);
        cr_assert_eq(row->bytes, 5 * times[expected[i]]);
        cr_assert_eq(row->rate, times[expected[i]] * 1000 / FT_COUNT_WINDOW_S);
        cr_assert_eq(row->at_ms, 1763700000000 + expected[i] / 2 * 1000);
        cr_assert_eq(row->is_retained, expected[i] % 7 == 0);
    }
    ft_topic_list_fini(&list);
}

Test(topic_list, has_what_sorting_all_of_them_gives)
{
    static const char *const filters[] = {NULL, "#", "b/#", "+/+", "b/+/+", "a/17", "x", "ü/+"};
    static const uint32_t limits[] = {1, 2, 63, 64, 65, 999, 1000};
    begin();
    for (size_t f = 0; f < sizeof(filters) / sizeof(filters[0]); f++) {
        for (size_t k = 0; k < sizeof(limits) / sizeof(limits[0]); k++) {
            struct ft_topic_want want = {.limit = limits[k], .now_ms = 4000999};
            if (filters[f])
                want.filter = ft_slice_str(filters[f]);
            check(&want);
            want.order = FT_TOPICS_BY_NAME;
            check(&want);
            want.after = ft_slice_str("b/x/3");
            check(&want);
            want.after = ft_slice_str("\xff");
            check(&want);
        }
    }
    end();
}

/* Whoever was there all the time is met, once, whatever others do between the portions. */
Test(topic_list, is_whole_of_those_that_stay_while_others_come_and_go)
{
    struct ft_topic_list list;
    begin();
    ft_topic_list_init(&list, &(struct ft_topic_want){.order = FT_TOPICS_BY_NAME,
                                                      .limit = FT_TOPIC_LIST_MAX,
                                                      .filter = ft_slice_str("a/+"),
                                                      .now_ms = 4000999});
    uint32_t there = 0, found = 0;
    for (uint32_t i = 0; i < TOPICS; i += 5)
        there += times[i] > 0;
    for (uint32_t i = TOPICS; ft_topic_list_step(&list, journal) && i < NAMES; i++)
        publish(i, 4000);
    ft_topic_list_settle(&list);
    for (uint32_t i = 0; i < list.count; i++) {
        struct ft_slice name = ft_topic_row_name(&list.rows[i]);
        char text[64];
        snprintf(text, sizeof(text), "%.*s", (int)name.len, (const char *)name.ptr);
        found += atoi(text + 2) < TOPICS;
        cr_assert(i == 0 || !ft_slice_equal(name, ft_topic_row_name(&list.rows[i - 1])));
    }
    cr_assert_eq(found, there);
    ft_topic_list_fini(&list);
    end();
}

Test(topic_list, of_an_empty_journal_is_empty)
{
    struct ft_topic_list list;
    journal = ft_journal_new(
        &(struct ft_journal_options){.stream = "teststream", .size_bytes = 65536, .age_s = 10});
    ft_topic_list_init(&list, &(struct ft_topic_want){.limit = 10});
    cr_assert_not(ft_topic_list_step(&list, journal));
    ft_topic_list_settle(&list);
    cr_assert_eq(list.count, 0);
    cr_assert_eq(list.total, 0);
    ft_topic_list_fini(&list);
    ft_journal_free(journal);
}
