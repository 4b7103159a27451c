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
    char name[FT_STREAM_BYTES_MAX];
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

void ft_positions_clear(struct ft_positions *positions)
{
    positions->count = positions->latest_ = 0;
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
            positions->room_ = positions->room_ ? positions->room_ * 2 : 1;
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

static struct ft_position *find(const struct ft_positions *positions, struct ft_slice stream)
{
    if (positions->count && is_stream(&positions->items_[positions->latest_], stream))
        return &positions->items_[positions->latest_];
    for (size_t i = 0; i < positions->count; i++)
        if (is_stream(&positions->items_[i], stream))
            return &positions->items_[i];
    return NULL;
}

/* Finds the place of a stream, or makes one with the offset 0. */
static struct ft_position *find_or_add(struct ft_positions *positions, struct ft_slice stream)
{
    struct ft_position *item = find(positions, stream);
    if (!item) {
        size_t place = make_place(positions); /* may move the items */
        item = &positions->items_[place];
        *item = (struct ft_position){.name_len = (uint8_t)stream.len};
        memcpy(item->name, stream.ptr, stream.len);
    }
    positions->latest_ = (size_t)(item - positions->items_);
    item->seen = ++positions->clock_;
    return item;
}

void ft_positions_raise(struct ft_positions *positions, const struct ft_position_parts *pos)
{
    struct ft_position *item = find_or_add(positions, pos->stream);
    if (pos->offset > item->offset)
        item->offset = pos->offset;
}

bool ft_positions_see(struct ft_positions *positions, struct ft_slice text)
{
    struct ft_position_parts pos;
    if (!text.ptr || ft_position_read(text, &pos, NULL) != FT_OK)
        return false;
    ft_positions_raise(positions, &pos);
    return true;
}

bool ft_positions_cover(const struct ft_positions *positions, const struct ft_position_parts *pos)
{
    const struct ft_position *item = find(positions, pos->stream);
    return item && pos->offset <= item->offset;
}

bool ft_positions_cover_all(const struct ft_positions *positions, const struct ft_positions *others)
{
    for (size_t i = 0; i < others->count; i++) {
        struct ft_position_parts pos = ft_positions_peek(others, i);
        if (!ft_positions_cover(positions, &pos))
            return false;
    }
    return true;
}

void ft_positions_raise_all(struct ft_positions *positions, const struct ft_positions *others)
{
    for (size_t i = 0; i < others->count; i++) {
        struct ft_position_parts pos = ft_positions_peek(others, i);
        ft_positions_raise(positions, &pos);
    }
}

void ft_positions_lower_all(struct ft_positions *positions, const struct ft_positions *others)
{
    for (size_t i = 0; i < others->count; i++) {
        struct ft_position_parts pos = ft_positions_peek(others, i);
        struct ft_position *item = find(positions, pos.stream);
        if (!item)
            ft_positions_raise(positions, &pos);
        else if (pos.offset < item->offset)
            item->offset = pos.offset;
    }
}

/* A stream of a cluster: the length of its name, and of what says the partition. */
enum { NAME_LEN = 10, PARTITION_LEN = 3 };

static bool is_of_partition(const struct ft_position *item, const struct ft_position *other)
{
    return item->name_len == NAME_LEN && other->name_len == NAME_LEN && item->name[0] == '0' &&
           memcmp(item->name, other->name, PARTITION_LEN) == 0;
}

/* Says whether each stream is known to `others`, or no other one of its partition is. */
static bool is_like(const struct ft_positions *positions, const struct ft_positions *others)
{
    for (size_t i = 0; i < positions->count; i++) {
        const struct ft_position *item = &positions->items_[i];
        bool is_there = find(others, ft_slice(item->name, item->name_len)) != NULL;
        for (size_t k = 0; !is_there && k < others->count; k++)
            if (is_of_partition(item, &others->items_[k]))
                return false;
    }
    return true;
}

bool ft_positions_are_alike(const struct ft_positions *positions, const struct ft_positions *others)
{
    return is_like(positions, others) && is_like(others, positions);
}

struct ft_position_parts ft_positions_peek(const struct ft_positions *positions, size_t n)
{
    const struct ft_position *item = &positions->items_[n];
    return (struct ft_position_parts){
        .stream = ft_slice(item->name, item->name_len),
        .offset = item->offset,
    };
}

size_t ft_positions_print(const struct ft_positions *positions, size_t n, char *out, size_t size)
{
    const struct ft_position *item = &positions->items_[n];
    int len = snprintf(out, size, "%.*s.%" PRIu64, item->name_len, item->name, item->offset);
    return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}
