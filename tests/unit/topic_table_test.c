/* The topics that a journal remembers: bounds, of which the oldest is what goes, ids that are used
 * again, time. What it keeps for looking back is in rewind_test.c, against a twin. */
#include "broker/base/alloc.h"
#include "broker/core/journal.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct ft_journal *journal;
static struct ft_journal_writer *writer;
static const struct ft_topic_table *table; /* one thread: looked at without the lock */

static void begin(size_t size_bytes, const struct ft_topic_limits *limits)
{
    journal = ft_journal_new(&(struct ft_journal_options){.stream = "teststream",
                                                          .size_bytes = size_bytes,
                                                          .chunk_bytes = 4096,
                                                          .age_s = 1000000,
                                                          .limits = *limits});
    writer = ft_journal_writer_new(journal);
    table = ft_journal_lock_topics(journal);
    ft_journal_unlock(journal);
}

static void end(void)
{
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

static struct ft_topic_stats stats(void)
{
    struct ft_topic_stats stats;
    ft_topic_table_stats(table, &stats);
    return stats;
}

static const struct ft_topic *find(uint32_t topic)
{
    char name[32];
    int n = snprintf(name, sizeof(name), "t/%u", topic);
    return ft_topic_table_find(table, ft_slice(name, (size_t)n));
}

struct how {
    uint32_t history, expires_ds, now_s;
    bool retain, clear;
};

static const struct ft_publication *publish(uint32_t topic, const struct how *how)
{
    char name[32];
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice(name, (size_t)snprintf(name, sizeof(name), "t/%u", topic)),
        .data = {FT_DATA_JSON, ft_slice_str("\"twenty-six bytes of data\"")},
        .accepted_s = how->now_s,
        .expires_ds = how->expires_ds,
        .history = how->history,
        .is_retained = how->retain,
        .clears_retained = how->clear,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    cr_assert(ft_journal_append(writer, &p, 1, how->now_s));
    return p;
}

static const struct how plain = {0}, retained = {.retain = true};

/* Publishes to other topics until what is there now has left the journal. */
static void push_out(void)
{
    uint64_t head = ft_journal_head(journal);
    for (uint32_t i = 0; ft_journal_tail(journal) < head; i++)
        publish(1000000 + i, &plain);
}

Test(topic_table, links_the_publications_of_a_topic)
{
    begin((size_t)1 << 20, &(struct ft_topic_limits){100, 100, 100000});
    cr_assert_null(find(1));
    cr_assert_eq(publish(1, &plain)->previous, 0);
    cr_assert_eq(publish(2, &plain)->previous, 0);
    cr_assert_eq(publish(1, &plain)->previous, 1);
    cr_assert_eq(publish(1, &plain)->previous, 3);
    cr_assert_eq(publish(2, &plain)->previous, 2);
    cr_assert_eq(find(1)->last, 4);
    cr_assert_eq(find(1)->chained, 3);
    cr_assert_eq(find(2)->last, 5);
    cr_assert_eq(stats().topics, 2);
    end();
}

/* The bound, held against a list of when each topic was last published to. */
Test(topic_table, of_too_many_topics_the_one_published_to_longest_ago_is_forgotten)
{
    enum { TOPICS = 60, LIMIT = 25, PUBLICATIONS = 5000 };
    static uint64_t last[TOPICS];
    uint64_t state = 20261121, dropped = 0;
    begin((size_t)8 << 20, &(struct ft_topic_limits){LIMIT, 100, 100000});
    for (uint64_t o = 1; o <= PUBLICATIONS; o++) {
        /* Some are busy, most are not. */
        uint32_t topic =
            (uint32_t)ft_input_random(&state, ft_input_random(&state, 2) ? 10 : TOPICS);
        bool was_known = find(topic) != NULL;
        uint64_t previous = publish(topic, &plain)->previous;
        cr_assert_eq(previous, was_known ? last[topic] : 0);
        last[topic] = o;
        for (uint32_t t = 0; t < TOPICS; t++) {
            uint32_t newer = 0;
            for (uint32_t other = 0; other < TOPICS; other++)
                newer += last[other] > last[t];
            cr_assert_eq(find(t) != NULL, last[t] > 0 && newer < LIMIT, "topic %u after %lu", t,
                         (unsigned long)o);
        }
        dropped = stats().topics_dropped;
        cr_assert_leq(stats().topics, LIMIT);
    }
    cr_assert_gt(dropped, PUBLICATIONS / 10);
    end();
}

Test(topic_table, a_topic_that_comes_back_has_nothing_to_do_with_what_was_forgotten)
{
    enum { TOPICS = 12, LIMIT = 5, PUBLICATIONS = 3000 };
    static uint32_t topic_at[PUBLICATIONS + 1];
    uint64_t since[TOPICS] = {0}, state = 20261121, forgotten = 0;
    begin(16384, &(struct ft_topic_limits){LIMIT, 100, 100000});
    for (uint64_t o = 1; o <= PUBLICATIONS; o++) {
        topic_at[o] = (uint32_t)ft_input_random(&state, TOPICS);
        publish(topic_at[o], &plain);
        uint64_t tail = ft_journal_tail(journal);
        for (uint32_t t = 0; t < TOPICS; t++) {
            const struct ft_topic *topic = find(t);
            uint32_t chained = 0;
            for (uint64_t k = (since[t] > tail ? since[t] : tail) + 1; k <= o; k++)
                chained += topic_at[k] == t;
            if (topic)
                cr_assert_eq(topic->chained, chained, "topic %u after %lu: %u, not %u", t,
                             (unsigned long)o, topic->chained, chained);
            else
                since[t] = o;
            forgotten += !topic;
        }
    }
    cr_assert_gt(ft_journal_tail(journal), PUBLICATIONS / 2);
    cr_assert_gt(forgotten, PUBLICATIONS);
    end();
}

Test(topic_table, a_single_topic_may_be_all_that_is_remembered)
{
    begin((size_t)1 << 20, &(struct ft_topic_limits){1, 100, 100000});
    publish(1, &plain);
    publish(1, &plain);
    publish(2, &plain);
    cr_assert_null(find(1));
    cr_assert_eq(find(2)->last, 3);
    cr_assert_eq(publish(1, &plain)->previous, 0, "what was forgotten begins anew");
    cr_assert_null(find(2));
    end();
}

Test(topic_table, a_forgotten_topic_keeps_its_last_value)
{
    begin((size_t)1 << 20, &(struct ft_topic_limits){1, 100, 100000});
    publish(1, &retained);
    publish(2, &plain);
    cr_assert_eq(find(1)->retained, 1);
    cr_assert_eq(find(1)->chained, 0);
    cr_assert_eq(stats().topics, 1);
    cr_assert_eq(publish(1, &plain)->previous, 0);
    cr_assert_eq(find(1)->retained, 1, "a publication that is not retained changes nothing");
    cr_assert_null(find(2));
    end();
}

Test(topic_table, a_last_value_is_set_replaced_and_cleared)
{
    begin((size_t)1 << 20, &(struct ft_topic_limits){100, 100, 100000});
    cr_assert_not(ft_journal_has_retained(journal));
    publish(1, &retained);
    publish(2, &retained);
    publish(1, &retained);
    cr_assert(ft_journal_has_retained(journal));
    cr_assert_eq(stats().retained, 2);
    cr_assert_eq(find(1)->retained, 3);
    publish(1, &(struct how){.clear = true});
    cr_assert_eq(find(1)->retained, 0);
    cr_assert_eq(find(1)->last, 4, "the one that clears is a publication like any other");
    publish(3, &(struct how){.clear = true});
    publish(2, &(struct how){.clear = true});
    cr_assert_eq(stats().retained, 0);
    cr_assert_not(ft_journal_has_retained(journal));
    end();
}

Test(topic_table, of_too_many_last_values_the_oldest_goes)
{
    begin((size_t)1 << 20, &(struct ft_topic_limits){100, 3, 100000});
    for (uint32_t t = 1; t <= 3; t++)
        publish(t, &retained);
    publish(1, &retained); /* is the newest again */
    publish(4, &retained);
    cr_assert_eq(find(1)->retained, 4);
    cr_assert_eq(find(2)->retained, 0);
    cr_assert_eq(find(2)->last, 2, "the topic itself is still remembered");
    cr_assert_eq(find(3)->retained, 3);
    cr_assert_eq(find(4)->retained, 5);
    cr_assert_eq(stats().retained, 3);
    cr_assert_eq(stats().retained_dropped, 1);
    end();
}

Test(topic_table, last_values_outlive_the_journal)
{
    begin(16384, &(struct ft_topic_limits){100000, 100, 100000});
    for (uint32_t t = 1; t <= 5; t++)
        publish(t, &retained);
    push_out();
    cr_assert_eq(stats().retained, 5);
    for (uint32_t t = 1; t <= 5; t++) {
        cr_assert_eq(find(t)->retained, t);
        cr_assert_eq(find(t)->retained_copy->publication.offset, t);
        cr_assert_eq(find(t)->chained, 0);
        cr_assert_not(find(t)->is_queued, "it does not count as a topic that is remembered");
    }
    publish(3, &retained);
    cr_assert_null(find(3)->retained_copy, "the new one is in the journal");
    publish(4, &(struct how){.clear = true});
    cr_assert_eq(find(4)->retained, 0);
    cr_assert_gt(stats().kept_bytes, 0);
    end();
}

Test(topic_table, a_history_goes_with_its_topic)
{
    begin(16384, &(struct ft_topic_limits){50, 100, (size_t)1 << 20});
    for (uint32_t i = 0; i < 20; i++)
        publish(1, &(struct how){.history = 5});
    push_out();
    cr_assert_null(find(1), "50 others were published to since");
    cr_assert_eq(stats().kept_bytes, 0);
    cr_assert_eq(stats().kept_dropped, 0, "it was not the bound of copies");
    cr_assert_gt(stats().topics_dropped, 0);
    end();
}

Test(topic_table, a_million_one_off_topics_leave_memory_where_it_was)
{
    enum { LIMIT = 200 };
    begin(65536, &(struct ft_topic_limits){LIMIT, 50, 100000});
    for (uint32_t i = 0; i < 1000000; i++) {
        publish(i, i % 7 == 0 ? &retained : &plain);
        cr_assert_leq(stats().topics, LIMIT);
    }
    cr_assert_leq(ft_topic_table_end(table), LIMIT + 50 + 3, "ids are used again");
    cr_assert_eq(stats().retained, 50);
    cr_assert_leq(stats().kept_bytes, 100000);
    end();
}

Test(topic_table, every_topic_is_found_under_its_id)
{
    enum { TOPICS = 3000 };
    begin((size_t)4 << 20, &(struct ft_topic_limits){TOPICS / 2, TOPICS / 4, 100000});
    for (uint32_t t = 0; t < TOPICS; t++)
        publish(t, t % 3 == 0 ? &retained : &plain);
    uint32_t known = 0;
    for (uint32_t id = 1; id < ft_topic_table_end(table); id++) {
        const struct ft_topic *topic = ft_topic_table_at(table, id);
        if (!topic)
            continue;
        cr_assert_eq(topic->id, id);
        cr_assert_eq(ft_topic_table_find(table, ft_topic_name(topic)), topic);
        known++;
    }
    uint32_t found = 0;
    for (uint32_t t = 0; t < TOPICS; t++)
        found += find(t) != NULL;
    cr_assert_eq(known, found);
    cr_assert_geq(known, TOPICS / 2);
    end();
}

Test(topic_table, what_is_past_its_time_is_let_go_by_the_timer)
{
    begin(16384, &(struct ft_topic_limits){100000, 100, (size_t)1 << 20});
    for (uint32_t t = 1; t <= 4; t++) {
        for (uint32_t i = 0; i < 3; i++)
            publish(t, &(struct how){.history = 3, .expires_ds = 100 * t, .retain = true});
    }
    push_out();
    cr_assert_eq(stats().retained, 4);
    size_t all = stats().kept_bytes;
    for (uint32_t now_s = 10; now_s <= 40; now_s += 10) {
        for (int i = 0; i < 10; i++) /* it takes a few topics at a time */
            ft_journal_expire(journal, now_s);
        cr_assert_eq(stats().retained, 4 - now_s / 10, "second %u", now_s);
        cr_assert_eq(stats().kept_bytes, all - all / 4 * (now_s / 10));
        cr_assert_null(find(now_s / 10));
    }
    cr_assert_eq(stats().retained_dropped, 0, "time is no bound");
    cr_assert_eq(stats().kept_dropped, 0);
    end();
}
