/* Lives of Redis, from the answer to joining into the journal. Knows neither Redis nor the partition. */
#include "broker/relay/lives.h"

#include <stdlib.h>

void ft_lives_read(struct ft_lives_told *told, const char *stream, const char *holes)
{
    told->count = 0;
    memcpy(told->stream, stream, FT_STREAM_NAME_LEN);
    for (const char *at = holes; told->count < FT_LIVES_TOLD_MAX && (at = strchr(at, '-')); at++) {
        uint64_t upto = strtoull(at + 1, NULL, 10);
        if (upto > 0 && upto >> FT_OFFSET_BITS == 0)
            told->bases[told->count++] = upto;
    }
}

void ft_lives_tell(const struct ft_lives_told *told, struct ft_journal *journal, uint32_t index)
{
    struct ft_streams *streams = ft_journal_lock_streams(journal);
    for (uint32_t i = 0; i < told->count; i++)
        ft_streams_life(streams, index, told->stream, told->bases[i]);
    ft_journal_unlock(journal);
}

void ft_lives_add(struct ft_journal *journal, uint32_t index, const char *stream, uint64_t base)
{
    ft_streams_life(ft_journal_lock_streams(journal), index, stream, base);
    ft_journal_unlock(journal);
}

uint64_t ft_lives_base(const struct ft_journal *journal, uint32_t index, uint64_t seq)
{
    char life[FT_STREAM_NAME_LEN + 1];
    const struct ft_streams *streams = ft_journal_peek_streams(journal);
    bool is_open = *ft_streams_name(streams, index) != '\0';
    return is_open ? ft_streams_life_of(streams, index, seq, life) : 0;
}
