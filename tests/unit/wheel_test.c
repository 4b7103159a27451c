/* The timing wheel: what fires when, whatever is set, moved and cancelled meanwhile. */
#include "broker/hub/wheel.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

static uint32_t fired(struct ft_wheel *wheel)
{
    uint32_t n = 0;
    ft_wheel_tick(wheel);
    while (ft_wheel_next_due(wheel))
        n++;
    return n;
}

Test(wheel, fires_after_its_time_rounded_up_to_a_tick)
{
    struct ft_wheel wheel = {0};
    struct ft_wheel_timer a = {0}, b = {0};
    ft_wheel_set(&wheel, &a, 0);
    ft_wheel_set(&wheel, &b, FT_WHEEL_TICK_MS + 1);
    cr_assert_eq(fired(&wheel), 1);
    cr_assert_eq(fired(&wheel), 1);
    cr_assert_eq(fired(&wheel), 0);
}

Test(wheel, a_timer_may_be_longer_than_a_turn_of_the_wheel)
{
    struct ft_wheel wheel = {0};
    struct ft_wheel_timer timer = {0};
    uint32_t ticks = 3 * FT_WHEEL_SLOTS + 7;
    ft_wheel_set(&wheel, &timer, (uint64_t)ticks * FT_WHEEL_TICK_MS);
    for (uint32_t i = 1; i < ticks; i++)
        cr_assert_eq(fired(&wheel), 0, "at tick %u", i);
    cr_assert_eq(fired(&wheel), 1);
}

Test(wheel, cancelling_and_moving_may_be_repeated)
{
    struct ft_wheel wheel = {0};
    struct ft_wheel_timer timer = {0};
    ft_wheel_cancel(&timer);
    ft_wheel_set(&wheel, &timer, FT_WHEEL_TICK_MS);
    ft_wheel_cancel(&timer);
    ft_wheel_cancel(&timer);
    cr_assert_eq(fired(&wheel), 0);
    ft_wheel_set(&wheel, &timer, FT_WHEEL_TICK_MS);
    ft_wheel_set(&wheel, &timer, 2 * FT_WHEEL_TICK_MS);
    cr_assert_eq(fired(&wheel), 0);
    cr_assert_eq(fired(&wheel), 1);
}

Test(wheel, a_timer_that_is_set_again_while_firing_waits_for_a_later_tick)
{
    struct ft_wheel wheel = {0};
    struct ft_wheel_timer timer = {0};
    ft_wheel_set(&wheel, &timer, 0);
    ft_wheel_tick(&wheel);
    struct ft_wheel_timer *due = ft_wheel_next_due(&wheel);
    cr_assert_eq(due, &timer);
    ft_wheel_set(&wheel, due, 0);
    cr_assert_null(ft_wheel_next_due(&wheel));
    cr_assert_eq(fired(&wheel), 1);
}

Test(wheel, does_what_a_list_of_deadlines_would)
{
    enum { TIMERS = 200, TICKS = 5000 };
    static struct ft_wheel wheel;
    static struct ft_wheel_timer timers[TIMERS];
    static uint32_t due[TIMERS]; /* 0: not set */
    unsigned seed = 20261121;
    for (uint32_t now = 1; now <= TICKS; now++) {
        for (int k = 0; k < 5; k++) {
            int i = rand_r(&seed) % TIMERS;
            uint32_t ticks = 1 + (uint32_t)rand_r(&seed) % 600;
            bool set = rand_r(&seed) % 3 != 0;
            if (set)
                ft_wheel_set(&wheel, &timers[i], (uint64_t)ticks * FT_WHEEL_TICK_MS);
            else
                ft_wheel_cancel(&timers[i]);
            due[i] = set ? now - 1 + ticks : 0;
        }
        ft_wheel_tick(&wheel);
        struct ft_wheel_timer *timer;
        while ((timer = ft_wheel_next_due(&wheel))) {
            cr_assert_eq(due[timer - timers], now, "seed 20261121, tick %u", now);
            due[timer - timers] = 0;
        }
        for (int i = 0; i < TIMERS; i++)
            cr_assert(due[i] == 0 || due[i] > now, "seed 20261121, tick %u, timer %d", now, i);
    }
}
