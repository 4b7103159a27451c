/* The trie's table of edges against an array of the same edges. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/core/edge_table.h"
#include "tests/unit/support/input.h"

/* Counts how often the table lists `child` under `hash`. */
static unsigned times_listed(const struct ft_edge_table *table, uint32_t hash, uint32_t child)
{
    unsigned times = 0;
    uint32_t at = ft_edge_table_home(table, hash);
    uint32_t got;
    while ((got = ft_edge_table_next(table, hash, &at)) != 0)
        times += got == child;
    return times;
}

static unsigned listed(const struct ft_edge_table *table, uint32_t hash)
{
    unsigned count = 0;
    uint32_t at = ft_edge_table_home(table, hash);
    while (ft_edge_table_next(table, hash, &at) != 0)
        count++;
    return count;
}

Test(edge_table, an_empty_table_lists_nothing_under_any_hash)
{
    struct ft_edge_table table;
    ft_edge_table_init(&table);
    for (uint64_t hash = 0; hash <= UINT32_MAX; hash += 0x00FFFFFF)
        cr_assert_eq(listed(&table, (uint32_t)hash), 0);
    ft_edge_table_fini(&table);
}

Test(edge_table, edges_of_one_hash_are_all_listed_and_others_are_not)
{
    struct ft_edge_table table;
    ft_edge_table_init(&table);
    /* The home of the first is the last slot: the run goes on at the front. */
    for (uint32_t child = 1; child <= 20; child++)
        ft_edge_table_add(&table, child % 2 ? UINT32_MAX : UINT32_MAX - 1, child);
    ft_edge_table_add(&table, 0, 99);
    cr_expect_eq(listed(&table, UINT32_MAX), 10);
    cr_expect_eq(listed(&table, UINT32_MAX - 1), 10);
    cr_expect_eq(listed(&table, 0), 1);
    cr_expect_eq(listed(&table, 1), 0);
    for (uint32_t child = 1; child <= 20; child++)
        cr_expect_eq(times_listed(&table, child % 2 ? UINT32_MAX : UINT32_MAX - 1, child), 1);

    /* What comes behind a hole at the end must be found from the front again. */
    for (uint32_t child = 1; child <= 20; child++) {
        ft_edge_table_remove(&table, child % 2 ? UINT32_MAX : UINT32_MAX - 1, child);
        cr_expect_eq(listed(&table, UINT32_MAX) + listed(&table, UINT32_MAX - 1), 20 - child);
        cr_expect_eq(times_listed(&table, 0, 99), 1);
    }
    ft_edge_table_fini(&table);
}

struct edge {
    uint32_t hash;
    bool is_in;
};

/* Adds and removes edges at random, and compares with the array after each step. `bits` of the hash
 * vary: few make long runs, many a sparse table. */
static void check_against_array(uint64_t seed, unsigned bits, uint32_t edges, unsigned operations)
{
    fprintf(stderr, "edge_table: seed %llu, %u bits\n", (unsigned long long)seed, bits);
    uint64_t state = seed;
    struct edge *array = calloc(edges + 1, sizeof(*array));
    struct ft_edge_table table;
    ft_edge_table_init(&table);
    uint32_t count = 0;
    for (unsigned i = 0; i < operations; i++) {
        uint32_t child = 1 + (uint32_t)ft_input_random(&state, edges);
        struct edge *edge = &array[child];
        if (edge->is_in) {
            ft_edge_table_remove(&table, edge->hash, child);
            count--;
        } else {
            edge->hash = (uint32_t)ft_input_random(&state, UINT64_C(1) << bits) << (32 - bits);
            ft_edge_table_add(&table, edge->hash, child);
            count++;
        }
        edge->is_in = !edge->is_in;
        cr_assert_eq(table.count, count);
        cr_assert_eq(times_listed(&table, edge->hash, child), edge->is_in, "operation %u", i);
        uint32_t other = 1 + (uint32_t)ft_input_random(&state, edges);
        cr_assert_eq(times_listed(&table, array[other].hash, other), array[other].is_in,
                     "edge %u after operation %u", other, i);
    }
    for (uint32_t child = 1; child <= edges; child++)
        cr_assert_eq(times_listed(&table, array[child].hash, child), array[child].is_in, "edge %u",
                     child);
    ft_edge_table_fini(&table);
    free(array);
}

Test(edge_table, random_operations_agree_with_an_array)
{
    check_against_array(1, 32, 100, 20000);
    check_against_array(2, 7, 100, 20000);
    check_against_array(3, 3, 60, 20000);
    check_against_array(4, 32, 5000, 50000);
    check_against_array(5, 1, 40, 5000);
}

Test(edge_table, it_grows_and_shrinks_with_its_edges_and_not_at_every_step)
{
    enum { MANY = 100000 };
    struct ft_edge_table table;
    ft_edge_table_init(&table);
    size_t empty = ft_edge_table_bytes(&table);
    unsigned resizes = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        size_t before = ft_edge_table_bytes(&table);
        ft_edge_table_add(&table, i * 2654435761u, i + 1);
        resizes += ft_edge_table_bytes(&table) != before;
        cr_assert_lt(table.count, table.mask_ + 1, "no slot is empty: a search would not end");
    }
    cr_expect_leq(ft_edge_table_bytes(&table), 2 * MANY * 4 / 3 * sizeof(struct ft_edge));
    cr_expect_lt(resizes, 20);
    for (uint32_t i = 0; i < MANY; i++) {
        size_t before = ft_edge_table_bytes(&table);
        ft_edge_table_remove(&table, i * 2654435761u, i + 1);
        resizes += ft_edge_table_bytes(&table) != before;
    }
    cr_expect_lt(resizes, 40);
    cr_expect_eq(ft_edge_table_bytes(&table), empty);

    /* One edge that comes and goes where the table would resize does not make it resize each time. */
    resizes = 0;
    for (uint32_t i = 0; i < 97; i++)
        ft_edge_table_add(&table, i * 2654435761u, i + 1);
    for (unsigned round = 0; round < 100; round++) {
        size_t before = ft_edge_table_bytes(&table);
        ft_edge_table_remove(&table, 96 * 2654435761u, 97);
        ft_edge_table_add(&table, 96 * 2654435761u, 97);
        resizes += ft_edge_table_bytes(&table) != before;
    }
    cr_expect_eq(resizes, 0);
    ft_edge_table_fini(&table);
}
