/*
 * A publication: one accepted message, immutable once the journal has numbered it. It is laid out as
 * the WebSocket frame that subscribers of the publisher's own encoding get, so that taking a message
 * in is the only copy of its bytes that the broker makes for them:
 *
 *     struct ft_publication
 *     topic bytes                   (as text: in a JSON frame it may be escaped)
 *     room for a frame header, 10   the header is written flush against the payload
 *     {"op":"msg","topic":"a/b","data":…,"at":1763700000000,"pos":"k3f9x2m0ab.     <- built
 *                                                                            17"} <- numbered
 *
 * The frame of the other encoding is made on first need and hangs off it.
 */
#ifndef FT_CORE_PUBLICATION_H
#define FT_CORE_PUBLICATION_H

#include "protocol/encoding.h"
#include "protocol/envelope.h"

#include <stdatomic.h>

/* Length of a stream's name. With '.' and the digits below, `pos` fits MessagePack's fixstr (31). */
#define FT_STREAM_NAME_LEN 10

/* Offsets stay below 2^50 (a million a second for 35 years), so that a run packs into 64 bits. */
#define FT_OFFSET_BITS       50
#define FT_OFFSET_DIGITS_MAX 16
#define FT_POS_LEN_MAX       (FT_STREAM_NAME_LEN + 1 + FT_OFFSET_DIGITS_MAX)

/* A whole WebSocket frame, header included, on the heap. */
struct ft_frame {
    uint32_t len;
    uint8_t bytes[];
};

struct ft_publication {
    uint64_t offset;     /* in its stream; 0 until it is numbered */
    uint64_t at_ms;      /* wall clock, for peers */
    uint32_t accepted_s; /* monotonic, for ageing */
    uint32_t size_;      /* bytes that it takes, this struct included; a multiple of 8 */
    uint32_t data_at_, data_len_;
    uint32_t frame_at_, frame_len_; /* once numbered */
    uint32_t payload_at_, tail_at_; /* where the payload begins, where the offset's digits go */
    uint8_t topic_len_;
    uint8_t encoding_;  /* enum ft_encoding of the frame inside */
    uint8_t data_kind_; /* enum ft_data_kind */
    uint8_t pos_len_;
    uint32_t pos_at_;
    uint32_t place_; /* where in its chunk it lies; the journal's */
    _Atomic(struct ft_frame *) other_;
};

/* What a publication is made of. */
struct ft_publication_spec {
    enum ft_encoding encoding; /* of `data`, and of the frame inside */
    struct ft_slice topic;     /* valid */
    struct ft_data data; /* passed the reader; JSON or B64 with FT_JSON, else MSGPACK or BYTES */
    uint64_t at_ms;
    uint32_t accepted_s;
    const char *stream; /* name of the stream that will number it, FT_STREAM_NAME_LEN characters */
};

/* Returns an upper bound of the bytes that such a publication takes, a multiple of 8. */
size_t ft_publication_size(const struct ft_publication_spec *spec);

/* Lays a publication out in `memory` of `size` bytes (from ft_publication_size()), all but its offset.
 * It takes `size_` of them; the rest is free again. */
struct ft_publication *ft_publication_build(void *memory, size_t size,
                                            const struct ft_publication_spec *spec);

/* Gives it its place in the stream, 1 or more, and so completes position and frame. */
void ft_publication_number(struct ft_publication *publication, uint64_t offset);

/* Frees what hangs off it, not the memory that it lies in. */
void ft_publication_fini(struct ft_publication *publication);

static inline struct ft_slice ft_publication_topic(const struct ft_publication *publication)
{
    return ft_slice((const uint8_t *)(publication + 1), publication->topic_len_);
}

/* Returns its position, "<stream>.<offset>". */
static inline struct ft_slice ft_publication_pos(const struct ft_publication *publication)
{
    return ft_slice((const uint8_t *)publication + publication->pos_at_, publication->pos_len_);
}

/* Returns its data as the publisher sent it. */
struct ft_data ft_publication_data(const struct ft_publication *publication);

/*
 * Returns the frame for `encoding`, made and kept on first need. Any thread. `*made` (may be NULL) is
 * set to the bytes that were newly taken for it, 0 if it was there.
 */
struct ft_slice ft_publication_frame(const struct ft_publication *publication,
                                     enum ft_encoding encoding, size_t *made);

#endif
