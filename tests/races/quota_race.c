/*
 * Threads that take and give back of a few shares, and try to pass at one moment: together they get no
 * more than one alone would, and the table ends with what it has to remember. For ThreadSanitizer, which
 * unit tests cannot run under.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/hub/quota.h"
#include "tests/unit/support/input.h"

enum { THREADS = 4, ROUNDS = 30000, USERS = 8, LIMIT = 50, PLACES = 20 };

/* Some moment on a machine that has been up for a day. */
#define NOW_US UINT64_C(86400000000)

static struct ft_quotas *quotas;
static _Atomic uint32_t passed, held, over;

static struct ft_quota_share *user(const char *name)
{
    return ft_quota_share(quotas, FT_QUOTA_USER, ft_slice_str(name));
}

/* Takes places of the share that all threads want, and gives them back. */
static void visit(struct ft_quota_share *all)
{
    if (ft_quota_take(all, FT_QUOTA_CONNECTIONS, PLACES, NULL) != FT_OK)
        return;
    if (atomic_fetch_add(&held, PLACES) + PLACES > LIMIT)
        atomic_fetch_add(&over, 1);
    atomic_fetch_sub(&held, PLACES);
    ft_quota_give(all, FT_QUOTA_CONNECTIONS, PLACES);
}

static void *run(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "u%u", (unsigned)ft_input_random(&state, USERS));
        struct ft_quota_share *other = user(name), *all = user("all");
        visit(all);
        if (ft_quota_pass(all, FT_QUOTA_PUBLISHES, NOW_US, NULL, NULL) == FT_OK)
            atomic_fetch_add(&passed, 1);
        enum ft_err err = ft_quota_pass(other, FT_QUOTA_REQUESTS, NOW_US + i, NULL, NULL);
        FT_ASSERT(err == FT_OK || err == FT_ERR_TOO_MANY);
        ft_quota_release(other);
        ft_quota_release(all);
    }
    return NULL;
}

int main(void)
{
    struct ft_quota_limits limits = {0};
    limits.held[FT_QUOTA_USER][FT_QUOTA_CONNECTIONS] = LIMIT;
    limits.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES] = LIMIT;
    limits.rates[FT_QUOTA_USER][FT_QUOTA_REQUESTS] = LIMIT;
    quotas = ft_quotas_new(&limits);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        FT_ASSERT(pthread_create(&threads[i], NULL, run, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < ROUNDS / 100; i++) { /* as at a SIGHUP, and for the metrics */
        struct ft_quota_stats stats;
        ft_quotas_configure(quotas, &limits);
        ft_quotas_stats(quotas, &stats);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct ft_quota_stats stats;
    ft_quotas_stats(quotas, &stats);
    FT_ASSERT(passed == LIMIT);
    FT_ASSERT(over == 0);
    FT_ASSERT(stats.shares <= USERS + 1);
    FT_ASSERT(stats.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES] == THREADS * ROUNDS - LIMIT);
    ft_quotas_free(quotas);
    return 0;
}
