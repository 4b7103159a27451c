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
#include "protocol/buffer.h"
#include "protocol/slice.h"

struct ft_pending_item {
    fantail_result_fn *on_result;
    void *user;
    uint64_t sent_ms_;   /* when it was last sent */
    uint64_t unsure_ms_; /* when it was first sent without learning what became of it; 0: never */
    uint64_t due_ms_;    /* is_again_: not before */
    uint32_t frame_len;
    bool is_keyed_; /* idempotent: may be sent again */
    bool is_over_;
    bool is_lost_;
    bool is_again_; /* refused for now: waits to be sent again on this connection */
};

/* For how long a key is trusted: the broker remembers it for 120 s from when it took it. */
#define FT_PENDING_KEY_MS 100000

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
    size_t again_;
    uint64_t due_ms_; /* the first of these is due; 0: there is none */
    uint64_t now_ms;  /* the caller's clock, which it keeps right */
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
 * The broker could not take the publication with this id, or does not know (`is_unsure`): it is to be
 * sent again in `retry_ms`. False: it may not be, because it has no key, or one that the broker may
 * have forgotten; or there is none such.
 */
bool ft_pending_repeat(struct ft_pending *pending, uint64_t id, uint32_t retry_ms, bool is_unsure);

/* Appends the frames that are due again to `frames`, in their order, about `max` bytes at most. */
void ft_pending_repeats(struct ft_pending *pending, size_t max, struct ft_buffer *frames);

/* Returns when the next of them is due; 0: there is none. */
uint64_t ft_pending_due_ms(const struct ft_pending *pending);

/*
 * The connection broke: what was sent and may not be sent again is lost, everything else is to be
 * sent again, in its order. ft_pending_take_lost() then takes the lost ones out, one by one.
 */
void ft_pending_break(struct ft_pending *pending);

/* There is a connection again, and nothing was sent yet: what has waited too long for it is lost. */
void ft_pending_expire(struct ft_pending *pending);

/* Says whether somebody took it, perhaps, some time before its last answer. */
bool ft_pending_is_unsure(const struct ft_pending_item *item);

bool ft_pending_take_lost(struct ft_pending *pending, struct ft_pending_item *item);

/* Takes out the oldest publication, whatever became of it. */
bool ft_pending_take_any(struct ft_pending *pending, struct ft_pending_item *item);

#endif
