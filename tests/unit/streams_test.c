/* Where many streams stand in one journal, and back: against a slow twin that replays everything, with streams
 * that are opened, replaced and jump, with what is of no stream in between, and while the journal forgets its
 * beginning. */
#include "broker/base/alloc.h"
#include "broker/core/journal.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define OFFSETS 20000
#define STREAMS 8
#define OPENS   512

/* What happened, in order. */
struct opened {
    uint64_t head, after;
    uint32_t index;
    char name[FT_STREAM_NAME_LEN + 1];
};

struct twin {
    struct ft_journal *journal;
    struct ft_journal_writer *writer;
    uint64_t random;
    uint32_t streams, names;
    uint64_t head;
    uint16_t of[OFFSETS + 1];
    uint64_t seq[OFFSETS + 1];
    uint64_t in_doubt[STREAMS]; /* up to there, because of a gap behind it */
    struct opened opens[OPENS];
    uint32_t open_count;
};

static struct twin *twin_new(uint32_t streams, size_t bytes, uint64_t seed)
{
    struct twin *t = ft_alloc_zero(sizeof(*t));
    t->journal = ft_journal_new(&(struct ft_journal_options){
        .streams = streams, .size_bytes = bytes, .age_s = 300, .chunk_bytes = 16 * 1024});
    t->writer = ft_journal_writer_new(t->journal);
    t->random = seed;
    t->streams = streams;
    return t;
}

static void twin_free(struct twin *t)
{
    ft_journal_writer_free(t->writer);
    ft_journal_free(t->journal);
    free(t);
}

static uint64_t below(struct twin *t, uint64_t limit)
{
    return ft_input_random(&t->random, limit);
}

/* Where a stream stood at `at` by replaying it all; false: it was not open, or under another name than now.
 * `named` is set to where it got its present name. */
static bool replay(const struct twin *t, uint32_t index, uint64_t at, uint64_t *seq,
                   uint64_t *named, const struct opened **first)
{
    bool is_open = false;
    uint32_t n = 0;
    const struct opened *last = NULL;
    *seq = 0;
    for (uint64_t o = 0; o <= t->head; o++) {
        if (o > 0 && o <= at && t->of[o] == index)
            *seq = t->seq[o];
        for (; n < t->open_count && t->opens[n].head == o; n++) {
            const struct opened *open = &t->opens[n];
            if (open->index != index)
                continue;
            if (!last || strcmp(last->name, open->name) != 0) {
                *first = open;
                *named = o + 1;
            }
            last = open;
            if (o < at)
                *seq = open->after;
        }
    }
    is_open = last != NULL;
    return is_open && at >= *named;
}

static uint64_t stands(const struct twin *t, uint32_t index)
{
    uint64_t seq, named;
    const struct opened *first = NULL;
    (void)replay(t, index, t->head + 1, &seq, &named, &first);
    return seq;
}

static const char *name_of(const struct twin *t, uint32_t index)
{
    const char *name = "";
    for (uint32_t n = 0; n < t->open_count; n++) {
        if (t->opens[n].index == index)
            name = t->opens[n].name;
    }
    return name;
}

static void open_stream(struct twin *t, uint32_t index, bool is_new, uint64_t after)
{
    cr_assert_lt(t->open_count, OPENS);
    struct opened *open = &t->opens[t->open_count];
    const char *name = name_of(t, index);
    if (is_new || !name[0])
        snprintf(open->name, sizeof(open->name), "s%09u", ++t->names % 1000000000);
    else
        memcpy(open->name, name, sizeof(open->name));
    if (is_new)
        t->in_doubt[index] = 0;
    open->index = index;
    open->after = after;
    open->head = t->head;
    t->open_count++;
    ft_journal_open_stream(t->journal, index, open->name, after);
}

static void append(struct twin *t, uint32_t index, uint64_t seq, enum ft_entry entry)
{
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str("a/b"),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("42")},
        .entry = (uint8_t)entry,
        .is_ephemeral = index == FT_STREAM_NONE,
        .stream_index = (uint16_t)index,
        .seq = seq,
        .name = "restored00",
    };
    struct ft_publication *p = ft_journal_build(t->writer, &spec);
    cr_assert(ft_journal_append(t->writer, &p, 1, 0));
    t->head++;
    cr_assert_eq(p->offset, t->head);
    bool is_counted = entry <= FT_ENTRY_WARM && index != FT_STREAM_NONE;
    cr_assert_eq(ft_publication_is_counted(p), is_counted);
    t->of[t->head] = is_counted ? (uint16_t)index : FT_STREAM_NONE;
    t->seq[t->head] = seq;
    if (entry == FT_ENTRY_GAP)
        t->in_doubt[index] = stands(t, index);
}

static void step(struct twin *t, uint32_t opens_one_in)
{
    uint32_t index = (uint32_t)below(t, t->streams);
    bool is_open = name_of(t, index)[0] != 0;
    if (!is_open || below(t, opens_one_in) == 0) {
        uint64_t at = stands(t, index), what = below(t, 4);
        if (what == 0 || !is_open)
            open_stream(t, index, true, below(t, 3) * 10);
        else
            open_stream(t, index, false, what == 1 ? at : at + 1 + below(t, 20));
        if (below(t, 2) == 0)
            append(t, index, 0, FT_ENTRY_GAP);
        return;
    }
    uint64_t what = below(t, 16);
    if (what == 0)
        append(t, FT_STREAM_NONE, 0, FT_ENTRY_LIVE);
    else if (what == 1)
        append(t, index, 7, FT_ENTRY_RESTORED);
    else
        append(t, index, stands(t, index) + 1, what == 2 ? FT_ENTRY_WARM : FT_ENTRY_LIVE);
}

static void check_places(struct twin *t, uint64_t at)
{
    struct ft_place places[FT_PARTITIONS_MAX];
    uint32_t n = ft_journal_places(t->journal, NULL, at, places), k = 0;
    for (uint32_t i = 0; i < t->streams; i++) {
        uint64_t seq, named;
        const struct opened *first = NULL;
        if (!name_of(t, i)[0])
            continue;
        bool is_named = replay(t, i, at, &seq, &named, &first);
        cr_assert_lt(k, n);
        cr_assert_eq(places[k].index, i);
        cr_assert_str_eq(places[k].stream, name_of(t, i));
        if (!is_named) {
            bool is_first = true;
            for (const struct opened *o = t->opens; o < first; o++)
                is_first = is_first && o->index != i;
            seq = is_first ? first->after : 0;
        }
        cr_assert_eq(places[k].seq, seq, "stream %u at %lu: %lu, not %lu", i, (long)at,
                     (long)places[k].seq, (long)seq);
        k++;
    }
    cr_assert_eq(k, n);
}

/* Says whether everything of a stream after `seq` is kept, by its present name, and not in doubt. */
static bool is_kept(const struct twin *t, uint32_t index, uint64_t seq, uint64_t now)
{
    uint64_t at_now, named, missing = now - seq, tail = ft_journal_tail(t->journal);
    const struct opened *first = NULL;
    (void)replay(t, index, t->head, &at_now, &named, &first);
    uint64_t begin = tail + 1 > named ? tail + 1 : named;
    for (uint64_t o = begin; o <= t->head; o++)
        missing -= t->of[o] == index && t->seq[o] > seq;
    return missing == 0 && seq >= t->in_doubt[index];
}

/* Finding in a part of the journal is as finding in all of it, up to there. */
static void check_find_upto(struct twin *t, uint32_t index, uint64_t seq, uint64_t upto)
{
    struct ft_slice name = ft_slice_str(name_of(t, index));
    uint64_t all, at, stood, named;
    const struct opened *first = NULL;
    uint32_t found_index = UINT32_MAX;
    enum ft_found of_all = ft_journal_find(t->journal, name, seq, UINT64_MAX, &found_index, &all);
    enum ft_found found = ft_journal_find(t->journal, name, seq, upto, &found_index, &at);
    bool is_named = replay(t, index, upto, &stood, &named, &first);
    cr_assert_eq(found_index, index);
    if (upto < t->head && (!is_named || stood < seq)) {
        cr_assert_eq(found, FT_FOUND_AHEAD);
        return;
    }
    cr_assert_eq(found, of_all);
    cr_assert_eq(at, all < upto ? all : upto);
}

static void check_find(struct twin *t, uint32_t index, uint64_t seq, bool is_exact)
{
    const char *name = name_of(t, index);
    uint64_t now = stands(t, index), at, named, ignored, tail = ft_journal_tail(t->journal);
    const struct opened *first = NULL;
    uint32_t found_index = UINT32_MAX;
    if (!name[0])
        return;
    (void)replay(t, index, t->head, &ignored, &named, &first);
    enum ft_found found =
        ft_journal_find(t->journal, ft_slice_str(name), seq, UINT64_MAX, &found_index, &at);
    cr_assert_eq(found_index, index);
    if (is_exact)
        check_find_upto(t, index, seq, tail + below(t, t->head - tail + 1));
    if (seq >= now) {
        cr_assert_eq(found, seq == now ? FT_FOUND : FT_FOUND_AHEAD);
        cr_assert_eq(at, t->head);
        return;
    }
    bool whole = is_kept(t, index, seq, now);
    if (is_exact || found == FT_FOUND)
        cr_assert_eq(found, whole ? FT_FOUND : FT_FOUND_GONE, "stream %u, %lu of %lu", index,
                     (long)seq, (long)now);
    cr_assert(at >= tail && at <= t->head);
    for (uint64_t o = 1; o <= t->head; o++) {
        if (t->of[o] != index || o < named || o <= tail)
            continue;
        cr_assert(t->seq[o] <= seq || o > at, "%lu has come at %lu, before %lu", (long)t->seq[o],
                  (long)o, (long)at);
        if (is_exact)
            cr_assert(t->seq[o] > seq || o <= at);
    }
    if (found == FT_FOUND)
        cr_assert(t->of[at + 1] == index && t->seq[at + 1] == seq + 1);
}

static void run(uint32_t streams, size_t bytes, uint32_t steps, uint32_t opens_one_in,
                uint64_t seed)
{
    struct twin *t = twin_new(streams, bytes, seed);
    bool is_exact = opens_one_in > 50; /* else marks cannot reach back as far as the journal */
    for (uint32_t i = 0; i < steps; i++) {
        step(t, opens_one_in);
        if (below(t, 20) != 0)
            continue;
        uint64_t tail = ft_journal_tail(t->journal);
        if (is_exact)
            check_places(t, tail + below(t, t->head - tail + 1));
        check_places(t, t->head);
        uint32_t index = (uint32_t)below(t, streams);
        uint64_t now = stands(t, index);
        check_find(t, index, below(t, now + 2), is_exact);
        check_find(t, index, now > 5 ? now - below(t, 5) : now, is_exact);
    }
    cr_assert_gt(t->open_count, streams);
    twin_free(t);
}

TestSuite(streams, .timeout = 60);

Test(streams, stand_where_a_replay_says)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        run(1 + seed % STREAMS, (size_t)1 << 20, 1500, 100, seed);
}

Test(streams, stand_where_a_replay_says_while_the_tail_is_dropped)
{
    for (uint64_t seed = 11; seed <= 16; seed++)
        run(1 + seed % STREAMS, (size_t)32 << 10, 2500, 200, seed);
}

Test(streams, claim_nothing_when_there_are_more_changes_than_marks)
{
    for (uint64_t seed = 21; seed <= 24; seed++)
        run(2, (size_t)1 << 20, 1000, 3, seed);
}

Test(streams, a_journal_of_its_own_is_one_whose_offsets_are_the_positions)
{
    struct ft_journal *journal = ft_journal_new(
        &(struct ft_journal_options){.stream = "teststream", .size_bytes = 1 << 20, .age_s = 10});
    struct ft_journal_writer *writer = ft_journal_writer_new(journal);
    struct ft_place places[FT_PARTITIONS_MAX];
    uint32_t index = 9;
    uint64_t at;
    for (uint32_t i = 0; i < 4; i++) {
        struct ft_publication_spec spec = {
            .topic = ft_slice_str("a"),
            .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("1")},
            .accepted_s = i,
        };
        struct ft_publication *p = ft_journal_build(writer, &spec);
        cr_assert(ft_journal_append(writer, &p, 1, i));
        cr_assert_eq(p->seq, p->offset);
        cr_assert_eq(p->stream, 0);
    }
    cr_assert_eq(ft_journal_places(journal, NULL, 3, places), 1);
    cr_assert_str_eq(places[0].stream, "teststream");
    cr_assert_eq(places[0].seq, 3);
    struct ft_slice name = ft_slice_str("teststream");
    cr_assert_eq(ft_journal_find(journal, name, 2, UINT64_MAX, &index, &at), FT_FOUND);
    cr_assert_eq(index, 0);
    cr_assert_eq(at, 2);
    cr_assert_eq(ft_journal_find(journal, name, 5, UINT64_MAX, &index, &at), FT_FOUND_AHEAD);
    cr_assert_eq(at, 4);
    cr_assert_eq(ft_journal_find(journal, ft_slice_str("k3f9x2m0ab"), 2, UINT64_MAX, &index, &at),
                 FT_FOUND_UNKNOWN);
    ft_journal_expire(journal, 13);
    cr_assert_eq(ft_journal_find(journal, name, 2, UINT64_MAX, &index, &at), FT_FOUND_GONE);
    cr_assert_eq(at, 3);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(streams, a_position_is_printed_and_a_name_that_was_replaced_is_unknown)
{
    struct twin *t = twin_new(2, 1 << 20, 1);
    char text[FT_POS_LEN_MAX];
    struct ft_place place = {.stream = "k3f9x2m0ab", .seq = (UINT64_C(1) << FT_OFFSET_BITS) - 1};
    size_t len = ft_place_print(&place, text);
    cr_assert(ft_slice_equal(ft_slice(text, len), ft_slice_str("k3f9x2m0ab.1125899906842623")));
    uint32_t index;
    uint64_t at;
    open_stream(t, 1, true, 0);
    append(t, 1, 1, FT_ENTRY_LIVE);
    append(t, 1, 2, FT_ENTRY_LIVE);
    cr_assert_eq(
        ft_journal_find(t->journal, ft_slice_str("s000000001"), 1, UINT64_MAX, &index, &at),
        FT_FOUND);
    open_stream(t, 1, true, 0);
    append(t, 1, 1, FT_ENTRY_LIVE);
    cr_assert_eq(
        ft_journal_find(t->journal, ft_slice_str("s000000001"), 1, UINT64_MAX, &index, &at),
        FT_FOUND_UNKNOWN);
    cr_assert_eq(at, 3);
    cr_assert_eq(
        ft_journal_find(t->journal, ft_slice_str("s000000002"), 0, UINT64_MAX, &index, &at),
        FT_FOUND);
    cr_assert_eq(at, 2);
    twin_free(t);
}

Test(streams, a_frame_shows_the_stream_and_an_event_the_places_of_all)
{
    struct twin *t = twin_new(4, 1 << 20, 1);
    open_stream(t, 0, true, 100);
    open_stream(t, 2, true, 200);
    append(t, 2, 201, FT_ENTRY_LIVE);
    append(t, 0, 101, FT_ENTRY_WARM);
    append(t, 2, 7, FT_ENTRY_RESTORED);
    append(t, FT_STREAM_NONE, 0, FT_ENTRY_LIVE);
    append(t, 2, 202, FT_ENTRY_LIVE);
    static const char *const positions[] = {"s000000002.201", "s000000001.101", "restored00.7", "",
                                            "s000000002.202"};
    static const char *const ids[] = {"id: s000000001.100,s000000002.201\ndata: {",
                                      "id: s000000001.101,s000000002.201\ndata: {", "data: {",
                                      "data: {", "id: s000000001.101,s000000002.202\ndata: {"};
    for (uint32_t i = 0; i < 5; i++) {
        const struct ft_publication *p = ft_journal_peek(t->journal, i + 1);
        cr_assert(ft_slice_equal(ft_publication_pos(p), ft_slice_str(positions[i])));
        for (int twice = 0; twice < 2; twice++) {
            struct ft_slice event = ft_journal_frame(t->journal, p, FT_FRAMES_EVENTS);
            cr_assert_gt(event.len, strlen(ids[i]));
            cr_assert(ft_slice_equal(ft_slice(event.ptr, strlen(ids[i])), ft_slice_str(ids[i])),
                      "%.*s", (int)event.len, (const char *)event.ptr);
        }
        struct ft_slice frame = ft_journal_frame(t->journal, p, FT_FRAMES_MSGPACK);
        cr_assert_gt(frame.len, 0);
    }
    twin_free(t);
}

Test(streams, a_gap_is_of_no_topic)
{
    struct twin *t = twin_new(1, 1 << 20, 1);
    open_stream(t, 0, true, 0);
    struct ft_publication_spec spec = {.entry = FT_ENTRY_GAP};
    struct ft_publication *p = ft_journal_build(t->writer, &spec);
    cr_assert(ft_journal_append(t->writer, &p, 1, 0));
    p = (struct ft_publication *)ft_journal_peek(t->journal, 1);
    cr_assert_eq(p->entry, FT_ENTRY_GAP);
    struct ft_journal_stats stats;
    ft_journal_stats(t->journal, &stats);
    cr_assert_eq(stats.topics.topics, 0);
    twin_free(t);
}

static void expect_found(struct twin *t, uint64_t seq, enum ft_found found, uint64_t expected)
{
    uint32_t index;
    uint64_t at;
    cr_expect_eq(
        ft_journal_find(t->journal, ft_slice_str("s000000001"), seq, UINT64_MAX, &index, &at),
        found, "%lu", seq);
    if (found == FT_FOUND)
        cr_expect_eq(at, expected, "%lu: %lu", seq, at);
}

Test(streams, what_is_skipped_is_gone_and_nothing_else_is)
{
    struct twin *t = twin_new(2, 1 << 20, 1);
    uint64_t far = 2 * FT_SKIP_MIN;
    struct ft_place places[2];
    open_stream(t, 0, true, 0);
    open_stream(t, 1, true, 0);
    append(t, 0, 1, FT_ENTRY_LIVE);
    append(t, 0, 2, FT_ENTRY_LIVE);
    ft_journal_skip(t->journal, 0, far);
    append(t, 1, 1, FT_ENTRY_LIVE);
    append(t, 0, far + 1, FT_ENTRY_LIVE);

    expect_found(t, 0, FT_FOUND, 0);
    expect_found(t, 1, FT_FOUND, 1);
    expect_found(t, 2, FT_FOUND, 3); /* what comes next is the first behind them */
    expect_found(t, 3, FT_FOUND_GONE, 0);
    expect_found(t, far - 1, FT_FOUND_GONE, 0);
    expect_found(t, far, FT_FOUND, 3);
    expect_found(t, far + 1, FT_FOUND, 4);
    expect_found(t, far + 2, FT_FOUND_AHEAD, 0);
    cr_assert_eq(ft_journal_places(t->journal, NULL, 1, places), 2);
    cr_expect_eq(places[0].seq, 1);
    ft_journal_places(t->journal, NULL, 3, places);
    cr_expect_eq(places[0].seq, 2);
    ft_journal_places(t->journal, NULL, 4, places);
    cr_expect_eq(places[0].seq, far + 1);

    for (uint64_t n = 2; n <= 65; n++) {
        ft_journal_skip(t->journal, 0, n * far);
        append(t, 0, n * far + 1, FT_ENTRY_LIVE);
        expect_found(t, n * far - 1, FT_FOUND_GONE, 0);
    }
    expect_found(t, far + 1, FT_FOUND, 4);
    expect_found(t, 2 * far, FT_FOUND, 4);
    expect_found(t, 2 * far + 1, FT_FOUND, 5);
    expect_found(t, 2, FT_FOUND_GONE, 0); /* there were too many since */
    ft_journal_open_stream(t->journal, 0, "s000000001", 66 * far);
    expect_found(t, far + 1, FT_FOUND_GONE, 0);
    twin_free(t);
}

Test(streams, a_gap_in_the_middle_of_a_stream_is_told_to_who_goes_on_from_before_it)
{
    struct twin *t = twin_new(2, 1 << 20, 1);
    open_stream(t, 0, true, 0);
    open_stream(t, 1, true, 0);
    append(t, 0, 1, FT_ENTRY_LIVE);
    append(t, 1, 1, FT_ENTRY_LIVE);
    append(t, 0, 2, FT_ENTRY_LIVE);
    append(t, 0, 0, FT_ENTRY_GAP);
    append(t, 0, 3, FT_ENTRY_LIVE);
    struct ft_slice first = ft_slice_str("s000000001"), second = ft_slice_str("s000000002");
    uint32_t index;
    uint64_t at;
    cr_assert_eq(ft_journal_find(t->journal, first, 1, UINT64_MAX, &index, &at), FT_FOUND_GONE);
    cr_assert_eq(at, 2);
    cr_assert_eq(ft_journal_find(t->journal, first, 2, UINT64_MAX, &index, &at), FT_FOUND);
    cr_assert_eq(at, 4);
    cr_assert_eq(ft_journal_find(t->journal, second, 0, UINT64_MAX, &index, &at), FT_FOUND);
    twin_free(t);
}

Test(streams, what_topics_keep_of_one_stream_is_forgotten_and_restored)
{
    struct twin *t = twin_new(2, 1 << 20, 1);
    open_stream(t, 0, true, 0);
    open_stream(t, 1, true, 0);
    for (uint16_t i = 0; i < 2; i++) {
        struct ft_publication_spec spec = {
            .encoding = FT_JSON,
            .topic = ft_slice_str(i ? "of/one" : "of/nil"),
            .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("1")},
            .is_retained = true,
            .stream_index = i,
            .seq = 1,
        };
        struct ft_publication *p = ft_journal_build(t->writer, &spec);
        cr_assert(ft_journal_append(t->writer, &p, 1, 0));
    }
    ft_journal_forget_topics(t->journal, 1);
    const struct ft_topic_table *topics = ft_journal_lock_topics(t->journal);
    cr_assert_null(ft_topic_table_find(topics, ft_slice_str("of/one")));
    cr_assert_eq(ft_topic_table_find(topics, ft_slice_str("of/nil"))->retained, 1);
    ft_journal_unlock(t->journal);
    cr_assert(ft_journal_has_retained(t->journal));
    ft_journal_forget_topics(t->journal, 0);
    cr_assert_not(ft_journal_has_retained(t->journal));
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str("of/one"),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("1")},
        .is_retained = true,
        .entry = FT_ENTRY_RESTORED,
        .stream_index = 1,
        .seq = 77,
        .name = "elsewhere0",
    };
    struct ft_publication *p = ft_journal_build(t->writer, &spec);
    cr_assert(ft_journal_append(t->writer, &p, 1, 0));
    topics = ft_journal_lock_topics(t->journal);
    cr_assert_eq(ft_topic_table_find(topics, ft_slice_str("of/one"))->retained, 3);
    ft_journal_unlock(t->journal);
    cr_assert(ft_slice_equal(ft_publication_pos(ft_journal_peek(t->journal, 3)),
                             ft_slice_str("elsewhere0.77")));
    twin_free(t);
}
