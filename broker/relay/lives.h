/*
 * Where lives of Redis begin in a partition's stream: as Redis tells it, and on to the journal, which shows each as a
 * stream of its own (core/streams.h). The relay's thread.
 */
#ifndef FT_RELAY_LIVES_H
#define FT_RELAY_LIVES_H

#include "broker/core/journal.h"

/* Lives that Redis tells from each other, but for the first one (publish.lua: HOLES). */
#define FT_LIVES_TOLD_MAX 64

struct ft_lives_told {
    char stream[FT_STREAM_NAME_LEN + 1];
    uint64_t bases[FT_LIVES_TOLD_MAX];
    uint32_t count;
};

/* Reads what is left out of a stream, "<from>-<upto> …": behind each of these a life begins. */
void ft_lives_read(struct ft_lives_told *told, const char *stream, const char *holes);

/* Tells the journal of them, where that is the stream that is open. */
void ft_lives_tell(const struct ft_lives_told *told, struct ft_journal *journal, uint32_t index);

/* The same of one. */
void ft_lives_add(struct ft_journal *journal, uint32_t index, const char *stream, uint64_t base);

/* Returns where the life begins that an offset is of, 0 where the stream is not open. Takes no lock. */
uint64_t ft_lives_base(const struct ft_journal *journal, uint32_t index, uint64_t seq);

#endif
