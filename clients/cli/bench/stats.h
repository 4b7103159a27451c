/* What the bench measures of another process, and the few statistics that it makes of it. */
#ifndef FT_CLI_BENCH_STATS_H
#define FT_CLI_BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Returns the CPU time that a process has used, all its threads, user and system, in nanoseconds; 0
 * when there is no such process. Exact to the scheduler's own account, not to the clock tick of
 * /proc/PID/stat.
 */
uint64_t ft_stats_cpu_ns(pid_t pid);

/*
 * The same, once the process has come to rest: what a thread has used since it was last switched to is in
 * its account only when it is switched away or ticked. Waits for at most 120 ms.
 */
uint64_t ft_stats_settled_cpu_ns(pid_t pid);

/* Returns a process's resident memory in bytes (VmRSS), 0 when there is no such process. */
uint64_t ft_stats_rss_bytes(pid_t pid);

/* Returns for how long a core was not idle since the machine started, in nanoseconds. */
uint64_t ft_stats_core_busy_ns(int core);

/* Returns the CPU time of this process and of its children that have ended, in nanoseconds. */
uint64_t ft_stats_own_cpu_ns(void);

/* Returns the median of `n` values, at least one; sorts them. */
double ft_stats_median(double *values, size_t n);

/* Sorts `n` samples, for ft_stats_quantile(). */
void ft_stats_sort(uint32_t *samples, size_t n);

/* Returns the sample below which the share `q` (0…1) of `n` sorted samples lies; n is at least 1. */
uint32_t ft_stats_quantile(const uint32_t *sorted, size_t n, double q);

#endif
