/* Takes entries from the journal to the outboxes of the sessions that match: the fan-out. */
#ifndef FT_HUB_ROUTER_H
#define FT_HUB_ROUTER_H

#include "broker/hub/worker.h"

/*
 * Publications of one topic that follow each other in the journal are routed as one run: one look
 * into the trie and one item per session for all of them. Their lengths are added up once per
 * kind of frames, on first need, which is also when frames are made that are not there yet.
 */
struct ft_run {
    struct ft_journal *journal;
    uint64_t offset;
    uint32_t count;
    uint8_t slow; /* enum ft_slow of the topic */
    bool is_measured[FT_FRAMES_KINDS];
    struct ft_slice topic;
    size_t bytes[FT_FRAMES_KINDS];
};

/* Returns the length of its frames of that kind. */
size_t ft_run_bytes(struct ft_run *run, enum ft_frames frames);

/*
 * Fans out from the worker's cursor on, up to the head of the journal or about `bytes` of frames per
 * session. Returns true when the head was reached.
 */
bool ft_router_run(struct ft_worker *worker, size_t bytes);

#endif
