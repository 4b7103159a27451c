/*
 * How long to wait before the next attempt to connect: full jitter, so that a thousand clients that
 * lost one broker do not come back in step.
 */
#ifndef FT_CLIENT_BACKOFF_H
#define FT_CLIENT_BACKOFF_H

#include <stdint.h>

#define FT_BACKOFF_MIN_MS 500
#define FT_BACKOFF_MAX_MS 20000

/*
 * Returns a delay between `min_ms` and `min_ms` · 2^`attempt`, at most `max_ms` (which is not below
 * `min_ms`); `attempt` counts failures from 0, `random` is any 64 random bits.
 */
uint32_t ft_backoff_delay_ms(unsigned attempt, uint32_t min_ms, uint32_t max_ms, uint64_t random);

#endif
