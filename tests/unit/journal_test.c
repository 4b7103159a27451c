/* The journal: numbering, what is kept, what a reader that lags holds back, memory that is only reused
 * once nobody can look at it, publish keys, and the chains of topics. */
#include "broker/core/journal.h"
#include "broker/base/alloc.h"
#include "broker/core/policy.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define STREAM "teststream"
#define MIB    ((size_t)1024 * 1024)

static struct ft_journal *journal_of(size_t bytes, uint32_t age_s)
{
    return ft_journal_new(&(struct ft_journal_options){
        .stream = STREAM, .size_bytes = bytes, .age_s = age_s, .chunk_bytes = 16 * 1024});
}

static struct ft_publication *build(struct ft_journal_writer *writer, const char *topic,
                                    const char *json, uint32_t now_s)
{
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str(topic),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str(json)},
        .at_ms = 1763700000000 + now_s * UINT64_C(1000),
        .accepted_s = now_s,
    };
    return ft_journal_build(writer, &spec);
}

static bool publish(struct ft_journal_writer *writer, const char *topic, const char *json,
                    uint32_t now_s)
{
    struct ft_publication *p = build(writer, topic, json, now_s);
    return ft_journal_append(writer, &p, 1, now_s);
}

static struct ft_journal_stats stats_of(struct ft_journal *journal)
{
    struct ft_journal_stats stats;
    ft_journal_stats(journal, &stats);
    return stats;
}

Test(journal, numbers_without_holes_from_one)
{
    struct ft_journal *journal = journal_of(MIB, 300);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    for (uint64_t i = 1; i <= 100; i++) {
        cr_assert(publish(writer, "a/b", "42", 0));
        cr_assert_eq(ft_journal_head(journal), i);
        cr_assert_eq(ft_journal_peek(journal, i)->offset, i);
    }
    cr_assert_null(ft_journal_peek(journal, 0));
    cr_assert_null(ft_journal_peek(journal, 101));
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

/* Each thread has the clock of its turn. */
Test(journal, what_another_thread_has_accepted_a_second_later_is_not_too_old)
{
    struct ft_journal *journal = journal_of(MIB, 300);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    struct ft_publication *p = build(writer, "a", "1", 1000);
    cr_assert(ft_journal_append(writer, &p, 1, 1000));
    ft_journal_expire(journal, 999);
    cr_assert_eq(ft_journal_tail(journal), 0);
    p = build(writer, "a", "2", 999);
    cr_assert(ft_journal_append(writer, &p, 1, 999));
    cr_assert_not_null(ft_journal_peek(journal, 1));
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, a_publication_is_the_frame_of_its_subscribers)
{
    struct ft_journal *journal = journal_of(MIB, 300);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    cr_assert(publish(writer, "say \"hi\"", "{\"a\": 1.0}", 0));
    const struct ft_publication *p = ft_journal_peek(journal, 1);
    struct ft_slice frame = ft_journal_frame(journal, p, FT_FRAMES_JSON);
    static const char expected[] =
        "{\"op\":\"msg\",\"topic\":\"say \\\"hi\\\"\",\"data\":{\"a\": 1.0},"
        "\"at\":1763700000000,\"pos\":\"" STREAM ".1\"}";
    cr_assert_eq(frame.len, sizeof(expected) - 1 + 2);
    cr_assert_eq(frame.ptr[0], 0x81);
    cr_assert_eq(frame.ptr[1], sizeof(expected) - 1);
    cr_assert_arr_eq(frame.ptr + 2, expected, sizeof(expected) - 1);
    cr_assert(ft_slice_equal(ft_publication_topic(p), ft_slice_str("say \"hi\"")));
    cr_assert(ft_slice_equal(ft_publication_pos(p), ft_slice_str(STREAM ".1")));
    cr_assert(ft_slice_equal(ft_publication_data(p).bytes, ft_slice_str("{\"a\": 1.0}")));
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, the_second_encoding_is_made_once_and_counted)
{
    struct ft_journal *journal = journal_of(MIB, 300);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    cr_assert(publish(writer, "t", "[1,2]", 0));
    const struct ft_publication *p = ft_journal_peek(journal, 1);
    uint64_t before = stats_of(journal).bytes;
    struct ft_slice frame = ft_journal_frame(journal, p, FT_FRAMES_MSGPACK);
    uint64_t after = stats_of(journal).bytes;
    static const uint8_t begin[] = "\x82\x39\x85\xa2op\xa3msg\xa5topic\xa1t\xa4"
                                   "data\x92\x01\x02\xa2"
                                   "at\xcf";
    cr_assert_eq(frame.ptr[0], begin[0]);
    cr_assert_eq(frame.ptr[1], frame.len - 2);
    cr_assert_arr_eq(frame.ptr + 2, begin + 2, sizeof(begin) - 3);
    cr_assert_arr_eq(frame.ptr + frame.len - 12, STREAM ".1", 12);
    cr_assert_gt(after, before);
    struct ft_slice again = ft_journal_frame(journal, p, FT_FRAMES_MSGPACK);
    cr_assert_eq(again.ptr, frame.ptr);
    cr_assert_eq(stats_of(journal).bytes, after);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, drops_the_oldest_past_its_size)
{
    struct ft_journal *journal = journal_of(MIB, 300);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    for (int i = 0; i < 20000; i++) {
        cr_assert(publish(writer, "t", "\"some text to fill the journal with\"", 0));
        cr_assert_leq(stats_of(journal).bytes, MIB);
    }
    struct ft_journal_stats stats = stats_of(journal);
    cr_assert_eq(stats.head, 20000);
    cr_assert_gt(stats.tail, 0);
    cr_assert_gt(stats.bytes, MIB - 1024);
    cr_assert_null(ft_journal_peek(journal, stats.tail));
    cr_assert_not_null(ft_journal_peek(journal, stats.tail + 1));
    /* The memory is the journal's size, the open chunk, and those that are kept for reuse. */
    cr_assert_leq(stats.chunks, MIB / (16 * 1024) + 12);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, drops_what_is_too_old)
{
    struct ft_journal *journal = journal_of(MIB, 10);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    for (uint32_t now_s = 0; now_s < 30; now_s++)
        cr_assert(publish(writer, "t", "1", now_s));
    cr_assert_eq(ft_journal_tail(journal), 19); /* 29 - 10: the one of second 19 is 10 s old */
    ft_journal_expire(journal, 35);
    cr_assert_eq(ft_journal_tail(journal), 25);
    ft_journal_expire(journal, 1000);
    cr_assert_eq(ft_journal_tail(journal), 30);
    cr_assert_eq(stats_of(journal).bytes, 0);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, keeps_what_a_reader_has_not_fanned_out_and_refuses_instead)
{
    struct ft_journal *journal = journal_of(MIB, 10);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    struct ft_journal_reader *reader = ft_journal_reader_new(journal);
    ft_journal_reader_at(reader, 0);
    uint64_t accepted = 0;
    struct ft_publication *p = build(writer, "t", "\"text\"", 0);
    while (ft_journal_append(writer, &p, 1, 0)) {
        accepted++;
        p = build(writer, "t", "\"text\"", 0);
    }
    cr_assert_eq(ft_journal_tail(journal), 0);
    cr_assert_eq(ft_journal_head(journal), accepted);
    cr_assert(ft_journal_take_refused(journal));
    cr_assert_not(ft_journal_take_refused(journal));
    ft_journal_expire(journal, 1000); /* age does not take it either */
    cr_assert_eq(ft_journal_tail(journal), 0);

    ft_journal_reader_at(reader, 100);
    cr_assert(ft_journal_append(writer, &p, 1, 0), "the same publication, once there is room");
    cr_assert_gt(ft_journal_tail(journal), 0);
    cr_assert_leq(ft_journal_tail(journal), 100);
    cr_assert_eq(ft_journal_head(journal), accepted + 1);
    ft_journal_reader_free(reader);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, reuses_memory_only_after_readers_have_rested)
{
    struct ft_journal *journal = journal_of(MIB, 300);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    struct ft_journal_reader *reader = ft_journal_reader_new(journal);
    cr_assert(publish(writer, "t", "\"keep me in sight\"", 0));
    ft_journal_wake(reader);
    const struct ft_publication *held = ft_journal_peek(journal, 1);
    for (int i = 0; i < 50000; i++)
        cr_assert(publish(writer, "t", "\"something else, much of it\"", 0));
    cr_assert_null(ft_journal_peek(journal, 1), "it is gone from the journal");
    cr_assert_eq(held->offset, 1, "but what was lent before is still there");
    cr_assert(
        ft_slice_equal(ft_publication_data(held).bytes, ft_slice_str("\"keep me in sight\"")));
    uint64_t awake = stats_of(journal).chunks;
    ft_journal_rest(reader);
    for (int i = 0; i < 1000; i++)
        cr_assert(publish(writer, "t", "\"something else, much of it\"", 0));
    cr_assert_lt(stats_of(journal).chunks, awake);
    ft_journal_reader_free(reader);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, takes_publications_larger_than_a_chunk)
{
    struct ft_journal *journal = journal_of(MIB, 300);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    char *big = ft_alloc(100001);
    memset(big, '7', 100000);
    big[100000] = '\0';
    for (int i = 0; i < 40; i++) {
        cr_assert(publish(writer, "t", i % 2 ? big : "1", 0));
        const struct ft_publication *p = ft_journal_peek(journal, (uint64_t)i + 1);
        cr_assert_eq(ft_publication_data(p).bytes.len, i % 2 ? 100000 : 1);
    }
    cr_assert_leq(stats_of(journal).bytes, MIB);
    free(big);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

/* ---- keys, chains, marks ---- */

struct how {
    const char *topic, *key;
    uint8_t slow;
    bool is_ephemeral;
};

static struct ft_publication *build_as(struct ft_journal *journal, struct ft_journal_writer *writer,
                                       const struct how *how)
{
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str(how->topic),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("1")},
        .slow = how->slow,
        .is_ephemeral = how->is_ephemeral,
    };
    struct ft_key key;
    if (how->key) {
        key = ft_journal_key(journal, spec.topic, ft_slice_str(how->key));
        spec.key = &key;
    }
    return ft_journal_build(writer, &spec);
}

/* Publishes one; returns what became of it. */
static struct ft_publication *publish_as(struct ft_journal *journal,
                                         struct ft_journal_writer *writer, const struct how *how,
                                         uint32_t now_s)
{
    struct ft_publication *p = build_as(journal, writer, how);
    cr_assert(ft_journal_append(writer, &p, 1, now_s));
    return p;
}

static struct ft_journal *journal_with_keys(uint32_t keys)
{
    return ft_journal_new(&(struct ft_journal_options){
        .stream = STREAM, .size_bytes = MIB, .age_s = 300, .chunk_bytes = 16 * 1024, .keys = keys});
}

static void assert_duplicate(const struct ft_publication *p, uint64_t first)
{
    cr_assert(p->is_duplicate);
    cr_assert_eq(p->offset, first);
}

Test(journal, a_key_is_good_once_on_its_topic)
{
    struct ft_journal *journal = journal_with_keys(100);
    struct ft_journal_writer *writers[2] = {ft_journal_writer_new(journal),
                                            ft_journal_writer_new(journal)};
    static const struct how hows[] = {
        {"t", "k", 0, false}, {"t", "k", 0, false}, /* twice in one batch */
        {"u", "k", 0, false}, {"t", NULL, 0, false}, {"t", "k2", 0, false}, {"t", "k", 0, false}};
    struct ft_publication *batch[6];
    for (int i = 0; i < 6; i++)
        batch[i] = build_as(journal, writers[0], &hows[i]);
    cr_assert(ft_journal_append(writers[0], batch, 6, 10));
    cr_assert_eq(ft_journal_head(journal), 4, "there are no holes for duplicates");
    assert_duplicate(batch[1], 1);
    assert_duplicate(batch[5], 1);
    static const int numbered[] = {0, 2, 3, 4};
    for (uint64_t i = 0; i < 4; i++) {
        cr_assert_eq(ft_journal_peek(journal, i + 1), batch[numbered[i]]);
        cr_assert_not(batch[numbered[i]]->is_duplicate);
    }
    assert_duplicate(publish_as(journal, writers[1], &hows[0], 10), 1);
    assert_duplicate(publish_as(journal, writers[1], &hows[2], 10), 2);
    cr_assert_eq(batch[3]->previous, 1);
    cr_assert_eq(batch[4]->previous, 3, "a duplicate is no link of the chain");
    cr_assert_eq(stats_of(journal).keys, 3);
    ft_journal_writer_free(writers[0]);
    ft_journal_writer_free(writers[1]);
    ft_journal_free(journal);
}

Test(journal, a_key_is_known_for_two_minutes_from_its_first_use)
{
    struct ft_journal *journal = journal_with_keys(100);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    const struct how how = {"t", "k", 0, false};
    cr_assert_eq(publish_as(journal, writer, &how, 1000)->offset, 1);
    assert_duplicate(publish_as(journal, writer, &how, 1000 + FT_KEY_WINDOW_S / 2), 1);
    assert_duplicate(publish_as(journal, writer, &how, 1000 + FT_KEY_WINDOW_S), 1);
    cr_assert_eq(publish_as(journal, writer, &how, 1001 + FT_KEY_WINDOW_S)->offset, 2);
    assert_duplicate(publish_as(journal, writer, &how, 1001 + FT_KEY_WINDOW_S), 2);
    ft_journal_expire(journal, 1002 + 2 * FT_KEY_WINDOW_S);
    cr_assert_eq(stats_of(journal).keys, 0, "the timer forgets it, too");
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, of_too_many_keys_the_oldest_goes)
{
    struct ft_journal *journal = journal_with_keys(3);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    static const char *const keys[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        publish_as(journal, writer, &(struct how){"t", keys[i], 0, false}, 0);
    cr_assert_eq(stats_of(journal).keys, 3);
    cr_assert_eq(stats_of(journal).keys_dropped, 1);
    assert_duplicate(publish_as(journal, writer, &(struct how){"t", "b", 0, false}, 0), 2);
    cr_assert_not(publish_as(journal, writer, &(struct how){"t", "a", 0, false}, 0)->is_duplicate);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, without_a_window_a_key_says_nothing)
{
    struct ft_journal *journal = journal_with_keys(0);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    const struct how how = {"t", "k", 0, false};
    cr_assert_eq(publish_as(journal, writer, &how, 0)->offset, 1);
    cr_assert_eq(publish_as(journal, writer, &how, 0)->offset, 2);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, duplicates_take_no_room)
{
    struct ft_journal *journal = journal_with_keys(100);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    const struct how how = {"t", "k", 0, false};
    publish_as(journal, writer, &how, 0);
    uint64_t bytes = stats_of(journal).bytes;
    for (int i = 0; i < 50000; i++) /* ten megabytes of them */
        assert_duplicate(publish_as(journal, writer, &how, 0), 1);
    cr_assert_eq(stats_of(journal).bytes, bytes);
    publish_as(journal, writer, &(struct how){"t", "k2", 0, false}, 0);
    cr_assert_eq(ft_journal_head(journal), 2);
    cr_assert_eq(ft_journal_tail(journal), 0);
    for (int i = 0; i < 20000; i++)
        publish_as(journal, writer, &(struct how){"t", NULL, 0, false}, 0);
    cr_assert_leq(stats_of(journal).chunks, MIB / (16 * 1024) + 12);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, a_refused_batch_has_used_no_key)
{
    struct ft_journal *journal = journal_with_keys(100);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    struct ft_journal_reader *reader = ft_journal_reader_new(journal);
    ft_journal_reader_at(reader, 0);
    struct ft_publication *p = build_as(journal, writer, &(struct how){"t", "first", 0, false});
    while (ft_journal_append(writer, &p, 1, 0))
        p = build_as(journal, writer, &(struct how){"t", NULL, 0, false});
    struct ft_publication *batch[2] = {
        p, build_as(journal, writer, &(struct how){"t", "late", 0, false})};
    cr_assert_not(ft_journal_append(writer, batch, 2, 0));
    ft_journal_reader_at(reader, ft_journal_head(journal));
    cr_assert(ft_journal_append(writer, batch, 2, 0));
    cr_assert_not(batch[1]->is_duplicate);
    cr_assert_eq(batch[1]->offset, ft_journal_head(journal));
    ft_journal_reader_free(reader);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, an_ephemeral_publication_has_an_offset_and_is_remembered_nowhere)
{
    struct ft_journal *journal = journal_with_keys(100);
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    publish_as(journal, writer, &(struct how){"t", NULL, 0, false}, 0);
    const struct ft_publication *p =
        publish_as(journal, writer, &(struct how){"t", NULL, 0, true}, 0);
    cr_assert_eq(p->offset, 2);
    cr_assert_eq(ft_journal_peek(journal, 2), p);
    cr_assert_eq(p->previous, 0);
    cr_assert_eq(publish_as(journal, writer, &(struct how){"t", NULL, 0, false}, 0)->previous, 1);
    publish_as(journal, writer, &(struct how){"other", NULL, 0, true}, 0);
    cr_assert_eq(stats_of(journal).topics.topics, 1);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(journal, of_topics_of_which_the_newest_counts_the_one_before_is_superseded)
{
    struct ft_journal *journal = journal_with_keys(0);
    struct ft_journal_writer *writers[2] = {ft_journal_writer_new(journal),
                                            ft_journal_writer_new(journal)};
    const struct how latest = {"l", NULL, FT_SLOW_LATEST, false};
    const struct how park = {"p", NULL, FT_SLOW_PARK, false};
    for (int i = 0; i < 3; i++) {
        publish_as(journal, writers[i % 2], &latest, 0);
        publish_as(journal, writers[i % 2], &park, 0);
    }
    publish_as(journal, writers[0], &(struct how){"l", NULL, FT_SLOW_LATEST, true}, 0);
    static const bool expected[] = {true, false, true, false, false, false, false};
    for (uint64_t o = 1; o <= 7; o++)
        cr_assert_eq(ft_journal_peek(journal, o)->is_superseded, expected[o - 1], "offset %lu",
                     (unsigned long)o);
    ft_journal_writer_free(writers[0]);
    ft_journal_writer_free(writers[1]);
    ft_journal_free(journal);
}

/* ---- several threads ---- */

#define WRITERS 3
#define READERS 2
#define EACH    20000

struct shared {
    struct ft_journal *journal;
    struct ft_journal_reader *readers[READERS]; /* there before anything is written */
    _Atomic uint32_t readers_taken;
};

static void *write_all(void *arg)
{
    struct shared *shared = arg;
    struct ft_journal_writer *writer = ft_journal_writer_new(shared->journal);
    for (int i = 0; i < EACH; i += 10) {
        struct ft_publication *batch[10];
        char json[32];
        for (int k = 0; k < 10; k++) {
            snprintf(json, sizeof(json), "%d", i + k);
            batch[k] = build(writer, "t/x", json, 0);
        }
        while (!ft_journal_append(writer, batch, 10, 0))
            sched_yield();
    }
    ft_journal_writer_free(writer);
    return NULL;
}

/* Reads everything in order, like a worker that fans out, in turns of 100. */
static void *read_all(void *arg)
{
    struct shared *shared = arg;
    struct ft_journal_reader *reader = shared->readers[shared->readers_taken++];
    uint64_t cursor = 0, sum = 0;
    while (cursor < (uint64_t)WRITERS * EACH) {
        ft_journal_wake(reader);
        uint64_t head = ft_journal_head(shared->journal);
        for (int i = 0; i < 100 && cursor < head; i++) {
            const struct ft_publication *p = ft_journal_peek(shared->journal, ++cursor);
            cr_assert_not_null(p, "offset %lu is not kept for its reader", (unsigned long)cursor);
            sum += ft_journal_frame(shared->journal, p, i % 2 ? FT_JSON : FT_FRAMES_MSGPACK).len;
        }
        ft_journal_reader_at(reader, cursor);
        ft_journal_rest(reader);
    }
    ft_journal_reader_free(reader);
    cr_assert_gt(sum, 0);
    return NULL;
}

Test(journal, many_writers_and_readers_agree_on_one_order, .timeout = 60)
{
    struct shared shared = {.journal = journal_of(MIB, 300)};
    pthread_t writers[WRITERS], readers[READERS];
    for (int i = 0; i < READERS; i++) {
        shared.readers[i] = ft_journal_reader_new(shared.journal);
        ft_journal_reader_at(shared.readers[i], 0);
    }
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_all, &shared);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&writers[i], NULL, write_all, &shared);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    cr_assert_eq(ft_journal_head(shared.journal), (uint64_t)WRITERS * EACH);
    ft_journal_free(shared.journal);
}
