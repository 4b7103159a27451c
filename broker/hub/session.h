/*
 * A session: one client's connection as the hub sees it. It has a kind of frames, subscriptions and an
 * outbox; its connection is behind struct ft_conn_ops. It lives in memory of the connection's owner
 * and belongs to one worker's thread.
 *
 *     ft_session_open ─▶ ft_session_receive … ─▶ ft_session_end ─▶ ft_session_gone
 *                        ft_session_writable …   (close frame)      (connection closed)
 *
 * It is a WebSocket, or an event stream (FT_FRAMES_EVENTS). The latter says nothing: one `sub` is carried
 * out for it, instead of ft_session_receive(), and no `welcome` is sent; a PING is a comment, whose bytes
 * the peer's kernel acknowledges; it ends by an event `bye` and ops->finish.
 */
#ifndef FT_HUB_SESSION_H
#define FT_HUB_SESSION_H

#include "broker/core/outbox.h"
#include "broker/core/topic_trie.h"
#include "broker/hub/asker.h"
#include "broker/hub/ports.h"
#include "broker/hub/wheel.h"
#include "protocol/envelope.h"

/* Characters of a session's id, which are 80 random bits in base 32. */
#define FT_SESSION_ID_LEN 16

/* The bad envelope that closes the connection (SPEC.md section 3). */
#define FT_BAD_ENVELOPES_MAX 16

struct ft_feed;
struct ft_run;
struct ft_stall;
struct ft_starts;
struct ft_throttle;

/* One filter of one session. The offsets matter while the session is not live: feed.h. */
struct ft_subscription {
    struct ft_trie_sub sub;
    struct ft_session *session;
    struct ft_subscription *next, **link; /* of the session */
    struct ft_throttle *throttle;         /* NULL: everything comes at once */
    struct ft_starts *starts;             /* NULL: all streams from … */
    uint64_t from;                        /* … here: what comes after this offset is for it … */
    uint64_t had;                         /* … and up to here it has come */
    uint32_t snapshot;                    /* number of the snapshot that is under way, 0: none */
    bool is_present;                      /* its session is, by it: presence.h */
};

struct ft_session {
    /* What a delivery touches comes first: two cache lines, down to the asker's worker. */
    const struct ft_conn_ops *ops;
    void *conn;
    struct ft_outbox outbox;
    uint64_t
        match; /* serial of the last match that reached it: one delivery, however many filters */
    struct ft_feed *feed;   /* NULL: it is live */
    uint64_t counted_bytes; /* of the outbox, in the worker's metrics */
    uint32_t dirty_at;      /* 1 + its place among the worker's dirty sessions, 0: not there */
    uint8_t frames;         /* enum ft_frames */
    uint8_t paused;         /* FT_PAUSED_… : why nothing is read from it */
    bool is_blocked;        /* the socket takes nothing more */
    bool is_ending;         /* a close frame was queued; nothing else is taken in or sent */
    bool was_pinged;        /* and has not been heard since */
    bool is_too_slow;       /* for a topic whose policy is to disconnect then */
    bool is_expired;        /* its token is; it has been told, and may send another */
    uint8_t bad_count;      /* bad envelopes so far */
    uint32_t opened_ds;     /* tenths of a second since the hub began, by the wall clock */
    struct ft_asker asker;

    struct ft_subscription *subscriptions;
    struct ft_throttle *throttles, *chosen; /* the latter while a run is routed */
    struct ft_stall *stall;                 /* NULL: nothing of it has to wait */
    struct ft_wheel_timer timer;
    uint8_t *partial; /* a message that is still coming in */
    uint32_t partial_len;
    uint32_t subscription_count;
    uint32_t roster_at; /* its place among the worker's */
    uint32_t heard;     /* tick at which the peer was last heard, as far as we were told */
    uint32_t stalled;   /* tick since which the peer has to take something, while it is blocked */
    uint64_t taken;     /* bytes that it had taken then */
    char id[FT_SESSION_ID_LEN];
};

/* Reasons to stop reading from a session. */
#define FT_PAUSED_JOURNAL 1 /* the journal waits for a slow worker */
#define FT_PAUSED_OUTBOX  2 /* it does not read its own replies */
#define FT_PAUSED_RELAY   4 /* a request of it waits for other nodes: stall.h */

/* What a blocked peer has to take within limits.write_timeout. A phone on the worst of links takes ten
 * times as much in a minute; who wants to hold a connection for nothing must not come away cheaper. */
#define FT_TAKEN_MIN 65536

struct ft_session_options {
    enum ft_frames frames;
    const struct ft_conn_ops *ops;
    void *conn;
    struct ft_identity *who; /* a reference, taken */
    /* Shares of which the caller took one connection (or NULL); references, taken. The session gives
     * the connections back when it is gone. */
    struct ft_quota_share *address, *user;
};

/* Starts a session in zeroed memory and sends `welcome`; to an event stream, nothing. */
void ft_session_open(struct ft_session *session, struct ft_worker *worker,
                     const struct ft_session_options *options);

/*
 * Carries out a `sub`, an envelope in JSON, for an event stream. Its `ok` is the first event. On an
 * error nothing was sent, and nothing will be: the caller says what is wrong and calls ft_session_gone(). Where
 * it has to wait (stall.h), what goes wrong later is an event `error`, and the stream ends.
 */
FT_MUST_USE enum ft_err ft_session_carry_out(struct ft_session *session, struct ft_slice envelope,
                                             struct ft_problem *problem);

/* What came of a message, as far as it came at once. */
struct ft_piece {
    struct ft_slice bytes;
    uint64_t to_come; /* bytes of the same frame that have been announced and will follow */
    bool is_text;
    bool is_first, is_last; /* of its message */
};

/* Takes in a piece of a message. One that comes whole is handled in place; pieces are put together up
 * to limits.message. */
void ft_session_receive(struct ft_session *session, const struct ft_piece *piece);

/* Notes a sign of life that is not a message: a PONG. */
void ft_session_heard(struct ft_session *session);

/* Answers a PING. */
void ft_session_pinged(struct ft_session *session, struct ft_slice payload);

/* The peer broke the framing rules: this sends a close frame, and the caller ends the connection. */
void ft_session_failed(struct ft_session *session);

/* Says that the socket takes bytes again. */
void ft_session_writable(struct ft_session *session);

/*
 * Ends the session: what waited in the outbox is dropped when it was blocked, a close frame follows,
 * and the connection is killed when the peer has not answered in time. Repeating it does nothing.
 */
void ft_session_end(struct ft_session *session, uint16_t close_code, const char *reason);

/* Answers the peer's close frame, after what was still to be said, with this code (1005: none); the
 * caller closes the connection. */
void ft_session_peer_closed(struct ft_session *session, uint16_t code);

/* Forgets the session; its connection is closed. Its memory may go after this. */
void ft_session_gone(struct ft_session *session);

/* ---- for the hub's own files ---- */

/* Sends everything that waits, as far as the socket takes it. */
void ft_session_flush(struct ft_session *session);

/* Says whether more is unsent than limits.queue allows. */
bool ft_session_is_over(const struct ft_session *session);

/* Takes publications that the router has for it: queues them, all or by the throttle (not NULL) the newest,
 * or leaves them to its feed. */
void ft_session_deliver(struct ft_session *session, struct ft_run *run,
                        struct ft_throttle *throttle);

/* Queues one publication, whose frame has so many bytes. */
void ft_session_queue(struct ft_session *session, const struct ft_publication *publication,
                      size_t bytes);

/* session_timer.c: its timer fired: ask for a sign of life, give up, or kill. */
void ft_session_timer(struct ft_wheel_timer *timer);

/* Sets the timer for the first time. */
void ft_session_watch(struct ft_session *session);

/* Notes that the peer has stopped taking anything, and what it had taken before. */
void ft_session_blocked(struct ft_session *session);

/* Goes by a fresh identity of the same user; takes the reference. */
void ft_session_renew(struct ft_session *session, struct ft_identity *who);

/* Finds its subscription to exactly this filter, or returns NULL. */
struct ft_subscription *ft_session_find(struct ft_session *session, struct ft_slice filter);

/* Adds a subscription, the first of its list, to a filter that it has not yet; live from here on.
 * FT_ERR_TOO_MANY: its address or its user has too many. */
FT_MUST_USE enum ft_err ft_session_subscribe(struct ft_session *session, struct ft_slice filter,
                                             struct ft_problem *problem);

/* Removes a subscription; or all. */
void ft_session_unsubscribe(struct ft_subscription *subscription);
void ft_session_unsubscribe_all(struct ft_session *session);

/* Pauses or resumes reading for one of the reasons above. */
void ft_session_pause(struct ft_session *session, uint8_t reason, bool on);

#endif
