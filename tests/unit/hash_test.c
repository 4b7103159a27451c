/* The keyed hash: same in, same out; and everything else that a table of it takes for granted. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/core/hash.h"
#include "tests/unit/support/input.h"

#define SEED 20261121

static struct ft_hash_keys keys_of(uint64_t seed)
{
    struct ft_hash_keys keys;
    ft_hash_keys_init(&keys, seed);
    return keys;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Counts the hashes that are equal to another one; sorts them. */
static size_t equal_ones(uint64_t *hashes, size_t n)
{
    qsort(hashes, n, sizeof(*hashes), compare);
    size_t count = 0;
    for (size_t i = 1; i < n; i++)
        count += hashes[i] == hashes[i - 1];
    return count;
}

Test(hash, a_text_has_one_hash_wherever_it_lies_and_no_byte_around_it_is_read)
{
    struct ft_hash_keys keys = keys_of(SEED), again = keys_of(SEED);
    uint8_t text[40], room[sizeof(text) + 8];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 37 + 1);
    for (size_t len = 0; len <= sizeof(text); len++) {
        uint64_t hash = ft_hash(&keys, ft_slice(text, len));
        cr_expect_eq(ft_hash(&again, ft_slice(text, len)), hash);
        struct ft_slice exact = ft_input_exact(ft_slice(text, len));
        cr_expect_eq(ft_hash(&keys, exact), hash, "%zu bytes", len);
        ft_input_free(exact);
        for (size_t at = 0; at < 8; at++) {
            memset(room, (int)at, sizeof(room));
            memcpy(room + at, text, len);
            cr_expect_eq(ft_hash(&keys, ft_slice(room + at, len)), hash, "%zu bytes at %zu", len,
                         at);
        }
    }
}

Test(hash, texts_of_any_length_that_differ_in_one_bit_or_in_length_have_different_hashes)
{
    struct ft_hash_keys keys = keys_of(SEED);
    enum { LEN = 48 };
    static uint64_t hashes[(LEN + 1) * (LEN * 8 + 1)];
    size_t n = 0;
    for (size_t len = 0; len <= LEN; len++) {
        uint8_t text[LEN] = {0};
        hashes[n++] = ft_hash(&keys, ft_slice(text, len));
        for (size_t bit = 0; bit < len * 8; bit++) {
            text[bit / 8] ^= (uint8_t)(1u << bit % 8);
            hashes[n++] = ft_hash(&keys, ft_slice(text, len));
            text[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    cr_assert_eq(equal_ones(hashes, n), 0);
}

Test(hash, an_absent_text_is_like_an_empty_one)
{
    struct ft_hash_keys keys = keys_of(SEED);
    cr_assert_eq(ft_hash(&keys, ft_slice(NULL, 0)), ft_hash(&keys, ft_slice("x", 0)));
}

Test(hash, one_bit_of_the_text_changes_about_half_of_the_hash)
{
    struct ft_hash_keys keys = keys_of(SEED);
    uint64_t state = SEED;
    unsigned changed[64] = {0};
    enum { ROUNDS = 20000 };
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t text[24];
        for (size_t j = 0; j < sizeof(text); j++)
            text[j] = (uint8_t)ft_input_random(&state, 256);
        size_t len = 1 + ft_input_random(&state, sizeof(text));
        uint64_t before = ft_hash(&keys, ft_slice(text, len));
        uint64_t bit = ft_input_random(&state, len * 8);
        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
        uint64_t change = before ^ ft_hash(&keys, ft_slice(text, len));
        for (unsigned j = 0; j < 64; j++)
            changed[j] += change >> j & 1;
    }
    for (unsigned j = 0; j < 64; j++) {
        cr_expect_gt(changed[j], ROUNDS * 2 / 5, "bit %u: %u of %u", j, changed[j], ROUNDS);
        cr_expect_lt(changed[j], ROUNDS * 3 / 5, "bit %u: %u of %u", j, changed[j], ROUNDS);
    }
}

Test(hash, texts_that_count_up_spread_over_a_table_like_random_ones)
{
    enum { BITS = 12, SLOTS = 1 << BITS, TEXTS = 64 * SLOTS };
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct ft_hash_keys keys = keys_of(seed);
        static unsigned top[SLOTS], bottom[SLOTS];
        memset(top, 0, sizeof(top));
        memset(bottom, 0, sizeof(bottom));
        for (unsigned i = 0; i < TEXTS; i++) {
            char text[32];
            int n = snprintf(text, sizeof(text), "sensor-%u", i);
            uint64_t hash = ft_hash(&keys, ft_slice(text, (size_t)n));
            top[hash >> (64 - BITS)]++;
            bottom[hash & (SLOTS - 1)]++;
        }
        /* 64 on average, 8 of standard deviation: seven of them either way. */
        for (unsigned i = 0; i < SLOTS; i++) {
            cr_assert(top[i] > 8 && top[i] < 120, "seed %u: %u", (unsigned)seed, top[i]);
            cr_assert(bottom[i] > 8 && bottom[i] < 120, "seed %u: %u", (unsigned)seed, bottom[i]);
        }
    }
}

/* What keeps peers from choosing texts that collide: which ones do hangs on the seed. */
Test(hash, texts_that_share_a_slot_under_one_seed_are_scattered_under_another)
{
    struct ft_hash_keys mine = keys_of(SEED), other = keys_of(SEED + 1);
    unsigned shared = 0, shared_again = 0;
    for (unsigned i = 0; shared < 2000; i++) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%u", i);
        struct ft_slice slice = ft_slice(text, (size_t)n);
        if (ft_hash(&mine, slice) >> 58 != 0)
            continue;
        shared++;
        shared_again += ft_hash(&other, slice) >> 58 == 0;
    }
    cr_assert_lt(shared_again, 2000 / 64 * 3);
}

Test(hash, keys_are_odd_and_hang_on_every_bit_of_the_seed)
{
    enum { SEEDS = 65 };
    uint64_t words[SEEDS * 3];
    for (unsigned i = 0; i < SEEDS; i++) {
        struct ft_hash_keys keys = keys_of(i == 64 ? 0 : UINT64_C(1) << i);
        for (unsigned j = 0; j < 3; j++) {
            cr_expect_eq(keys.words[j] & 1, 1);
            words[i * 3 + j] = keys.words[j];
        }
    }
    cr_assert_eq(equal_ones(words, SEEDS * 3), 0);
}

Test(hash, where_one_text_ends_and_the_next_begins_makes_a_difference)
{
    struct ft_hash_keys keys = keys_of(SEED);
    const char *text = "stocks/ACME/price";
    size_t len = strlen(text);
    uint64_t hashes[32];
    size_t n = 0;
    for (size_t cut = 0; cut <= len; cut++) {
        uint64_t first = ft_hash(&keys, ft_slice(text, cut));
        hashes[n++] = ft_hash_on(&keys, first, ft_slice(text + cut, len - cut));
    }
    hashes[n++] = ft_hash(&keys, ft_slice(text, len));
    cr_assert_eq(equal_ones(hashes, n), 0);
}

Test(hash, a_path_tells_the_order_of_its_parts)
{
    struct ft_hash_keys keys = keys_of(SEED);
    uint64_t root = keys.words[0];
    uint64_t a = ft_hash(&keys, ft_slice_str("a")), b = ft_hash(&keys, ft_slice_str("b"));
    uint64_t ab = ft_hash_join(&keys, ft_hash_join(&keys, root, a), b);
    uint64_t ba = ft_hash_join(&keys, ft_hash_join(&keys, root, b), a);
    cr_expect_neq(ab, ba);
}
