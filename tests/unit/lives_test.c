/* Lives of Redis in a stream, as they are shown: each is a stream of its own, without holes. */
#include "broker/core/journal.h"
#include "broker/hub/since.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct twin {
    struct ft_journal *journal;
    struct ft_journal_writer *writer;
};

static struct twin *twin_new(uint64_t after)
{
    struct twin *t = malloc(sizeof(*t));
    t->journal = ft_journal_new(&(struct ft_journal_options){
        .streams = 1, .size_bytes = 1 << 20, .age_s = 300, .chunk_bytes = 16 * 1024});
    t->writer = ft_journal_writer_new(t->journal);
    ft_journal_open_stream(t->journal, 0, "s000000001", after);
    return t;
}

static void twin_free(struct twin *t)
{
    ft_journal_writer_free(t->writer);
    ft_journal_free(t->journal);
    free(t);
}

/* Appends a publication, whose position is as expected. */
static void append(struct twin *t, uint64_t seq, const char *life, uint64_t offset)
{
    char wanted[64];
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str("t"),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("1")},
        .seq = seq,
    };
    struct ft_publication *p = ft_journal_build(t->writer, &spec);
    cr_assert(ft_journal_append(t->writer, &p, 1, 1));
    snprintf(wanted, sizeof(wanted), "%s.%lu", life, offset);
    cr_expect(ft_slice_equal(ft_publication_pos(p), ft_slice_str(wanted)), "%s", wanted);
}

/* Adds a life behind `after`, with one publication. */
static void live_again(struct twin *t, uint64_t after)
{
    char life[FT_STREAM_NAME_LEN + 1];
    ft_streams_life(ft_journal_lock_streams(t->journal), 0, "s000000001", after);
    ft_journal_unlock(t->journal);
    ft_journal_skip(t->journal, 0, after);
    ft_stream_name_life("s000000001", after, life);
    append(t, after + 1, life, 1);
}

static const char *printed(struct twin *t, uint64_t at)
{
    static char text[FT_POS_LEN_MAX + 1];
    struct ft_place place;
    cr_assert_eq(ft_journal_places(t->journal, NULL, at, &place), 1);
    text[ft_place_print(&place, text)] = '\0';
    return text;
}

static void expect_life(struct twin *t, uint64_t base, uint64_t offset, enum ft_found found,
                        uint64_t expected)
{
    char name[FT_STREAM_NAME_LEN + 1];
    uint32_t index;
    uint64_t at;
    ft_stream_name_life("s000000001", base, name);
    cr_expect_eq(ft_journal_find(t->journal, ft_slice_str(name), offset, UINT64_MAX, &index, &at),
                 found, "%s.%lu", name, offset);
    if (found == FT_FOUND)
        cr_expect_eq(at, expected, "%s.%lu: %lu", name, offset, at);
}

Test(lives, each_life_is_shown_as_a_stream_of_its_own)
{
    uint64_t far = 2 * FT_SKIP_MIN;
    char life[FT_STREAM_NAME_LEN + 1], wanted[FT_POS_LEN_MAX + 8];
    struct twin *t = twin_new(0);
    append(t, 1, "s000000001", 1);
    append(t, 2, "s000000001", 2);
    live_again(t, far);
    ft_stream_name_life("s000000001", far, life);
    append(t, far + 2, life, 2);
    live_again(t, 3 * far);

    cr_expect_str_eq(printed(t, 0), "s000000001.0");
    cr_expect_str_eq(printed(t, 2), "s000000001.2");
    for (uint64_t n = 1; n <= 2; n++) {
        snprintf(wanted, sizeof(wanted), "%s.%lu", life, n);
        cr_expect_str_eq(printed(t, 2 + n), wanted);
    }
    expect_life(t, 0, 1, FT_FOUND, 1);
    expect_life(t, 0, 2, FT_FOUND, 2);
    expect_life(t, 0, 3, FT_FOUND_GONE, 0);
    expect_life(t, 0, 2 * far, FT_FOUND_GONE, 0);
    expect_life(t, far, 0, FT_FOUND, 2);
    expect_life(t, far, 1, FT_FOUND, 3);
    expect_life(t, far, 2, FT_FOUND, 4);
    expect_life(t, far, 3, FT_FOUND_GONE, 0);
    expect_life(t, far, UINT64_MAX, FT_FOUND_GONE, 0);
    expect_life(t, 3 * far, 0, FT_FOUND, 4);
    expect_life(t, 3 * far, 1, FT_FOUND, 5);
    expect_life(t, 3 * far, 2, FT_FOUND_AHEAD, 0);
    expect_life(t, 2 * far, 1, FT_FOUND_UNKNOWN, 0); /* it names no partition */
    twin_free(t);
}

Test(lives, lives_are_named_in_any_order_and_the_second_ones_are_forgotten)
{
    uint64_t far = 2 * FT_SKIP_MIN;
    char life[FT_STREAM_NAME_LEN + 1], wanted[FT_POS_LEN_MAX + 8];
    struct twin *t = twin_new(70 * far);
    for (uint64_t n = 70; n > 0; n -= 2) {
        ft_streams_life(ft_journal_lock_streams(t->journal), 0, "s000000001", n * far);
        ft_journal_unlock(t->journal);
    }
    for (uint64_t n = 1; n < 70; n++) {
        ft_streams_life(ft_journal_lock_streams(t->journal), 0, n % 2 ? "s000000001" : "s000000002",
                        n * far);
        ft_journal_unlock(t->journal);
    }
    ft_stream_name_life("s000000001", 70 * far, life);
    append(t, 70 * far + 1, life, 1);
    snprintf(wanted, sizeof(wanted), "%s.1", life);
    cr_expect_str_eq(printed(t, 1), wanted);
    expect_life(t, 70 * far, 1, FT_FOUND, 1);
    expect_life(t, 69 * far, 1, FT_FOUND_GONE, 0);
    expect_life(t, 0, 1, FT_FOUND_GONE, 0);
    expect_life(t, far, 1, FT_FOUND_UNKNOWN, 0);
    expect_life(t, 6 * far, 1, FT_FOUND_UNKNOWN, 0);
    expect_life(t, 8 * far, 1, FT_FOUND_GONE, 0);
    twin_free(t);
}

/* Looks up `first`.1 and `second`.1, as a client names them that has seen both. */
static bool is_recovered(struct twin *t, const char *first, const char *second)
{
    char json[128];
    struct ft_reader reader;
    struct ft_envelope envelope;
    struct ft_since since;
    uint8_t scratch[sizeof(json)];
    struct ft_partition_set touched = {0};
    ft_partition_set_add(&touched, 0);
    snprintf(json, sizeof(json), "{\"op\":\"sub\",\"since\":[\"%s.1\",\"%s.1\"]}", first, second);
    cr_assert_eq(ft_reader_begin(&reader, FT_JSON, ft_slice_str(json), scratch, NULL), FT_OK);
    cr_assert_eq(ft_reader_next(&reader, &envelope, NULL), FT_OK);
    ft_since_find(t->journal, UINT64_MAX, &envelope.since, &touched, &since);
    return since.is_recovered;
}

/* A client that was on a node which is further on keeps the life before as well. To recover it from there would bring
 * it all of the later one a second time. */
Test(lives, who_has_seen_a_later_life_is_not_recovered_by_an_earlier_one)
{
    static const uint8_t random[FT_STREAM_RANDOM_BYTES] = {1, 2, 3, 4, 5, 6, 7};
    uint64_t far = 2 * FT_SKIP_MIN;
    char first[FT_STREAM_NAME_LEN + 1], names[4][FT_STREAM_NAME_LEN + 1];
    struct twin *t = twin_new(0);
    ft_stream_name_of(0, random, first);
    ft_journal_open_stream(t->journal, 0, first, 0);
    for (uint64_t n = 0; n < 4; n++)
        ft_stream_name_life(first, (n + 1) * far, names[n]);
    append(t, 1, first, 1);
    cr_expect(is_recovered(t, first, first));
    cr_expect_not(is_recovered(t, first, names[0]));
    cr_expect_not(is_recovered(t, names[3], first));

    ft_streams_life(ft_journal_lock_streams(t->journal), 0, first, 3 * far);
    ft_journal_unlock(t->journal);
    ft_journal_skip(t->journal, 0, 3 * far);
    append(t, 3 * far + 1, names[2], 1);
    cr_expect(is_recovered(t, names[2], first));
    cr_expect(is_recovered(t, names[2], names[0]), "an older one that is not known any more");
    cr_expect_not(is_recovered(t, names[2], names[3]));
    twin_free(t);
}
