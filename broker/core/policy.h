/*
 * Policies by topic: what the operator decided for the topics that a filter matches. A set of rules
 * is built once, by one thread, and is immutable from then on: any number of threads may look up at
 * the same time, without a lock.
 *
 * The most specific filter that matches a topic wins, and its policy holds whole. Filters are
 * compared level by level from the left; at the first difference a literal goes before '+', '+'
 * before '#', and the end of the filter before '#':
 *
 *     chat/42   <   chat/+   <   chat/#   <   +/42   <   #        (the first that matches)
 */
#ifndef FT_CORE_POLICY_H
#define FT_CORE_POLICY_H

#include "protocol/slice.h"

/* Rules of one set. A thousand is more than people write; programs that write more want a wildcard.
 * With filters of 32 levels each, the set has 2 MiB. */
#define FT_POLICIES_MAX 1024

/* What happens to a session that has more unsent than limits.queue: SPEC.md section 5. */
enum ft_slow { FT_SLOW_PARK, FT_SLOW_LATEST, FT_SLOW_DISCONNECT };

/* What holds for a topic. All zero is the default. */
struct ft_policy {
    size_t max_message; /* bytes of data; 0: limits.message decides alone */
    uint32_t history;   /* publications kept for the topic; 0: what the journal still has */
    uint32_t ttl_s;     /* kept at most so long; 0: no bound */
    enum ft_slow slow;
    bool retain;    /* every publication becomes the topic's last value */
    bool ephemeral; /* delivered live, never kept */
    bool presence;  /* who is subscribed to exactly this topic is present: SPEC.md section 6 */
};

struct ft_policies;

struct ft_policies *ft_policies_new(void);

void ft_policies_free(struct ft_policies *policies);

/*
 * Adds a rule for a valid filter; both are copied. Returns false when that filter has a rule
 * already, which stays. The caller keeps to FT_POLICIES_MAX.
 */
bool ft_policies_add(struct ft_policies *policies, struct ft_slice filter,
                     const struct ft_policy *policy);

/* NULL is a set without rules, here and below. */
size_t ft_policies_count(const struct ft_policies *policies);

/* Says whether any rule has presence, so that without one nobody has to look. */
bool ft_policies_have_presence(const struct ft_policies *policies);

/* Lends rule `i`, in the order of adding, and its filter, as long as the set lives. */
const struct ft_policy *ft_policies_at(const struct ft_policies *policies, size_t i,
                                       struct ft_slice *filter);

/*
 * Lends the policy that holds for a valid topic, as long as the set lives: the most specific
 * rule's, or the default when none matches. Sets `*filter` (which may be NULL) to the rule's
 * filter; it is empty for the default.
 */
const struct ft_policy *ft_policies_find(const struct ft_policies *policies, struct ft_slice topic,
                                         struct ft_slice *filter);

#endif
