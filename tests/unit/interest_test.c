/* Who wants a partition, and when it may be left. */
#include "broker/hub/interest.h"

#include <criterion/criterion.h>

static struct ft_interest interest;

static void setup(void)
{
    ft_interest_init(&interest, &(struct ft_partitions){.count = FT_PARTITIONS_MAX});
}

static void teardown(void)
{
    ft_interest_fini(&interest);
}

TestSuite(interest, .init = setup, .fini = teardown);

Test(interest, in_the_beginning_nothing_is_wanted_or_joined)
{
    for (uint32_t k = 0; k < FT_PARTITIONS_MAX; k++) {
        cr_expect_not(ft_interest_is_wanted(&interest, k));
        cr_expect_not(ft_interest_is_joined(&interest, k));
    }
}

Test(interest, only_the_first_who_wants_a_partition_is_news)
{
    cr_expect(ft_interest_want(&interest, 7));
    cr_expect_not(ft_interest_want(&interest, 7));
    cr_expect(ft_interest_want(&interest, FT_PARTITIONS_MAX - 1), "each partition by itself");
    ft_interest_unwant(&interest, 7);
    cr_expect(ft_interest_is_wanted(&interest, 7));
    ft_interest_unwant(&interest, 7);
    cr_expect_not(ft_interest_is_wanted(&interest, 7));
    cr_expect(ft_interest_want(&interest, 7), "nobody wanted it any more");
}

Test(interest, what_somebody_wants_is_not_left)
{
    (void)ft_interest_want(&interest, 3);
    ft_interest_joined(&interest, 3);
    cr_expect_not(ft_interest_leave(&interest, 3));
    cr_expect(ft_interest_is_joined(&interest, 3));
    ft_interest_unwant(&interest, 3);
    cr_expect(ft_interest_is_joined(&interest, 3), "until it is left");
    cr_expect(ft_interest_leave(&interest, 3));
    cr_expect_not(ft_interest_is_joined(&interest, 3));
}

Test(interest, the_version_tells_what_is_joined_and_nothing_else)
{
    uint32_t before = ft_interest_version(&interest);
    (void)ft_interest_want(&interest, 3);
    cr_expect_eq(ft_interest_version(&interest), before, "or all who wait would look for nothing");
    ft_interest_joined(&interest, 3);
    cr_expect_neq(ft_interest_version(&interest), before);
}
