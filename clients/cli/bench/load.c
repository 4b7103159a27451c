/*
 * Makes the frames that the bench publishes, by copying one that was laid out at the start and
 * changing its stamp. Sends nothing. Runs on the bench's only thread.
 */
#include "clients/cli/bench/load.h"

#include "broker/base/alloc.h"
#include "protocol/writer.h"
#include "protocol/ws_frame.h"

#include <stdio.h>
#include <stdlib.h>

const uint8_t ft_load_mask[4] = {0x5a, 0xc3, 0x17, 0x8e};

/* The largest message of the bench: an array of 32 with 1 KB each stays below it. */
#define MESSAGE_MAX 65536

static void write_envelope(struct ft_writer *writer, const struct ft_load_spec *spec,
                           struct ft_slice data)
{
    ft_write_map(writer, spec->has_id ? 4 : 3);
    ft_write_key(writer, "op");
    ft_write_str(writer, ft_slice_str("pub"));
    if (spec->has_id) {
        ft_write_key(writer, "id");
        ft_write_uint(writer, FT_LOAD_ID_BASE);
    }
    ft_write_key(writer, "topic");
    ft_write_str(writer, ft_slice_str(spec->topic));
    ft_write_key(writer, "data");
    ft_write_str(writer, data);
}

/* Returns where `what` first stands in the envelope: it does, for it was just written. */
static size_t find(const struct ft_buffer *envelope, const void *what, size_t n)
{
    const uint8_t *at = memmem(envelope->ptr, envelope->len, what, n);
    FT_ASSERT(at != NULL);
    return (size_t)(at - envelope->ptr);
}

void ft_load_init(struct ft_load *load, const struct ft_load_spec *spec)
{
    FT_ASSERT(spec->data_len >= FT_STAMP_LEN);
    memset(load, 0, sizeof(*load));
    load->encoding_ = spec->encoding;
    load->has_id_ = spec->has_id;
    ft_buffer_init(&load->envelope_, MESSAGE_MAX);

    uint8_t *data = ft_alloc(spec->data_len);
    memset(data, 'x', spec->data_len);
    ft_stamp_put(0, 0, data);
    struct ft_writer writer;
    ft_writer_init(&writer, spec->encoding, &load->envelope_);
    if (spec->array > 0)
        ft_write_array(&writer, spec->array);
    for (uint32_t i = 0; i < (spec->array > 0 ? spec->array : 1); i++)
        write_envelope(&writer, spec, ft_slice(data, spec->data_len));
    free(data);
    FT_ASSERT(!load->envelope_.failed);

    load->stamp_at_ = find(&load->envelope_, FT_STAMP_MARK, FT_STAMP_MARK_LEN);
    if (spec->has_id)
        load->id_at_ = spec->encoding == FT_JSON ? find(&load->envelope_, "2147483648", 10)
                                                 : find(&load->envelope_, "\x80\0\0\0", 4);
    uint8_t header[FT_WS_HEADER_MAX];
    load->frame_size =
        load->envelope_.len + ft_ws_client_header(ft_ws_opcode_of(spec->encoding),
                                                  load->envelope_.len, ft_load_mask, header);
}

void ft_load_fini(struct ft_load *load)
{
    ft_buffer_fini(&load->envelope_);
}

void ft_stamp_put(uint32_t feed, uint32_t seq, uint8_t *out)
{
    static const char digits[] = "0123456789abcdef";
    memcpy(out, FT_STAMP_MARK, FT_STAMP_MARK_LEN);
    for (size_t i = 0; i < 8; i++) {
        out[FT_STAMP_MARK_LEN + i] = (uint8_t)digits[feed >> (28 - 4 * i) & 15];
        out[FT_STAMP_MARK_LEN + 8 + i] = (uint8_t)digits[seq >> (28 - 4 * i) & 15];
    }
}

static void put_id(const struct ft_load *load, uint32_t seq, uint8_t *envelope)
{
    uint32_t id = FT_LOAD_ID_BASE + seq;
    uint8_t *at = envelope + load->id_at_;
    if (load->encoding_ == FT_JSON) {
        char text[16];
        snprintf(text, sizeof(text), "%010u", id);
        memcpy(at, text, 10);
        return;
    }
    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(id >> (24 - 8 * i));
}

uint8_t *ft_load_put(const struct ft_load *load, uint32_t feed, uint32_t seq, uint8_t *out)
{
    size_t len = load->envelope_.len;
    uint8_t *envelope =
        out + ft_ws_client_header(ft_ws_opcode_of(load->encoding_), len, ft_load_mask, out);
    memcpy(envelope, load->envelope_.ptr, len);
    ft_stamp_put(feed, seq, envelope + load->stamp_at_);
    if (load->has_id_)
        put_id(load, seq, envelope);
    ft_ws_mask(envelope, len, ft_load_mask, 0);
    return envelope + len;
}

size_t ft_load_wrap(enum ft_encoding encoding, struct ft_slice payload, uint8_t *out)
{
    size_t header = ft_ws_client_header(ft_ws_opcode_of(encoding), payload.len, ft_load_mask, out);
    memcpy(out + header, payload.ptr, payload.len);
    ft_ws_mask(out + header, payload.len, ft_load_mask, 0);
    return header + payload.len;
}
