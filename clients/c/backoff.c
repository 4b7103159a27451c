/*
 * The arithmetic of the pause between two attempts. Keeps no state and makes no random numbers: both
 * belong to the caller. Pure; any thread.
 */
#include "clients/c/backoff.h"

uint32_t ft_backoff_delay_ms(unsigned attempt, uint32_t min_ms, uint32_t max_ms, uint64_t random)
{
    uint64_t ceiling = min_ms;
    for (unsigned i = 0; i < attempt && ceiling < max_ms; i++)
        ceiling *= 2;
    if (ceiling > max_ms)
        ceiling = max_ms;
    return (uint32_t)(min_ms + random % (ceiling - min_ms + 1));
}
