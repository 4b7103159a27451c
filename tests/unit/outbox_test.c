/* Outboxes: order, runs that join, gathering by the write's size, sharing, what is lost, and what slow
 * readers are spared. */
#include "broker/base/alloc.h"
#include "broker/core/outbox.h"
#include "broker/core/policy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define FLUSH 1024

static struct ft_journal *journal;
static struct ft_journal_writer *writer;
static struct ft_outbox_pool pool;

static void setup(void)
{
    journal = ft_journal_new(&(struct ft_journal_options){
        .stream = "teststream", .size_bytes = (size_t)1 << 20, .age_s = 300});
    writer = ft_journal_writer_new(journal);
    ft_outbox_pool_init(&pool, FLUSH);
}

static void teardown(void)
{
    ft_outbox_pool_fini(&pool);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

TestSuite(outbox, .init = setup, .fini = teardown);

static void publish(const char *json)
{
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str("t"),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str(json)},
        .at_ms = 1763700000000,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    cr_assert(ft_journal_append(writer, &p, 1, 0));
}

static size_t frame_len(uint64_t offset)
{
    return ft_journal_frame(journal, ft_journal_peek(journal, offset), FT_FRAMES_JSON).len;
}

static void push_run(struct ft_outbox *outbox, uint64_t offset, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += frame_len(offset + i);
    ft_outbox_push_run(outbox, &pool, offset, count, bytes);
}

static void push_own(struct ft_outbox *outbox, const char *text)
{
    memcpy(ft_outbox_push_bytes(outbox, &pool, strlen(text)), text, strlen(text));
}

static struct ft_slice gather(struct ft_outbox *outbox)
{
    struct ft_slice bytes;
    cr_assert_eq(ft_outbox_gather(outbox, &pool, journal, FT_FRAMES_JSON, &bytes),
                 FT_GATHERED_BYTES);
    return bytes;
}

static void assert_empty(struct ft_outbox *outbox)
{
    struct ft_slice bytes;
    cr_assert(ft_outbox_is_empty(outbox));
    cr_assert_eq(outbox->bytes, 0);
    cr_assert_eq(ft_outbox_gather(outbox, &pool, journal, FT_FRAMES_JSON, &bytes),
                 FT_GATHERED_NOTHING);
}

Test(outbox, one_publication_is_lent_where_it_lies)
{
    publish("1");
    struct ft_outbox outbox = {0};
    push_run(&outbox, 1, 1);
    struct ft_slice bytes = gather(&outbox);
    struct ft_slice frame = ft_journal_frame(journal, ft_journal_peek(journal, 1), FT_FRAMES_JSON);
    cr_assert_eq(bytes.ptr, frame.ptr);
    cr_assert_eq(bytes.len, frame.len);
    assert_empty(&outbox);
}

Test(outbox, runs_that_follow_each_other_are_one_item)
{
    for (int i = 0; i < 9; i++)
        publish("1");
    struct ft_outbox outbox = {0};
    for (uint64_t offset = 1; offset <= 9; offset++)
        push_run(&outbox, offset, 1);
    cr_assert_eq(outbox.first, outbox.last);
    cr_assert_eq(outbox.first->end - outbox.first->begin, 1);
    struct ft_slice bytes = gather(&outbox);
    cr_assert_eq(bytes.len, 9 * frame_len(1));
    assert_empty(&outbox);
}

Test(outbox, keeps_the_order_of_replies_and_publications)
{
    publish("1");
    publish("2");
    struct ft_outbox outbox = {0};
    push_own(&outbox, "<a>");
    push_run(&outbox, 1, 1);
    push_own(&outbox, "<b>");
    push_own(&outbox, "<c>");
    push_run(&outbox, 2, 1);
    struct ft_slice bytes = gather(&outbox);
    size_t n = frame_len(1);
    cr_assert_eq(bytes.len, 9 + 2 * n);
    cr_assert_arr_eq(bytes.ptr, "<a>", 3);
    cr_assert_eq(bytes.ptr[3], 0x81);
    cr_assert_arr_eq(bytes.ptr + 3 + n, "<b><c>", 6);
    cr_assert_eq(bytes.ptr[9 + n], 0x81);
    assert_empty(&outbox);
}

Test(outbox, gathers_no_more_than_one_write_takes)
{
    for (int i = 0; i < 40; i++)
        publish("\"forty of these are more than a write\"");
    struct ft_outbox outbox = {0};
    push_run(&outbox, 1, 40);
    size_t all = outbox.bytes, sent = 0, n = frame_len(1);
    int writes = 0;
    while (!ft_outbox_is_empty(&outbox)) {
        struct ft_slice bytes = gather(&outbox);
        cr_assert_leq(bytes.len, FLUSH);
        sent += bytes.len;
        cr_assert_eq(outbox.bytes, all - sent);
        writes++;
    }
    cr_assert_eq(sent, all);
    cr_assert_leq((size_t)writes, all / (FLUSH - n) + 1);
}

Test(outbox, a_frame_longer_than_a_write_goes_alone)
{
    char *big = ft_alloc(3 * FLUSH + 1);
    memset(big, '7', 3 * FLUSH);
    big[3 * FLUSH] = '\0';
    publish("1");
    publish(big);
    publish("3");
    struct ft_outbox outbox = {0};
    push_run(&outbox, 1, 3);
    cr_assert_eq(gather(&outbox).len, frame_len(1));
    cr_assert_eq(gather(&outbox).len, frame_len(2));
    cr_assert_eq(gather(&outbox).len, frame_len(3));
    assert_empty(&outbox);
    free(big);
}

Test(outbox, equal_outboxes_share_one_gathering)
{
    for (int i = 0; i < 4; i++)
        publish("1");
    struct ft_outbox a = {0}, b = {0}, c = {0};
    push_run(&a, 1, 2), push_run(&a, 4, 1);
    push_run(&b, 1, 2), push_run(&b, 4, 1);
    push_run(&c, 1, 2), push_run(&c, 3, 1);
    struct ft_slice first = gather(&a);
    uint8_t *copy = ft_alloc(first.len);
    memcpy(copy, first.ptr, first.len);
    struct ft_slice second = gather(&b);
    cr_assert_eq(second.ptr, first.ptr);
    cr_assert_eq(second.len, first.len);
    cr_assert_arr_eq(second.ptr, copy, second.len);
    struct ft_slice third = gather(&c);
    cr_assert_eq(third.len, second.len);
    cr_assert_neq(memcmp(third.ptr, copy, third.len), 0, "another content is gathered anew");
    assert_empty(&b);
    assert_empty(&c);
    free(copy);
}

Test(outbox, equal_outboxes_of_different_encodings_share_nothing)
{
    publish("1");
    struct ft_outbox a = {0}, b = {0};
    struct ft_slice bytes;
    push_run(&a, 1, 1);
    push_run(&b, 1, 1);
    cr_assert_eq(gather(&a).ptr[0], 0x81, "a text frame");
    cr_assert_eq(ft_outbox_gather(&b, &pool, journal, FT_FRAMES_MSGPACK, &bytes),
                 FT_GATHERED_BYTES);
    cr_assert_eq(bytes.ptr[0], 0x82, "a binary frame");
}

Test(outbox, says_when_a_publication_is_not_kept_any_more)
{
    publish("1");
    struct ft_outbox outbox = {0};
    push_own(&outbox, "<a>");
    push_run(&outbox, 1, 1);
    for (int i = 0; i < 20000; i++)
        publish("\"what pushes the first one out of the journal\"");
    struct ft_slice bytes = gather(&outbox);
    cr_assert_eq(bytes.len, 3, "what came before it is still sent");
    cr_assert_eq(ft_outbox_gather(&outbox, &pool, journal, FT_FRAMES_JSON, &bytes),
                 FT_GATHERED_LOST);
    ft_outbox_clear(&outbox, &pool);
    assert_empty(&outbox);
}

/* ---- slow readers ---- */

static void publish_as(const char *topic, uint8_t slow)
{
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str(topic),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("1")},
        .at_ms = 1763700000000,
        .slow = slow,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    cr_assert(ft_journal_append(writer, &p, 1, 0));
}

/* Gathers until nothing is left, and compares it with own frames and publications: "<a> 3 4 <b>". */
static void assert_gathers(struct ft_outbox *outbox, const char *expected)
{
    char got[512] = "";
    struct ft_slice bytes;
    enum ft_gathered gathered;
    while ((gathered = ft_outbox_gather(outbox, &pool, journal, FT_FRAMES_JSON, &bytes)) !=
           FT_GATHERED_NOTHING) {
        cr_assert_eq(gathered, FT_GATHERED_BYTES);
        for (size_t at = 0; at < bytes.len;) {
            char word[32] = "";
            if (bytes.ptr[at] == '<') {
                size_t n = 1 + (size_t)((uint8_t *)memchr(bytes.ptr + at, '>', bytes.len - at) -
                                        (bytes.ptr + at));
                snprintf(word, sizeof(word), "%.*s", (int)n, (const char *)bytes.ptr + at);
                at += n;
            } else {
                at += 2 + bytes.ptr[at + 1]; /* a short frame; its offset is last */
                const char *digits = (const char *)bytes.ptr + at - 2;
                while (digits[-1] != '.')
                    digits--;
                snprintf(word, sizeof(word), "%d", atoi(digits));
            }
            strcat(strcat(got, got[0] ? " " : ""), word);
        }
    }
    cr_assert_str_eq(got, expected);
    assert_empty(outbox);
    cr_assert_eq(outbox->own_bytes, 0);
}

Test(outbox, counts_the_sessions_own_frames_apart)
{
    publish("1");
    publish("2");
    struct ft_outbox outbox = {0};
    push_own(&outbox, "<a>");
    push_run(&outbox, 1, 2);
    push_own(&outbox, "<bcd>");
    cr_assert_eq(outbox.own_bytes, 8);
    cr_assert_eq(outbox.bytes, 8 + 2 * frame_len(1));
    assert_gathers(&outbox, "<a> 1 2 <bcd>");
    push_own(&outbox, "<a>");
    push_run(&outbox, 1, 2);
    ft_outbox_clear(&outbox, &pool);
    cr_assert_eq(outbox.own_bytes, 0);
    assert_empty(&outbox);
}

Test(outbox, what_is_pushed_in_front_comes_first)
{
    for (int i = 0; i < 30; i++)
        publish("1");
    struct ft_outbox outbox = {0};
    memcpy(ft_outbox_push_gap_front(&outbox, &pool, 3, 1), "<a>", 3);
    assert_gathers(&outbox, "<a>");
    /* In front of every place that the first item can have in its node. */
    for (uint64_t taken = 0; taken < 14; taken++) {
        for (uint64_t i = 0; i < 14; i++)
            push_run(&outbox, 1 + 2 * i, 1); /* no two are one run */
        for (uint64_t i = 0; i < taken; i++) {
            struct ft_slice bytes;
            pool.scratch_len_ = 1; /* one frame at a time */
            cr_assert_eq(ft_outbox_gather(&outbox, &pool, journal, FT_FRAMES_JSON, &bytes),
                         FT_GATHERED_BYTES);
            pool.scratch_len_ = FLUSH;
        }
        memcpy(ft_outbox_push_gap_front(&outbox, &pool, 3, 1), "<b>", 3);
        memcpy(ft_outbox_push_gap_front(&outbox, &pool, 3, 1), "<a>", 3);
        cr_assert_eq(outbox.own_bytes, 6);
        char expected[128] = "<a> <b>";
        for (uint64_t i = taken; i < 14; i++)
            sprintf(expected + strlen(expected), " %d", (int)(1 + 2 * i));
        assert_gathers(&outbox, expected);
    }
}

Test(outbox, what_the_journal_dropped_is_thrown_away_and_counted)
{
    for (int i = 0; i < 20; i++)
        publish("1");
    /* Every tail, from where nothing is gone to where everything is. */
    for (uint64_t tail = 0; tail <= 20; tail++) {
        struct ft_outbox outbox = {0};
        char expected[128] = "<a>";
        uint64_t gone = 0, last = 0, own = 0;
        push_own(&outbox, "<a>");
        for (uint64_t o = 1; o <= 18; o++) {
            if (o % 5 != 0) /* runs of four */
                push_run(&outbox, o, 1);
            if (o % 5 != 0 && o <= tail) {
                gone++;
                last = o;
            } else if (o % 5 != 0)
                sprintf(expected + strlen(expected), " %d", (int)o);
            if (o == 12) {
                push_own(&outbox, "<b>");
                strcat(expected, " <b>");
            }
        }
        own = outbox.own_bytes;
        struct ft_lost lost = ft_outbox_drop_lost(&outbox, &pool, journal, FT_FRAMES_JSON, tail);
        cr_assert_eq(lost.count, gone);
        cr_assert_eq(lost.last, last);
        size_t bytes = own;
        for (uint64_t o = tail + 1; o <= 18; o++)
            bytes += o % 5 != 0 ? frame_len(o) : 0;
        cr_assert_eq(outbox.bytes, bytes, "tail %lu", (unsigned long)tail);
        cr_assert_eq(outbox.own_bytes, own);
        assert_gathers(&outbox, expected);
    }
}

Test(outbox, a_gap_that_waits_becomes_part_of_a_later_one)
{
    for (int i = 0; i < 9; i++)
        publish("1");
    struct ft_outbox outbox = {0};
    push_run(&outbox, 1, 2);
    memcpy(ft_outbox_push_gap(&outbox, &pool, 5, 1), "<gap>", 5);
    push_run(&outbox, 5, 1);
    push_own(&outbox, "<a>");
    push_run(&outbox, 9, 1);
    struct ft_lost lost = ft_outbox_drop_lost(&outbox, &pool, journal, FT_FRAMES_JSON, 7);
    cr_assert_eq(lost.count, 3);
    cr_assert_eq(lost.last, 5);
    cr_assert(lost.gap);
    cr_assert_eq(outbox.own_bytes, 3);
    cr_assert_eq(outbox.bytes, 3 + frame_len(9));
    assert_gathers(&outbox, "<a> 9");
}

Test(outbox, a_slow_reader_is_spared_what_a_newer_one_supersedes)
{
    publish_as("l", FT_SLOW_LATEST);
    publish_as("p", FT_SLOW_PARK);
    publish_as("l", FT_SLOW_LATEST);
    publish_as("p", FT_SLOW_PARK);
    publish_as("m", FT_SLOW_LATEST);
    publish_as("l", FT_SLOW_LATEST);
    struct ft_outbox outbox = {0};
    push_run(&outbox, 1, 6);
    assert_gathers(&outbox, "1 2 3 4 5 6");
    push_run(&outbox, 1, 6);
    push_own(&outbox, "<a>");
    outbox.newest_only = true;
    assert_gathers(&outbox, "2 4 5 6 <a>");
    cr_assert(outbox.newest_only);
    push_run(&outbox, 1, 1);
    struct ft_slice bytes;
    cr_assert_eq(ft_outbox_gather(&outbox, &pool, journal, FT_FRAMES_JSON, &bytes),
                 FT_GATHERED_NOTHING, "all that waited was left out");
    assert_empty(&outbox);
}

Test(outbox, a_slow_reader_does_not_share_what_others_get)
{
    publish_as("l", FT_SLOW_LATEST);
    publish_as("l", FT_SLOW_LATEST);
    struct ft_outbox fast = {0}, slow = {.newest_only = true}, late = {0};
    push_run(&fast, 1, 2);
    push_run(&slow, 1, 2);
    push_run(&late, 1, 2);
    cr_assert_eq(gather(&fast).len, 2 * frame_len(1));
    cr_assert_eq(gather(&slow).len, frame_len(1));
    cr_assert_eq(gather(&late).len, 2 * frame_len(1));
}

/* Random pushes and gatherings against a plain list of frames, byte for byte. */
Test(outbox, does_what_a_plain_list_would, .timeout = 60)
{
    enum { PUBLICATIONS = 500, ROUNDS = 3000 };
    char json[64];
    unsigned seed = 20261121;
    for (int i = 0; i < PUBLICATIONS; i++) {
        snprintf(json, sizeof(json), "\"%.*s\"", rand_r(&seed) % 40,
                 "0123456789012345678901234567890123456789");
        publish(json);
    }
    struct ft_outbox outbox = {0};
    uint8_t *list = ft_alloc((size_t)8 << 20);
    size_t begin = 0, end = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int what = rand_r(&seed) % 8;
        if (what < 2) {
            int n = snprintf(json, sizeof(json), "<%d>", round);
            push_own(&outbox, json);
            memcpy(list + end, json, (size_t)n);
            end += (size_t)n;
        } else if (what < 6) {
            uint64_t offset = 1 + (uint64_t)rand_r(&seed) % (PUBLICATIONS - 8);
            uint32_t count = 1 + (uint32_t)rand_r(&seed) % 8;
            push_run(&outbox, offset, count);
            for (uint32_t i = 0; i < count; i++) {
                struct ft_slice frame =
                    ft_journal_frame(journal, ft_journal_peek(journal, offset + i), FT_FRAMES_JSON);
                memcpy(list + end, frame.ptr, frame.len);
                end += frame.len;
            }
        } else if (!ft_outbox_is_empty(&outbox)) {
            struct ft_slice bytes = gather(&outbox);
            cr_assert_leq(begin + bytes.len, end, "seed 20261121, round %d", round);
            cr_assert_arr_eq(bytes.ptr, list + begin, bytes.len);
            begin += bytes.len;
        }
        cr_assert_eq(outbox.bytes, end - begin, "seed 20261121, round %d", round);
    }
    ft_outbox_clear(&outbox, &pool);
    free(list);
}
