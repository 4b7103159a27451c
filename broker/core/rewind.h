/*
 * A look back: of the topics that some filters match, the last values, the latest publications or all
 * of them, in the order of their offsets. What a new subscription gets before its live feed, and what
 * a history answers with.
 *
 *     ft_rewind_begin(&rewind, journal, &want);            takes the journal's lock
 *     ft_rewind_add(&rewind, filter); …
 *     while (ft_rewind_next(&rewind, &pick)) …             ascending, each publication once
 *     after = ft_rewind_end(&rewind);                      gives the lock back
 *
 * One look finds a bounded number of publications. A snapshot of more topics than that is taken in
 * several, each of which begins after the last one's end; no list of it is kept in between.
 */
#ifndef FT_CORE_REWIND_H
#define FT_CORE_REWIND_H

#include "broker/core/journal.h"

/* Publications of one look. The lock is held for as long as it takes to find them. */
#define FT_REWIND_MAX 4096

struct ft_rewind_want {
    uint64_t after, upto;   /* offsets after … upto are looked at; upto counts in */
    uint32_t last;          /* so many of the latest of each topic up to `upto`; 0: none */
    bool retained;          /* last values, too */
    struct ft_slice stream; /* not empty: of this stream only what comes after `seq` */
    uint64_t seq;
    uint32_t now_ds; /* monotonic, tenths of a second: what is past its time is left out */
};

struct ft_pick {
    const struct ft_publication *publication; /* lent until ft_rewind_end() … */
    bool is_retained;                         /* as its topic's last value */
    bool is_copy; /* … and until the reader rests where it is not a copy: it is in the journal */
};

struct ft_rewind {
    struct ft_journal *journal;
    const struct ft_topic_table *topics;
    struct ft_rewind_want want;
    struct ft_pick *picks; /* room for twice FT_REWIND_MAX */
    uint32_t count, next;
    uint64_t bound; /* what comes after it does not fit this look */
};

/* A rewind is memory that serves one look after the other. */
void ft_rewind_init(struct ft_rewind *rewind);
void ft_rewind_fini(struct ft_rewind *rewind);

/* Begins a look. The reader of the journal is awake until its end. */
void ft_rewind_begin(struct ft_rewind *rewind, struct ft_journal *journal,
                     const struct ft_rewind_want *want);

/* Looks at the topics that a valid filter matches. */
void ft_rewind_add(struct ft_rewind *rewind, struct ft_slice filter);

/* Lends the next one, or returns false after the last. Call it after the last ft_rewind_add(). */
bool ft_rewind_next(struct ft_rewind *rewind, struct ft_pick *pick);

/* Returns the frame of one that was just lent, as long as that is. */
struct ft_slice ft_rewind_frame(const struct ft_rewind *rewind, const struct ft_pick *pick,
                                enum ft_frames frames);

/* Ends the look. Returns the offset after which the next one has to begin, UINT64_MAX when nothing is
 * left. */
uint64_t ft_rewind_end(struct ft_rewind *rewind);

#endif
