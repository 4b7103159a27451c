/*
 * What a session has still to be sent, in order. An item is 64 bits:
 *
 *     run    0 | count:13 | offset:50    publications offset … offset + count - 1 of the journal
 *     own    1 |           pointer       a frame of this session's own: a reply, a PING, a CLOSE
 *
 * Publications are kept as offsets, never as pointers or copies, so that an outbox may wait for its
 * socket while the journal moves on, and so that a reader of everything holds one item. The common
 * case, one item, takes no memory beyond the struct; further ones lie in nodes of a cache line that a
 * pool per worker lends.
 */
#ifndef FT_CORE_OUTBOX_H
#define FT_CORE_OUTBOX_H

#include "broker/core/journal.h"

/* Most publications in one run. */
#define FT_RUN_MAX 8191

#define FT_OUTBOX_NODE_ITEMS 6

struct ft_own_frame;

struct ft_outbox_node {
    struct ft_outbox_node *next;
    uint16_t begin, end; /* items[begin … end - 1] are waiting */
    uint64_t items[FT_OUTBOX_NODE_ITEMS];
};

struct ft_outbox {
    struct ft_outbox_node *first, *last;
    uint64_t bytes;     /* of all frames that wait here */
    uint32_t own_bytes; /* of the session's own ones among them */
    bool newest_only; /* the reader is slow: of a topic with FT_SLOW_LATEST, superseded publications
                           are left out as they would be sent */
};

/* Publications in a write. */
struct ft_gathering {
    uint32_t publications;
    size_t bytes;
};

/* Free nodes of one worker, and the buffer that frames are gathered in. */
struct ft_outbox_pool {
    struct ft_gathering gathered; /* the last time */
    uint64_t left_out;            /* publications that were, of outboxes with newest_only */
    struct ft_outbox_node *free_;
    uint32_t nodes_;
    uint8_t *scratch_;
    size_t scratch_len_;         /* most bytes of one gathering */
    struct ft_own_frame *lent_;  /* own frames of the last gathering, which may still be lent */
    struct ft_own_frame *small_; /* free ones, of a size that fits most replies */
    uint32_t smalls_;
    /* The last gathering, to be used again for an outbox with the same content. */
    uint64_t last_items_[FT_OUTBOX_NODE_ITEMS];
    uint32_t last_count_; /* 0: it cannot be used again */
    enum ft_frames last_frames_;
    struct ft_slice last_;
    struct ft_gathering last_gathered_;
};

enum ft_gathered {
    FT_GATHERED_NOTHING, /* the outbox is empty */
    FT_GATHERED_BYTES,
    FT_GATHERED_LOST /* the next publication is not in the journal any more */
};

/* Prepares a pool whose gatherings hold at most `flush_bytes`, or one frame where that is longer. */
void ft_outbox_pool_init(struct ft_outbox_pool *pool, size_t flush_bytes);
void ft_outbox_pool_fini(struct ft_outbox_pool *pool);

/* Forgets the last gathering. Call it before the reader of the journal rests. */
void ft_outbox_pool_end_turn(struct ft_outbox_pool *pool);

static inline bool ft_outbox_is_empty(const struct ft_outbox *outbox)
{
    return outbox->first == NULL;
}

/* Appends `count` publications from `offset` on, whose frames are `bytes` long together. */
void ft_outbox_push_run(struct ft_outbox *outbox, struct ft_outbox_pool *pool, uint64_t offset,
                        uint32_t count, size_t bytes);

/* Appends room for a frame of `n` bytes of the session's own; the caller fills it at once. */
uint8_t *ft_outbox_push_bytes(struct ft_outbox *outbox, struct ft_outbox_pool *pool, size_t n);

/*
 * Takes the next frames out, as many as fit one write, and lends them as one slice until the next
 * call on this pool. A single frame is lent where it lies, without a copy.
 */
enum ft_gathered ft_outbox_gather(struct ft_outbox *outbox, struct ft_outbox_pool *pool,
                                  struct ft_journal *journal, enum ft_frames frames,
                                  struct ft_slice *bytes);

/* Publications that were thrown away: how many, and the offset of the last one. With `gap` a gap that had
 * still to be told of went with them, so that more is missing than was counted. */
struct ft_lost {
    uint64_t count, last;
    bool gap;
};

/* Throws away the publications up to offset `tail`, which the journal has dropped, and gaps that end there
 * or before. What else waits stays, in order. */
struct ft_lost ft_outbox_drop_lost(struct ft_outbox *outbox, struct ft_outbox_pool *pool,
                                   struct ft_journal *journal, enum ft_frames frames,
                                   uint64_t tail);

/* The same as ft_outbox_push_bytes() for a frame that tells of a gap up to offset `end`; and in front of all that
 * waits. */
uint8_t *ft_outbox_push_gap(struct ft_outbox *outbox, struct ft_outbox_pool *pool, size_t n,
                            uint64_t end);
uint8_t *ft_outbox_push_gap_front(struct ft_outbox *outbox, struct ft_outbox_pool *pool, size_t n,
                                  uint64_t end);

/* Throws away what waits. */
void ft_outbox_clear(struct ft_outbox *outbox, struct ft_outbox_pool *pool);

#endif
