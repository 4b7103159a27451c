/*
 * Keys in a ring, found through the same table that the trie keeps its edges in. The table holds
 * serial numbers, whose low bits are places in the ring, so a ring of another size leaves it as it
 * is. Reads no clock, and does not know what a publication is.
 */
#include "broker/core/key_window.h"

#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/core/edge_table.h"

/* The smallest ring: 2 KiB. */
#define FIRST_ROOM 64u

/* Serial numbers wrap soon after the start, so that it is nothing rare when they do. */
#define FIRST_SERIAL (UINT32_MAX - 500)

struct entry {
    struct ft_key key;
    uint64_t offset;
    uint32_t added_s;
};

struct ft_key_window {
    struct ft_edge_table index;
    struct entry *ring; /* NULL until the first key */
    uint32_t room;      /* of the ring; a power of two */
    uint32_t first;     /* serial number of the oldest; it wraps */
    uint32_t count;
    uint32_t keys_max;
    uint32_t window_s;
    uint32_t now_s; /* the latest that a call named */
    uint64_t dropped;
};

struct ft_key ft_key_of(const struct ft_hash_keys *a, const struct ft_hash_keys *b,
                        struct ft_slice topic, struct ft_slice key)
{
    return (struct ft_key){{
        ft_hash_on(a, ft_hash(a, topic), key),
        ft_hash_on(b, ft_hash(b, topic), key),
    }};
}

struct ft_key_window *ft_key_window_new(uint32_t keys_max, uint32_t window_s)
{
    FT_ASSERT(keys_max > 0 && keys_max <= FT_KEY_WINDOW_KEYS_MAX);
    struct ft_key_window *window = ft_alloc_zero(sizeof(*window));
    ft_edge_table_init(&window->index);
    window->first = FIRST_SERIAL;
    window->keys_max = keys_max;
    window->window_s = window_s;
    return window;
}

void ft_key_window_free(struct ft_key_window *window)
{
    if (!window)
        return;
    ft_edge_table_fini(&window->index);
    free(window->ring);
    free(window);
}

static struct entry *entry_at(const struct ft_key_window *window, uint32_t serial)
{
    return &window->ring[serial & (window->room - 1)];
}

static uint32_t index_hash(struct ft_key key)
{
    return (uint32_t)(key.words[0] >> 32);
}

/* A serial number as the index keeps it. The top bit is there because 0 means an empty slot; the ring
 * has too few places to use it. */
static uint32_t index_value(uint32_t serial)
{
    return serial | UINT32_C(1) << 31;
}

static void resize(struct ft_key_window *window, uint32_t room)
{
    struct entry *ring = ft_alloc(room * sizeof(*ring));
    for (uint32_t i = 0; i < window->count; i++)
        ring[(window->first + i) & (room - 1)] = *entry_at(window, window->first + i);
    free(window->ring);
    window->ring = ring;
    window->room = room;
}

static void drop_oldest(struct ft_key_window *window)
{
    struct entry *entry = entry_at(window, window->first);
    ft_edge_table_remove(&window->index, index_hash(entry->key), index_value(window->first));
    window->first++;
    window->count--;
}

/* Shrinks below an eighth, to where a quarter is in use: a wide gap to where it would grow. */
static void fit(struct ft_key_window *window)
{
    if (window->count >= window->room / 8)
        return;
    uint32_t room = window->room;
    while (room > FIRST_ROOM && window->count < room / 4)
        room /= 2;
    if (room < window->room)
        resize(window, room);
}

void ft_key_window_expire(struct ft_key_window *window, uint32_t now_s)
{
    if (now_s <= window->now_s)
        return;
    window->now_s = now_s;
    while (window->count > 0 && now_s - entry_at(window, window->first)->added_s > window->window_s)
        drop_oldest(window);
    fit(window);
}

static const struct entry *find(const struct ft_key_window *window, struct ft_key key)
{
    uint32_t hash = index_hash(key);
    uint32_t at = ft_edge_table_home(&window->index, hash);
    uint32_t value;
    while ((value = ft_edge_table_next(&window->index, hash, &at)) != 0) {
        const struct entry *entry = entry_at(window, value);
        if (entry->key.words[0] == key.words[0] && entry->key.words[1] == key.words[1])
            return entry;
    }
    return NULL;
}

uint64_t ft_key_window_find(struct ft_key_window *window, struct ft_key key, uint32_t now_s)
{
    ft_key_window_expire(window, now_s);
    const struct entry *entry = find(window, key);
    return entry ? entry->offset : 0;
}

void ft_key_window_add(struct ft_key_window *window, struct ft_key key, uint64_t offset,
                       uint32_t now_s)
{
    FT_ASSERT(offset > 0);
    ft_key_window_expire(window, now_s);
    if (find(window, key))
        return;
    if (window->count == window->keys_max) {
        drop_oldest(window);
        window->dropped++;
    }
    if (window->count == window->room)
        resize(window, window->room > 0 ? window->room * 2 : FIRST_ROOM);
    uint32_t serial = window->first + window->count;
    *entry_at(window, serial) = (struct entry){key, offset, window->now_s};
    ft_edge_table_add(&window->index, index_hash(key), index_value(serial));
    window->count++;
}

uint32_t ft_key_window_count(const struct ft_key_window *window)
{
    return window->count;
}

uint64_t ft_key_window_dropped(const struct ft_key_window *window)
{
    return window->dropped;
}

size_t ft_key_window_bytes(const struct ft_key_window *window)
{
    return sizeof(*window) + ft_edge_table_bytes(&window->index) +
           window->room * sizeof(*window->ring);
}
