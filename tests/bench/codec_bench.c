/*
 * Times the envelope reader alone: one 139-byte `pub`, in both encodings, on one thread, without I/O.
 * Prints nanoseconds per envelope, the best of several rounds: the rest is the machine's noise. Beside
 * them what jansson and msgpack-c take for the same bytes in the same run, to compare machines by.
 */
#include <jansson.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/buffer.h"
#include "protocol/envelope.h"
#include "protocol/transcode.h"
#include "protocol/utf8.h"

#define ROUNDS 20
#define TIMES  50000

/* What a ticker sends, 139 bytes as JSON. */
static const char text[] =
    "{\"op\":\"pub\",\"id\":42,\"topic\":\"market/eur/usd/ticks\",\"data\":{\"bid\":1.08431,"
    "\"ask\":1.08442,\"seq\":1234567,\"venue\":\"LMAX-\",\"flag\":true},\"ttl\":60}";

_Static_assert(sizeof(text) - 1 == 139, "the figure is for 139 bytes");

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "codec_bench: %s\n", what);
    exit(1);
}

/* One message as the broker reads it, once its UTF-8 was checked. */
static void read_once(enum ft_encoding encoding, struct ft_slice message)
{
    uint8_t scratch[256];
    struct ft_reader reader;
    struct ft_envelope env;
    struct ft_problem problem;
    if (ft_reader_begin(&reader, encoding, message, scratch, &problem) != FT_OK ||
        ft_reader_next(&reader, &env, &problem) != FT_OK)
        fail(problem.text);
    if (env.op != FT_OP_PUB || env.id.num != 42 || env.topic.len != 20)
        fail("the envelope was read wrongly");
}

static void read_json(struct ft_slice message)
{
    read_once(FT_JSON, message);
}

static void read_msgpack(struct ft_slice message)
{
    read_once(FT_MSGPACK, message);
}

static void check_utf8(struct ft_slice message)
{
    if (!ft_utf8_is_valid(message))
        fail("the message is not UTF-8");
}

static void read_by_jansson(struct ft_slice message)
{
    json_t *root = json_loadb((const char *)message.ptr, message.len, JSON_REJECT_DUPLICATES, NULL);
    if (!root)
        fail("jansson refuses the envelope");
    json_decref(root);
}

static void read_by_msgpack_c(struct ft_slice message)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)message.ptr, message.len, NULL) !=
        MSGPACK_UNPACK_SUCCESS)
        fail("msgpack-c refuses the envelope");
    msgpack_unpacked_destroy(&unpacked);
}

static double time_reads(void (*read)(struct ft_slice), struct ft_slice message)
{
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (int i = 0; i < TIMES; i++)
            read(message);
        uint64_t took = now_ns() - from;
        best = took < best ? took : best;
    }
    return (double)best / TIMES;
}

int main(void)
{
    struct ft_slice json = ft_slice(text, sizeof(text) - 1);
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    enum ft_data_kind kind;
    if (ft_transcode((struct ft_data){FT_DATA_JSON, json}, FT_MSGPACK, &out, &kind) != FT_OK)
        fail("the envelope cannot be transcoded");
    struct ft_slice msgpack = ft_buffer_slice(&out);
    printf("parse_json_ns=%.1f parse_msgpack_ns=%.1f utf8_ns=%.1f jansson_ns=%.1f "
           "msgpack_c_ns=%.1f json_bytes=%zu msgpack_bytes=%zu\n",
           time_reads(read_json, json), time_reads(read_msgpack, msgpack),
           time_reads(check_utf8, json), time_reads(read_by_jansson, json),
           time_reads(read_by_msgpack_c, msgpack), json.len, msgpack.len);
    ft_buffer_fini(&out);
    return 0;
}
