/*
 * Publications that were taken and have not ended: their frames in sending order, and whom to tell.
 * Bounded in bytes and in number.
 *
 *     ids     base_ ............... sent_ ............... next
 *             │ answered out of turn, │ waiting to be sent │
 *             │ or waiting for it     │                    │
 *     bytes   [frame][frame][frame]…  [frame][frame]…
 *
 * A publication's id on the wire is its place here, so that an answer finds it without a search.
 */
#ifndef FT_CLIENT_PENDING_H
#define FT_CLIENT_PENDING_H

#include "clients/c/fantail.h"
#include "protocol/slice.h"

struct ft_pending_item {
    fantail_result_fn *on_result;
    void *user;
    uint32_t frame_len;
    bool is_keyed_; /* idempotent: may be sent again */
    bool is_over_;
    bool is_lost_;
};

struct ft_pending {
    struct ft_pending_item *items_; /* a ring: id & mask_ */
    uint64_t mask_;
    uint64_t base_, sent_, next;
    uint64_t lost_from_; /* nothing before it is lost */
    uint8_t *bytes_;     /* head_ … head_ + len_: the frames of base_ … next */
    size_t head_, len_, sent_bytes_, room_;
    size_t max_bytes_;
    uint32_t max_count_;
    size_t count; /* that have not ended */
};

void ft_pending_init(struct ft_pending *pending, size_t max_bytes, uint32_t max_count);
void ft_pending_fini(struct ft_pending *pending);

/* Says whether one more frame of `frame_len` bytes may be pushed. */
bool ft_pending_has_room(const struct ft_pending *pending, size_t frame_len);

/* Appends a frame whose envelope has the id pending->next. There must be room. */
void ft_pending_push(struct ft_pending *pending, struct ft_slice frame, bool is_keyed,
                     fantail_result_fn *on_result, void *user);

/* Lends whole frames that were not sent yet: as many as fit into `max` bytes, one at least if there
 * is one; empty if not. ft_pending_sent() then moves on past them. */
struct ft_slice ft_pending_unsent(const struct ft_pending *pending, size_t max);
void ft_pending_sent(struct ft_pending *pending, size_t n);

/* Takes out the publication with this id; false when there is none that was sent and has not
 * ended (a peer chose the id). */
bool ft_pending_take(struct ft_pending *pending, uint64_t id, struct ft_pending_item *item);

/*
 * The connection broke: what was sent and may not be sent again is lost, everything else is to be
 * sent again, in its order. ft_pending_take_lost() then takes the lost ones out, one by one.
 */
void ft_pending_break(struct ft_pending *pending);
bool ft_pending_take_lost(struct ft_pending *pending, struct ft_pending_item *item);

/* Takes out the oldest publication, whatever became of it. */
bool ft_pending_take_any(struct ft_pending *pending, struct ft_pending_item *item);

#endif
