/*
 * A feed from the past: what a session has that is not live. Resuming, looking back and reading slowly
 * are all the same: a cursor in the journal, behind the worker's.
 *
 *     journal   ───────┬────────────────────────┬──────────▶
 *                      │ feed->cursor           │ worker->cursor = where live sessions are
 *                      └── this goes through ───┘
 *                          ft_feeds_serve(), as much as the socket takes
 *
 * While a session has a feed, the router passes it by. When the two cursors meet, at the end of a turn
 * and on the one thread that moves both, the feed is freed and the session is live: there is neither a
 * hole nor a double at the cut, and nothing to be locked for it.
 *
 * What the session gets of the publication at offset o follows from two numbers of each subscription
 * that matches (session.h): it is wanted by one with `had` < o, unless another one has brought it
 * before, that is, `from` < o <= `had`.
 *
 * The memory of a feed is this struct, however far behind it is.
 *
 * Where streams are many, a client may have come further in one than in another, as nodes journal them in
 * different orders: then `from` is an offset for each stream (struct ft_starts), and positions that it is told
 * are the greater ones of where the feed is and of what it knows (struct ft_floor): an EventSource that breaks off
 * goes on from the last id alone, and must not get again what it had. What was published before
 * this node listened (FT_ENTRY_WARM) is for those alone who have said where they are.
 */
#ifndef FT_HUB_FEED_H
#define FT_HUB_FEED_H

#include "broker/hub/router.h"
#include "broker/hub/session.h"

/* Where each stream begins for the subscriptions of one `sub`: journal offsets. */
struct ft_starts {
    uint32_t users;
    uint32_t count;
    uint64_t live; /* where the session was live: where streams begin that were not named */
    uint64_t at[]; /* by the stream's index */
};

/* Makes one of which the caller is a user, all streams beginning at `live`. */
struct ft_starts *ft_starts_new(uint32_t count, uint64_t live);
struct ft_starts *ft_starts_use(struct ft_starts *starts); /* NULL is allowed */
void ft_starts_release(struct ft_starts *starts);          /* the same */

/* Last values and the latest of each topic, for the subscriptions that carry its number. */
struct ft_snapshot {
    struct ft_snapshot *next;
    uint32_t number, users; /* subscriptions that carry it; without any it goes */
    uint32_t last;
    bool retained;
    bool has_old; /* it had a last value, or what has left the journal: no places to go on from */
    uint64_t after, upto;     /* how far it has come; where it ends */
    uint64_t at;              /* it comes when the feed is here */
    struct ft_starts *starts; /* not NULL: of each stream up to where it begins */
};

struct ft_feed {
    struct ft_session *session;
    struct ft_feed *next,
        **link;      /* among those that can go on; link NULL: it waits for the socket */
    uint64_t cursor; /* the session is through with everything up to here */
    uint64_t counted,
        counted_from;       /* publications that the router passed by, from this offset on */
    struct ft_floor *floor; /* NULL: the client knows no more than what the feed is through with */
    struct ft_snapshot *snapshots; /* by `at`; each comes when the cursor is there */
    bool is_parked;                /* because the session is slow, not because it asked */
    bool is_counting;              /* `counted` is all that it would have got since */
};

/* Sends the session's subscriptions back to `offset`, at or after which it has had nothing yet of those
 * that the caller then marks. `offset` is not beyond the worker's cursor. */
void ft_feed_resume(struct ft_session *session, uint64_t offset);

/* Notes what the client of a session with a feed knows of all streams: positions that it is told do not go back
 * behind that, though the feed does. */
void ft_feed_know(struct ft_session *session, const struct ft_place *places, uint32_t n);

/* Adds a snapshot, a user of its `starts`, and returns its number, for ft_feed_assign(). */
uint32_t ft_feed_add_snapshot(struct ft_session *session, const struct ft_snapshot *wanted);

/* Has a subscription be of this snapshot, or of none (0), and no more of the one before. */
void ft_feed_assign(struct ft_subscription *subscription, uint32_t number);

/* Parks a session that is too slow for `run`, the next one that it should get. */
void ft_feed_park(struct ft_session *session, const struct ft_run *run);

/* The session's subscriptions change: what was counted says nothing any more. */
void ft_feed_uncount(struct ft_session *session);

/* Counts a run that a session with a feed would have got. */
void ft_feed_pass(struct ft_feed *feed, const struct ft_run *run);

/* The socket takes bytes again: the feed may go on. */
void ft_feed_wake(struct ft_feed *feed);

/* Moves the cursor on to `tail`, the last publication that is gone, and adds what is missed to `*lost`.
 * Returns false when it cannot be said how many of them were for this session. */
bool ft_feed_skip(struct ft_feed *feed, uint64_t tail, uint64_t *lost);

/* Frees the session's feed, if it has one. */
void ft_feed_end(struct ft_session *session);

/* Lets feeds go on, in turns, within what one turn of the loop may take. Returns true when none could
 * go on at once. */
bool ft_feeds_serve(struct ft_worker *worker);

#endif
