/*
 * What comes from other nodes, as the journal takes it. Three clocks meet here: `at` is by Redis' (of what is
 * ephemeral, by that of its node), a `ttl` ends by this node's wall clock, and the journal keeps by the monotonic
 * one. Pure.
 */
#ifndef FT_RELAY_INTAKE_H
#define FT_RELAY_INTAKE_H

#include "broker/relay/follower.h"

/* When it is taken in. */
struct ft_intake {
    uint64_t now_ms, wall_ms; /* monotonic and wall clock */
    uint32_t taken_us;        /* when it has come */
};

/* Returns an entry of partition `number` as it is published in the journal. `name` has room for what is lent of
 * it. */
struct ft_publication_spec ft_intake_entry(const struct ft_intake *intake, uint32_t number,
                                           const struct ft_follower_entry *entry,
                                           char name[FT_STREAM_NAME_LEN + 1]);

/* Returns a marker: something is lost up to `seq`. */
struct ft_publication_spec ft_intake_gap(const struct ft_intake *intake, uint32_t number,
                                         uint64_t seq);

#endif
