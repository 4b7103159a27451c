/*
 * The journal: every accepted publication of this node, numbered without holes, for as long as size
 * and age allow. Everything else reads it: fan-out, waiting outboxes, resumes.
 *
 *      tail                                  cursor of worker 2     head
 *       │ kept, any reader may look            │ not yet fanned out  │
 *     ──┴──────────────────────────────────────┴─────────────────────┴──▶ offsets
 *
 *     ring:    offset & mask ─▶ publication          (the index)
 *     chunks:  [pub|pub|pub…] [pub|pub…]             (the memory: one open chunk per writer)
 *
 * Threads. Appending takes one short lock for a whole batch. Readers take none: they look a
 * publication up in the ring and may use it until their next ft_journal_rest(), because a chunk is
 * reused only after every reader has rested since its last publication was dropped (quiescent-state
 * reclamation; McKenney, "RCU: the Bloody Bonsai of synchronization" describes the family). What a
 * reader keeps across turns is therefore an offset, never a pointer.
 *
 * What a reader has not yet fanned out is never dropped: append refuses instead (back-pressure).
 */
#ifndef FT_CORE_JOURNAL_H
#define FT_CORE_JOURNAL_H

#include "broker/core/publication.h"
#include "broker/core/streams.h"
#include "broker/core/topic_table.h"

/* Workers are readers; more of them than this make no sense on one machine (options.def). */
#define FT_JOURNAL_READERS_MAX 64

struct ft_journal;
struct ft_journal_writer;
struct ft_journal_reader;

struct ft_journal_options {
    const char *stream; /* name, FT_STREAM_NAME_LEN characters, unique to this life of the node; not
                           where there are `streams` */
    uint32_t
        streams; /* 0: that one, numbered here; else so many, numbered elsewhere and opened later */
    size_t size_bytes;             /* of publications, all their frames included */
    uint32_t age_s;                /* kept at most so long */
    size_t chunk_bytes;            /* 0: 256 KiB; unit of memory, each writer has one open */
    struct ft_topic_limits limits; /* of what is remembered by topic; `topics` 0: no bounds */
    uint32_t keys;                 /* publish keys that are remembered; 0: none */
    uint64_t seed;                 /* makes hashes of topics and keys unpredictable to peers */
};

/* How long a publish key is remembered (SPEC.md section 4). */
#define FT_KEY_WINDOW_S 120

struct ft_journal_stats {
    uint64_t head, tail; /* last numbered; last dropped */
    uint64_t bytes;      /* of what is kept */
    uint32_t oldest_s;   /* when the oldest of it was accepted, where there is any */
    uint64_t chunks;     /* in memory, those waiting for readers to rest included */
    uint64_t refused;    /* batches that had to wait for a slow reader */
    struct ft_topic_stats topics;
    uint64_t duplicates;         /* publications whose key was known */
    uint64_t keys, keys_dropped; /* remembered; forgotten early because there were too many */
};

struct ft_journal *ft_journal_new(const struct ft_journal_options *options);
void ft_journal_free(struct ft_journal *journal); /* after all its writers and readers */

/* Returns how many streams it has that are numbered elsewhere; 0: it numbers its own one. */
uint32_t ft_journal_streams(const struct ft_journal *journal);

/* Returns the name of the journal's own stream, FT_STREAM_NAME_LEN characters and a NUL; empty where it has
 * none. */
const char *ft_journal_stream(const struct ft_journal *journal);

/* Makes a writer; it belongs to one thread. */
struct ft_journal_writer *ft_journal_writer_new(struct ft_journal *journal);
void ft_journal_writer_free(struct ft_journal_writer *writer);

/*
 * Builds a publication in the journal's memory, not yet numbered; stream and topic_hash of `spec` are
 * filled in. It must be appended, by the same writer and in the order in which it was built.
 *
 * Where streams are numbered elsewhere, one that is live or warm says its stream, which is open and whose
 * next one it is; an ephemeral one is of no stream. A restored one says its `name` and `seq`, and the stream
 * whose topics it belongs to; a gap that stream alone.
 */
struct ft_publication *ft_journal_build(struct ft_journal_writer *writer,
                                        struct ft_publication_spec *spec);

/* Returns what stands for a publish key on a topic. Any thread. */
struct ft_key ft_journal_key(const struct ft_journal *journal, struct ft_slice topic,
                             struct ft_slice key);

/*
 * Numbers a batch and shows it to the readers. One whose key was used on its topic within
 * FT_KEY_WINDOW_S is not numbered: it becomes a duplicate and tells the first one's offset. Returns false, and has done nothing, when there is no
 * room because a reader lags by the journal's whole size: try again after it has moved, which
 * ft_journal_take_refused() tells those who move.
 */
bool ft_journal_append(struct ft_journal_writer *writer, struct ft_publication *const *batch,
                       size_t n, uint32_t now_s);

/* Drops what is older than the age. For a timer; append does the same as it goes. */
void ft_journal_expire(struct ft_journal *journal, uint32_t now_s);

/* Returns true once after an append was refused: somebody waits for readers to move. */
bool ft_journal_take_refused(struct ft_journal *journal);

/* Makes a reader, resting and idle; it belongs to one thread. */
struct ft_journal_reader *ft_journal_reader_new(struct ft_journal *journal);
void ft_journal_reader_free(struct ft_journal_reader *reader);

/* Begins a turn: from here to ft_journal_rest() what is looked up stays valid. */
void ft_journal_wake(struct ft_journal_reader *reader);

/* Ends a turn: the reader holds no pointer any more. Calling it again and again is allowed. */
void ft_journal_rest(struct ft_journal_reader *reader);

/* Says how far this reader has fanned out; what comes after is kept for it. UINT64_MAX: it is idle
 * (nobody subscribes there) and nothing is kept for it. */
void ft_journal_reader_at(struct ft_journal_reader *reader, uint64_t cursor);

/* The last offset that is there; the last one that is gone. Offsets tail + 1 … head can be had. */
uint64_t ft_journal_head(const struct ft_journal *journal);
uint64_t ft_journal_tail(const struct ft_journal *journal);

/* Lends the publication at `offset`, or NULL when it is not kept any more (or not there yet). */
const struct ft_publication *ft_journal_peek(const struct ft_journal *journal, uint64_t offset);

/* ---- streams: what positions are made of ----
 *
 * A node on its own has one stream, number 0, whose offsets are those of the journal. Where several nodes are
 * one broker, each partition has a stream that all of them share, and a node's journal is one of many
 * interleavings of these streams:
 *
 *     journal offset     1    2    3    4    5    6         cursors, outboxes, chains: of this node alone
 *     stream · offset   k·7  m·1  k·8  k·9  m·2  k·10       positions: the same on every node
 *
 * Within a stream offsets grow without holes (but see ft_journal_skip()); so what the journal keeps is, for each stream, a run that ends
 * at its head, and a position is found by searching. (What is restored, a gap, what is ephemeral do not count.)
 * From positions before a gap nobody goes on without being told.
 */

/*
 * Opens stream `index` (below `streams`) under a name: `after` is the offset before the one that comes next,
 * be it live or warm. What was of a stream with this index and another name is no place to go on from any more.
 * Opening it again with the same name: offsets up to `after` that the journal does not have are lost; places at this offset
 * say nothing of it yet, those at the next one do. The
 * thread that builds publications of it; what belongs to the stream before is appended already, and a gap is
 * appended next where somebody may have been listening.
 */
void ft_journal_open_stream(struct ft_journal *journal, uint32_t index, const char *name,
                            uint64_t after);

/*
 * Stream `index`, which is open, goes on behind `after`, and nothing was lost: between its head and that nothing
 * was ever published, here or anywhere. Whoever names a position between the two has it from a Redis that is no
 * more: it is gone. The thread that builds publications of it; what comes before is appended already.
 */
void ft_journal_skip(struct ft_journal *journal, uint32_t index, uint64_t after);

/* What topics keep of stream `index`, last values and histories, may not be what they have: it is forgotten,
 * and then restored from where it is known. The thread that builds publications of it. */
void ft_journal_forget_topics(struct ft_journal *journal, uint32_t index);

/*
 * Fills `places` (room for FT_PARTITIONS_MAX) with where the streams of `set` (NULL: all) stood at journal
 * offset `at`, from tail to head. Returns how many. One that has been opened since stands where it began, or,
 * where it took another one's place, at 0: who goes on from there is told that something is missing. Those
 * that are not open are left out.
 */
uint32_t ft_journal_places(struct ft_journal *journal, const struct ft_partition_set *set,
                           uint64_t at, struct ft_place *places);

/* Finds the position `seq` of a stream, or a life of one, by its name, in the journal up to offset `upto`, as who has come to there
 * sees it (UINT64_MAX: all of it). `*index` is set where it is known; `*at` to the greatest journal offset, up to
 * there, at which nothing that is kept of the stream after `seq` has come: `upto` or the head where nothing is, or
 * where the stream is not known. */
enum ft_found ft_journal_find(struct ft_journal *journal, struct ft_slice stream, uint64_t seq,
                              uint64_t upto, uint32_t *index, uint64_t *at);

/* Returns a publication's frame of that kind; one that is made now counts as the journal's. */
struct ft_slice ft_journal_frame(struct ft_journal *journal, const struct ft_publication *p,
                                 enum ft_frames frames);

/* The same while the topics are lent, and so the lock is taken. */
struct ft_slice ft_journal_frame_locked(struct ft_journal *journal, const struct ft_publication *p,
                                        enum ft_frames frames);

/* Says whether any topic has a last value. Any thread. */
bool ft_journal_has_retained(const struct ft_journal *journal);

/* Lends the topics, under the lock, until they are given back: for as short as it can be. */
const struct ft_topic_table *ft_journal_lock_topics(struct ft_journal *journal);

/* Lends what is known of streams, in the same way; NULL where there is one, and that is the journal's own. */
struct ft_streams *ft_journal_lock_streams(struct ft_journal *journal);

/* The same without taking the lock: for who has it, by the topics; and for what the thread that builds publications of
 * streams may look up. */
const struct ft_streams *ft_journal_peek_streams(const struct ft_journal *journal);

/* Gives back what was lent under the lock. */
void ft_journal_unlock(struct ft_journal *journal);

void ft_journal_stats(struct ft_journal *journal, struct ft_journal_stats *stats);

#endif
