/*
 * The publish keys of the last seconds: which publication came under a key, so that a publisher who
 * asks again gets its position and not a second copy.
 *
 *     oldest                              newest
 *       │                                    │
 *     ──┴─[key offset time][key offset time]─┴──▶   ring, in the order of time
 *              ▲
 *     index:  part of the key ─▶ place in the ring
 *
 * Bounded twice: by time, and by a number of keys, beyond which the oldest goes. Memory follows what
 * is kept, down as well as up. All calls take amortized constant time; a call that finds many expired
 * at once removes them all. No locks: one thread, or one lock around it.
 *
 * Time is in seconds of a clock that never goes back; a call with a time before that of an earlier
 * call counts as one at that time.
 */
#ifndef FT_CORE_KEY_WINDOW_H
#define FT_CORE_KEY_WINDOW_H

#include "broker/core/hash.h"

/* Most keys that a window can be told to keep. */
#define FT_KEY_WINDOW_KEYS_MAX (UINT32_C(1) << 30)

/* 128 bits in place of the texts: two keyed hashes, whose collisions nobody can choose and chance
 * does not bring. */
struct ft_key {
    uint64_t words[2];
};

/* Returns what stands for `key` on `topic`. The two sets of keys must come from different seeds. */
struct ft_key ft_key_of(const struct ft_hash_keys *a, const struct ft_hash_keys *b,
                        struct ft_slice topic, struct ft_slice key);

struct ft_key_window;

/* Keeps each key for at least `window_s` seconds and less than one more, and at most `keys_max` (1 to
 * FT_KEY_WINDOW_KEYS_MAX) of them. */
struct ft_key_window *ft_key_window_new(uint32_t keys_max, uint32_t window_s);
void ft_key_window_free(struct ft_key_window *window);

/* Returns the offset of the publication that came under `key`, 0 when the window has none. */
uint64_t ft_key_window_find(struct ft_key_window *window, struct ft_key key, uint32_t now_s);

/* Adds a key with the offset (never 0) of its publication. One that is there keeps its offset and its
 * time: the first counts. */
void ft_key_window_add(struct ft_key_window *window, struct ft_key key, uint64_t offset,
                       uint32_t now_s);

/* Drops what is older than the window and gives its memory back. For a timer; the calls above do the
 * same as they go. */
void ft_key_window_expire(struct ft_key_window *window, uint32_t now_s);

/* Number of keys after the last call, those dropped before their time because there were `keys_max`,
 * and bytes of memory held. */
uint32_t ft_key_window_count(const struct ft_key_window *window);
uint64_t ft_key_window_dropped(const struct ft_key_window *window);
size_t ft_key_window_bytes(const struct ft_key_window *window);

#endif
