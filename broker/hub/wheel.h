/*
 * Coarse timers: one wheel per worker, turned by one timer of the loop. Setting, moving and
 * cancelling cost a few pointers, however many there are; a timer fires up to one tick late.
 * (Varghese and Lauck, "Hashed and hierarchical timing wheels", scheme 5.)
 */
#ifndef FT_HUB_WHEEL_H
#define FT_HUB_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of a tick: fine enough for a keep-alive of one second, and 4 wake-ups a second are free. */
#define FT_WHEEL_TICK_MS 250
/* One turn of the wheel is 64 s; later timers go round more than once. */
#define FT_WHEEL_SLOTS 256

struct ft_wheel_timer {
    struct ft_wheel_timer *next_, **link_; /* link_ NULL: not set */
    uint32_t due_;                         /* in ticks */
};

struct ft_wheel {
    struct ft_wheel_timer *slots_[FT_WHEEL_SLOTS];
    uint32_t now_; /* the tick that was fired last */
};

/* Returns the current tick. */
static inline uint32_t ft_wheel_now(const struct ft_wheel *wheel)
{
    return wheel->now_;
}

/* Sets `timer`, set already or not, to fire so many ticks from now, one at least; or `ms`, in a wheel
 * with ticks of FT_WHEEL_TICK_MS. */
void ft_wheel_set_ticks(struct ft_wheel *wheel, struct ft_wheel_timer *timer, uint64_t ticks);
void ft_wheel_set(struct ft_wheel *wheel, struct ft_wheel_timer *timer, uint64_t ms);

/* Says whether it is set, and if so in how many ticks it fires. */
static inline bool ft_wheel_is_set(const struct ft_wheel_timer *timer)
{
    return timer->link_ != NULL;
}

static inline uint32_t ft_wheel_left(const struct ft_wheel *wheel,
                                     const struct ft_wheel_timer *timer)
{
    return timer->due_ - wheel->now_;
}

/* A timer that says what is to be done, for what is not a session: of worker->alarms. */
struct ft_alarm {
    struct ft_wheel_timer timer; /* the first field */
    void (*fire)(struct ft_alarm *alarm);
};

void ft_wheel_cancel(struct ft_wheel_timer *timer);

/*
 * Moves the wheel on by one tick and takes out what is due. Returns one such timer after the other,
 * then NULL. A timer that is set again while the list is worked off fires in a later tick.
 */
void ft_wheel_tick(struct ft_wheel *wheel);
struct ft_wheel_timer *ft_wheel_next_due(struct ft_wheel *wheel);

#endif
