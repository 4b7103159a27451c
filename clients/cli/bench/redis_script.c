/*
 * Calls of the broker's own publish script, made by hand: the script is embedded as it is, so that what stands
 * beside the broker does in Redis what the broker does there. Runs on the bench's only thread.
 */
#include "clients/cli/bench/redis.h"

#include "broker/base/alloc.h"
#include "clients/cli/bench/load.h"
#include "protocol/writer.h"

#include <stdio.h>
#include <stdlib.h>

__asm__(".pushsection .rodata\n"
        "ft_bench_publish_lua:\n"
        ".incbin \"broker/relay/scripts/publish.lua\"\n"
        "ft_bench_publish_lua_end:\n"
        ".byte 0\n"
        ".popsection\n");
extern const uint8_t ft_bench_publish_lua[], ft_bench_publish_lua_end[];

#define COMMAND_MAX 65536
#define ENTRY_MAX   4096
#define BIN8        0xC4
#define BIN16       0xC5

enum ft_err ft_cluster_load_script(struct ft_cluster *cluster, struct ft_problem *problem)
{
    struct ft_buffer command;
    struct ft_slice reply;
    const struct ft_slice args[] = {
        ft_slice_str("SCRIPT"), ft_slice_str("LOAD"),
        ft_slice(ft_bench_publish_lua, (size_t)(ft_bench_publish_lua_end - ft_bench_publish_lua))};
    ft_buffer_init(&command, COMMAND_MAX);
    ft_resp_write(&command, args, 3);
    enum ft_err err =
        ft_resp_ask_bytes(&cluster->client, ft_buffer_slice(&command), &reply, problem);
    ft_buffer_fini(&command);
    if (err != FT_OK)
        return err;
    struct ft_slice sha = ft_resp_text(reply);
    snprintf(cluster->sha, sizeof(cluster->sha), "%.*s", (int)sha.len, (const char *)sha.ptr);
    return FT_OK;
}

void ft_script_args(const struct ft_cluster *cluster, const char *channel, const char *count,
                    struct ft_slice entries, struct ft_slice args[FT_SCRIPT_ARGS])
{
    /* Bounds are those that the nodes of the bench have: 64 MiB, and defaults. Which life of Redis it is the bench
     * does not say: there is only one. */
    const char *const texts[FT_SCRIPT_ARGS - 1] = {"EVALSHA",
                                                   cluster->sha,
                                                   "5",
                                                   FT_SCRIPT_CHANNEL ":meta",
                                                   FT_SCRIPT_CHANNEL ":log",
                                                   FT_SCRIPT_CHANNEL ":last",
                                                   FT_SCRIPT_CHANNEL ":lastz",
                                                   FT_SCRIPT_CHANNEL ":topics",
                                                   channel,
                                                   "0benchmark",
                                                   "",
                                                   "0",
                                                   "100000",
                                                   "300000",
                                                   "67108864",
                                                   "100000",
                                                   "100000",
                                                   "",
                                                   "p",
                                                   count};
    for (size_t i = 0; i < FT_SCRIPT_ARGS - 1; i++)
        args[i] = ft_slice_str(texts[i]);
    args[FT_SCRIPT_ARGS - 1] = entries;
}

size_t ft_script_add_entry(struct ft_buffer *entries, const char *topic, size_t data_len)
{
    struct ft_writer writer;
    size_t json_len = data_len + 2;
    FT_ASSERT(data_len >= FT_STAMP_LEN && json_len <= ENTRY_MAX);
    ft_writer_init(&writer, FT_MSGPACK, entries);
    ft_write_array(&writer, 6);
    ft_write_uint(&writer, 0); /* JSON text, nothing else */
    ft_write_str(&writer, ft_slice_str(topic));
    if (json_len <= UINT8_MAX) {
        ft_buffer_add_byte(entries, BIN8);
    } else {
        ft_buffer_add_byte(entries, BIN16);
        ft_buffer_add_byte(entries, (uint8_t)(json_len >> 8));
    }
    ft_buffer_add_byte(entries, (uint8_t)json_len);
    ft_buffer_add_byte(entries, '"');
    size_t stamp_at = entries->len;
    uint8_t *data = ft_buffer_reserve(entries, data_len);
    FT_ASSERT(data != NULL);
    memset(data, 'x', data_len);
    ft_stamp_put(0, 0, data);
    entries->len += data_len;
    ft_buffer_add_byte(entries, '"');
    ft_write_uint(&writer, 0); /* accepted at: counts for ephemeral ones alone */
    ft_write_uint(&writer, 0); /* never expires */
    ft_write_uint(&writer, 0); /* no history */
    return stamp_at;
}
