/* One partition as Redis has it: see the header. What the scripts do, in C, and slowly. */
#include "tests/unit/support/fake_stream.h"

#include "protocol/msgpack_out.h"
#include "tests/unit/support/input.h"

#include <stdio.h>
#include <stdlib.h>

void ft_fake_entry(uint32_t topic, uint32_t id, uint32_t before, bool is_retained,
                   struct ft_buffer *out)
{
    char name[16];
    uint8_t data[11] = {0x92, 0xCE};
    for (int i = 0; i < 4; i++) {
        data[2 + i] = (uint8_t)(id >> (24 - 8 * i));
        data[7 + i] = (uint8_t)(before >> (24 - 8 * i));
    }
    data[6] = 0xCE;
    snprintf(name, sizeof(name), "t/%u", topic);
    ft_relay_entry_write(&(struct ft_relay_entry){.topic = ft_slice_str(name),
                                                  .data = {FT_DATA_MSGPACK, ft_slice(data, 11)},
                                                  .at_ms = 1,
                                                  .is_retained = is_retained},
                         out);
}

static uint32_t four_bytes(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void ft_fake_entry_read(const struct ft_relay_entry *entry, uint32_t *topic, uint32_t *id,
                        uint32_t *before)
{
    *topic = (uint32_t)(entry->topic.ptr[2] - '0');
    *id = four_bytes(entry->data.bytes.ptr + 2);
    *before = four_bytes(entry->data.bytes.ptr + 7);
}

void ft_fake_head(const char *name, uint64_t ms, uint64_t first, uint32_t count,
                  struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, 6);
    msgpack_pack_int(&packer, FT_RELAY_VERSION);
    msgpack_pack_int(&packer, FT_RELAY_STORED);
    ft_msgpack_out_str(out, ft_slice_str(name));
    msgpack_pack_uint64(&packer, ms);
    msgpack_pack_uint64(&packer, first);
    msgpack_pack_uint32(&packer, count);
}

void ft_fake_name(uint32_t number, char name[FT_STREAM_NAME_LEN + 1])
{
    uint8_t random[FT_STREAM_RANDOM_BYTES] = {0};
    for (int i = 0; i < 6; i++, number /= 32)
        random[i] = (uint8_t)(number % 32);
    ft_stream_name_of(0, random, name);
}

void ft_fake_join(struct ft_fake_stream *stream, uint32_t *next_id, const char *seen,
                  uint64_t seen_head)
{
    if (*stream->name != '\0' && !(strcmp(stream->name, seen) == 0 && stream->head < seen_head))
        return;
    ft_fake_name((*next_id)++, stream->name);
    stream->head = 0;
    stream->newest = 0;
    stream->from = stream->to;
}

static void fill(struct ft_fake_message *message, const struct ft_buffer *bytes)
{
    if (bytes->failed || bytes->len > FT_FAKE_BYTES)
        abort();
    memcpy(message->bytes, bytes->ptr, bytes->len);
    message->len = (uint32_t)bytes->len;
}

const struct ft_fake_message *ft_fake_publish(struct ft_fake_stream *stream, uint32_t count,
                                              uint64_t *random, uint32_t *next_id, const char *seen,
                                              uint64_t seen_head)
{
    ft_fake_join(stream, next_id, seen, seen_head);
    struct ft_buffer out;
    ft_buffer_init(&out, FT_FAKE_BYTES);
    struct ft_fake_message *message = &stream->log[stream->to++ % FT_FAKE_LOG];
    if (stream->to - stream->from > FT_FAKE_LOG)
        stream->from++;
    *message = (struct ft_fake_message){
        .ms = stream->ms, .first = stream->head + 1, .last = stream->head + count};
    ft_fake_head(stream->name, stream->ms, message->first, count, &out);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t topic = (uint32_t)ft_input_random(random, FT_FAKE_TOPICS), id = (*next_id)++;
        bool is_retained = ft_input_random(random, 3) == 0;
        ft_fake_entry(topic, id, stream->newest, is_retained, &out);
        stream->newest = id;
        stream->head++;
        if (!is_retained)
            continue;
        struct ft_fake_message *last = &stream->last[topic];
        struct ft_buffer alone;
        ft_buffer_init(&alone, FT_FAKE_BYTES);
        last->first = last->last = stream->head;
        ft_fake_head(stream->name, stream->ms, stream->head, 1, &alone);
        ft_fake_entry(topic, id, 0, true, &alone);
        fill(last, &alone);
        ft_buffer_fini(&alone);
        stream->last_id[topic] = id;
    }
    fill(message, &out);
    ft_buffer_fini(&out);
    return message;
}
