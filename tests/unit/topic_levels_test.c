/* Levels of topics: what is added up, against a slow twin; pages; the empty level; and lists by a part of the name. */
#include "broker/core/topic_levels.h"
#include "broker/base/alloc.h"
#include "broker/core/topic_list.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_S 1000
#define MAX   4000

struct fixture {
    struct ft_journal *journal;
    struct ft_journal_writer *writer;
    char topics[MAX][FT_TOPIC_BYTES_MAX + 1];
    uint32_t count;
};

static struct fixture *fixture_new(void)
{
    struct fixture *f = ft_alloc_zero(sizeof(*f));
    f->journal = ft_journal_new(&(struct ft_journal_options){
        .stream = "teststream", .size_bytes = 8 << 20, .age_s = 300, .chunk_bytes = 64 * 1024});
    f->writer = ft_journal_writer_new(f->journal);
    return f;
}

static void fixture_free(struct fixture *f)
{
    ft_journal_writer_free(f->writer);
    ft_journal_free(f->journal);
    free(f);
}

/* Publishes two bytes. A topic counts once in `topics`, however often it is published to. */
static void publish(struct fixture *f, const char *topic)
{
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str(topic),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("42")},
        .at_ms = 1763700000000,
        .accepted_s = NOW_S,
    };
    struct ft_publication *p = ft_journal_build(f->writer, &spec);
    cr_assert(ft_journal_append(f->writer, &p, 1, NOW_S));
    for (uint32_t i = 0; i < f->count; i++) {
        if (strcmp(f->topics[i], topic) == 0)
            return;
    }
    snprintf(f->topics[f->count++], sizeof(f->topics[0]), "%s", topic);
}

/* Lists levels as text, "b:3* c:1 …", a star where there is a topic at the level, and " >" where there are more.
 * NULL: not said. */
static const char *levels_of(struct fixture *f, const char *under, const char *after,
                             uint32_t limit)
{
    static char text[1 << 20];
    struct ft_topic_levels levels;
    struct ft_level_want want = {.limit = limit, .now_ms = NOW_S * 1000};
    if (under)
        want.under = ft_slice_str(under);
    if (after)
        want.after = ft_slice_str(after);
    ft_topic_levels_init(&levels, &want);
    while (ft_topic_levels_step(&levels, f->journal))
        ;
    char *end = text;
    *end = 0;
    for (uint32_t i = 0; i < levels.count; i++) {
        const struct ft_level_row *row = ft_topic_levels_at(&levels, i);
        end += sprintf(end, "%s%.*s:%u%s", i ? " " : "", row->name_len, row->name, row->topics,
                       row->is_topic ? "*" : "");
    }
    if (levels.has_more)
        sprintf(end, " >");
    ft_topic_levels_fini(&levels);
    return text;
}

Test(topic_levels, each_level_has_the_sum_of_what_is_at_it_and_below)
{
    struct fixture *f = fixture_new();
    publish(f, "a/b");
    publish(f, "a/b/x");
    publish(f, "a/b/x");
    publish(f, "a/b/y/z");
    publish(f, "a/c/x");
    publish(f, "ab");
    cr_assert_str_eq(levels_of(f, NULL, NULL, 100), "a:4 ab:1*");
    cr_assert_str_eq(levels_of(f, "a", NULL, 100), "b:3* c:1");
    cr_assert_str_eq(levels_of(f, "a/b", NULL, 100), "x:1* y:1");
    cr_assert_str_eq(levels_of(f, "a/b/x", NULL, 100), "");
    cr_assert_str_eq(levels_of(f, "b", NULL, 100), "");

    struct ft_topic_levels levels;
    ft_topic_levels_init(
        &levels,
        &(struct ft_level_want){.limit = 1, .under = ft_slice_str("a"), .now_ms = NOW_S * 1000});
    while (ft_topic_levels_step(&levels, f->journal))
        ;
    const struct ft_level_row *row = ft_topic_levels_at(&levels, 0);
    cr_assert_eq(row->all.publications, 4);
    cr_assert_eq(row->own.publications, 1);
    cr_assert_eq(row->all.bytes, 4 * row->own.bytes);
    cr_assert_eq(row->all.at_ms, 1763700000000);
    cr_assert_eq(row->all.rate, 4 * row->own.rate);
    ft_topic_levels_fini(&levels);
    fixture_free(f);
}

Test(topic_levels, a_level_may_be_empty)
{
    struct fixture *f = fixture_new();
    publish(f, "/a");
    publish(f, "/");
    publish(f, "x//y");
    publish(f, "x/");
    cr_assert_str_eq(levels_of(f, NULL, NULL, 100), ":2 x:2");
    cr_assert_str_eq(levels_of(f, "", NULL, 100), ":1* a:1*");
    cr_assert_str_eq(levels_of(f, "", "", 100), "a:1*");
    cr_assert_str_eq(levels_of(f, "x", NULL, 100), ":2*");
    cr_assert_str_eq(levels_of(f, "x/", NULL, 100), "y:1*");
    fixture_free(f);
}

/* In any order of coming, a page has the first levels, whole. */
Test(topic_levels, pages_have_every_level_once)
{
    struct fixture *f = fixture_new();
    char topic[64], expected[64], last[8] = "";
    for (uint32_t i = 0; i < 900; i++) {
        snprintf(topic, sizeof(topic), "t/%03u/%u", i * 7 % 300, i / 300);
        publish(f, topic);
    }
    for (uint32_t page = 0; page < 100; page++) {
        uint32_t n = 3 * page;
        snprintf(expected, sizeof(expected), "%03u:3 %03u:3 %03u:3%s", n, n + 1, n + 2,
                 page == 99 ? "" : " >");
        cr_assert_str_eq(levels_of(f, "t", page ? last : NULL, 3), expected);
        snprintf(last, sizeof(last), "%03u", n + 2);
    }
    cr_assert_str_eq(levels_of(f, "t", last, 3), "");
    fixture_free(f);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The slow twin: sorts the topics and goes through them. */
static const char *twin_of(struct fixture *f, const char *under)
{
    static char text[1 << 20], levels[MAX][FT_TOPIC_BYTES_MAX + 1];
    uint32_t n = 0, stars = 0;
    char *end = text;
    size_t skip = under ? strlen(under) + 1 : 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const char *topic = f->topics[i];
        if (under && (strlen(topic) < skip || strncmp(topic, under, skip - 1) != 0 ||
                      topic[skip - 1] != '/'))
            continue;
        snprintf(levels[n++], sizeof(levels[0]), "%.*s", (int)strcspn(topic + skip, "/"),
                 topic + skip);
    }
    qsort(levels, n, sizeof(levels[0]), by_text);
    *end = 0;
    for (uint32_t i = 0, next; i < n; i = next) {
        for (next = i; next < n && strcmp(levels[i], levels[next]) == 0; next++)
            ;
        stars = 0;
        for (uint32_t k = 0; k < f->count; k++)
            stars += strlen(f->topics[k]) == skip + strlen(levels[i]) &&
                     strcmp(f->topics[k] + skip, levels[i]) == 0 &&
                     (!under || strncmp(f->topics[k], under, skip - 1) == 0);
        end += sprintf(end, "%s%s:%u%s", i ? " " : "", levels[i], next - i, stars ? "*" : "");
    }
    return text;
}

Test(topic_levels, random_topics_are_added_up_as_by_the_slow_twin)
{
    struct fixture *f = fixture_new();
    char topic[64];
    srand(7);
    for (uint32_t i = 0; i < 1500; i++) {
        char *end = topic;
        for (int level = rand() % 4; level >= 0; level--)
            end += sprintf(end, "%.*s%s", rand() % 3, &"aab"[rand() % 2], level ? "/" : "");
        if (topic[0])
            publish(f, topic);
    }
    cr_assert_gt(f->count, 100);
    cr_assert_str_eq(levels_of(f, NULL, NULL, 1000), twin_of(f, NULL));
    const char *unders[] = {"", "a", "aa", "ab", "b", "a/a", "a/", "/", "/a", "a/b/ab", "c"};
    for (size_t i = 0; i < sizeof(unders) / sizeof(*unders); i++)
        cr_assert_str_eq(levels_of(f, unders[i], NULL, 1000), twin_of(f, unders[i]));
    fixture_free(f);
}

Test(topic_list, a_part_of_the_name_is_found_in_any_case)
{
    struct fixture *f = fixture_new();
    publish(f, "Sensors/Attic");
    publish(f, "sensors/cellar");
    publish(f, "x");
    const struct {
        const char *text;
        uint64_t total;
    } cases[] = {{"SENSORS/", 2}, {"attic", 1},           {"s/a", 1},
                 {"", 3},         {"sensors/cellar/", 0}, {"X", 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct ft_topic_list list;
        ft_topic_list_init(
            &list, &(struct ft_topic_want){.limit = 1, .contains = ft_slice_str(cases[i].text)});
        while (ft_topic_list_step(&list, f->journal))
            ;
        cr_assert_eq(list.total, cases[i].total, "%s: %lu", cases[i].text, list.total);
        ft_topic_list_fini(&list);
    }
    fixture_free(f);
}
