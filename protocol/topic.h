/*
 * Topics and filters: what is valid, what matches, what covers. SPEC.md section 1; matching is MQTT
 * 5.0's, section 4.7. The broker's own index over many filters is broker/core/topic_trie.h; this is
 * the definition that it is held against.
 *
 *     topic   sensors/7/temp      levels split by '/', empty levels are levels
 *     filter  sensors/+/temp      '+' is exactly one level
 *             sensors/#           '#' is the last level: zero or more levels
 */
#ifndef FT_PROTOCOL_TOPIC_H
#define FT_PROTOCOL_TOPIC_H

#include "protocol/error.h"
#include "protocol/slice.h"

#define FT_TOPIC_BYTES_MAX  255
#define FT_TOPIC_LEVELS_MAX 32

/* Checks that `topic` is a topic. FT_ERR_BAD_TOPIC says why not; `problem` may be NULL. */
FT_MUST_USE enum ft_err ft_topic_check(struct ft_slice topic, struct ft_problem *problem);

/* Checks that `filter` is a filter. FT_ERR_BAD_FILTER says why not; `problem` may be NULL. */
FT_MUST_USE enum ft_err ft_filter_check(struct ft_slice filter, struct ft_problem *problem);

/* Says whether a valid filter matches a valid topic. */
bool ft_filter_matches(struct ft_slice filter, struct ft_slice topic);

/* Says whether everything that the valid filter `narrow` can match, `wide` matches too. */
bool ft_filter_covers(struct ft_slice wide, struct ft_slice narrow);

/* Says whether the filter holds no wildcard, and so matches one topic only: itself. */
bool ft_filter_is_exact(struct ft_slice filter);

/* Says whether the topic belongs to the broker (begins with '$'). */
bool ft_topic_is_reserved(struct ft_slice topic);

/*
 * Walks levels: sets `level` to the next one and returns true, or returns false after the last.
 * Start with `*at` = 0. "a//b" has the levels "a", "", "b"; "" has the one level "".
 */
bool ft_topic_next_level(struct ft_slice topic, size_t *at, struct ft_slice *level);

#endif
