/* The window of publish keys against its slow, obvious twin: an array that is searched from the end. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/core/key_window.h"
#include "tests/unit/support/input.h"

#define WINDOW_S 120

/* A key that is made from a number: what it is does not matter to the window. */
static struct ft_key numbered(uint64_t n)
{
    return (struct ft_key){{(n + 1) * 0x9E3779B97F4A7C15, n}};
}

/* Adds the keys first … last with their number + 1 as offset. */
static void add_all(struct ft_key_window *window, uint64_t first, uint64_t last, uint32_t now_s)
{
    for (uint64_t n = first; n <= last; n++)
        ft_key_window_add(window, numbered(n), n + 1, now_s);
}

Test(key_window, an_empty_window_finds_nothing)
{
    struct ft_key_window *window = ft_key_window_new(10, WINDOW_S);
    cr_expect_eq(ft_key_window_find(window, numbered(1), 0), 0);
    cr_expect_eq(ft_key_window_find(window, (struct ft_key){{0, 0}}, 1000), 0);
    cr_expect_eq(ft_key_window_count(window), 0);
    cr_expect_eq(ft_key_window_dropped(window), 0);
    ft_key_window_free(window);
    ft_key_window_free(NULL);
}

Test(key_window, a_key_is_found_for_the_whole_window_and_not_after_it)
{
    struct ft_key_window *window = ft_key_window_new(10, WINDOW_S);
    ft_key_window_add(window, numbered(1), 7, 1000);
    cr_expect_eq(ft_key_window_find(window, numbered(1), 1000), 7);
    cr_expect_eq(ft_key_window_find(window, numbered(2), 1000), 0);
    /* 1000 may have been 1000.9 and 1120 may be 1120.0: not yet 120 seconds. */
    cr_expect_eq(ft_key_window_find(window, numbered(1), 1000 + WINDOW_S), 7);
    cr_expect_eq(ft_key_window_find(window, numbered(1), 1000 + WINDOW_S + 1), 0);
    cr_expect_eq(ft_key_window_count(window), 0);
    cr_expect_eq(ft_key_window_dropped(window), 0, "it went in its time");
    ft_key_window_free(window);
}

Test(key_window, the_first_of_a_key_counts_until_its_time_is_over)
{
    struct ft_key_window *window = ft_key_window_new(10, WINDOW_S);
    ft_key_window_add(window, numbered(1), 7, 1000);
    ft_key_window_add(window, numbered(1), 9, 1100);
    cr_expect_eq(ft_key_window_find(window, numbered(1), 1120), 7);
    cr_expect_eq(ft_key_window_count(window), 1);
    ft_key_window_add(window, numbered(1), 11, 1121);
    cr_expect_eq(ft_key_window_find(window, numbered(1), 1121), 11, "it is new again");
    cr_expect_eq(ft_key_window_find(window, numbered(1), 1241), 11);
    cr_expect_eq(ft_key_window_find(window, numbered(1), 1242), 0);
    ft_key_window_free(window);
}

Test(key_window, keys_that_share_a_word_are_told_apart)
{
    struct ft_key_window *window = ft_key_window_new(10, WINDOW_S);
    ft_key_window_add(window, (struct ft_key){{5, 1}}, 1, 0);
    ft_key_window_add(window, (struct ft_key){{5, 2}}, 2, 0);
    ft_key_window_add(window, (struct ft_key){{6, 1}}, 3, 0);
    ft_key_window_add(window, (struct ft_key){{0, 0}}, 4, 0);
    cr_expect_eq(ft_key_window_find(window, (struct ft_key){{5, 1}}, 0), 1);
    cr_expect_eq(ft_key_window_find(window, (struct ft_key){{5, 2}}, 0), 2);
    cr_expect_eq(ft_key_window_find(window, (struct ft_key){{6, 1}}, 0), 3);
    cr_expect_eq(ft_key_window_find(window, (struct ft_key){{0, 0}}, 0), 4);
    cr_expect_eq(ft_key_window_find(window, (struct ft_key){{6, 2}}, 0), 0);
    ft_key_window_free(window);
}

Test(key_window, beyond_its_number_of_keys_the_oldest_goes_and_is_counted)
{
    /* Around a power of two, where the ring is full to the last place. */
    for (uint32_t keys_max = 127; keys_max <= 129; keys_max++) {
        struct ft_key_window *window = ft_key_window_new(keys_max, WINDOW_S);
        add_all(window, 1, keys_max, 0);
        cr_expect_eq(ft_key_window_count(window), keys_max);
        cr_expect_eq(ft_key_window_dropped(window), 0);
        add_all(window, keys_max + 1, keys_max + 1000, 0);
        cr_expect_eq(ft_key_window_count(window), keys_max);
        cr_expect_eq(ft_key_window_dropped(window), 1000);
        for (uint64_t n = 1; n <= keys_max + 1000; n++)
            cr_assert_eq(ft_key_window_find(window, numbered(n), 0), n > 1000 ? n + 1 : 0);
        add_all(window, 1001, keys_max + 1000, WINDOW_S);
        cr_expect_eq(ft_key_window_dropped(window), 1000, "who is there pushes nobody out");
        ft_key_window_free(window);
    }
}

Test(key_window, room_for_one_key_is_enough_for_the_last_one)
{
    struct ft_key_window *window = ft_key_window_new(1, WINDOW_S);
    for (uint64_t n = 1; n <= 1000; n++) {
        ft_key_window_add(window, numbered(n), n + 1, 0);
        cr_assert_eq(ft_key_window_find(window, numbered(n), 0), n + 1);
        cr_assert_eq(ft_key_window_find(window, numbered(n - 1), 0), 0);
    }
    cr_expect_eq(ft_key_window_count(window), 1);
    cr_expect_eq(ft_key_window_dropped(window), 999);
    ft_key_window_free(window);
}

Test(key_window, time_that_seems_to_go_back_stands_still)
{
    struct ft_key_window *window = ft_key_window_new(1, WINDOW_S);
    ft_key_window_add(window, numbered(1), 1, 1000);
    cr_expect_eq(ft_key_window_find(window, numbered(1), 0), 1);
    ft_key_window_add(window, numbered(2), 2, 900);
    cr_expect_eq(ft_key_window_find(window, numbered(2), 1120), 2, "it came at 1000");
    cr_expect_eq(ft_key_window_find(window, numbered(2), 1121), 0);
    ft_key_window_free(window);
}

Test(key_window, a_clock_at_its_end_expires_nothing_too_early)
{
    struct ft_key_window *window = ft_key_window_new(10, UINT32_MAX);
    ft_key_window_add(window, numbered(1), 1, 0);
    cr_expect_eq(ft_key_window_find(window, numbered(1), UINT32_MAX), 1);
    ft_key_window_free(window);
}

Test(key_window, memory_follows_what_is_kept_up_and_down)
{
    enum { MANY = 100000 };
    struct ft_key_window *window = ft_key_window_new(MANY, WINDOW_S);
    size_t empty = ft_key_window_bytes(window);
    cr_expect_lt(empty, 2048, "nothing is taken before it is needed");
    add_all(window, 1, 60, 0);
    size_t few = ft_key_window_bytes(window);
    cr_expect_lt(few, 8192);
    add_all(window, 61, MANY, 1);
    size_t many = ft_key_window_bytes(window);
    cr_expect_leq(many, MANY * (size_t)(2 * 32 + 8 * 8 / 3 + 1));

    /* Full is full, however many more come. */
    add_all(window, MANY + 1, 3 * MANY, 1);
    cr_expect_eq(ft_key_window_bytes(window), many);

    /* A key a second after the burst: it has gone with the window, and takes the memory with it. */
    add_all(window, 3 * MANY + 1, 3 * MANY + 1, 1 + WINDOW_S);
    cr_expect_eq(ft_key_window_bytes(window), many);
    add_all(window, 3 * MANY + 2, 3 * MANY + 2, 2 + WINDOW_S);
    cr_expect_eq(ft_key_window_count(window), 2);
    cr_expect_leq(ft_key_window_bytes(window), few);
    for (uint64_t n = 1; n <= 2; n++)
        cr_expect_eq(ft_key_window_find(window, numbered(3 * MANY + n), 2 + WINDOW_S),
                     3 * MANY + n + 1);
    ft_key_window_free(window);
}

Test(key_window, a_timer_alone_gives_the_memory_of_a_burst_back)
{
    struct ft_key_window *window = ft_key_window_new(100000, WINDOW_S);
    add_all(window, 1, 50000, 10);
    add_all(window, 50001, 50100, 20);
    ft_key_window_expire(window, 10 + WINDOW_S);
    cr_expect_eq(ft_key_window_count(window), 50100);
    ft_key_window_expire(window, 11 + WINDOW_S);
    cr_expect_eq(ft_key_window_count(window), 100);
    cr_expect_lt(ft_key_window_bytes(window), 100 * 250);
    for (uint64_t n = 50001; n <= 50100; n++)
        cr_assert_eq(ft_key_window_find(window, numbered(n), 11 + WINDOW_S), n + 1);
    ft_key_window_expire(window, 21 + WINDOW_S);
    cr_expect_eq(ft_key_window_count(window), 0);
    cr_expect_lt(ft_key_window_bytes(window), 4096);
    ft_key_window_free(window);
}

Test(key_window, memory_does_not_come_and_go_at_every_step)
{
    struct ft_key_window *window = ft_key_window_new(100000, 1);
    unsigned changes = 0, early_changes = 0;
    uint64_t n = 0;
    /* 700 in one second, 150 of them left when the next begins. */
    for (uint32_t now_s = 1; now_s <= 200; now_s++) {
        for (unsigned left = now_s % 2 ? 550 : 150; left > 0; left--, n++) {
            size_t before = ft_key_window_bytes(window);
            add_all(window, n, n, now_s);
            changes += ft_key_window_bytes(window) != before;
        }
        if (now_s == 2)
            early_changes = changes;
    }
    cr_expect_gt(early_changes, 0, "it has grown");
    cr_expect_eq(changes, early_changes, "and stayed as it was");
    ft_key_window_free(window);
}

/* What the window does, done the slow way. */
struct twin {
    struct {
        struct ft_key key;
        uint64_t offset;
        uint32_t added_s;
    } entries[50000];
    uint32_t first, end;
    uint32_t keys_max, window_s;
    uint64_t dropped;
};

static uint64_t twin_find(struct twin *twin, struct ft_key key, uint32_t now_s)
{
    while (twin->first < twin->end && now_s - twin->entries[twin->first].added_s > twin->window_s)
        twin->first++;
    for (uint32_t i = twin->end; i > twin->first; i--)
        if (memcmp(&twin->entries[i - 1].key, &key, sizeof(key)) == 0)
            return twin->entries[i - 1].offset;
    return 0;
}

static void twin_add(struct twin *twin, struct ft_key key, uint64_t offset, uint32_t now_s)
{
    if (twin_find(twin, key, now_s) != 0)
        return;
    if (twin->end - twin->first == twin->keys_max) {
        twin->first++;
        twin->dropped++;
    }
    twin->entries[twin->end].key = key;
    twin->entries[twin->end].offset = offset;
    twin->entries[twin->end++].added_s = now_s;
}

/* Few `names` make many duplicates, few `hashes` long runs in the index, small `steps` bursts. */
struct shape {
    uint64_t seed;
    uint32_t keys_max, window_s;
    uint64_t names, hashes, steps;
};

static void check_against_twin(struct shape shape)
{
    fprintf(stderr, "key_window: seed %u\n", (unsigned)shape.seed);
    static struct twin twin;
    memset(&twin, 0, sizeof(twin));
    twin.keys_max = shape.keys_max;
    twin.window_s = shape.window_s;
    struct ft_key_window *window = ft_key_window_new(shape.keys_max, shape.window_s);
    uint64_t state = shape.seed;
    uint32_t now_s = 0;
    uint32_t most = 0;
    for (unsigned i = 1; i <= 50000; i++) {
        uint64_t name = ft_input_random(&state, shape.names);
        struct ft_key key = {{name % shape.hashes * 0x9E3779B97F4A7C15, name}};
        if (ft_input_random(&state, shape.steps) == 0)
            now_s += (uint32_t)ft_input_random(&state, shape.window_s + 2);
        uint64_t want = twin_find(&twin, key, now_s);
        cr_assert_eq(ft_key_window_find(window, key, now_s), want, "operation %u", i);
        if (ft_input_random(&state, 4) > 0) {
            twin_add(&twin, key, i, now_s);
            ft_key_window_add(window, key, i, now_s);
        }
        cr_assert_eq(ft_key_window_count(window), twin.end - twin.first, "operation %u", i);
        cr_assert_eq(ft_key_window_dropped(window), twin.dropped, "operation %u", i);
        most = ft_key_window_count(window) > most ? ft_key_window_count(window) : most;
    }
    for (uint64_t name = 0; name < shape.names; name++) {
        struct ft_key key = {{name % shape.hashes * 0x9E3779B97F4A7C15, name}};
        cr_assert_eq(ft_key_window_find(window, key, now_s), twin_find(&twin, key, now_s));
    }
    cr_expect_gt(most, 20, "a shape that keeps next to nothing tests nothing");
    ft_key_window_free(window);
}

Test(key_window, random_operations_agree_with_an_array)
{
    check_against_twin((struct shape){1, 100, 10, 200, 200, 20});
    check_against_twin((struct shape){2, 1000, 10, 5000, 5000, 300});
    check_against_twin((struct shape){3, 1u << 30, 30, 3000, 3000, 2000});
    check_against_twin((struct shape){4, 64, 5, 100, 2, 50});
    check_against_twin((struct shape){5, 50, 0, 1000, 1000, 30});
}

Test(key_window, a_key_stands_for_its_topic_and_its_text_and_for_where_one_ends)
{
    struct ft_hash_keys a, b;
    ft_hash_keys_init(&a, 1);
    ft_hash_keys_init(&b, 2);
    static const char *const pairs[][2] = {{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"},
                                           {"bc", "a"}, {"c", "ab"}, {"a", "b"},  {"a", "a"},
                                           {"aa", ""},  {"", "aa"},  {"", ""}};
    enum { PAIRS = sizeof(pairs) / sizeof(pairs[0]) };
    struct ft_key keys[PAIRS];
    for (unsigned i = 0; i < PAIRS; i++) {
        struct ft_slice topic = ft_slice_str(pairs[i][0]), text = ft_slice_str(pairs[i][1]);
        keys[i] = ft_key_of(&a, &b, topic, text);
        struct ft_key again = ft_key_of(&a, &b, topic, text);
        cr_expect_arr_eq(&keys[i], &again, sizeof(again));
        cr_expect_neq(keys[i].words[0], keys[i].words[1], "two seeds, two hashes");
        for (unsigned j = 0; j < i; j++)
            for (unsigned w = 0; w < 2; w++)
                cr_expect_neq(keys[i].words[w], keys[j].words[w], "%u and %u", i, j);
    }
}

Test(key_window, an_offset_of_nothing_is_not_taken, .signal = SIGABRT)
{
    struct ft_key_window *window = ft_key_window_new(10, WINDOW_S);
    ft_key_window_add(window, numbered(1), 0, 0);
}
