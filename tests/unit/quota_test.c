/* Quotas: counts, rates against a token bucket, and a table that many threads share and that forgets. */
#include "broker/hub/quota.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tests/unit/support/input.h"

#define SEED 20261121

/* Some moment on a machine that has been up for a day. */
#define NOW_US UINT64_C(86400000000)

static const uint8_t address_bytes[16] = {[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 1};

static struct ft_slice address(void)
{
    return ft_slice(address_bytes, sizeof(address_bytes));
}

/* A table in which everything has the same limit. */
static struct ft_quotas *quotas_of(uint32_t limit)
{
    struct ft_quota_limits limits;
    for (int kind = 0; kind < FT_QUOTA_KINDS; kind++) {
        for (int what = 0; what < FT_QUOTA_HELD; what++)
            limits.held[kind][what] = limit;
        for (int what = 0; what < FT_QUOTA_RATES; what++)
            limits.rates[kind][what] = limit;
    }
    return ft_quotas_new(&limits);
}

static struct ft_quota_share *user(struct ft_quotas *quotas, const char *name)
{
    return ft_quota_share(quotas, FT_QUOTA_USER, ft_slice_str(name));
}

static uint64_t share_count(struct ft_quotas *quotas)
{
    struct ft_quota_stats stats;
    ft_quotas_stats(quotas, &stats);
    return stats.shares;
}

static bool take(struct ft_quota_share *share, enum ft_quota_held what, uint32_t n)
{
    return ft_quota_take(share, what, n, NULL) == FT_OK;
}

static bool pass(struct ft_quota_share *share, uint64_t now_us)
{
    return ft_quota_pass(share, FT_QUOTA_PUBLISHES, now_us, NULL, NULL) == FT_OK;
}

static void release_all(struct ft_quota_share **shares, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ft_quota_release(shares[i]);
}

/* ---- counts ---- */

Test(quota, what_is_held_is_bounded_and_can_be_given_back)
{
    struct ft_quotas *quotas = quotas_of(3);
    struct ft_quota_share *alice = user(quotas, "alice");
    cr_expect(take(alice, FT_QUOTA_SUBSCRIPTIONS, 2));
    cr_expect_not(take(alice, FT_QUOTA_SUBSCRIPTIONS, 2), "all or nothing");
    cr_expect(take(alice, FT_QUOTA_SUBSCRIPTIONS, 1));
    cr_expect_not(take(alice, FT_QUOTA_SUBSCRIPTIONS, 1));
    cr_expect_not(take(alice, FT_QUOTA_SUBSCRIPTIONS, UINT32_MAX), "nor around the corner");
    cr_expect(take(alice, FT_QUOTA_CONNECTIONS, 3), "each has a count of its own");
    ft_quota_give(alice, FT_QUOTA_SUBSCRIPTIONS, 1);
    cr_expect(take(alice, FT_QUOTA_SUBSCRIPTIONS, 1));
    ft_quota_give(alice, FT_QUOTA_SUBSCRIPTIONS, 3);
    ft_quota_give(alice, FT_QUOTA_CONNECTIONS, 3);
    ft_quota_release(alice);
    ft_quotas_free(quotas);
}

Test(quota, a_refusal_names_the_limit_and_is_counted)
{
    struct ft_quotas *quotas = quotas_of(1);
    struct ft_quota_share *alice = user(quotas, "alice");
    struct ft_quota_share *there = ft_quota_share(quotas, FT_QUOTA_ADDRESS, address());
    struct ft_problem problem;
    cr_assert_eq(ft_quota_take(there, FT_QUOTA_CONNECTIONS, 2, &problem), FT_ERR_TOO_MANY);
    cr_assert_str_eq(problem.text,
                     "an address may have 1 connections at most (limits.address_connections)");
    cr_assert_eq(problem.retry_ms, FT_QUOTA_RETRY_MS);
    cr_assert_eq(ft_quota_take(there, FT_QUOTA_SUBSCRIPTIONS, 2, &problem), FT_ERR_TOO_MANY);
    cr_assert_eq(problem.retry_ms, 0, "what a client has itself does not become less by waiting");
    cr_assert(pass(alice, NOW_US));
    cr_assert_eq(ft_quota_pass(alice, FT_QUOTA_PUBLISHES, NOW_US, NULL, &problem), FT_ERR_TOO_MANY);
    cr_assert_eq(problem.err, FT_ERR_TOO_MANY);
    cr_assert_str_eq(problem.text,
                     "a user may publish 1 times a second at most (limits.user_publishes)");
    struct ft_quota_stats stats;
    ft_quotas_stats(quotas, &stats);
    cr_expect_eq(stats.held[FT_QUOTA_ADDRESS][FT_QUOTA_CONNECTIONS], 1);
    cr_expect_eq(stats.held[FT_QUOTA_USER][FT_QUOTA_CONNECTIONS], 0);
    cr_expect_eq(stats.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES], 1);
    cr_expect_eq(stats.rates[FT_QUOTA_ADDRESS][FT_QUOTA_PUBLISHES], 0);
    cr_expect_eq(stats.shares, 2);
    ft_quota_release(alice);
    ft_quota_release(there);
    ft_quotas_free(quotas);
}

Test(quota, every_limit_has_the_name_of_its_option)
{
    cr_expect_str_eq(ft_quota_held_option(FT_QUOTA_USER, FT_QUOTA_SUBSCRIPTIONS),
                     "limits.user_subscriptions");
    cr_expect_str_eq(ft_quota_rate_option(FT_QUOTA_ADDRESS, FT_QUOTA_CONNECTS),
                     "limits.address_connects");
    cr_expect_str_eq(ft_quota_rate_option(FT_QUOTA_USER, FT_QUOTA_REQUESTS),
                     "limits.user_requests");
    cr_expect_null(ft_quota_rate_option(FT_QUOTA_USER, FT_QUOTA_CONNECTS));
}

Test(quota, a_limit_of_0_is_none)
{
    struct ft_quota_limits limits = {0};
    limits.held[FT_QUOTA_USER][FT_QUOTA_SUBSCRIPTIONS] = 1;
    struct ft_quotas *quotas = ft_quotas_new(&limits);
    struct ft_quota_share *alice = user(quotas, "alice");
    cr_assert_not_null(alice);
    cr_expect(take(alice, FT_QUOTA_CONNECTIONS, 1000000));
    for (int i = 0; i < 1000; i++)
        cr_assert(pass(alice, NOW_US));
    ft_quota_give(alice, FT_QUOTA_CONNECTIONS, 1000000);
    ft_quota_release(alice);
    cr_expect_eq(share_count(quotas), 0);
    ft_quotas_free(quotas);
}

Test(quota, where_no_limit_of_a_kind_is_set_there_are_no_shares_of_it)
{
    struct ft_quota_limits limits = {0};
    limits.rates[FT_QUOTA_ADDRESS][FT_QUOTA_CONNECTS] = 1;
    struct ft_quotas *quotas = ft_quotas_new(&limits);
    cr_expect_null(user(quotas, "alice"));
    struct ft_quota_share *there = ft_quota_share(quotas, FT_QUOTA_ADDRESS, address());
    cr_expect_not_null(there);
    ft_quotas_configure(quotas, &(struct ft_quota_limits){0});
    cr_expect_null(ft_quota_share(quotas, FT_QUOTA_ADDRESS, address()));
    cr_expect(pass(there, NOW_US) && take(there, FT_QUOTA_CONNECTIONS, 9), "without a limit");
    ft_quota_give(there, FT_QUOTA_CONNECTIONS, 9);
    ft_quota_release(there);
    ft_quotas_free(quotas);
}

Test(quota, who_has_no_share_has_no_limit)
{
    struct ft_quotas *quotas = quotas_of(1);
    cr_expect_null(ft_quota_share(quotas, FT_QUOTA_USER, ft_slice(NULL, 0)), "nobody");
    cr_expect_null(ft_quota_share(NULL, FT_QUOTA_USER, ft_slice_str("alice")));
    cr_expect(take(NULL, FT_QUOTA_CONNECTIONS, 100));
    ft_quota_give(NULL, FT_QUOTA_CONNECTIONS, 100);
    cr_expect(pass(NULL, NOW_US) && pass(NULL, NOW_US));
    ft_quota_release(NULL);
    ft_quotas_free(quotas);
    ft_quotas_free(NULL);
}

Test(quota, new_limits_count_from_the_next_on_and_take_nothing_away)
{
    struct ft_quotas *quotas = quotas_of(5);
    struct ft_quota_share *alice = user(quotas, "alice");
    cr_assert(take(alice, FT_QUOTA_CONNECTIONS, 5));
    struct ft_quota_limits limits = {0};
    limits.held[FT_QUOTA_USER][FT_QUOTA_CONNECTIONS] = 3;
    limits.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES] = 1;
    ft_quotas_configure(quotas, &limits);
    cr_expect_not(take(alice, FT_QUOTA_CONNECTIONS, 1), "what was taken before counts");
    ft_quota_give(alice, FT_QUOTA_CONNECTIONS, 3);
    cr_expect(take(alice, FT_QUOTA_CONNECTIONS, 1));
    cr_expect(pass(alice, NOW_US));
    cr_expect_not(pass(alice, NOW_US));
    ft_quota_give(alice, FT_QUOTA_CONNECTIONS, 3);
    ft_quota_release(alice);
    ft_quotas_free(quotas);
}

/* ---- whose share ---- */

Test(quota, the_same_name_is_the_same_share_and_others_are_others)
{
    struct ft_quotas *quotas = quotas_of(1);
    struct ft_quota_share *shares[] = {
        user(quotas, "alice"),
        user(quotas, "alice"),
        user(quotas, "alicf"),
        user(quotas, ""),
        ft_quota_share(quotas, FT_QUOTA_USER, address()),
        ft_quota_share(quotas, FT_QUOTA_ADDRESS, address()),
    };
    cr_expect_eq(shares[0], shares[1]);
    for (size_t i = 1; i < sizeof(shares) / sizeof(*shares); i++)
        for (size_t j = i + 1; j < sizeof(shares) / sizeof(*shares); j++)
            cr_expect_neq(shares[i], shares[j], "%zu %zu", i, j);
    release_all(shares, sizeof(shares) / sizeof(*shares));
    ft_quotas_free(quotas);
}

Test(quota, names_of_any_length_are_told_apart_by_every_byte)
{
    struct ft_quotas *quotas = quotas_of(1);
    enum { LEN = 10000, NAMES = 64 };
    static char name[LEN];
    memset(name, 'x', LEN);
    struct ft_quota_share *shares[NAMES];
    uint64_t state = SEED;
    shares[0] = ft_quota_share(quotas, FT_QUOTA_USER, ft_slice(name, LEN));
    for (int i = 1; i < NAMES; i++) {
        size_t at = ft_input_random(&state, LEN);
        name[at]++;
        shares[i] = ft_quota_share(quotas, FT_QUOTA_USER, ft_slice(name, LEN));
        cr_expect_neq(shares[i], shares[0], "byte %zu", at);
        name[at]--;
    }
    cr_expect_geq(share_count(quotas), NAMES / 2);
    release_all(shares, NAMES);
    ft_quotas_free(quotas);
}

static struct ft_quota_share *share_at(struct ft_quotas *quotas, const uint8_t bytes[16])
{
    return ft_quota_share(quotas, FT_QUOTA_ADDRESS, ft_slice(bytes, 16));
}

Test(quota, of_ipv6_the_network_counts_and_of_ipv4_the_whole_address)
{
    struct ft_quotas *quotas = quotas_of(1);
    uint8_t v6[16] = {0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}, v4[16];
    memcpy(v4, address_bytes, sizeof(v4));
    struct ft_quota_share *shares[5] = {share_at(quotas, v6), [2] = share_at(quotas, v4)};
    memset(v6 + 8, 0xAA, 8);
    shares[1] = share_at(quotas, v6);
    v6[7] = 2;
    shares[4] = share_at(quotas, v6);
    v4[15]++;
    shares[3] = share_at(quotas, v4);
    cr_expect_eq(shares[0], shares[1]);
    cr_expect_neq(shares[1], shares[4]);
    cr_expect_neq(shares[2], shares[3]);
    cr_expect_eq(share_count(quotas), 4);
    release_all(shares, 5);
    ft_quotas_free(quotas);
}

/* ---- rates ---- */

Test(quota, a_burst_is_one_seconds_worth_and_then_they_come_at_the_rate)
{
    struct ft_quotas *quotas = quotas_of(10);
    struct ft_quota_share *alice = user(quotas, "alice");
    for (int i = 0; i < 10; i++)
        cr_assert(pass(alice, NOW_US));
    cr_expect_not(pass(alice, NOW_US));
    cr_expect_not(pass(alice, NOW_US + 99999));
    cr_expect(pass(alice, NOW_US + 100000));
    cr_expect_not(pass(alice, NOW_US + 100000));
    for (int i = 0; i < 10; i++)
        cr_assert(pass(alice, NOW_US + 2000000), "all of it is back, and no more");
    cr_expect_not(pass(alice, NOW_US + 2000000));
    ft_quota_release(alice);
    ft_quotas_free(quotas);
}

Test(quota, each_rate_is_counted_for_itself)
{
    struct ft_quotas *quotas = quotas_of(1);
    struct ft_quota_share *alice = user(quotas, "alice");
    for (int what = 0; what < FT_QUOTA_RATES; what++)
        cr_expect_eq(ft_quota_pass(alice, (enum ft_quota_rate)what, NOW_US, NULL, NULL), FT_OK);
    ft_quota_release(alice);
    ft_quotas_free(quotas);
}

/* Who comes again when it was told to is taken; a millisecond earlier it is not. */
Test(quota, retry_says_when_one_is_taken_again)
{
    static const uint32_t limits[] = {1, 2, 3, 7, 100, 999, 1000};
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct ft_quotas *quotas = quotas_of(limits[i]);
        struct ft_quota_share *alice = user(quotas, "alice");
        while (pass(alice, NOW_US)) {
        }
        uint32_t retry_ms = 0;
        cr_assert_eq(ft_quota_pass(alice, FT_QUOTA_PUBLISHES, NOW_US, &retry_ms, NULL),
                     FT_ERR_TOO_MANY);
        cr_assert_eq(retry_ms, (1000 + limits[i] - 1) / limits[i]);
        cr_expect_not(pass(alice, NOW_US + (retry_ms - 1) * 1000));
        cr_expect(pass(alice, NOW_US + retry_ms * 1000));
        ft_quota_release(alice);
        ft_quotas_free(quotas);
    }
}

Test(quota, random_arrivals_pass_like_tokens_taken_out_of_a_bucket)
{
    uint64_t state = SEED;
    for (unsigned round = 0; round < 200; round++) {
        uint32_t limit = (uint32_t)(1 + ft_input_random(&state, round % 2 ? 10 : 5000));
        uint64_t token_ns = 1000000000 / limit, full_ns = token_ns * limit;
        struct ft_quotas *quotas = quotas_of(limit);
        struct ft_quota_share *alice = user(quotas, "alice");
        uint64_t bucket_ns = full_ns, now_us = NOW_US;
        uint64_t step_us = 1 + ft_input_random(&state, 2000000 / limit);
        for (unsigned i = 0; i < 2000; i++) {
            uint64_t gap_us = ft_input_random(&state, 2 * step_us);
            now_us += gap_us;
            bucket_ns += gap_us * 1000;
            if (bucket_ns > full_ns)
                bucket_ns = full_ns;
            bool has_one = bucket_ns >= token_ns;
            bucket_ns -= has_one ? token_ns : 0;
            cr_assert_eq(pass(alice, now_us), has_one, "round %u, arrival %u", round, i);
        }
        ft_quota_release(alice);
        ft_quotas_free(quotas);
    }
}

Test(quota, the_largest_rate_is_a_limit_that_nobody_meets)
{
    struct ft_quotas *quotas = quotas_of(UINT32_MAX);
    struct ft_quota_share *alice = user(quotas, "alice");
    for (int i = 0; i < 100000; i++)
        cr_assert(pass(alice, NOW_US));
    ft_quota_release(alice);
    ft_quotas_free(quotas);
}

/* ---- what the table remembers ---- */

Test(quota, who_goes_and_comes_back_at_once_has_not_got_a_new_rate)
{
    struct ft_quotas *quotas = quotas_of(2);
    struct ft_quota_share *alice = user(quotas, "alice");
    cr_assert(pass(alice, NOW_US) && pass(alice, NOW_US));
    ft_quota_release(alice);
    cr_expect_eq(share_count(quotas), 1);
    alice = user(quotas, "alice");
    cr_expect_not(pass(alice, NOW_US));
    cr_expect(pass(alice, NOW_US + 500000));
    ft_quota_release(alice);
    ft_quotas_free(quotas);
}

Test(quota, a_share_without_a_rate_to_remember_is_forgotten_at_once)
{
    struct ft_quotas *quotas = quotas_of(2);
    struct ft_quota_share *shares[] = {user(quotas, "alice"), user(quotas, "alice")};
    cr_assert(take(shares[0], FT_QUOTA_CONNECTIONS, 2));
    ft_quota_give(shares[0], FT_QUOTA_CONNECTIONS, 2);
    ft_quota_release(shares[0]);
    cr_expect_eq(share_count(quotas), 1, "somebody holds it");
    ft_quota_release(shares[1]);
    cr_expect_eq(share_count(quotas), 0);
    ft_quotas_free(quotas);
}

/* Many come, publish once and go; a second later their rates are full, and they make room for those that
 * come then. */
Test(quota, shares_whose_rates_are_full_again_go)
{
    struct ft_quotas *quotas = quotas_of(1);
    enum { USERS = 20000 };
    char name[16];
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < USERS; i++) {
            snprintf(name, sizeof(name), "%u-%u", round, i);
            struct ft_quota_share *share = user(quotas, name);
            cr_assert(pass(share, NOW_US + round * 2000000));
            ft_quota_release(share);
        }
    }
    cr_expect_lt(share_count(quotas), USERS + USERS / 4);
    ft_quotas_free(quotas);
}

Test(quota, however_many_come_within_a_second_the_table_is_bounded)
{
    struct ft_quotas *quotas = quotas_of(1);
    struct ft_quota_share *held = user(quotas, "held");
    cr_assert(pass(held, NOW_US));
    char name[16];
    for (unsigned i = 0; i < 3 * FT_QUOTA_IDLE_MAX; i++) {
        snprintf(name, sizeof(name), "%u", i);
        struct ft_quota_share *share = user(quotas, name);
        cr_assert(pass(share, NOW_US));
        ft_quota_release(share);
    }
    cr_expect_leq(share_count(quotas), FT_QUOTA_IDLE_MAX + 1);
    cr_expect_gt(share_count(quotas), FT_QUOTA_IDLE_MAX * 9 / 10);
    struct ft_quota_share *again = user(quotas, "held");
    cr_expect_eq(again, held, "what is held stays");
    cr_expect_not(pass(again, NOW_US));
    ft_quota_release(again);
    ft_quota_release(held);
    ft_quotas_free(quotas);
}

Test(quota, random_comings_and_goings_end_with_what_is_held)
{
    enum { USERS = 300, STEPS = 100000, HELD_MAX = 4 };
    static struct ft_quota_share *shares[USERS];
    uint32_t refs[USERS] = {0}, held[USERS] = {0};
    struct ft_quotas *quotas = quotas_of(HELD_MAX);
    uint64_t state = SEED;
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t i = ft_input_random(&state, USERS);
        char name[16];
        snprintf(name, sizeof(name), "user %u", (unsigned)i);
        if (ft_input_random(&state, 2) == 0) {
            struct ft_quota_share *share = user(quotas, name);
            cr_assert(refs[i] == 0 || share == shares[i]);
            shares[i] = share;
            refs[i]++;
            bool has_room = held[i] < HELD_MAX;
            cr_assert_eq(take(share, FT_QUOTA_CONNECTIONS, 1), has_room);
            held[i] += has_room;
            (void)pass(share, NOW_US + step);
        } else if (refs[i] > 0) {
            if (held[i] == refs[i] || (held[i] > 0 && ft_input_random(&state, 2) == 0)) {
                ft_quota_give(shares[i], FT_QUOTA_CONNECTIONS, 1);
                held[i]--;
            }
            refs[i]--;
            ft_quota_release(shares[i]);
        }
    }
    for (unsigned i = 0; i < USERS; i++) {
        for (; refs[i] > 0; refs[i]--) {
            ft_quota_give(shares[i], FT_QUOTA_CONNECTIONS, held[i]);
            held[i] = 0;
            ft_quota_release(shares[i]);
        }
    }
    cr_expect_leq(share_count(quotas), USERS);
    ft_quotas_free(quotas);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 20000, LIMIT = 50 };

struct race {
    struct ft_quotas *quotas;
    _Atomic uint32_t passed, over, held;
};

/* Each takes and gives at random, of a few users, and tries to pass at one moment. */
static void *run(void *arg)
{
    struct race *race = arg;
    uint64_t state = SEED + (uintptr_t)&state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "u%u", (unsigned)ft_input_random(&state, 8));
        struct ft_quota_share *other = user(race->quotas, name), *all = user(race->quotas, "all");
        if (take(all, FT_QUOTA_CONNECTIONS, 20)) {
            if (atomic_fetch_add(&race->held, 20) + 20 > LIMIT)
                atomic_fetch_add(&race->over, 1);
            (void)take(other, FT_QUOTA_SUBSCRIPTIONS, 0);
            atomic_fetch_sub(&race->held, 20);
            ft_quota_give(all, FT_QUOTA_CONNECTIONS, 20);
        }
        if (pass(all, NOW_US))
            atomic_fetch_add(&race->passed, 1);
        (void)pass(other, NOW_US + i);
        ft_quota_release(other);
        ft_quota_release(all);
    }
    return NULL;
}

Test(quota, threads_together_get_no_more_than_one_alone)
{
    struct race race = {.quotas = quotas_of(LIMIT)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run, &race), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(race.passed, LIMIT);
    cr_expect_eq(race.over, 0);
    cr_expect_leq(share_count(race.quotas), 9);
    ft_quotas_free(race.quotas);
}
