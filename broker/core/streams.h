/*
 * Where streams stand in a journal that is an interleaving of many: from a journal offset to the positions of
 * all streams there, and back.
 *
 *     journal offset    1 2 3 4 5 6 7 8 9 …
 *     whose it is       k m k k m - k m m …     one small number each
 *     marks           ▲       ▲       ▲         now and then: the offset, and where all streams stood there
 *
 * Both ways lead to a mark by a binary search, and from there forward, counting. A stream that is opened, or skips,
 * makes a mark as well, at the next offset: so between two marks streams only grow by one and one, and where they
 * stood before something was lost says so. The caller keeps the lock.
 */
#ifndef FT_CORE_STREAMS_H
#define FT_CORE_STREAMS_H

#include "broker/core/partitions.h"
#include "protocol/slice.h"

/* The stream of what has none: ephemeral where several nodes are one broker. */
#define FT_STREAM_NONE UINT16_MAX

/* Offsets stay below 2^50 (a million a second for 35 years), so that a run packs into 64 bits. */
#define FT_OFFSET_BITS       50
#define FT_OFFSET_DIGITS_MAX 16

/* Where offsets of a stream are skipped, these are more than that: so many are never published. */
#define FT_SKIP_MIN    (UINT64_C(1) << 32)
#define FT_POS_LEN_MAX (FT_STREAM_NAME_LEN + 1 + FT_OFFSET_DIGITS_MAX)

/* Where a stream stands. */
struct ft_place {
    uint32_t index;
    char stream[FT_STREAM_NAME_LEN + 1];
    bool is_later; /* it was opened only after the offset in question, in nobody's place */
    uint64_t seq;
};

/* Writes it as a position, "<stream>.<seq>" without a NUL, and returns its length. */
size_t ft_place_print(const struct ft_place *place, char text[FT_POS_LEN_MAX]);

enum ft_found {
    FT_FOUND,        /* everything of the stream after it is kept */
    FT_FOUND_GONE,   /* something after it is not kept (any more) */
    FT_FOUND_AHEAD,  /* the stream has not come so far */
    FT_FOUND_UNKNOWN /* there is no such stream */
};

struct ft_streams;

/* Makes `count` streams that are not open, for a journal that keeps at most `kept` offsets. */
struct ft_streams *ft_streams_new(uint32_t count, uint64_t kept);
void ft_streams_free(struct ft_streams *streams);

/* Opens a stream at journal offset `head`: ft_journal_open_stream(). */
void ft_streams_open(struct ft_streams *streams, uint32_t index, const char *name, uint64_t after,
                     uint64_t head);

/* An open stream goes on behind `after`: ft_journal_skip(). */
void ft_streams_skip(struct ft_streams *streams, uint32_t index, uint64_t after, uint64_t head);

/* Returns the name that a stream has now; empty where it was never opened. */
const char *ft_streams_name(const struct ft_streams *streams, uint32_t index);

/* Notes whose the next journal offset is: of FT_STREAM_NONE, or of an open stream, where `seq` is the one that
 * comes next. */
void ft_streams_note(struct ft_streams *streams, uint32_t index, uint64_t seq, uint64_t offset);

/* Up to where a stream stands now something of it may be missing, or another than elsewhere. */
void ft_streams_doubt(struct ft_streams *streams, uint32_t index);

/* These two are as ft_journal_places() and ft_journal_find(). `tail` is the last offset that is gone. */
uint32_t ft_streams_places(const struct ft_streams *streams, const struct ft_partition_set *set,
                           uint64_t at, struct ft_place *places);
enum ft_found ft_streams_find(const struct ft_streams *streams, struct ft_slice stream,
                              uint64_t seq, uint64_t tail, uint64_t upto, uint32_t *index,
                              uint64_t *at);

/* Room for all places as text. */
#define FT_PLACES_LEN_MAX (FT_PARTITIONS_MAX * (FT_POS_LEN_MAX + 1))

/* Writes where all streams stood, positions with commas between them, without a NUL, and returns the length. */
size_t ft_streams_print(const struct ft_streams *streams, uint64_t at,
                        char text[FT_PLACES_LEN_MAX]);

#endif
