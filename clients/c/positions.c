/*
 * Keeps the greatest offset of each stream. Does not know what the streams are, nor when to resume.
 * Pure; the client's thread.
 */
#include "clients/c/positions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"

struct ft_position {
    uint64_t offset;
    uint64_t seen; /* the clock at its last update */
    uint8_t name_len;
    char name[FT_STREAM_NAME_MAX];
};

void ft_positions_init(struct ft_positions *positions)
{
    *positions = (struct ft_positions){0};
}

void ft_positions_fini(struct ft_positions *positions)
{
    free(positions->items_);
    ft_positions_init(positions);
}

/* Splits a position at its last dot; false when it has no stream, no offset, or a wild one. */
static bool split(struct ft_slice pos, struct ft_slice *stream, uint64_t *offset)
{
    const uint8_t *dot = pos.ptr ? memrchr(pos.ptr, '.', pos.len) : NULL;
    if (!dot || dot == pos.ptr || dot + 1 == pos.ptr + pos.len)
        return false;
    uint64_t value = 0;
    for (const uint8_t *c = dot + 1; c < pos.ptr + pos.len; c++) {
        uint64_t digit = (uint64_t)*c - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *stream = ft_slice(pos.ptr, (size_t)(dot - pos.ptr));
    *offset = value;
    return stream->len <= FT_STREAM_NAME_MAX;
}

static bool is_stream(const struct ft_position *item, struct ft_slice stream)
{
    return item->name_len == stream.len && memcmp(item->name, stream.ptr, stream.len) == 0;
}

/* Returns a place for a stream that is new: the next free one, or the oldest one's. */
static size_t make_place(struct ft_positions *positions)
{
    if (positions->count < FT_POSITIONS_MAX) {
        if (positions->count == positions->room_) {
            positions->room_ = positions->room_ ? positions->room_ * 2 : 4;
            positions->items_ =
                ft_realloc(positions->items_, positions->room_ * sizeof(*positions->items_));
        }
        return positions->count++;
    }
    size_t oldest = 0;
    for (size_t i = 1; i < positions->count; i++)
        if (positions->items_[i].seen < positions->items_[oldest].seen)
            oldest = i;
    return oldest;
}

static struct ft_position *find(struct ft_positions *positions, struct ft_slice stream)
{
    if (positions->count && is_stream(&positions->items_[positions->latest_], stream))
        return &positions->items_[positions->latest_];
    for (size_t i = 0; i < positions->count; i++) {
        if (!is_stream(&positions->items_[i], stream))
            continue;
        positions->latest_ = i;
        return &positions->items_[i];
    }
    return NULL;
}

bool ft_positions_see(struct ft_positions *positions, struct ft_slice pos)
{
    struct ft_slice stream;
    uint64_t offset;
    if (!split(pos, &stream, &offset))
        return false;
    struct ft_position *item = find(positions, stream);
    if (!item) {
        positions->latest_ = make_place(positions);
        item = &positions->items_[positions->latest_];
        *item = (struct ft_position){.name_len = (uint8_t)stream.len};
        memcpy(item->name, stream.ptr, stream.len);
    }
    if (offset > item->offset)
        item->offset = offset;
    item->seen = ++positions->clock_;
    return true;
}

size_t ft_positions_print(const struct ft_positions *positions, size_t n, char *out, size_t size)
{
    const struct ft_position *item = &positions->items_[n];
    int len = snprintf(out, size, "%.*s.%" PRIu64, item->name_len, item->name, item->offset);
    return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}
