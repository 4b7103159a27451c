/* The two clocks. `protocol/` and `core/` never read them: time comes to those as an argument. */
#ifndef FT_BASE_CLOCK_H
#define FT_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since the epoch, for `at` and for logs. May jump. */
uint64_t ft_clock_wall_ms(void);

/* Milliseconds that only grow, for deadlines and ages. */
uint64_t ft_clock_mono_ms(void);

/* Microseconds that only grow, for measuring. */
uint64_t ft_clock_mono_us(void);

/* Nanoseconds that only grow, for measuring. */
uint64_t ft_clock_mono_ns(void);

#endif
