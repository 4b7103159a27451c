/*
 * The kernel's own counters, some five hundred of them: /proc/vmstat has one a line, /proc/net/snmp and
 * /proc/net/netstat a line of names and then one of values (proc(5)). What did not change since the
 * reading before is not given out again.
 */
#ifndef FT_CLI_KERNEL_COUNTERS_H
#define FT_CLI_KERNEL_COUNTERS_H

#include "protocol/slice.h"

#define FT_COUNTERS_MAX     1024
#define FT_COUNTER_NAME_MAX 64 /* of "GROUP/NAME", with the NUL */

struct ft_kernel_counters;

struct ft_kernel_counters *ft_kernel_counters_new(void);
void ft_kernel_counters_free(struct ft_kernel_counters *counters); /* NULL is allowed */

/* Called for each that is new or has changed, by how much. `name` is lent: "vmstat/pgfault", "Tcp/InSegs". */
typedef void ft_give_counter(void *context, const char *name, int64_t value, int64_t change);

/* Has the next reading give out all of them. */
void ft_kernel_counters_forget(struct ft_kernel_counters *counters);

/* Begins a reading: the texts follow, each time in the same order. */
void ft_kernel_counters_begin(struct ft_kernel_counters *counters);

/* Lines "NAME VALUE", put below `group`. */
void ft_kernel_counters_read_list(struct ft_kernel_counters *counters, const char *group,
                                  struct ft_slice text, ft_give_counter *give, void *context);

/* Pairs of lines "GROUP: NAME…" and "GROUP: VALUE…". */
void ft_kernel_counters_read_table(struct ft_kernel_counters *counters, struct ft_slice text,
                                   ft_give_counter *give, void *context);

#endif
