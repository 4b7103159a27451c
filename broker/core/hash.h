/*
 * The hash of everything that peers choose: levels, topics, keys. Not a checksum and not for a wire or
 * a file: it depends on the machine and on keys that live as long as the process.
 *
 * Words are mixed with keys that peers do not know before each multiplication, so nobody can choose
 * texts that collide in every process. Who needs to tell texts apart for certain compares them, or
 * takes two hashes with keys of different seeds.
 */
#ifndef FT_CORE_HASH_H
#define FT_CORE_HASH_H

#include "protocol/slice.h"

struct ft_hash_keys {
    uint64_t words[3];
};

/* Derives keys from a seed, which peers must not be able to guess. */
void ft_hash_keys_init(struct ft_hash_keys *keys, uint64_t seed);

/* The full product of two words, folded: every bit of the result hangs on every bit of both. */
static inline uint64_t ft_hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t ft_hash_load_(const uint8_t *at, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, at, n);
    return word;
}

/* The last 0 to 8 bytes as one word; different texts of one length give different words. */
static inline uint64_t ft_hash_load_tail_(const uint8_t *at, size_t n)
{
    if (n >= 4)
        return ft_hash_load_(at, 4) << 32 | ft_hash_load_(at + n - 4, 4);
    return n == 0 ? 0 : (uint64_t)at[0] << 16 | (uint64_t)at[n / 2] << 8 | at[n - 1];
}

/*
 * Hashes a text that goes on from what `state` is the hash of; where one text ends and the next
 * begins makes a difference. The length meets the key and not the words, which could make up for it.
 */
static inline uint64_t ft_hash_on(const struct ft_hash_keys *keys, uint64_t state,
                                  struct ft_slice text)
{
    const uint8_t *at = text.ptr;
    size_t left = text.len;
    for (; left > 8; at += 8, left -= 8)
        state = ft_hash_fold(state ^ ft_hash_load_(at, 8), keys->words[1]);
    return ft_hash_fold(state ^ ft_hash_load_tail_(at, left), keys->words[2] ^ text.len);
}

/* Hashes one text. */
static inline uint64_t ft_hash(const struct ft_hash_keys *keys, struct ft_slice text)
{
    return ft_hash_on(keys, keys->words[0], text);
}

/* Joins the hash of a path with that of the next part; cheaper than ft_hash_on() where the hashes of
 * parts are there already. */
static inline uint64_t ft_hash_join(const struct ft_hash_keys *keys, uint64_t path, uint64_t part)
{
    return ft_hash_fold(path ^ part, keys->words[1]);
}

#endif
