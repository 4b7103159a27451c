/* A worker's filters by partition, against a slow twin that counts them all again. */
#include "broker/hub/wants.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/support/input.h"

enum { PARTITIONS = 5, FILTERS = 40, STEPS = 20000 };

static const struct ft_partitions partitions = {.count = PARTITIONS, .hash_levels = 1};
static struct ft_interest interest;
static struct ft_wants *wants;

static void setup(void)
{
    ft_interest_init(&interest, &partitions);
    wants = ft_wants_new(&interest);
}

static void teardown(void)
{
    ft_wants_free(wants);
    ft_interest_fini(&interest);
}

TestSuite(wants, .init = setup, .fini = teardown);

static uint32_t wanted(void)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < PARTITIONS; k++)
        n += ft_interest_is_wanted(&interest, k);
    return n;
}

Test(wants, a_filter_of_one_partition_wants_that_one)
{
    struct ft_slice filter = ft_slice_str("stocks/+/price");
    cr_expect(ft_wants_add(wants, filter), "that is news");
    cr_expect_not(ft_wants_add(wants, filter), "that is not");
    cr_expect_eq(wanted(), 1);
    cr_expect(
        ft_interest_is_wanted(&interest, ft_partition_of(&partitions, ft_slice_str("stocks"))));
    ft_wants_remove(wants, filter);
    cr_expect_eq(wanted(), 1);
    ft_wants_remove(wants, filter);
    cr_expect_eq(wanted(), 0);
}

Test(wants, a_wildcard_in_the_hashed_levels_wants_all_and_gives_back_what_others_do_not_want)
{
    struct ft_slice one = ft_slice_str("a/b"), all = ft_slice_str("+/b");
    (void)ft_wants_add(wants, one);
    cr_expect(ft_wants_add(wants, all));
    cr_expect_eq(wanted(), PARTITIONS);
    cr_expect_not(ft_wants_add(wants, ft_slice_str("x")), "it is wanted already");
    ft_wants_remove(wants, ft_slice_str("x"));
    cr_expect_eq(wanted(), PARTITIONS);
    ft_wants_remove(wants, all);
    cr_expect_eq(wanted(), 1);
    ft_wants_remove(wants, one);
    cr_expect_eq(wanted(), 0);
}

Test(wants, another_worker_wants_for_itself)
{
    struct ft_wants *other = ft_wants_new(&interest);
    cr_expect(ft_wants_add(wants, ft_slice_str("a")));
    cr_expect_not(ft_wants_add(other, ft_slice_str("a")), "somebody on the node wants it already");
    ft_wants_remove(wants, ft_slice_str("a"));
    cr_expect_eq(wanted(), 1);
    ft_wants_remove(other, ft_slice_str("a"));
    cr_expect_eq(wanted(), 0);
    ft_wants_free(other);
}

static void check_against(const uint32_t counts[FILTERS], const struct ft_partition_set *touched)
{
    for (uint32_t k = 0; k < PARTITIONS; k++) {
        bool is_wanted = false;
        for (int i = 0; i < FILTERS; i++)
            is_wanted |= counts[i] > 0 && ft_partition_set_has(&touched[i], k);
        cr_assert_eq(ft_interest_is_wanted(&interest, k), is_wanted, "partition %u", k);
    }
}

Test(wants, whatever_comes_and_goes_what_is_wanted_is_what_the_filters_touch)
{
    uint32_t counts[FILTERS] = {0};
    struct ft_partition_set touched[FILTERS] = {0};
    char filters[FILTERS][16];
    uint64_t random = 42;
    for (int i = 0; i < FILTERS; i++) {
        snprintf(filters[i], sizeof(filters[i]), i % 5 == 0 ? "+/%d" : "t%d/#", i);
        ft_partitions_touched(&partitions, ft_slice_str(filters[i]), &touched[i]);
    }
    for (int step = 0; step < STEPS; step++) {
        uint64_t i = ft_input_random(&random, FILTERS), most = step / 1000 % 2 ? 1 : 3;
        bool is_set = ft_input_random(&random, 2) == 0; /* for somebody who is about to subscribe */
        if (counts[i] < most && ft_input_random(&random, 3) == 0) {
            bool was_news = is_set ? ft_wants_add_set(wants, &touched[i])
                                   : ft_wants_add(wants, ft_slice_str(filters[i]));
            cr_assert(!was_news || counts[i] == 0);
            counts[i]++;
        } else if (counts[i] > 0) {
            counts[i]--;
            if (is_set)
                ft_wants_remove_set(wants, &touched[i]);
            else
                ft_wants_remove(wants, ft_slice_str(filters[i]));
        }
        check_against(counts, touched);
    }
    for (int i = 0; i < FILTERS; i++) {
        for (; counts[i] > 0; counts[i]--)
            ft_wants_remove(wants, ft_slice_str(filters[i]));
    }
    cr_assert_eq(wanted(), 0);
}
