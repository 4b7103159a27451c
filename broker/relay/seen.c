/*
 * The latest messages: a small ring, looked through from end to end; that happens only where something is out
 * of the ordinary. Pure.
 */
#include "broker/relay/seen.h"

/* Of a message's entries so much at either end counts, and their length: to look at all would cost as much as
 * to read them, and who forges with care has been in Redis itself. */
#define END_BYTES 64

/* As FNV-1a, but by eight bytes where there are as many: it is done for every message. */
static uint64_t add(uint64_t digest, const uint8_t *at, size_t len)
{
    for (uint64_t word; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        digest = (digest ^ word) * UINT64_C(0x100000001B3);
        digest ^= digest >> 32;
    }
    for (; len > 0; at++, len--)
        digest = (digest ^ *at) * UINT64_C(0x100000001B3);
    return digest;
}

static uint64_t digest_of(struct ft_slice entries)
{
    size_t end = entries.len < END_BYTES ? entries.len : END_BYTES;
    uint64_t digest = add(UINT64_C(0xCBF29CE484222325) ^ entries.len, entries.ptr, end);
    return add(digest, entries.ptr + entries.len - end, end);
}

void ft_seen_note(struct ft_seen *seen, const struct ft_relay_head *head, struct ft_slice entries)
{
    uint32_t at = seen->count_++ % FT_SEEN_LATEST;
    seen->latest_[at].first = head->first;
    seen->latest_[at].last = head->first + head->count - 1;
    seen->latest_[at].ms = head->ms;
    seen->latest_[at].digest = digest_of(entries);
}

bool ft_seen_differs(const struct ft_seen *seen, const struct ft_relay_head *head,
                     struct ft_slice entries)
{
    uint64_t first = head->first, last = first + head->count - 1, digest = digest_of(entries);
    for (uint32_t i = 0; i < FT_SEEN_LATEST && i < seen->count_; i++) {
        uint64_t its_first = seen->latest_[i].first, its_last = seen->latest_[i].last;
        if (first <= its_last && last >= its_first &&
            (first != its_first || last != its_last || head->ms != seen->latest_[i].ms ||
             digest != seen->latest_[i].digest))
            return true;
    }
    return false;
}

void ft_seen_forget(struct ft_seen *seen)
{
    seen->count_ = 0;
}
