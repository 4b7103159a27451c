/*
 * A client's frames: a byte that chooses the pieces, then the stream. Whole, byte by byte and in pieces
 * it has to be the same to the reader, and what a slow twin takes it for.
 */
#include "tests/fuzz/check.h"
#include "tests/unit/support/ws_twin.h"

/* Reads what is there from memory of exactly its size; returns how much of it was taken. */
static size_t read_all(struct ft_ws_reader *reader, struct ft_slice bytes, struct ft_buffer *said,
                       bool *has_failed)
{
    uint8_t *copy = malloc(bytes.len ? bytes.len : 1);
    CHECK(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    uint8_t *at = copy;
    size_t len = bytes.len;
    while (!*has_failed) {
        struct ft_ws_item item = {0};
        enum ft_ws_got got = ft_ws_read(reader, &at, &len, &item);
        if (got == FT_WS_GOT_NOTHING)
            break;
        CHECK(at + len == copy + bytes.len);
        CHECK(got != FT_WS_GOT_PIECE || item.to_come == 0 || len == 0);
        ft_ws_note(got, &item, said);
        *has_failed = got == FT_WS_GOT_ERROR;
    }
    CHECK(*has_failed || len < FT_WS_UNREAD_MAX);
    free(copy);
    return bytes.len - len;
}

static struct ft_buffer read_in_pieces(struct ft_slice stream, size_t piece)
{
    struct ft_ws_reader reader = {0};
    struct ft_buffer said;
    ft_buffer_init(&said, CHECK_ROOM(stream.len));
    bool has_failed = false;
    for (size_t taken = 0, came = 0; came < stream.len && !has_failed;) {
        came = piece < stream.len - came ? came + piece : stream.len;
        taken += read_all(&reader, ft_slice(stream.ptr + taken, came - taken), &said, &has_failed);
    }
    return said;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    struct ft_slice stream = ft_slice(bytes + 1, len - 1);
    const size_t pieces[] = {1, 1u + bytes[0], stream.len + 1};
    struct ft_buffer expected;
    ft_buffer_init(&expected, CHECK_ROOM(stream.len));
    ft_ws_twin(stream, &expected);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct ft_buffer said = read_in_pieces(stream, pieces[i]);
        CHECK(!said.failed);
        CHECK(ft_slice_equal(ft_buffer_slice(&said), ft_buffer_slice(&expected)));
        ft_buffer_fini(&said);
    }
    ft_buffer_fini(&expected);
    return 0;
}
