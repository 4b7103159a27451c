/*
 * Times the envelope reader alone: one 139-byte `pub`, in both encodings, on one thread, without I/O.
 * Prints nanoseconds per envelope, the best of several rounds: the rest is the machine's noise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/buffer.h"
#include "protocol/envelope.h"
#include "protocol/transcode.h"
#include "protocol/utf8.h"

#define ROUNDS 15
#define TIMES  200000

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

/* One message as the broker reads it, the UTF-8 check of a text message included. */
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

static double time_reads(enum ft_encoding encoding, struct ft_slice message)
{
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (int i = 0; i < TIMES; i++)
            read_once(encoding, message);
        uint64_t took = now_ns() - from;
        best = took < best ? took : best;
    }
    return (double)best / TIMES;
}

static double time_utf8(struct ft_slice message)
{
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (int i = 0; i < TIMES; i++)
            if (!ft_utf8_is_valid(message))
                fail("the message is not UTF-8");
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
    printf("parse_json_ns=%.1f parse_msgpack_ns=%.1f utf8_ns=%.1f json_bytes=%zu "
           "msgpack_bytes=%zu\n",
           time_reads(FT_JSON, json), time_reads(FT_MSGPACK, msgpack), time_utf8(json), json.len,
           msgpack.len);
    ft_buffer_fini(&out);
    return 0;
}
