/*
 * The demo's figures: reads /proc, compares with what it was a second ago, and gives each figure
 * out as a topic and a JSON object.
 */
#ifndef FT_CLI_FEEDER_H
#define FT_CLI_FEEDER_H

#include "protocol/slice.h"

struct ft_feeder;

struct ft_feeder *ft_feeder_new(void);
void ft_feeder_free(struct ft_feeder *feeder);

/* Lends the topic that all figures are under: "demo/<host>". */
const char *ft_feeder_prefix(const struct ft_feeder *feeder);

/* Has the next reading give out last values that have not changed, too: for a broker that may not have them. */
void ft_feeder_forget(struct ft_feeder *feeder);

/* Takes one figure. `is_last_value`: it is given again only when it changes, so it is to be retained. */
typedef void ft_feeder_publish(void *context, const char *topic, struct ft_slice json,
                               bool is_last_value);

/*
 * Takes a reading at `now_ns` (monotonic) and calls `publish` for every figure. Shares and rates are
 * those of the last second or so: the kernel counts CPU time in hundredths of a second, so that a
 * shorter span would know no percentages. The first reading has only what needs no span.
 */
void ft_feeder_read(struct ft_feeder *feeder, uint64_t now_ns, ft_feeder_publish *publish,
                    void *context);

#endif
