/*
 * Where a client says that it has come to, `since`: found in this node's journal, a stream at a time. Positions
 * that say their partition, and one that the filters do not touch, mean nothing here: a client keeps
 * whatever it has seen.
 */
#ifndef FT_HUB_SINCE_H
#define FT_HUB_SINCE_H

#include "broker/core/journal.h"
#include "protocol/envelope.h"

/* What it says of one stream. */
struct ft_named {
    bool is_there;
    enum ft_found found;
    uint64_t seq; /* in the stream, whichever of its lives it names */
    uint64_t at;  /* journal offset from which on what comes is new to it */
};

struct ft_since {
    bool is_any;       /* it names a stream that is known here */
    bool is_recovered; /* nothing is missing of all that it names */
    bool is_ahead;     /* it has seen more of one than what was looked through */
    /* It has seen a life of one that has not begun here: who goes on from an earlier one, which it may name as well,
     * gets things twice. */
    bool is_later;
    struct ft_named named[FT_PARTITIONS_MAX]; /* by the stream's index */
};

/* Checks that it is a list of positions. */
FT_MUST_USE enum ft_err ft_since_check(const struct ft_list *list, struct ft_problem *problem);

/* Finds what a checked list names among the streams of `touched`, in a node's own journal its only one; in the
 * journal up to offset `upto`, as who has come to there sees it. */
void ft_since_find(struct ft_journal *journal, uint64_t upto, const struct ft_list *list,
                   const struct ft_partition_set *touched, struct ft_since *since);

#endif
