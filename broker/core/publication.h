/*
 * A publication: one accepted message, immutable once the journal has numbered it. It is laid out as
 * the WebSocket frame that subscribers of the publisher's own encoding get, so that taking a message
 * in is the only copy of its bytes that the broker makes for them:
 *
 *     struct ft_publication
 *     topic bytes                   (as text: in a JSON frame it may be escaped)
 *     struct ft_key                 (only where the publish had a key)
 *     room for a frame header, 10   the header is written flush against the payload
 *     {"op":"msg","topic":"a/b","data":…,"at":1763700000000,"pos":"k3f9x2m0ab.     <- built
 *                                                                            17"} <- numbered
 *
 * The frame of the other encoding, and the event of an event stream, are made on first need and hang off
 * it. An ephemeral publication is delivered and never kept for anybody: it has an offset, as all do,
 * but shows no position.
 */
#ifndef FT_CORE_PUBLICATION_H
#define FT_CORE_PUBLICATION_H

#include "broker/core/key_window.h"
#include "broker/core/streams.h"
#include "protocol/buffer.h"
#include "protocol/encoding.h"
#include "protocol/envelope.h"

#include <stdatomic.h>

/* How a subscriber gets it: as a WebSocket frame in one of the encodings; or as an event of an event stream
 * (SPEC.md section 7), "id: <pos>\ndata: <the JSON msg>\n\n". */
enum ft_frames {
    FT_FRAMES_JSON = FT_JSON,
    FT_FRAMES_MSGPACK = FT_MSGPACK,
    FT_FRAMES_EVENTS,
    FT_FRAMES_KINDS
};

/* Returns the encoding that goes with it. */
static inline enum ft_encoding ft_frames_encoding(enum ft_frames frames)
{
    return frames == FT_FRAMES_MSGPACK ? FT_MSGPACK : FT_JSON;
}

/* What an entry of the journal is there for. */
enum ft_entry {
    FT_ENTRY_LIVE, /* a publication that has just been accepted */
    FT_ENTRY_WARM, /* one from before this node listened: for who resumes, and for looking back */
    FT_ENTRY_RESTORED, /* one that a topic keeps (last value, history): for looking back alone */
    FT_ENTRY_GAP       /* no publication: here its stream goes on after something was lost */
};

/* A whole frame on the heap: a WebSocket's, header included, or an event. */
struct ft_frame {
    uint32_t len;
    uint8_t bytes[];
};

struct ft_publication {
    uint64_t offset; /* in the journal; 0 until it is numbered. Of a duplicate: the first one's */
    uint64_t
        previous;   /* offset of the one before it in its topic, where that is remembered; or 0 */
    uint64_t at_ms; /* wall clock, for peers */
    uint64_t topic_hash; /* keyed */
    uint64_t
        seq; /* its offset as its position shows it; of FT_ENTRY_GAP: from where on in its stream
                            who has listened gets what comes, if that is later */
    uint32_t accepted_s; /* monotonic, for ageing */
    uint32_t
        expires_ds; /* monotonic, tenths of a second: not kept for anybody from then on; 0: never */
    uint32_t history;  /* how many of its topic are to be kept beyond the journal */
    uint16_t stream;   /* index of that among the journal's, or FT_STREAM_NONE; of FT_ENTRY_GAP and
                         FT_ENTRY_RESTORED, which do not count in it, that of their topics */
    uint8_t entry : 4; /* enum ft_entry */
    uint8_t slow : 4;  /* enum ft_slow: what happens where a reader is too slow for it */
    bool is_ephemeral;
    bool is_retained;     /* its topic's last value */
    bool clears_retained; /* its topic has no last value any more */
    bool is_duplicate;    /* its key was known: it was not numbered */
    _Atomic bool
        is_superseded; /* a newer one of its topic is there; told with FT_SLOW_LATEST only */

    bool has_key_;
    uint8_t topic_len_;
    uint8_t encoding_ : 4;  /* enum ft_encoding of the frame inside */
    uint8_t data_kind_ : 4; /* enum ft_data_kind */
    uint8_t pos_len_;
    uint32_t size_; /* bytes that it takes, this struct included; a multiple of 8 */
    uint32_t data_at_, data_len_;
    uint32_t frame_at_;  /* until it is numbered: where the payload begins */
    uint32_t frame_len_; /* until it is numbered: where the offset's digits go */
    uint32_t pos_at_;
    uint32_t place_;   /* where in its chunk it lies; the journal's */
    uint32_t taken_us; /* low bits of the monotonic clock when it was taken in, for measuring */
    _Atomic(struct ft_frame *) other_; /* in the other encoding */
    _Atomic(struct ft_frame *) event_;
};

/* What a publication is made of. */
struct ft_publication_spec {
    enum ft_encoding encoding; /* of `data`, and of the frame inside */
    struct ft_slice topic;     /* valid */
    struct ft_data data; /* passed the reader; JSON or B64 with FT_JSON, else MSGPACK or BYTES */
    uint64_t at_ms;
    uint32_t accepted_s, taken_us, expires_ds, history;
    uint8_t slow;
    bool is_ephemeral, is_retained, clears_retained;
    const struct ft_key *key; /* NULL: none */

    /* Where several nodes are one broker: which stream has numbered it, and how. */
    uint8_t entry;         /* enum ft_entry */
    uint16_t stream_index; /* or FT_STREAM_NONE */
    uint64_t seq; /* 0: the journal's own offset will be it; of a restored one, as it is shown */
    const char *name; /* of the stream, where it is not the one that is open now: a restored one */

    uint64_t topic_hash; /* these two are the journal's */
    const char *stream;  /* name of the stream that will number it, FT_STREAM_NAME_LEN characters */
};

/* Returns an upper bound of the bytes that such a publication takes, a multiple of 8. */
size_t ft_publication_size(const struct ft_publication_spec *spec);

/* Lays a publication out in `memory` of `size` bytes (from ft_publication_size()), all but its offset.
 * It takes `size_` of them; the rest is free again. */
struct ft_publication *ft_publication_build(void *memory, size_t size,
                                            const struct ft_publication_spec *spec);

/* Gives it its place in the journal, 1 or more, which is that in its stream as well where it has none yet, and
 * so completes position and frame. */
void ft_publication_number(struct ft_publication *publication, uint64_t offset);

/* Frees what hangs off it, not the memory that it lies in. */
void ft_publication_fini(struct ft_publication *publication);

/* Makes a copy in `memory` of publication->size_ bytes; what hangs off the original stays there. */
struct ft_publication *ft_publication_copy(const struct ft_publication *publication, void *memory);

/* Reads the key that it was published with; false: it has none. */
bool ft_publication_key(const struct ft_publication *publication, struct ft_key *key);

/* Says whether it is past its time to live. `now_ds`: monotonic, tenths of a second. */
static inline bool ft_publication_is_expired(const struct ft_publication *publication,
                                             uint32_t now_ds)
{
    return publication->expires_ds != 0 && now_ds >= publication->expires_ds;
}

static inline struct ft_slice ft_publication_topic(const struct ft_publication *publication)
{
    return ft_slice((const uint8_t *)(publication + 1), publication->topic_len_);
}

/* Returns its position, "<stream>.<seq>"; empty for an ephemeral one. */
static inline struct ft_slice ft_publication_pos(const struct ft_publication *publication)
{
    return ft_slice((const uint8_t *)publication + publication->pos_at_, publication->pos_len_);
}

/* Returns its data as the publisher sent it. */
struct ft_data ft_publication_data(const struct ft_publication *publication);

/*
 * Returns its frame of that kind, made and kept on first need. Any thread. `*made` (may be NULL) is
 * set to the bytes that were newly taken for it, 0 if it was there.
 */
struct ft_slice ft_publication_frame(const struct ft_publication *publication,
                                     enum ft_frames frames, size_t *made);

/* The same for its event, with another id than its position; an empty one: the event has none. */
struct ft_slice ft_publication_event(const struct ft_publication *publication, struct ft_slice id,
                                     size_t *made);

/* Returns an event without its id. */
struct ft_slice ft_publication_cut_id(struct ft_slice event);

/* Says whether its event is made already. */
static inline bool ft_publication_has_event(const struct ft_publication *publication)
{
    return atomic_load_explicit(&publication->event_, memory_order_acquire) != NULL;
}

/* Says whether it is one that its stream has numbered here: neither ephemeral nor restored nor a gap. */
static inline bool ft_publication_is_counted(const struct ft_publication *publication)
{
    return publication->entry <= FT_ENTRY_WARM && publication->stream != FT_STREAM_NONE;
}

/* Adds to `out` a frame of a publication marked as its topic's last value: with "retained":true. */
void ft_publication_add_retained(struct ft_slice frame, enum ft_frames frames,
                                 struct ft_buffer *out);

/* Adds to `out` the `msg` of a WebSocket frame without the key `op`, a value of its own: an item of a
 * history. */
void ft_publication_add_item(struct ft_slice frame, enum ft_encoding encoding,
                             struct ft_buffer *out);

#endif
