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
 *
 * Where a stream skips offsets a life of Redis has begun. To clients each life is a stream of its own, without
 * holes: its name is made of the stream's, and offsets count from where it begins, its base. All others know the
 * stream alone; a place knows the lives, so that it can be printed.
 *
 *     here      1 … 17        2^34+1 … 2^34+5
 *     shown   k.1 … k.17           l.1 … l.5
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

struct ft_lives;

/* Where a stream stands, and its lives (NULL: one): they last as long as the journal. */
struct ft_place {
    const struct ft_lives *lives;
    uint32_t index;
    char stream[FT_STREAM_NAME_LEN + 1];
    bool is_later; /* it was opened only after the offset in question, in nobody's place */
    uint64_t seq;
};

/* Writes it as a position, "<life>.<offset>" without a NUL, and returns its length. Any thread. */
size_t ft_place_print(const struct ft_place *place, char text[FT_POS_LEN_MAX]);

enum ft_found {
    FT_FOUND,        /* everything of the stream after it is kept */
    FT_FOUND_GONE,   /* something after it is not kept (any more) */
    FT_FOUND_AHEAD,  /* the stream has not come so far */
    FT_FOUND_LATER,  /* perhaps of a life of a stream that is known, and that has not begun here */
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

/* In a stream, as long as it is open under that name, a life of Redis begins behind `base`: what is of it is shown
 * as of a stream of its own. Noting it again does nothing. The thread that builds publications of it, before those
 * of that life. */
void ft_streams_life(struct ft_streams *streams, uint32_t index, const char *name, uint64_t base);

/* Returns the base of the life that an offset of an open stream is of, and writes its name. Under the lock, or the
 * thread that builds publications of it. */
uint64_t ft_streams_life_of(const struct ft_streams *streams, uint32_t index, uint64_t seq,
                            char name[FT_STREAM_NAME_LEN + 1]);

/* Returns the offset in its stream of what is shown so, 0 where that is not known. */
uint64_t ft_streams_inner(const struct ft_streams *streams, struct ft_slice name, uint64_t offset);

/* Returns the name that a stream has now, that of its first life; empty where it was never opened. */
const char *ft_streams_name(const struct ft_streams *streams, uint32_t index);

/* Notes whose the next journal offset is: of FT_STREAM_NONE, or of an open stream, the one that comes next. */
void ft_streams_note(struct ft_streams *streams, uint32_t index, uint64_t offset);

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
