/*
 * The journal in memory: ring, chunks, lock, reclamation. Does not fan out, does not wake anybody,
 * reads no clock. Writers and readers are one per worker thread; the rest says its threads in the
 * header.
 */
#include "broker/core/journal.h"

#include "broker/base/alloc.h"
#include "broker/core/chunks.h"
#include "broker/core/hash.h"
#include "broker/core/policy.h"

#include <pthread.h>
#include <stdlib.h>

/* Big enough that a chunk change is rare (a thousand small publications), small enough that the open
 * chunks of all workers are nothing beside the journal. */
#define CHUNK_BYTES ((size_t)256 * 1024)
/* No publication takes fewer bytes, so that this many ring slots are always enough. */
#define SMALLEST_PUBLICATION 128

/* A publication of 128 bytes of data takes so many cache lines. */
#define PREFETCH_LINES 6

#define RESTING UINT64_MAX

struct ft_journal_reader {
    struct ft_journal *journal;
    _Atomic uint64_t epoch;  /* last one seen in a turn, or RESTING */
    _Atomic uint64_t cursor; /* fanned out up to here, or UINT64_MAX */
};

struct ft_journal_writer {
    struct ft_journal *journal;
    struct ft_chunk *chunk;
};

/* A place in the ring. What dropping a publication needs to know is here too, so that it does not
 * have to touch memory that has long left the caches. */
struct slot {
    _Atomic(struct ft_publication *) publication;
    uint32_t size, accepted_s; /* these under the lock */
    uint32_t topic;            /* its id, 0: an ephemeral one, which is not remembered */
};

struct ft_journal {
    char stream[FT_STREAM_NAME_LEN + 1];
    uint32_t stream_count;
    size_t size_bytes;
    uint32_t age_s;
    uint64_t mask;
    struct slot *ring;

    _Atomic uint64_t head, tail;
    struct ft_chunks chunks; /* under the lock, but for what is atomic */
    _Atomic bool refused;
    _Atomic uint32_t retained;        /* topics with a last value */
    struct ft_hash_keys hash_keys[2]; /* for publish keys; they do not change */

    pthread_mutex_t lock;       /* everything below */
    struct ft_streams *streams; /* NULL: there is its own one only */
    struct ft_topic_table *topics;
    struct ft_key_window *keys;
    uint64_t bytes;
    uint64_t refusals, duplicates;
    uint32_t reader_count;
    struct ft_journal_reader *readers[FT_JOURNAL_READERS_MAX];
};

struct ft_journal *ft_journal_new(const struct ft_journal_options *options)
{
    struct ft_journal *j = ft_alloc_zero(sizeof(*j));
    j->stream_count = options->streams;
    if (j->stream_count == 0)
        memcpy(j->stream, options->stream, FT_STREAM_NAME_LEN);
    j->size_bytes = options->size_bytes;
    j->age_s = options->age_s;
    uint64_t slots = 1024;
    while (slots < j->size_bytes / SMALLEST_PUBLICATION)
        slots *= 2;
    j->mask = slots - 1;
    j->ring = calloc(slots, sizeof(*j->ring)); /* untouched pages cost nothing */
    FT_ASSERT(j->ring);
    if (j->stream_count > 0)
        j->streams = ft_streams_new(j->stream_count, slots);
    struct ft_topic_limits limits = options->limits;
    if (limits.topics == 0)
        limits = (struct ft_topic_limits){UINT32_MAX, UINT32_MAX, SIZE_MAX};
    j->topics = ft_topic_table_new(&limits, options->seed);
    ft_hash_keys_init(&j->hash_keys[0], options->seed + 1);
    ft_hash_keys_init(&j->hash_keys[1], options->seed + 2);
    if (options->keys > 0)
        j->keys = ft_key_window_new(options->keys, FT_KEY_WINDOW_S);
    pthread_mutex_init(&j->lock, NULL);
    ft_chunks_init(&j->chunks, options->chunk_bytes ? options->chunk_bytes : CHUNK_BYTES);
    return j;
}

void ft_journal_free(struct ft_journal *j)
{
    if (!j)
        return;
    ft_chunks_fini(&j->chunks);
    ft_streams_free(j->streams);
    ft_topic_table_free(j->topics);
    ft_key_window_free(j->keys);
    pthread_mutex_destroy(&j->lock);
    free(j->ring);
    free(j);
}

uint32_t ft_journal_streams(const struct ft_journal *j)
{
    return j->stream_count;
}

const char *ft_journal_stream(const struct ft_journal *j)
{
    return j->stream;
}

/* The epoch that every reader in a turn has seen. */
static uint64_t oldest_epoch(struct ft_journal *j)
{
    uint64_t oldest = RESTING;
    for (uint32_t i = 0; i < j->reader_count; i++) {
        uint64_t epoch = atomic_load_explicit(&j->readers[i]->epoch, memory_order_seq_cst);
        oldest = epoch < oldest ? epoch : oldest;
    }
    return oldest;
}

/* Takes back the memory of what is dropped and that nobody can look at any more. */
static void reclaim(struct ft_journal *j)
{
    if (ft_chunks_drop(&j->chunks, atomic_load_explicit(&j->tail, memory_order_relaxed)))
        ft_chunks_reuse(&j->chunks, oldest_epoch(j));
}

/* ---- writing ---- */

struct ft_journal_writer *ft_journal_writer_new(struct ft_journal *j)
{
    struct ft_journal_writer *writer = ft_alloc_zero(sizeof(*writer));
    writer->journal = j;
    return writer;
}

void ft_journal_writer_free(struct ft_journal_writer *writer)
{
    if (!writer)
        return;
    pthread_mutex_lock(&writer->journal->lock);
    ft_chunks_seal(&writer->journal->chunks, writer->chunk);
    pthread_mutex_unlock(&writer->journal->lock);
    free(writer);
}

/* The memory of the next publication has been out of the caches for as long as the journal is: have it
 * on its way before it is needed. */
static void prefetch_for_write(const uint8_t *memory)
{
    for (size_t line = 0; line < PREFETCH_LINES; line++)
        __builtin_prefetch(memory + line * 64, 1);
}

/* Fills in of what stream it is, as that is shown. */
static void choose_stream(const struct ft_journal *j, struct ft_publication_spec *spec,
                          char life[FT_STREAM_NAME_LEN + 1])
{
    if (!j->streams) {
        spec->stream = j->stream;
        return;
    }
    if (spec->entry == FT_ENTRY_GAP) {
        spec->encoding = FT_JSON;
        spec->topic = ft_slice_str("");
        spec->data = (struct ft_data){.kind = FT_DATA_JSON, .bytes = ft_slice_str("null")};
        spec->is_ephemeral = true; /* nobody ever gets it as it is */
    } else if (spec->is_ephemeral) {
        spec->stream_index = FT_STREAM_NONE;
    } else {
        spec->stream = spec->entry == FT_ENTRY_RESTORED ? spec->name : life;
        if (spec->entry != FT_ENTRY_RESTORED)
            spec->seq -= ft_streams_life_of(j->streams, spec->stream_index, spec->seq, life);
    }
}

struct ft_publication *ft_journal_build(struct ft_journal_writer *writer,
                                        struct ft_publication_spec *spec)
{
    struct ft_journal *j = writer->journal;
    char life[FT_STREAM_NAME_LEN + 1];
    choose_stream(j, spec, life);
    spec->topic_hash = ft_topic_table_hash(j->topics, spec->topic);
    size_t size = ft_publication_size(spec);
    struct ft_chunk *chunk = writer->chunk;
    if (!chunk || chunk->size - chunk->used < size) {
        pthread_mutex_lock(&j->lock);
        ft_chunks_seal(&j->chunks, chunk);
        chunk = writer->chunk = ft_chunks_take(&j->chunks, size);
        pthread_mutex_unlock(&j->lock);
    }
    struct ft_publication *p = ft_publication_build(chunk->bytes + chunk->used, size, spec);
    p->place_ = (uint32_t)chunk->used;
    chunk->used += p->size_;
    chunk->pending++;
    prefetch_for_write(chunk->bytes + chunk->used);
    return p;
}

/* Everything up to here has been fanned out by every reader that is not idle. */
static uint64_t oldest_cursor(struct ft_journal *j)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < j->reader_count; i++) {
        uint64_t cursor = atomic_load_explicit(&j->readers[i]->cursor, memory_order_seq_cst);
        oldest = cursor < oldest ? cursor : oldest;
    }
    return oldest;
}

static struct slot *slot_of(const struct ft_journal *j, uint64_t offset)
{
    return &j->ring[offset & j->mask];
}

/* Tells those who ask without the lock whether there are last values. */
static void note_retained(struct ft_journal *j)
{
    struct ft_topic_stats stats;
    ft_topic_table_stats(j->topics, &stats);
    atomic_store_explicit(&j->retained, stats.retained, memory_order_relaxed);
}

/* Drops from the tail what is too old, and what it takes to have room for `n` publications of
 * `bytes`. Returns false when a reader that lags is in the way. */
static bool make_room(struct ft_journal *j, size_t n, size_t bytes, uint32_t now_s)
{
    uint64_t head = atomic_load_explicit(&j->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&j->tail, memory_order_relaxed);
    uint64_t was = tail, fanned_out = 0;
    bool fits = true;
    while (tail < head) {
        const struct slot *slot = slot_of(j, tail + 1);
        uint64_t other = atomic_load_explicit(&j->chunks.other_bytes, memory_order_relaxed);
        bool is_full = j->bytes + other + bytes > j->size_bytes || head - tail + n > j->mask;
        /* Turns of other threads began earlier or later: what is kept may be a second younger than now. */
        if (!is_full && now_s <= (uint64_t)slot->accepted_s + j->age_s)
            break;
        if (tail >= fanned_out)
            fanned_out = oldest_cursor(j);
        if (tail >= fanned_out) {
            fits = !is_full;
            break;
        }
        j->bytes -= slot->size;
        if (slot->topic != 0)
            ft_topic_table_drop(j->topics, slot->topic, tail + 1,
                                atomic_load_explicit(&slot->publication, memory_order_relaxed),
                                now_s * 10);
        tail++;
    }
    if (tail != was) {
        note_retained(j);
        atomic_store_explicit(&j->tail, tail, memory_order_seq_cst);
        reclaim(j);
    }
    return fits;
}

/* Says whether its key is known, and so makes it a duplicate; a new key is remembered for the offset
 * that it is about to get. */
static bool is_duplicate(struct ft_journal *j, struct ft_publication *p, uint64_t offset,
                         uint32_t now_s)
{
    struct ft_key key;
    if (!j->keys || !ft_publication_key(p, &key))
        return false;
    uint64_t first = ft_key_window_find(j->keys, key, now_s);
    if (first == 0) {
        ft_key_window_add(j->keys, key, offset, now_s);
        return false;
    }
    p->offset = p->seq = first;
    p->is_duplicate = true;
    j->duplicates++;
    return true;
}

/* Links a publication that has its number to the one before it in its topic. Returns the topic's id. */
static uint32_t chain(struct ft_journal *j, struct ft_publication *p)
{
    if (p->is_ephemeral)
        return 0;
    uint32_t topic = ft_topic_table_note(j->topics, p, &p->previous);
    if (p->slow == FT_SLOW_LATEST && p->previous != 0 && p->entry == FT_ENTRY_LIVE) {
        struct ft_publication *previous =
            atomic_load_explicit(&slot_of(j, p->previous)->publication, memory_order_relaxed);
        atomic_store_explicit(&previous->is_superseded, true, memory_order_relaxed);
    }
    return topic;
}

/* Gives a publication its number and its place in the ring; the readers see it with the new head. */
static void place(struct ft_journal *j, struct ft_publication *p, uint64_t offset)
{
    ft_publication_number(p, offset);
    ft_chunk_of(p)->last_offset = offset;
    struct slot *slot = slot_of(j, offset);
    slot->size = p->size_;
    slot->accepted_s = p->accepted_s;
    slot->topic = chain(j, p);
    j->bytes += p->size_;
    if (j->streams)
        ft_streams_note(j->streams, ft_publication_is_counted(p) ? p->stream : FT_STREAM_NONE,
                        offset);
    if (j->streams && p->entry == FT_ENTRY_GAP)
        ft_streams_doubt(j->streams, p->stream);
    atomic_store_explicit(&slot->publication, p, memory_order_release);
}

bool ft_journal_append(struct ft_journal_writer *writer, struct ft_publication *const *batch,
                       size_t n, uint32_t now_s)
{
    struct ft_journal *j = writer->journal;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += batch[i]->size_;

    pthread_mutex_lock(&j->lock);
    if (!make_room(j, n, bytes, now_s)) {
        /* A reader that moves right now either sees the flag, or is seen by the second look. */
        atomic_store_explicit(&j->refused, true, memory_order_seq_cst);
        if (!make_room(j, n, bytes, now_s)) {
            j->refusals++;
            pthread_mutex_unlock(&j->lock);
            return false;
        }
    }
    uint64_t head = atomic_load_explicit(&j->head, memory_order_relaxed);
    for (size_t i = 0; i < n; i++) {
        ft_chunk_of(batch[i])->pending--;
        if (!is_duplicate(j, batch[i], head + 1, now_s))
            place(j, batch[i], ++head);
    }
    note_retained(j);
    atomic_store_explicit(&j->head, head, memory_order_seq_cst);
    pthread_mutex_unlock(&j->lock);
    return true;
}

void ft_journal_expire(struct ft_journal *j, uint32_t now_s)
{
    pthread_mutex_lock(&j->lock);
    (void)make_room(j, 0, 0, now_s);
    ft_topic_table_expire(j->topics, now_s * 10);
    if (j->keys)
        ft_key_window_expire(j->keys, now_s);
    note_retained(j);
    reclaim(j);
    pthread_mutex_unlock(&j->lock);
}

struct ft_key ft_journal_key(const struct ft_journal *j, struct ft_slice topic, struct ft_slice key)
{
    return ft_key_of(&j->hash_keys[0], &j->hash_keys[1], topic, key);
}

bool ft_journal_has_retained(const struct ft_journal *j)
{
    return atomic_load_explicit(&j->retained, memory_order_relaxed) > 0;
}

const struct ft_topic_table *ft_journal_lock_topics(struct ft_journal *j)
{
    pthread_mutex_lock(&j->lock);
    return j->topics;
}

struct ft_streams *ft_journal_lock_streams(struct ft_journal *j)
{
    pthread_mutex_lock(&j->lock);
    return j->streams;
}

const struct ft_streams *ft_journal_peek_streams(const struct ft_journal *j)
{
    return j->streams;
}

void ft_journal_unlock(struct ft_journal *j)
{
    pthread_mutex_unlock(&j->lock);
}

bool ft_journal_take_refused(struct ft_journal *j)
{
    return atomic_load_explicit(&j->refused, memory_order_seq_cst) &&
           atomic_exchange_explicit(&j->refused, false, memory_order_acq_rel);
}

/* ---- reading ---- */

struct ft_journal_reader *ft_journal_reader_new(struct ft_journal *j)
{
    struct ft_journal_reader *reader = ft_alloc_zero(sizeof(*reader));
    reader->journal = j;
    atomic_init(&reader->epoch, RESTING);
    atomic_init(&reader->cursor, UINT64_MAX);
    pthread_mutex_lock(&j->lock);
    FT_ASSERT(j->reader_count < FT_JOURNAL_READERS_MAX);
    j->readers[j->reader_count++] = reader;
    pthread_mutex_unlock(&j->lock);
    return reader;
}

void ft_journal_reader_free(struct ft_journal_reader *reader)
{
    if (!reader)
        return;
    struct ft_journal *j = reader->journal;
    pthread_mutex_lock(&j->lock);
    for (uint32_t i = 0; i < j->reader_count; i++) {
        if (j->readers[i] == reader) {
            j->readers[i] = j->readers[--j->reader_count];
            break;
        }
    }
    pthread_mutex_unlock(&j->lock);
    free(reader);
}

void ft_journal_wake(struct ft_journal_reader *reader)
{
    uint64_t epoch = atomic_load_explicit(&reader->journal->chunks.epoch, memory_order_acquire);
    atomic_store_explicit(&reader->epoch, epoch, memory_order_seq_cst);
}

void ft_journal_rest(struct ft_journal_reader *reader)
{
    atomic_store_explicit(&reader->epoch, RESTING, memory_order_release);
}

void ft_journal_reader_at(struct ft_journal_reader *reader, uint64_t cursor)
{
    atomic_store_explicit(&reader->cursor, cursor, memory_order_seq_cst);
}

uint64_t ft_journal_head(const struct ft_journal *j)
{
    return atomic_load_explicit(&j->head, memory_order_seq_cst);
}

uint64_t ft_journal_tail(const struct ft_journal *j)
{
    return atomic_load_explicit(&j->tail, memory_order_seq_cst);
}

const struct ft_publication *ft_journal_peek(const struct ft_journal *j, uint64_t offset)
{
    if (offset > ft_journal_head(j) || offset <= ft_journal_tail(j))
        return NULL;
    /* Its slot may be given to a newer publication between the check and the look. */
    const struct ft_publication *p =
        atomic_load_explicit(&slot_of(j, offset)->publication, memory_order_acquire);
    return p->offset == offset ? p : NULL;
}

/* ---- streams ---- */

void ft_journal_open_stream(struct ft_journal *j, uint32_t index, const char *name, uint64_t after)
{
    pthread_mutex_lock(&j->lock);
    ft_streams_open(j->streams, index, name, after,
                    atomic_load_explicit(&j->head, memory_order_relaxed));
    pthread_mutex_unlock(&j->lock);
}

void ft_journal_skip(struct ft_journal *j, uint32_t index, uint64_t after)
{
    pthread_mutex_lock(&j->lock);
    ft_streams_skip(j->streams, index, after, atomic_load_explicit(&j->head, memory_order_relaxed));
    pthread_mutex_unlock(&j->lock);
}

void ft_journal_forget_topics(struct ft_journal *j, uint32_t index)
{
    pthread_mutex_lock(&j->lock);
    ft_topic_table_forget(j->topics, index);
    note_retained(j);
    pthread_mutex_unlock(&j->lock);
}

uint32_t ft_journal_places(struct ft_journal *j, const struct ft_partition_set *set, uint64_t at,
                           struct ft_place *places)
{
    if (!j->streams) {
        places[0] = (struct ft_place){.index = 0, .seq = at};
        memcpy(places[0].stream, j->stream, sizeof(j->stream));
        return 1;
    }
    pthread_mutex_lock(&j->lock);
    uint32_t n = ft_streams_places(j->streams, set, at, places);
    pthread_mutex_unlock(&j->lock);
    return n;
}

/* The same in the journal's own stream: its offsets are the positions. */
static enum ft_found find_own(const struct ft_journal *j, struct ft_slice stream, uint64_t seq,
                              uint64_t upto, uint32_t *index, uint64_t *at)
{
    uint64_t head = ft_journal_head(j);
    *at = upto < head ? upto : head;
    if (!ft_slice_equal(stream, ft_slice_str(j->stream)))
        return FT_FOUND_UNKNOWN;
    *index = 0;
    if (seq > *at)
        return FT_FOUND_AHEAD;
    uint64_t tail = ft_journal_tail(j);
    uint64_t from = seq >= tail ? seq : tail;
    *at = from < *at ? from : *at;
    return seq >= tail ? FT_FOUND : FT_FOUND_GONE;
}

enum ft_found ft_journal_find(struct ft_journal *j, struct ft_slice stream, uint64_t seq,
                              uint64_t upto, uint32_t *index, uint64_t *at)
{
    if (!j->streams)
        return find_own(j, stream, seq, upto, index, at);
    pthread_mutex_lock(&j->lock);
    uint64_t tail = atomic_load_explicit(&j->tail, memory_order_relaxed);
    enum ft_found found = ft_streams_find(j->streams, stream, seq, tail, upto, index, at);
    pthread_mutex_unlock(&j->lock);
    return found;
}

/* ---- frames ---- */

/* Returns the event of a publication where there are many streams. A browser keeps the last id alone: so it has
 * the places of all streams. What is older than the places around it has none, and the last one counts on. */
static struct ft_slice event_of(struct ft_journal *j, const struct ft_publication *p,
                                bool is_locked, size_t *made)
{
    char id[FT_PLACES_LEN_MAX];
    size_t len = 0;
    if (!ft_publication_has_event(p) && ft_publication_is_counted(p)) {
        if (!is_locked)
            pthread_mutex_lock(&j->lock);
        len = ft_streams_print(j->streams, p->offset, id);
        if (!is_locked)
            pthread_mutex_unlock(&j->lock);
    }
    return ft_publication_event(p, ft_slice(id, len), made);
}

static struct ft_slice frame_of(struct ft_journal *j, const struct ft_publication *p,
                                enum ft_frames frames, bool is_locked)
{
    size_t made;
    struct ft_slice frame = j->streams && frames == FT_FRAMES_EVENTS
                                ? event_of(j, p, is_locked, &made)
                                : ft_publication_frame(p, frames, &made);
    if (made) {
        atomic_fetch_add_explicit(&ft_chunk_of(p)->other_bytes, made, memory_order_relaxed);
        atomic_fetch_add_explicit(&j->chunks.other_bytes, made, memory_order_relaxed);
    }
    return frame;
}

struct ft_slice ft_journal_frame(struct ft_journal *j, const struct ft_publication *p,
                                 enum ft_frames frames)
{
    return frame_of(j, p, frames, false);
}

struct ft_slice ft_journal_frame_locked(struct ft_journal *j, const struct ft_publication *p,
                                        enum ft_frames frames)
{
    return frame_of(j, p, frames, true);
}

void ft_journal_stats(struct ft_journal *j, struct ft_journal_stats *stats)
{
    pthread_mutex_lock(&j->lock);
    uint64_t tail = atomic_load_explicit(&j->tail, memory_order_relaxed);
    *stats = (struct ft_journal_stats){
        .head = atomic_load_explicit(&j->head, memory_order_relaxed),
        .tail = tail,
        .oldest_s = slot_of(j, tail + 1)->accepted_s,
        .bytes = j->bytes + atomic_load_explicit(&j->chunks.other_bytes, memory_order_relaxed),
        .chunks = j->chunks.count,
        .refused = j->refusals,
        .duplicates = j->duplicates,
        .keys = j->keys ? ft_key_window_count(j->keys) : 0,
        .keys_dropped = j->keys ? ft_key_window_dropped(j->keys) : 0,
    };
    ft_topic_table_stats(j->topics, &stats->topics);
    pthread_mutex_unlock(&j->lock);
}
