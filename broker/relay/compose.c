/* Publish commands. Pure; knows scripts/publish.lua by its arguments alone. Any thread. */
#include "broker/relay/compose.h"

#include "broker/base/alloc.h"
#include "broker/relay/command.h"

#include <stdio.h>
#include <stdlib.h>

#define COMMAND_MAX ((size_t)1 << 31)
/* EVALSHA, SHA-1, number of keys; the keys; the arguments before the parts. */
#define HEAD_ARGS 3
#define KEYS      5
#define COMMON    10
/* What the head has beside that: how many arguments, names of two streams, a head, a life of Redis. */
#define HEAD_BYTES 256
/* The names of one partition, and the bounds. */
#define COMMON_MAX ((size_t)8192)

/* Adds an argument made of a prefix, the number of a partition in braces, and a suffix. */
static void add_name(struct ft_buffer *command, const char *prefix, uint32_t partition,
                     const char *suffix)
{
    char braces[16];
    int n = snprintf(braces, sizeof(braces), ":{%u}", partition);
    size_t prefix_len = strlen(prefix), suffix_len = strlen(suffix);
    ft_command_open(command, prefix_len + (size_t)n + suffix_len);
    ft_buffer_add(command, prefix, prefix_len);
    ft_buffer_add(command, braces, (size_t)n);
    ft_buffer_add(command, suffix, suffix_len);
    ft_command_close(command);
}

static void write_names(struct ft_compose_names *names, uint32_t partition, const char *prefix,
                        const char *channel_prefix)
{
    static const char *const keys[KEYS] = {":meta", ":log", ":last", ":lastz", ":topics"};
    ft_buffer_init(&names->bytes, COMMON_MAX);
    ft_command_str(&names->bytes, "EVALSHA");
    ft_command_str(&names->bytes, ft_script_sha(FT_SCRIPT_PUBLISH));
    ft_command_uint(&names->bytes, KEYS);
    for (int i = 0; i < KEYS; i++)
        add_name(&names->bytes, prefix, partition, keys[i]);
    names->channel_at = names->bytes.len;
    add_name(&names->bytes, channel_prefix, partition, "");
    FT_ASSERT(!names->bytes.failed);
}

void ft_compose_init(struct ft_compose *compose, const struct ft_relay_options *options,
                     const char *prefix, const char *channel_prefix, const char *instance)
{
    uint32_t partitions = options->partitions.count;
    *compose = (struct ft_compose){.instance = instance, .partitions = partitions};
    compose->names = ft_alloc(partitions * sizeof(compose->names[0]));
    for (uint32_t k = 0; k < partitions; k++)
        write_names(&compose->names[k], k, prefix, channel_prefix);
    ft_buffer_init(&compose->bounds, COMMON_MAX);
    ft_command_uint(&compose->bounds, options->length);
    ft_command_uint(&compose->bounds, (uint64_t)options->age_s * 1000);
    ft_command_uint(&compose->bounds, options->size_bytes / partitions);
    ft_command_uint(&compose->bounds, options->retained);
    ft_command_uint(&compose->bounds, options->kept_topics);
    size_t longest = compose->names[partitions - 1].bytes.len; /* it has the most digits */
    compose->head_room = HEAD_BYTES + longest + compose->bounds.len;
}

void ft_compose_fini(struct ft_compose *compose)
{
    for (uint32_t k = 0; k < compose->partitions; k++)
        ft_buffer_fini(&compose->names[k].bytes);
    free(compose->names);
    ft_buffer_fini(&compose->bounds);
}

/* ---- parts ---- */

static void add_special(struct ft_buffer *command, const struct ft_relay_batch *batch,
                        const struct ft_relay_item *item)
{
    ft_command_str(command, "s");
    ft_command_str(command, item->is_retained ? "r" : item->clears_retained ? "c" : "-");
    ft_command_arg(command, ft_slice(batch->keys.ptr + item->topic_at, item->topic_len));
    ft_command_arg(command, ft_slice(batch->keys.ptr + item->key_at, item->key_len));
    ft_command_uint(command, item->history);
    ft_command_uint(command, item->ttl_ms);
    ft_command_arg(command, ft_slice(batch->entries.ptr + item->at, item->len));
}

/* Returns how many of a batch, from `first` on, are plain: they are one part. */
static uint32_t plain_run(const struct ft_relay_batch *batch, uint32_t first)
{
    uint32_t n = 0;
    while (first + n < batch->count && ft_relay_item_is_plain(&batch->items[first + n]))
        n++;
    return n;
}

static void add_run(struct ft_buffer *command, const struct ft_relay_batch *batch, uint32_t first,
                    uint32_t n)
{
    const struct ft_relay_item *from = &batch->items[first], *last = from + n - 1;
    ft_command_str(command, "p");
    ft_command_uint(command, n);
    ft_command_arg(command,
                   ft_slice(batch->entries.ptr + from->at, last->at + last->len - from->at));
}

static void add_parts(struct ft_relay_batch *batch)
{
    batch->parts = batch->args = 0;
    for (uint32_t i = 0; i < batch->count;) {
        uint32_t n = plain_run(batch, i);
        if (n > 0)
            add_run(&batch->command, batch, i, n);
        else
            add_special(&batch->command, batch, &batch->items[i]);
        batch->args += n > 0 ? 3 : 7;
        batch->parts++;
        i += n > 0 ? n : 1;
    }
}

void ft_compose_ephemeral(const struct ft_compose *compose, uint32_t partition, uint32_t count,
                          struct ft_slice entries, struct ft_buffer *command)
{
    struct ft_buffer head;
    ft_buffer_init(&head, 256);
    ft_relay_head_write(ft_slice(compose->instance, FT_INSTANCE_LEN), count, &head);
    ft_buffer_init(command, COMMAND_MAX);
    ft_command_begin(command, 3);
    ft_command_str(command, "PUBLISH");
    const struct ft_compose_names *names = &compose->names[partition];
    ft_buffer_add(command, names->bytes.ptr + names->channel_at,
                  names->bytes.len - names->channel_at);
    ft_command_open(command, head.len + entries.len);
    ft_buffer_add(command, head.ptr, head.len);
    ft_buffer_add(command, entries.ptr, entries.len);
    ft_command_close(command);
    ft_buffer_fini(&head);
}

void ft_compose_batch(const struct ft_compose *compose, struct ft_relay_batch *batch)
{
    if (batch->is_ephemeral) {
        ft_compose_ephemeral(compose, batch->partition, batch->count,
                             ft_buffer_slice(&batch->entries), &batch->command);
    } else {
        ft_buffer_init(&batch->command, COMMAND_MAX);
        (void)ft_buffer_reserve(&batch->command,
                                compose->head_room + batch->entries.len + batch->keys.len + 128);
        batch->command.len = compose->head_room;
        add_parts(batch);
    }
    FT_ASSERT(!batch->command.failed);
}

/* ---- the head ---- */

struct ft_slice ft_compose_head(const struct ft_compose *compose, struct ft_relay_batch *batch,
                                const struct ft_compose_seen *seen, struct ft_buffer *head)
{
    const struct ft_buffer *names = &compose->names[batch->partition].bytes;
    ft_buffer_clear(head);
    ft_command_begin(head, HEAD_ARGS + KEYS + COMMON + batch->args);
    ft_buffer_add(head, names->ptr, names->len);
    ft_command_str(head, seen->candidate);
    ft_command_str(head, seen->stream);
    ft_command_uint(head, seen->head);
    ft_buffer_add(head, compose->bounds.ptr, compose->bounds.len);
    ft_command_str(head, seen->life);
    FT_ASSERT(!head->failed && head->len <= compose->head_room);
    size_t at = compose->head_room - head->len;
    memcpy(batch->command.ptr + at, head->ptr, head->len);
    return ft_slice(batch->command.ptr + at, batch->command.len - at);
}
