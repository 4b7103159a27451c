/*
 * What the two files of the follower share. follower.c: how it comes to follow, and ceases to; follow.c: how it
 * takes in what comes while it follows.
 */
#ifndef FT_RELAY_FOLLOWER_PARTS_H
#define FT_RELAY_FOLLOWER_PARTS_H

#include "broker/relay/follower.h"
#include "broker/relay/held.h"
#include "broker/relay/seen.h"

#define FT_SEQ_MAX ((UINT64_C(1) << FT_OFFSET_BITS) - 1)

struct ft_follower {
    struct ft_follower_options options;
    const struct ft_follower_ops *ops;
    void *part;
    enum ft_follower_state state;
    bool is_up;     /* the server is */
    bool is_wanted; /* as last told */
    bool is_joined; /* ops->joined was called, and nobody left since */
    bool is_cut;    /* the server was away while it poured: subscribe again */

    /* how far the journal has it */
    char stream[FT_STREAM_NAME_LEN + 1];
    char before[FT_STREAM_NAME_LEN +
                1]; /* the stream before this one: late messages of it may come */
    uint64_t head, head_ms;
    uint64_t head_first; /* of the message that `head` is of; it may have come half */
    uint64_t appended;   /* entries of streams, to the journal */
    uint64_t claimed;    /* the last one that came by the channel */
    uint64_t heard_claimed, heard_target; /* as they were when the beat was heard */
    uint64_t confirmed, confirmed_ms;

    uint64_t truth, truth_ms; /* Redis has come at least so far, by its own words … */
    uint64_t beat_head;       /* … and this by the last beat */
    uint64_t target;          /* … and this is what messages claim that were not taken */

    bool is_asking;      /* ops->join is on its way */
    bool is_ranging;     /* ops->range is on its way … */
    bool is_stale;       /* … but the head is another by now */
    uint32_t range_most; /* messages that it brings at most */
    uint64_t range_from, range_truth, range_truth_ms;
    bool is_certain;   /* it began at what is confirmed, not at the head */
    bool is_in_doubt;  /* the log has nothing of what messages claim: until a tick */
    bool from_certain; /* the next range begins at what is confirmed */
    bool is_full;      /* the journal was: until ft_follower_resume() */
    bool has_conflict; /* tell, with the next beat */
    bool must_fence;
    bool is_assured;    /* Redis was asked, and the stream is this one */
    uint32_t strangers; /* messages of other streams, since nothing confirmed one */
    uint64_t asked_ms;  /* when that was asked because of one */

    struct ft_loaded *loaded;
    struct ft_load_plan plan;
    bool is_loading;   /* ops->load is on its way */
    uint64_t lost;     /* what the marker says when the stream is opened */
    bool is_forgotten; /* while pouring: what topics had was */
    bool is_opened;    /* while pouring: the stream is */
    uint64_t now_ms, retry_ms, unwanted_ms;
    struct ft_seen seen;
    struct ft_held held;
    struct ft_follower_figures figures;
};

/* follow.c */

enum ft_taken { FT_TAKEN, FT_TAKEN_FULL, FT_TAKEN_DAMAGED };

/* Appends what is new of a message, which follows the head, to the journal, as entries of that kind. */
enum ft_taken ft_follow_take(struct ft_follower *f, const struct ft_relay_head *head,
                             struct ft_slice entries, enum ft_entry kind);

/* Returns how many are lost from the head to `last`, where that is known. */
uint64_t ft_follow_distance(const struct ft_follower *f, uint64_t last);

/* What is there cannot be had: says that all up to `last` is lost, and goes on behind it. False: not now. */
bool ft_follow_lose(struct ft_follower *f, uint64_t last, uint64_t ms);

/* Asks for the log behind the head, where something is missing; else goes on with what waits. */
void ft_follow_go_on(struct ft_follower *f);

/* follower.c */

/* Asks Redis where the stream stands. */
void ft_follower_ask(struct ft_follower *f);

/* Up to `last` everything is lost: loads what topics keep, and goes on from there. */
void ft_follower_jump(struct ft_follower *f, uint64_t last, uint64_t ms);

#endif
