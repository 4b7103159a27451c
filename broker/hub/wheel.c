/*
 * The timing wheel. Knows nothing of what its timers are for, and reads no clock: a tick is a call.
 * One worker's thread.
 */
#include "broker/hub/wheel.h"

void ft_wheel_cancel(struct ft_wheel_timer *timer)
{
    if (!timer->link_)
        return;
    *timer->link_ = timer->next_;
    if (timer->next_)
        timer->next_->link_ = timer->link_;
    timer->link_ = NULL;
}

void ft_wheel_set(struct ft_wheel *wheel, struct ft_wheel_timer *timer, uint64_t ms)
{
    ft_wheel_set_ticks(wheel, timer, (ms + FT_WHEEL_TICK_MS - 1) / FT_WHEEL_TICK_MS);
}

void ft_wheel_set_ticks(struct ft_wheel *wheel, struct ft_wheel_timer *timer, uint64_t ticks)
{
    ft_wheel_cancel(timer);
    timer->due_ = wheel->now_ + (uint32_t)(ticks ? ticks : 1);
    struct ft_wheel_timer **slot = &wheel->slots_[timer->due_ % FT_WHEEL_SLOTS];
    timer->next_ = *slot;
    timer->link_ = slot;
    if (timer->next_)
        timer->next_->link_ = &timer->next_;
    *slot = timer;
}

void ft_wheel_tick(struct ft_wheel *wheel)
{
    wheel->now_++;
}

struct ft_wheel_timer *ft_wheel_next_due(struct ft_wheel *wheel)
{
    struct ft_wheel_timer *timer = wheel->slots_[wheel->now_ % FT_WHEEL_SLOTS];
    while (timer && timer->due_ != wheel->now_)
        timer = timer->next_;
    if (timer)
        ft_wheel_cancel(timer);
    return timer;
}
