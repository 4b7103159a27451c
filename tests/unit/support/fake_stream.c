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

static void write_head(const char *name, uint64_t ms, uint64_t first, uint32_t count,
                       const uint64_t *follows, struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, follows ? 7 : 6);
    msgpack_pack_int(&packer, FT_RELAY_VERSION);
    msgpack_pack_int(&packer, FT_RELAY_STORED);
    ft_msgpack_out_str(out, ft_slice_str(name));
    msgpack_pack_uint64(&packer, ms);
    msgpack_pack_uint64(&packer, first);
    msgpack_pack_uint32(&packer, count);
    if (follows)
        msgpack_pack_uint64(&packer, *follows);
}

void ft_fake_head(const char *name, uint64_t ms, uint64_t first, uint32_t count,
                  struct ft_buffer *out)
{
    write_head(name, ms, first, count, NULL, out);
}

void ft_fake_head_after(const char *name, uint64_t ms, uint64_t first, uint32_t count,
                        uint64_t follows, struct ft_buffer *out)
{
    write_head(name, ms, first, count, &follows, out);
}

void ft_fake_name(uint32_t number, char name[FT_STREAM_NAME_LEN + 1])
{
    uint8_t random[FT_STREAM_RANDOM_BYTES] = {0};
    for (int i = 0; i < 6; i++, number /= 32)
        random[i] = (uint8_t)(number % 32);
    ft_stream_name_of(0, random, name);
}

static bool is_lost(const struct ft_fake_stream *stream, uint64_t offset)
{
    for (uint32_t i = 0; i < stream->holes_count; i++)
        if (offset > stream->holes[i].from && offset < stream->holes[i].upto)
            return true;
    return offset > stream->head;
}

void ft_fake_join(struct ft_fake_stream *stream, uint32_t life, uint32_t *next_id,
                  const struct ft_fake_seen *seen)
{
    bool is_good = *stream->name != '\0' && stream->born >= seen->born;
    for (int i = 0; i < 2; i++)
        if (seen->streams[i].name && strcmp(stream->name, seen->streams[i].name) == 0)
            is_good = is_good && !is_lost(stream, seen->streams[i].head);
    if (is_good)
        return;
    ft_fake_name((*next_id)++, stream->name);
    stream->head = 0;
    stream->newest = 0;
    stream->from = stream->to;
    stream->life = life;
    stream->holes_count = 0;
    stream->born = stream->born > seen->born ? stream->born + 1 : seen->born + 1;
    if (stream->born < stream->ms)
        stream->born = stream->ms;
}

/* Leaves offsets out where another life has written before; returns where that was. */
static uint64_t skip(struct ft_fake_stream *stream, uint32_t life, uint64_t *random)
{
    uint64_t follows = stream->head;
    if (life == stream->life)
        return follows;
    if (stream->holes_count == FT_FAKE_HOLES)
        abort();
    stream->life = life;
    stream->head += FT_SKIP_MIN + ft_input_random(random, FT_SKIP_MIN);
    stream->holes[stream->holes_count].from = follows;
    stream->holes[stream->holes_count++].upto = stream->head;
    return follows;
}

static void fill(struct ft_fake_message *message, const struct ft_buffer *bytes)
{
    if (bytes->failed || bytes->len > FT_FAKE_BYTES)
        abort();
    memcpy(message->bytes, bytes->ptr, bytes->len);
    message->len = (uint32_t)bytes->len;
}

const struct ft_fake_message *ft_fake_publish(struct ft_fake_stream *stream, uint32_t life,
                                              uint32_t count, uint64_t *random, uint32_t *next_id,
                                              const struct ft_fake_seen *seen)
{
    ft_fake_join(stream, life, next_id, seen);
    uint64_t follows = skip(stream, life, random);
    struct ft_buffer out;
    ft_buffer_init(&out, FT_FAKE_BYTES);
    struct ft_fake_message *message = &stream->log[stream->to++ % FT_FAKE_LOG];
    if (stream->to - stream->from > FT_FAKE_LOG)
        stream->from++;
    *message = (struct ft_fake_message){
        .ms = stream->ms, .first = stream->head + 1, .last = stream->head + count};
    write_head(stream->name, stream->ms, message->first, count,
               follows == stream->head ? NULL : &follows, &out);
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
