/*
 * Writes envelopes and other small documents in either encoding, through one set of calls, so that
 * nobody writes a reply twice. The number of pairs of a map is given up front, as MessagePack needs
 * it. Not for `msg`, the hot one: broker/core/publication.c lays those out itself.
 *
 *     ft_write_map(&w, 3);
 *     ft_write_key(&w, "op");   ft_write_str(&w, ft_slice_str("ok"));
 *     ft_write_key(&w, "id");   ft_write_id(&w, env.id);
 *     ft_write_key(&w, "pos");  ft_write_str(&w, pos);
 *
 * Closing brackets come by themselves once the announced number of elements was written.
 */
#ifndef FT_PROTOCOL_WRITER_H
#define FT_PROTOCOL_WRITER_H

#include "protocol/buffer.h"
#include "protocol/encoding.h"
#include "protocol/envelope.h"

#define FT_WRITER_DEPTH_MAX 8

struct ft_writer {
    struct ft_buffer *out;
    enum ft_encoding encoding;
    uint32_t left_[FT_WRITER_DEPTH_MAX]; /* values still to come at each open level */
    uint32_t all_[FT_WRITER_DEPTH_MAX];
    bool is_map_[FT_WRITER_DEPTH_MAX];
    uint8_t depth_;
};

/* Starts a document at the end of `out`. */
void ft_writer_init(struct ft_writer *writer, enum ft_encoding encoding, struct ft_buffer *out);

void ft_write_map(struct ft_writer *writer, uint32_t pairs);
void ft_write_array(struct ft_writer *writer, uint32_t items);
void ft_write_key(struct ft_writer *writer, const char *key);
void ft_write_str(struct ft_writer *writer, struct ft_slice text); /* valid UTF-8 */
void ft_write_uint(struct ft_writer *writer, uint64_t value);
void ft_write_int(struct ft_writer *writer, int64_t value);
void ft_write_double(struct ft_writer *writer, double value); /* finite */
void ft_write_bool(struct ft_writer *writer, bool value);
void ft_write_null(struct ft_writer *writer);
void ft_write_id(struct ft_writer *writer, struct ft_id id);
void ft_write_raw(struct ft_writer *writer, struct ft_slice encoded); /* one value, as it is */

/* The writer's own quoting, for who lays JSON out by hand: adds `text` quoted and escaped. */
void ft_json_add_quoted(struct ft_buffer *out, struct ft_slice text);

#endif
