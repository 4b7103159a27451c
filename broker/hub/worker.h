/*
 * A worker: everything that one thread owns. Its sessions, its trie, its cursor in the journal. Its
 * loop (net/) calls it at four points:
 *
 *     ft_worker_begin_turn    events are about to be handled: clocks, journal awake
 *       … ft_session_receive and friends, as sockets become ready …
 *     ft_worker_end_turn      commit ─▶ fan out ─▶ flush; then the loop may sleep
 *     ft_worker_tick          every FT_WHEEL_TICK_MS
 *
 * Within a turn nothing is written to a socket: publishes gather in a batch, deliveries in outboxes,
 * and the end of the turn numbers the batch with one lock and writes each socket once.
 */
#ifndef FT_HUB_WORKER_H
#define FT_HUB_WORKER_H

#include "broker/core/journal.h"
#include "broker/core/outbox.h"
#include "broker/core/policy.h"
#include "broker/core/rewind.h"
#include "broker/core/topic_trie.h"
#include "broker/hub/gate.h"
#include "broker/hub/join_wait.h"
#include "broker/hub/metrics.h"
#include "broker/hub/ports.h"
#include "broker/hub/question.h"
#include "broker/hub/relay.h"
#include "broker/hub/roster.h"
#include "broker/hub/quota.h"
#include "broker/hub/session.h"
#include "broker/hub/stall.h"
#include "broker/hub/wants.h"
#include "broker/hub/wheel.h"
#include "protocol/writer.h"

#include <pthread.h>
#include <stdatomic.h>

#define FT_WORKERS_MAX FT_JOURNAL_READERS_MAX

/* Publishes that are numbered under one lock, so that nobody waits long for it. */
#define FT_BATCH_MAX 512

/* What is the same for all workers. */
struct ft_hub_options {
    const char *node;
    size_t message_bytes;         /* limits.message */
    uint32_t topics;              /* limits.topics, per session */
    size_t queue_bytes;           /* limits.queue, per session */
    size_t flush_bytes;           /* limits.flush, per write */
    uint32_t ping_s;              /* limits.ping */
    uint32_t write_timeout_s;     /* limits.write_timeout; 0: none */
    uint32_t relay_deadline_ms;   /* relay.deadline; 0: two seconds */
    struct ft_policies *policies; /* by topic; NULL: defaults for all */

    /* Not the hub's: what broker/http/ goes by in a turn (http/options.h), which changes as these do.
     * It is taken, and freed by `free_http` when the last worker goes by others. */
    void *http;
    void (*free_http)(void *http);
};

/* Options as long as a worker goes by them. */
struct ft_settings {
    struct ft_hub_options options;
    uint32_t users; /* under hub->lock */
};

/* What the hub asks of its edges, and what is shared with them. All of it outlives the hub. */
struct ft_hub_ports {
    const struct ft_loop_ops *loop_ops;
    void *loops;
    const struct ft_gate_ops *gate_ops; /* NULL: nobody checks tokens, and `auth` is refused */
    void *gate;
    struct ft_quotas *quotas;             /* NULL: there are no limits for an address or a user */
    const struct ft_relay_ops *relay_ops; /* NULL: there are no other nodes */
    void *relay;
    struct ft_interest *interest; /* the relay's */
};

/* All workers of a node, and the journal between them. */
struct ft_hub {
    _Atomic(struct ft_settings *) settings;
    pthread_mutex_t lock;
    struct ft_journal *journal;
    const struct ft_loop_ops *loop_ops;
    void *loops;
    const struct ft_gate_ops *gate_ops;
    void *gate;
    struct ft_quotas *quotas;
    const struct ft_relay_ops *relay_ops;
    void *relay;
    struct ft_interest *interest;
    struct ft_sys_stats *sys_stats;
    struct ft_hub_presence *presence;
    uint64_t started_ms; /* wall clock */
    uint64_t reported;   /* what bounds have cost so far, as last logged; worker 0's */
    uint32_t worker_count;
    struct ft_worker *workers[FT_WORKERS_MAX];
};

struct ft_open_batches;

/* Who wants to know the number of a publish that waits for one. */
struct ft_pending {
    struct ft_asker *asker; /* NULL: nobody, or gone */
    struct ft_id id;        /* a string lies in `text` */
    uint8_t text[FT_ID_BYTES_MAX];
};

/* Something that is not a session and has to be done at the end of the turn, where sessions are flushed.
 * Zero but for `flush`; embedded in whatever it is for. */
struct ft_flush {
    void (*flush)(struct ft_flush *flush);
    struct ft_flush *next_, **link_; /* link_ NULL: it is not queued */
};

/* What a topic means to the session whose feed is served: the subscriptions that match. */
struct ft_feed_memo {
    uint64_t topic_hash;
    const struct ft_publication *example; /* NULL: nothing is noted here */
    uint32_t first, count;                /* among worker->matched */
};

/* A step of a feed rarely meets more topics than that; one more costs a match, no more. */
#define FT_FEED_MEMOS 64

struct ft_worker {
    struct ft_hub *hub;
    struct ft_settings *settings;
    const struct ft_hub_options *options; /* of `settings` */
    uint32_t index;
    struct ft_journal_writer *writer;
    struct ft_journal_reader *reader;
    uint64_t cursor; /* fanned out up to here */
    struct ft_topic_trie *trie;
    struct ft_wants *wants; /* NULL: there are no other nodes */
    struct ft_stalls stalls;
    struct ft_join_waits join_waits;
    uint64_t match_serial;
    struct ft_outbox_pool pool;
    struct ft_wheel wheel;
    struct ft_wheel alarms; /* of struct ft_alarm, with the same ticks */
    struct ft_roster sessions;

    struct ft_publication **batch; /* taken in, not numbered yet … */
    struct ft_pending *pending;    /* … and for whom, side by side */
    uint32_t batch_len, batch_cap;
    bool is_ending;    /* nobody new is taken in */
    bool is_stalled;   /* the journal refused the batch; who publishes is paused */
    bool has_appended; /* since the others were woken */

    struct ft_session **dirty; /* sessions with something to flush; holes are NULL */
    uint32_t dirty_len, dirty_cap;
    struct ft_mailbox mailbox;
    struct ft_flush *flushes, **flushes_end; /* in the order in which they were queued */

    struct ft_open_batches *outgoing; /* what Redis is to number; NULL: there is no relay */

    struct ft_asker **held; /* who has to wait until there is room for more; holes are NULL */
    uint32_t held_len, held_cap;

    const struct ft_subscription **throttled; /* of the run that is routed */
    uint32_t throttled_len, throttled_cap;
    struct ft_wheel quick; /* of throttles, with ticks of FT_QUICK_TICK_MS */
    uint32_t quick_set;    /* timers in it */
    struct ft_presence_desk *presence;

    struct ft_feed *feeds, **feeds_end; /* that can go on, first come, first served */
    struct ft_rewind rewind;
    struct ft_feed_memo memos[FT_FEED_MEMOS];
    struct ft_subscription **matched; /* what the memos point into */
    uint32_t matched_len, matched_cap;
    uint32_t snapshots; /* number of the last one */

    uint64_t now_ms;        /* wall clock of this turn */
    uint64_t mono_ms;       /* monotonic, as are … */
    uint32_t now_s, now_ds; /* … these, in seconds and tenths, and … */
    uint64_t turn_us;       /* … this, when the turn began */
    uint32_t oldest_us;     /* of what this round of the fan-out routes: ->taken_us of the first */
    bool has_routed;        /* it has routed something */
    _Atomic bool is_asleep; /* and has subscribers: wants to be woken by a publication */

    uint8_t *scratch;              /* for the reader: limits.message bytes */
    struct ft_buffer reply_buffer; /* the reply in the making; on an event stream … */
    struct ft_buffer reply_head;   /* … the lines before it */
    struct ft_writer reply_writer;
    uint8_t random[40]; /* for session ids */
    uint32_t random_left;

    struct ft_metrics metrics;
    struct ft_lag lag;
    _Atomic bool hears_stats; /* somebody here is subscribed to $sys/<node>/stats */
};

/* Makes a hub with `count` workers around a journal that outlives it. */
struct ft_hub *ft_hub_new(const struct ft_hub_options *options, struct ft_journal *journal,
                          uint32_t count, const struct ft_hub_ports *ports);

/* Frees it; every session is gone already. */
void ft_hub_free(struct ft_hub *hub);

/*
 * Changes the options while the hub runs; each worker goes by them from its next turn on. `node`,
 * `flush_bytes` have to be the same as before. Takes the policies and `http`. Any thread.
 */
void ft_hub_configure(struct ft_hub *hub, const struct ft_hub_options *options);

/* Returns limits.message as it is now. Any thread; takes a lock. */
size_t ft_hub_message_bytes(struct ft_hub *hub);

/* Something was appended to the journal by another than a worker: wakes those that sleep and have
 * subscribers. Any thread. */
void ft_hub_wake(struct ft_hub *hub);

void ft_worker_begin_turn(struct ft_worker *worker, uint64_t wall_ms, uint64_t mono_ms);

/* Commits, fans out, flushes. Returns false when there is more to do, so that the loop must not
 * sleep but turn again at once. */
bool ft_worker_end_turn(struct ft_worker *worker);

void ft_worker_tick(struct ft_worker *worker);

/* Ends every session with this close code. */
void ft_worker_end_all(struct ft_worker *worker, uint16_t close_code, const char *reason);

/* Has `flush` called once at the end of this turn, or of the next one when it is queued while the flushes
 * run. Queueing it twice is once. */
void ft_worker_flush_later(struct ft_worker *worker, struct ft_flush *flush);

/* Takes it off the list, whether it is there or not. */
void ft_worker_flush_cancel(struct ft_worker *worker, struct ft_flush *flush);

/* ---- for the hub's own files ---- */

/* Takes a publication into the batch, of which the journal makes entries. Its topic is valid and its data
 * passed the reader; clocks and what is the journal's are filled in. Returns who waits for it: nobody. */
struct ft_pending *ft_worker_publish(struct ft_worker *worker, struct ft_publication_spec *spec);

/* The same for an asker, who hears of it by this `id`, and is held when there is no room. */
void ft_worker_publish_for(struct ft_asker *asker, struct ft_id id,
                           struct ft_publication_spec *spec);

/* Numbers what is in the batch. Returns false when the journal has no room for it yet. */
bool ft_worker_commit(struct ft_worker *worker);

/* Has an asker wait until there is room for more; lets all go on that do, where there is. */
void ft_worker_hold(struct ft_asker *asker);
void ft_worker_let_go(struct ft_worker *worker);

/*
 * Numbers what is in the batch and fans everything out up to the head of the journal, so that what
 * follows (a `sub`, an `unsub`) takes effect between two publications.
 */
void ft_worker_settle(struct ft_worker *worker);

/* Marks a session as having something to flush at the end of the turn. */
void ft_worker_mark_dirty(struct ft_worker *worker, struct ft_session *session);

/* Adds and removes in the trie; a worker without subscribers is not waited for (journal.h). */
void ft_worker_add_sub(struct ft_worker *worker, struct ft_slice filter, struct ft_trie_sub *sub);
void ft_worker_remove_sub(struct ft_worker *worker, struct ft_trie_sub *sub);

/* Wants partitions for somebody who has no filter there (yet), and not any more. In a cluster. */
void ft_worker_want(struct ft_worker *worker, const struct ft_partition_set *set);
void ft_worker_unwant(struct ft_worker *worker, const struct ft_partition_set *set);

/* Forgets an asker that goes: nobody is told any more what becomes of its publishes. */
void ft_worker_forget_pending(struct ft_asker *asker);

/* Writes a fresh session id. */
void ft_worker_new_session_id(struct ft_worker *worker, char id[FT_SESSION_ID_LEN]);

#endif
