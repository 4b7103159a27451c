/*
 * Outboxes: queues of what a session has still to be sent, and how they become one contiguous write.
 * Decides nothing about slow readers (hub/ does) and touches no socket. One worker's thread.
 */
#include "broker/core/outbox.h"

#include "broker/base/alloc.h"
#include "broker/core/policy.h"

#include <stdlib.h>

/* A frame that belongs to one session. */
struct ft_own_frame {
    struct ft_own_frame *next; /* among those lent, or free */
    uint32_t len;
    bool is_small;
    uint64_t gap_end; /* where the gap ends that it tells of; 0: of none */
    uint8_t bytes[];
};

/* 1 | pointer; user-space pointers have their top bit clear on every platform that we build for. */
#define OWN_FLAG (UINT64_C(1) << 63)
/* Spare nodes and frames that are kept: what a busy turn of a few thousand sessions needs. */
#define SPARES_MAX  4096
#define OFFSET_MASK ((UINT64_C(1) << FT_OFFSET_BITS) - 1)

_Static_assert(sizeof(struct ft_outbox_node) == 64, "a node is a cache line");
_Static_assert(FT_RUN_MAX < (1 << (63 - FT_OFFSET_BITS)), "a run fits its item");

static uint64_t item_of_run(uint64_t offset, uint32_t count)
{
    return (uint64_t)count << FT_OFFSET_BITS | offset;
}

static uint64_t run_offset(uint64_t item)
{
    return item & OFFSET_MASK;
}

static uint32_t run_count(uint64_t item)
{
    return (uint32_t)(item >> FT_OFFSET_BITS);
}

static bool is_run(uint64_t item)
{
    return !(item & OWN_FLAG);
}

static uint64_t item_of_own(struct ft_own_frame *frame)
{
    return (uint64_t)(uintptr_t)frame | OWN_FLAG;
}

static struct ft_own_frame *item_own(uint64_t item)
{
    return (struct ft_own_frame *)(uintptr_t)(item & ~OWN_FLAG);
}

void ft_outbox_pool_init(struct ft_outbox_pool *pool, size_t flush_bytes)
{
    *pool = (struct ft_outbox_pool){.scratch_len_ = flush_bytes};
    pool->scratch_ = ft_alloc(flush_bytes);
}

/* An `ok` with its position takes 60 bytes and comes once a publish: such frames are kept for the
 * next one. */
#define SMALL_FRAME 104

static struct ft_own_frame *own_take(struct ft_outbox_pool *pool, size_t n)
{
    struct ft_own_frame *frame = pool->small_;
    if (n <= SMALL_FRAME && frame) {
        pool->small_ = frame->next;
        pool->smalls_--;
    } else {
        frame = ft_alloc(sizeof(*frame) + (n > SMALL_FRAME ? n : SMALL_FRAME));
        frame->is_small = n <= SMALL_FRAME;
    }
    frame->len = (uint32_t)n;
    frame->gap_end = 0;
    return frame;
}

static void own_give(struct ft_outbox_pool *pool, struct ft_own_frame *frame)
{
    if (!frame->is_small) {
        free(frame);
        return;
    }
    frame->next = pool->small_;
    pool->small_ = frame;
    pool->smalls_++;
}

/* Frees spare nodes and small frames, but for so many of each. */
static void trim(struct ft_outbox_pool *pool, uint32_t keep)
{
    while (pool->nodes_ > keep) {
        struct ft_outbox_node *node = pool->free_;
        pool->free_ = node->next;
        pool->nodes_--;
        free(node);
    }
    while (pool->smalls_ > keep) {
        struct ft_own_frame *frame = pool->small_;
        pool->small_ = frame->next;
        pool->smalls_--;
        free(frame);
    }
}

static void free_lent(struct ft_outbox_pool *pool)
{
    while (pool->lent_) {
        struct ft_own_frame *frame = pool->lent_;
        pool->lent_ = frame->next;
        own_give(pool, frame);
    }
}

void ft_outbox_pool_fini(struct ft_outbox_pool *pool)
{
    free_lent(pool);
    trim(pool, 0);
    free(pool->scratch_);
}

void ft_outbox_pool_end_turn(struct ft_outbox_pool *pool)
{
    free_lent(pool);
    pool->last_count_ = 0;
    trim(pool, SPARES_MAX);
}

static struct ft_outbox_node *node_take(struct ft_outbox_pool *pool)
{
    struct ft_outbox_node *node = pool->free_;
    if (node) {
        pool->free_ = node->next;
        pool->nodes_--;
    } else {
        node = ft_alloc(sizeof(*node));
    }
    node->next = NULL;
    node->begin = node->end = 0;
    return node;
}

static void node_give(struct ft_outbox_pool *pool, struct ft_outbox_node *node)
{
    node->next = pool->free_;
    pool->free_ = node;
    pool->nodes_++;
}

static void push(struct ft_outbox *outbox, struct ft_outbox_pool *pool, uint64_t item)
{
    struct ft_outbox_node *node = outbox->last;
    if (!node || node->end == FT_OUTBOX_NODE_ITEMS) {
        node = node_take(pool);
        if (outbox->last)
            outbox->last->next = node;
        else
            outbox->first = node;
        outbox->last = node;
    }
    node->items[node->end++] = item;
}

void ft_outbox_push_run(struct ft_outbox *outbox, struct ft_outbox_pool *pool, uint64_t offset,
                        uint32_t count, size_t bytes)
{
    outbox->bytes += bytes;
    struct ft_outbox_node *node = outbox->last;
    if (node && node->end > node->begin) {
        uint64_t *item = &node->items[node->end - 1];
        if (is_run(*item) && run_offset(*item) + run_count(*item) == offset &&
            run_count(*item) + count <= FT_RUN_MAX) {
            *item = item_of_run(run_offset(*item), run_count(*item) + count);
            return;
        }
    }
    push(outbox, pool, item_of_run(offset, count));
}

static struct ft_own_frame *push_own(struct ft_outbox *outbox, struct ft_outbox_pool *pool,
                                     size_t n)
{
    struct ft_own_frame *frame = own_take(pool, n);
    outbox->bytes += n;
    outbox->own_bytes += (uint32_t)n;
    push(outbox, pool, item_of_own(frame));
    return frame;
}

uint8_t *ft_outbox_push_bytes(struct ft_outbox *outbox, struct ft_outbox_pool *pool, size_t n)
{
    return push_own(outbox, pool, n)->bytes;
}

uint8_t *ft_outbox_push_gap(struct ft_outbox *outbox, struct ft_outbox_pool *pool, size_t n,
                            uint64_t end)
{
    struct ft_own_frame *frame = push_own(outbox, pool, n);
    frame->gap_end = end;
    return frame->bytes;
}

uint8_t *ft_outbox_push_gap_front(struct ft_outbox *outbox, struct ft_outbox_pool *pool, size_t n,
                                  uint64_t end)
{
    struct ft_own_frame *frame = own_take(pool, n);
    frame->gap_end = end;
    struct ft_outbox_node *node = outbox->first;
    if (!node || node->begin == 0) {
        node = node_take(pool);
        node->begin = node->end = FT_OUTBOX_NODE_ITEMS;
        node->next = outbox->first;
        outbox->first = node;
        if (!outbox->last)
            outbox->last = node;
    }
    outbox->bytes += n;
    outbox->own_bytes += (uint32_t)n;
    node->items[--node->begin] = item_of_own(frame);
    return frame->bytes;
}

/* Takes away the first item, and its node with the last one in it. */
static void pop(struct ft_outbox *outbox, struct ft_outbox_pool *pool)
{
    struct ft_outbox_node *node = outbox->first;
    if (++node->begin < node->end)
        return;
    outbox->first = node->next;
    if (!outbox->first)
        outbox->last = NULL;
    node_give(pool, node);
}

/* A gathering in progress. The first frame is lent where it lies; a second one makes a copy of both
 * necessary, and `bytes` then is the scratch. */
struct gathering {
    struct ft_outbox_pool *pool;
    struct ft_slice bytes;
    bool is_full;
};

/* Adds a frame, or says that it does not fit any more. */
static bool gather_frame(struct gathering *g, struct ft_slice frame)
{
    if (g->bytes.len == 0) {
        g->bytes = frame;
        return true;
    }
    uint8_t *scratch = g->pool->scratch_;
    if (g->bytes.len + frame.len > g->pool->scratch_len_) {
        g->is_full = true;
        return false;
    }
    if (g->bytes.ptr != scratch)
        memcpy(scratch, g->bytes.ptr, g->bytes.len);
    memcpy(scratch + g->bytes.len, frame.ptr, frame.len);
    g->bytes = ft_slice(scratch, g->bytes.len + frame.len);
    return true;
}

/* Says whether a slow reader is spared this one, because a newer one of its topic is on its way. */
static bool is_left_out(const struct ft_outbox *outbox, const struct ft_publication *p)
{
    return outbox->newest_only && p->slow == FT_SLOW_LATEST &&
           atomic_load_explicit(&p->is_superseded, memory_order_relaxed);
}

/* Takes publications off the run at the head of the outbox, as many as fit. Returns false when the
 * next one is gone from the journal. */
static bool gather_run(struct gathering *g, struct ft_outbox *outbox, struct ft_journal *journal,
                       enum ft_frames frames)
{
    uint64_t *item = &outbox->first->items[outbox->first->begin];
    while (run_count(*item) > 0) {
        const struct ft_publication *p = ft_journal_peek(journal, run_offset(*item));
        if (!p)
            return false;
        struct ft_slice frame = ft_journal_frame(journal, p, frames);
        if (is_left_out(outbox, p)) {
            g->pool->left_out++;
        } else if (gather_frame(g, frame)) {
            g->pool->gathered.publications++;
            g->pool->gathered.bytes += frame.len;
        } else {
            return true;
        }
        outbox->bytes -= frame.len;
        *item = item_of_run(run_offset(*item) + 1, run_count(*item) - 1);
    }
    pop(outbox, g->pool);
    return true;
}

static void gather_own(struct gathering *g, struct ft_outbox *outbox)
{
    struct ft_own_frame *frame = item_own(outbox->first->items[outbox->first->begin]);
    if (!gather_frame(g, ft_slice(frame->bytes, frame->len)))
        return;
    outbox->bytes -= frame->len;
    outbox->own_bytes -= frame->len;
    frame->next = g->pool->lent_;
    g->pool->lent_ = frame;
    pop(outbox, g->pool);
}

/* Says whether all that waits is publications, in one node, and so can be compared. */
static bool is_comparable(const struct ft_outbox *outbox)
{
    const struct ft_outbox_node *node = outbox->first;
    if (!node || node != outbox->last || outbox->newest_only)
        return false;
    for (uint32_t i = node->begin; i < node->end; i++) {
        if (!is_run(node->items[i]))
            return false;
    }
    return true;
}

/* Subscribers of the same topics hold the same items: the first one's bytes serve them all. */
static bool reuse_last(struct ft_outbox *outbox, struct ft_outbox_pool *pool, enum ft_frames frames)
{
    struct ft_outbox_node *node = outbox->first;
    uint32_t count = (uint32_t)(node->end - node->begin);
    if (count != pool->last_count_ || frames != pool->last_frames_ ||
        memcmp(node->items + node->begin, pool->last_items_, count * sizeof(node->items[0])) != 0)
        return false;
    node_give(pool, node);
    pool->gathered = pool->last_gathered_;
    *outbox = (struct ft_outbox){0}; /* publications only: comparable */
    return true;
}

enum ft_gathered ft_outbox_gather(struct ft_outbox *outbox, struct ft_outbox_pool *pool,
                                  struct ft_journal *journal, enum ft_frames frames,
                                  struct ft_slice *bytes)
{
    free_lent(pool);
    if (ft_outbox_is_empty(outbox))
        return FT_GATHERED_NOTHING;
    bool comparable = is_comparable(outbox);
    if (comparable && reuse_last(outbox, pool, frames)) {
        *bytes = pool->last_;
        return FT_GATHERED_BYTES;
    }
    pool->last_count_ = 0; /* the scratch is about to change */
    pool->gathered = (struct ft_gathering){0};
    uint32_t count = 0;
    if (comparable) {
        count = (uint32_t)(outbox->first->end - outbox->first->begin);
        memcpy(pool->last_items_, outbox->first->items + outbox->first->begin,
               count * sizeof(outbox->first->items[0]));
    }

    struct gathering g = {.pool = pool};
    while (outbox->first && !g.is_full) {
        if (!is_run(outbox->first->items[outbox->first->begin])) {
            gather_own(&g, outbox);
        } else if (!gather_run(&g, outbox, journal, frames)) {
            if (g.bytes.len == 0)
                return FT_GATHERED_LOST;
            break;
        }
    }
    if (g.bytes.len == 0)
        return FT_GATHERED_NOTHING; /* all that waited was left out */
    if (ft_outbox_is_empty(outbox)) {
        pool->last_count_ = count;
        pool->last_frames_ = frames;
        pool->last_ = g.bytes;
        pool->last_gathered_ = pool->gathered;
    }
    *bytes = g.bytes;
    return FT_GATHERED_BYTES;
}

/* Returns the length of a run's frames, as far as the journal has them. */
static size_t run_bytes(struct ft_journal *journal, enum ft_frames frames, uint64_t item)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < run_count(item); i++) {
        const struct ft_publication *p = ft_journal_peek(journal, run_offset(item) + i);
        bytes += p ? ft_journal_frame(journal, p, frames).len : 0;
    }
    return bytes;
}

struct ft_lost ft_outbox_drop_lost(struct ft_outbox *outbox, struct ft_outbox_pool *pool,
                                   struct ft_journal *journal, enum ft_frames frames, uint64_t tail)
{
    struct ft_lost lost = {0};
    struct ft_outbox old = *outbox;
    outbox->first = outbox->last = NULL;
    outbox->bytes = outbox->own_bytes;
    while (old.first) {
        uint64_t item = old.first->items[old.first->begin];
        pop(&old, pool);
        if (!is_run(item) && item_own(item)->gap_end > 0 && item_own(item)->gap_end <= tail) {
            outbox->bytes -= item_own(item)->len;
            outbox->own_bytes -= item_own(item)->len;
            own_give(pool, item_own(item));
            lost.gap = true;
            continue;
        }
        if (is_run(item) && run_offset(item) <= tail) {
            uint64_t end = run_offset(item) + run_count(item) - 1;
            uint64_t last = end < tail ? end : tail;
            lost.count += last - run_offset(item) + 1;
            lost.last = last;
            if (last == end)
                continue;
            item = item_of_run(last + 1, (uint32_t)(end - last));
        }
        if (is_run(item))
            outbox->bytes += run_bytes(journal, frames, item);
        push(outbox, pool, item);
    }
    return lost;
}

void ft_outbox_clear(struct ft_outbox *outbox, struct ft_outbox_pool *pool)
{
    while (outbox->first) {
        uint64_t item = outbox->first->items[outbox->first->begin];
        if (!is_run(item))
            own_give(pool, item_own(item));
        pop(outbox, pool);
    }
    outbox->bytes = 0;
    outbox->own_bytes = 0;
}
