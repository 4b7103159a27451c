/* What the fuzz targets share: a check that stays on, and the laws that transcoding obeys. */
#ifndef FT_FUZZ_CHECK_H
#define FT_FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "protocol/transcode.h"

#define CHECK(fact)                                                            \
    do {                                                                       \
        if (!(fact)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact); \
            abort();                                                           \
        }                                                                      \
    } while (0)

/* libFuzzer calls this. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Room for anything that a transcoded input becomes: nothing grows more than sixfold, "\u0000". */
#define CHECK_ROOM(len) (64 + 16 * (len))

static inline struct ft_buffer check_transcode(enum ft_data_kind from, struct ft_slice bytes,
                                               enum ft_encoding encoding, enum ft_data_kind *kind)
{
    struct ft_buffer out;
    ft_buffer_init(&out, CHECK_ROOM(bytes.len));
    CHECK(ft_transcode((struct ft_data){from, bytes}, encoding, &out, kind) == FT_OK);
    if (*kind != FT_DATA_B64)
        CHECK(ft_data_check(encoding, ft_buffer_slice(&out), NULL) == FT_OK);
    return out;
}

/*
 * A JSON value that became MessagePack has lost its white space, its spelling of numbers and its
 * repeated keys. What is left does not change any more: there and back is the same bytes.
 */
static inline void check_json_settles(struct ft_slice json)
{
    enum ft_data_kind kind;
    struct ft_buffer packed = check_transcode(FT_DATA_JSON, json, FT_MSGPACK, &kind);
    CHECK(kind == FT_DATA_MSGPACK);
    struct ft_buffer text =
        check_transcode(FT_DATA_MSGPACK, ft_buffer_slice(&packed), FT_JSON, &kind);
    CHECK(kind == FT_DATA_JSON);
    struct ft_buffer again =
        check_transcode(FT_DATA_JSON, ft_buffer_slice(&text), FT_MSGPACK, &kind);
    CHECK(ft_slice_equal(ft_buffer_slice(&packed), ft_buffer_slice(&again)));
    ft_buffer_fini(&packed);
    ft_buffer_fini(&text);
    ft_buffer_fini(&again);
}

/* The same for a MessagePack value, which loses its wide forms and its bytes. */
static inline void check_msgpack_settles(struct ft_slice msgpack)
{
    enum ft_data_kind kind;
    struct ft_buffer text = check_transcode(FT_DATA_MSGPACK, msgpack, FT_JSON, &kind);
    if (kind == FT_DATA_JSON) {
        check_json_settles(ft_buffer_slice(&text));
    } else {
        struct ft_buffer packed =
            check_transcode(FT_DATA_B64, ft_buffer_slice(&text), FT_MSGPACK, &kind);
        struct ft_buffer again =
            check_transcode(FT_DATA_MSGPACK, ft_buffer_slice(&packed), FT_JSON, &kind);
        CHECK(kind == FT_DATA_B64);
        CHECK(ft_slice_equal(ft_buffer_slice(&text), ft_buffer_slice(&again)));
        ft_buffer_fini(&packed);
        ft_buffer_fini(&again);
    }
    ft_buffer_fini(&text);
}

#endif
