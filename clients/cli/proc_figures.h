/*
 * Figures from the texts that Linux keeps in /proc (proc(5)), and what two readings make of them.
 * Counters only; reading the files is the caller's.
 */
#ifndef FT_CLI_PROC_FIGURES_H
#define FT_CLI_PROC_FIGURES_H

#include "protocol/slice.h"

#define FT_PROC_NAME_MAX 32 /* of a device: the kernel's own limits are 32 and 16 */

/* One row of /proc/stat, in clock ticks. `core` is -1 for the row of all cores. */
struct ft_cpu_times {
    int core;
    uint64_t user, system, iowait,
        idle; /* nice is user; interrupts are system; stolen is neither */
    uint64_t total;
};

/* One row of /proc/diskstats. */
struct ft_disk_counts {
    char name[FT_PROC_NAME_MAX];
    uint64_t reads, read_bytes, writes, written_bytes, busy_ms;
};

/* One row of /proc/net/dev. */
struct ft_net_counts {
    char name[FT_PROC_NAME_MAX];
    uint64_t received_bytes, received_packets, sent_bytes, sent_packets, errors;
};

/* /proc/meminfo, in bytes. */
struct ft_memory_figures {
    uint64_t total, available, cached, swap_total, swap_free;
};

/* /proc/loadavg. */
struct ft_load_figures {
    double load_1m, load_5m, load_15m;
    uint64_t running, tasks;
};

/* Each reads a whole text into at most `max` rows and returns how many there were. Rows that are
 * malformed are left out. */
size_t ft_proc_read_cpus(struct ft_slice text, struct ft_cpu_times *rows, size_t max);
size_t ft_proc_read_disks(struct ft_slice text, struct ft_disk_counts *rows, size_t max);
size_t ft_proc_read_nets(struct ft_slice text, struct ft_net_counts *rows, size_t max);

/* Says whether the text had at least the total and what is available. */
bool ft_proc_read_memory(struct ft_slice text, struct ft_memory_figures *figures);

bool ft_proc_read_load(struct ft_slice text, struct ft_load_figures *figures);

/* Returns the share of `part` in `whole`, 0…100, to two decimals; 0 of nothing. */
double ft_proc_percent(uint64_t part, uint64_t whole);

/* Returns by how much a counter grew; 0 when it was reset in between. */
static inline uint64_t ft_proc_growth(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

/* Makes a name fit to be one level of a topic: '/', '+', '#' and control characters become '-', and
 * so does a '$' at the front. Cut to fit `size`. An empty name becomes "-". */
void ft_proc_level(const char *name, char *out, size_t size);

#endif
