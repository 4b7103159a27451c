/* The pause between attempts: its bounds, and that it spreads. */
#include <criterion/criterion.h>

#include "clients/c/backoff.h"

static uint32_t delay(unsigned attempt, uint64_t random)
{
    return ft_backoff_delay_ms(attempt, FT_BACKOFF_MIN_MS, FT_BACKOFF_MAX_MS, random);
}

Test(client_backoff, the_span_doubles_with_each_failure)
{
    cr_assert_eq(delay(0, UINT64_MAX), 500);
    /* The largest delay of a span is that of the largest remainder. */
    cr_assert_eq(delay(1, 500), 1000);
    cr_assert_eq(delay(2, 1500), 2000);
    cr_assert_eq(delay(5, 15500), 16000);
    cr_assert_eq(delay(6, 19500), 20000);
}

Test(client_backoff, it_never_leaves_its_bounds)
{
    uint64_t random = 88172645463325252ULL;
    for (unsigned i = 0; i < 100000; i++) {
        random ^= random << 13; /* xorshift64, fixed seed: the same run each time */
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t ms = delay(i % 70, random);
        cr_assert(ms >= 500 && ms <= 20000, "attempt %u waits %u ms", i % 70, ms);
    }
}

Test(client_backoff, it_spreads_over_the_whole_span)
{
    unsigned low = 0, high = 0;
    uint64_t random = 88172645463325252ULL;
    for (unsigned i = 0; i < 10000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t ms = delay(10, random);
        low += ms < 5375; /* a quarter of 500 … 20,000 */
        high += ms > 15125;
    }
    cr_assert(low > 2300 && low < 2700, "%u of 10,000 in the lowest quarter", low);
    cr_assert(high > 2300 && high < 2700, "%u of 10,000 in the highest quarter", high);
}

Test(client_backoff, equal_bounds_leave_no_choice)
{
    cr_assert_eq(ft_backoff_delay_ms(9, 700, 700, 12345), 700);
}
