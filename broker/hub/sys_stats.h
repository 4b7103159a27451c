/*
 * The node's figures as publications on $sys/<node>/stats, once a second while somebody listens: on any
 * worker, which is why each of them looks into its own trie and worker 0 publishes. In a cluster somebody may
 * always listen.
 */
#ifndef FT_HUB_SYS_STATS_H
#define FT_HUB_SYS_STATS_H

struct ft_sys_stats;
struct ft_worker;

/* Makes what worker 0 needs for it. */
struct ft_sys_stats *ft_sys_stats_new(struct ft_worker *worker);
void ft_sys_stats_free(struct ft_sys_stats *stats); /* NULL is allowed */

/* Notes whether somebody listens on this worker, and publishes if it is worker 0's to do. Once a second, in
 * a turn. */
void ft_sys_stats_tick(struct ft_worker *worker);

#endif
