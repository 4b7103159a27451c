/*
 * Walks the pairs of an envelope that came as JSON. What a pair means is envelope_fields.c's. Pure;
 * any thread.
 */
#include "protocol/envelope_fields.h"
#include "protocol/json_scan.h"

static inline struct ft_slice name_of(struct ft_pass *pass, const struct ft_json_pair *pair)
{
    return pair->has_escapes ? ft_pass_decode(pass, pair->key) : pair->key;
}

/* A pair that could not be read whole: its value may be good, or only break a rule. */
__attribute__((cold)) static bool mend_pair(struct ft_pass *pass, struct ft_scan *scan,
                                            struct ft_json_pair *pair)
{
    if (!pair->from)
        return ft_pass_broken(pass, scan);
    struct ft_slice name = name_of(pass, pair);
    if (pair->is_value_whole) {
        ft_pass_take(pass, name, &pair->value);
        return ft_pass_broken(pass, scan);
    }
    if (!ft_pass_refuse(pass, scan, name, pair->from))
        return false;
    return ft_json_pair_end(scan, &pair->is_last) || ft_pass_broken(pass, scan);
}

bool ft_walk_json(struct ft_pass *pass, struct ft_scan *scan)
{
    scan->at++;
    ft_json_skip_space(scan);
    if (scan->at < scan->end && *scan->at == '}') {
        scan->at++;
        return true;
    }
    struct ft_json_pair pair;
    do {
        if (ft_json_pair(scan, &pair))
            ft_pass_take(pass, name_of(pass, &pair), &pair.value);
        else if (!mend_pair(pass, scan, &pair))
            return false;
    } while (!pair.is_last);
    return true;
}
