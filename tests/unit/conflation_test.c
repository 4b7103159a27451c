/* The newest of each topic against its slow, obvious twin: an array with a place for each topic. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/core/conflation.h"
#include "tests/unit/support/input.h"

/* The hash of a numbered topic; all bits of it vary. */
static uint64_t topic(uint64_t n)
{
    return (n + 1) * 0x9E3779B97F4A7C15;
}

/* Asserts that taking gives exactly these offsets. */
static void assert_taken(struct ft_conflation *conflation, const uint64_t *want, uint32_t n)
{
    const uint64_t *offsets;
    cr_assert_eq(ft_conflation_take(conflation, &offsets), n);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(offsets[i], want[i], "place %u: %llu", i, (unsigned long long)offsets[i]);
    cr_assert_eq(conflation->count, 0);
    cr_assert_eq(conflation->bytes, 0);
}

Test(conflation, an_empty_one_holds_no_memory_and_gives_nothing)
{
    struct ft_conflation conflation = {0};
    assert_taken(&conflation, NULL, 0);
    ft_conflation_clear(&conflation);
    assert_taken(&conflation, NULL, 0);
    cr_expect_eq(ft_conflation_bytes(&conflation), 0);
    ft_conflation_fini(&conflation);

    memset(&conflation, 0xFF, sizeof(conflation));
    ft_conflation_init(&conflation);
    assert_taken(&conflation, NULL, 0);
    ft_conflation_fini(&conflation);
}

Test(conflation, the_newest_of_each_topic_comes_out_in_order)
{
    struct ft_conflation conflation = {0};
    ft_conflation_put(&conflation, topic(1), 5, 100);
    ft_conflation_put(&conflation, topic(2), 6, 30);
    ft_conflation_put(&conflation, topic(1), 9, 1);
    cr_expect_eq(conflation.count, 2);
    cr_expect_eq(conflation.bytes, 31);
    assert_taken(&conflation, (uint64_t[]){6, 9}, 2);
    assert_taken(&conflation, NULL, 0);

    ft_conflation_put(&conflation, topic(2), 12, 8);
    cr_expect_eq(conflation.count, 1);
    cr_expect_eq(conflation.bytes, 8);
    assert_taken(&conflation, (uint64_t[]){12}, 1);
    ft_conflation_fini(&conflation);
}

Test(conflation, an_older_publication_changes_nothing)
{
    struct ft_conflation conflation = {0};
    ft_conflation_put(&conflation, topic(1), 5, 100);
    ft_conflation_put(&conflation, topic(1), 4, 30);
    ft_conflation_put(&conflation, topic(1), 5, 31);
    cr_expect_eq(conflation.count, 1);
    cr_expect_eq(conflation.bytes, 100);
    assert_taken(&conflation, (uint64_t[]){5}, 1);
    ft_conflation_fini(&conflation);
}

Test(conflation, topics_whose_hashes_share_all_but_one_bit_are_told_apart)
{
    struct ft_conflation conflation = {0};
    uint64_t offset = 1;
    ft_conflation_put(&conflation, 0, offset++, 1);
    for (unsigned bit = 0; bit < 64; bit++)
        ft_conflation_put(&conflation, UINT64_C(1) << bit, offset++, 1);
    ft_conflation_put(&conflation, UINT64_MAX, offset++, 1);
    ft_conflation_put(&conflation, UINT64_MAX - 1, offset++, 1);
    cr_expect_eq(conflation.count, 67);
    uint64_t want[67];
    for (unsigned i = 0; i < 67; i++)
        want[i] = i + 1;
    assert_taken(&conflation, want, 67);
    ft_conflation_fini(&conflation);
}

Test(conflation, clearing_forgets_what_was_put)
{
    struct ft_conflation conflation = {0};
    for (unsigned i = 0; i < 30; i++)
        ft_conflation_put(&conflation, topic(i), i + 1, 10);
    ft_conflation_clear(&conflation);
    cr_expect_eq(conflation.count, 0);
    cr_expect_eq(conflation.bytes, 0);
    assert_taken(&conflation, NULL, 0);
    ft_conflation_put(&conflation, topic(3), 3, 7);
    cr_expect_eq(conflation.bytes, 7, "smaller than before, and known no more");
    assert_taken(&conflation, (uint64_t[]){3}, 1);
    ft_conflation_fini(&conflation);
}

Test(conflation, what_was_taken_leaves_no_trace_in_the_next_round)
{
    /* The offsets that were lent lie where the slots are again: for every count, look for ghosts. */
    for (unsigned n = 1; n <= 100; n++) {
        struct ft_conflation conflation = {0};
        const uint64_t *offsets;
        for (unsigned i = 0; i < n; i++)
            ft_conflation_put(&conflation, topic(i), 1000 - i, 10);
        cr_assert_eq(ft_conflation_take(&conflation, &offsets), n);
        ft_conflation_put(&conflation, topic(7), 1, 3);
        cr_assert_eq(conflation.count, 1, "after %u", n);
        cr_assert_eq(conflation.bytes, 3, "after %u", n);
        assert_taken(&conflation, (uint64_t[]){1}, 1);
        ft_conflation_fini(&conflation);
    }
}

Test(conflation, offsets_and_sizes_of_any_width_are_kept_whole)
{
    struct ft_conflation conflation = {0};
    for (unsigned i = 0; i < 10; i++)
        ft_conflation_put(&conflation, topic(i), UINT64_MAX - i, UINT32_MAX);
    cr_expect_eq(conflation.bytes, 10 * (uint64_t)UINT32_MAX);
    ft_conflation_put(&conflation, topic(10), 1, 0);
    ft_conflation_put(&conflation, topic(10), 2, UINT32_MAX);
    ft_conflation_put(&conflation, topic(10), 3, 0);
    cr_expect_eq(conflation.bytes, 10 * (uint64_t)UINT32_MAX);
    cr_expect_eq(conflation.count, 11);
    const uint64_t *offsets;
    cr_assert_eq(ft_conflation_take(&conflation, &offsets), 11);
    cr_expect_eq(offsets[0], 3);
    for (unsigned i = 1; i < 11; i++)
        cr_expect_eq(offsets[i], UINT64_MAX - 10 + i);

    /* Sorted by all of their bits. */
    static const uint64_t wide[] = {7, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 9,
                                    UINT64_C(1) << 49};
    for (unsigned i = 0; i < 4; i++)
        ft_conflation_put(&conflation, topic(3 - i), wide[i], 1);
    assert_taken(&conflation, wide, 4);
    for (unsigned i = 0; i < 4; i++)
        ft_conflation_put(&conflation, topic(i), wide[i], 1);
    assert_taken(&conflation, wide, 4);
    ft_conflation_fini(&conflation);
}

Test(conflation, a_small_table_stays_and_a_large_one_goes)
{
    struct ft_conflation conflation = {0};
    ft_conflation_put(&conflation, topic(1), 1, 10);
    size_t small = ft_conflation_bytes(&conflation);
    cr_expect_leq(small, 256, "many watch a topic or two");
    assert_taken(&conflation, (uint64_t[]){1}, 1);
    ft_conflation_put(&conflation, topic(1), 2, 10);
    ft_conflation_clear(&conflation);
    cr_expect_eq(ft_conflation_bytes(&conflation), small);

    enum { MANY = 10000 };
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < MANY; i++, bytes += 10)
        ft_conflation_put(&conflation, topic(i), i + 10, 10);
    cr_expect_eq(conflation.count, MANY);
    cr_expect_eq(conflation.bytes, bytes);
    cr_expect_leq(ft_conflation_bytes(&conflation), MANY * 24 * 8 / 3);
    const uint64_t *offsets;
    cr_assert_eq(ft_conflation_take(&conflation, &offsets), MANY);
    cr_expect_eq(offsets[MANY - 1], MANY + 9);
    ft_conflation_put(&conflation, topic(1), MANY + 10, 10);
    cr_expect_leq(ft_conflation_bytes(&conflation), 256, "the next call gave it back");

    for (uint64_t i = 0; i < MANY; i++)
        ft_conflation_put(&conflation, topic(i), i + 2 * MANY, 10);
    ft_conflation_clear(&conflation);
    cr_expect_eq(ft_conflation_bytes(&conflation), 0);
    ft_conflation_fini(&conflation);
}

/* Puts and takes at random, and compares with an array after each step. Few `hashes` (the top bits,
 * which choose the slot) make long runs; `back` lets offsets go back by up to so much. */
static void check_against_array(uint64_t seed, uint32_t topics, uint64_t hashes, uint64_t back)
{
    fprintf(stderr, "conflation: seed %u\n", (unsigned)seed);
    struct newest {
        uint64_t offset;
        uint32_t bytes;
    } *newest = calloc(topics, sizeof(*newest));
    struct ft_conflation conflation = {0};
    uint64_t state = seed;
    uint64_t head = back;
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t n = (uint32_t)ft_input_random(&state, topics);
        uint32_t bytes = (uint32_t)ft_input_random(&state, 1000);
        uint64_t offset = ++head - ft_input_random(&state, back + 1);
        uint64_t hash = (n % hashes) * 0x9E3779B97F4A7C15 ^ n;
        if (offset > newest[n].offset)
            newest[n] = (struct newest){offset, bytes};
        ft_conflation_put(&conflation, hash, offset, bytes);
        if (ft_input_random(&state, 2 * (uint64_t)topics) != 0)
            continue;

        uint64_t sum = 0;
        uint32_t count = 0;
        for (uint32_t j = 0; j < topics; j++) {
            count += newest[j].offset != 0;
            sum += newest[j].bytes;
        }
        cr_assert_eq(conflation.count, count, "operation %u", i);
        cr_assert_eq(conflation.bytes, sum, "operation %u", i);
        const uint64_t *offsets;
        cr_assert_eq(ft_conflation_take(&conflation, &offsets), count, "operation %u", i);
        for (uint32_t j = 1; j < count; j++)
            cr_assert_leq(offsets[j - 1], offsets[j], "operation %u", i);
        for (uint32_t j = 0; j < topics; j++) {
            bool is_there = false;
            for (uint32_t k = 0; k < count; k++)
                is_there = is_there || offsets[k] == newest[j].offset;
            cr_assert(is_there || newest[j].offset == 0, "operation %u, topic %u", i, j);
        }
        memset(newest, 0, topics * sizeof(*newest));
    }
    ft_conflation_fini(&conflation);
    free(newest);
}

Test(conflation, random_operations_agree_with_an_array)
{
    check_against_array(1, 5, 5, 0);
    check_against_array(2, 100, 100, 0);
    check_against_array(3, 1000, 1000, 0);
    check_against_array(4, 60, 2, 0);
    check_against_array(5, 40, 40, 50);
}

Test(conflation, an_offset_of_nothing_is_not_taken, .signal = SIGABRT)
{
    struct ft_conflation conflation = {0};
    ft_conflation_put(&conflation, topic(1), 0, 1);
}
