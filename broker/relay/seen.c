/*
 * The latest messages: a small ring, looked through from end to end; that happens only where something is out
 * of the ordinary. Pure.
 */
#include "broker/relay/seen.h"

void ft_seen_note(struct ft_seen *seen, uint64_t first, uint64_t last, uint64_t ms)
{
    uint32_t at = seen->count_++ % FT_SEEN_LATEST;
    seen->latest_[at].first = first;
    seen->latest_[at].last = last;
    seen->latest_[at].ms = ms;
}

bool ft_seen_differs(const struct ft_seen *seen, uint64_t first, uint64_t last, uint64_t ms)
{
    for (uint32_t i = 0; i < FT_SEEN_LATEST && i < seen->count_; i++) {
        uint64_t its_first = seen->latest_[i].first, its_last = seen->latest_[i].last;
        if (first <= its_last && last >= its_first &&
            (first != its_first || last != its_last || ms != seen->latest_[i].ms))
            return true;
    }
    return false;
}

void ft_seen_forget(struct ft_seen *seen)
{
    seen->count_ = 0;
}
