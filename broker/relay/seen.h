/*
 * The latest messages of the stream that a node follows, so that one that comes again is told from another one
 * at the same place: forged, or of a Redis that has given the numbers away twice. Pure.
 */
#ifndef FT_RELAY_SEEN_H
#define FT_RELAY_SEEN_H

#include "broker/core/relay_message.h"

#define FT_SEEN_LATEST 64

struct ft_seen {
    struct {
        uint64_t first, last, ms, digest;
    } latest_[FT_SEEN_LATEST]; /* a ring */
    uint32_t count_;
};

/* A message was taken in; its head, and all of its entries. */
void ft_seen_note(struct ft_seen *seen, const struct ft_relay_head *head, struct ft_slice entries);

/* Says whether some of its offsets came with another message. Where that is not known any more, they did not. */
bool ft_seen_differs(const struct ft_seen *seen, const struct ft_relay_head *head,
                     struct ft_slice entries);

/* The stream goes on elsewhere. */
void ft_seen_forget(struct ft_seen *seen);

#endif
