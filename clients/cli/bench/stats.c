/*
 * Reads a process's CPU clock and memory from the kernel, and makes medians and quantiles. Keeps all
 * samples and sorts them: a histogram would save memory that the bench does not need to save. Runs
 * on the bench's only thread.
 */
#include "clients/cli/bench/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t ft_stats_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

uint64_t ft_stats_settled_cpu_ns(pid_t pid)
{
    static const struct timespec pause = {.tv_nsec = 12000000}; /* more than a tick at 100 Hz */
    uint64_t before, now = ft_stats_cpu_ns(pid);
    for (int i = 0; i < 10; i++) {
        before = now;
        nanosleep(&pause, NULL);
        now = ft_stats_cpu_ns(pid);
        if (now == before)
            break;
    }
    return now;
}

uint64_t ft_stats_rss_bytes(pid_t pid)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "re");
    if (status == NULL)
        return 0;
    unsigned long long kib = 0;
    while (fgets(line, sizeof(line), status) != NULL && sscanf(line, "VmRSS: %llu", &kib) != 1)
        continue;
    fclose(status);
    return (uint64_t)kib * 1024;
}

uint64_t ft_stats_core_busy_ns(int core)
{
    char line[512], name[16];
    FILE *stat = fopen("/proc/stat", "re");
    if (stat == NULL)
        return 0;
    uint64_t busy = 0;
    size_t n = (size_t)snprintf(name, sizeof(name), "cpu%d ", core);
    while (fgets(line, sizeof(line), stat) != NULL) {
        unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
        if (strncmp(line, name, n) == 0 &&
            sscanf(line + n, "%llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system,
                   &idle, &iowait, &irq, &softirq, &steal) == 8)
            busy = user + nice + system + irq + softirq + steal;
    }
    fclose(stat);
    return busy * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t used_ns(int who)
{
    struct rusage used;
    if (getrusage(who, &used) != 0)
        return 0;
    return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000u;
}

uint64_t ft_stats_own_cpu_ns(void)
{
    return used_ns(RUSAGE_SELF) + used_ns(RUSAGE_CHILDREN);
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double ft_stats_median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare_doubles);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static int compare_samples(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

void ft_stats_sort(uint32_t *samples, size_t n)
{
    qsort(samples, n, sizeof(*samples), compare_samples);
}

uint32_t ft_stats_quantile(const uint32_t *sorted, size_t n, double q)
{
    size_t at = (size_t)(q * (double)n);
    return sorted[at < n ? at : n - 1];
}
