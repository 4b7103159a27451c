/*
 * Workers that begin and cease to want partitions while the relay joins what is wanted and leaves what is not:
 * whoever wants a partition and has seen it joined keeps it. For ThreadSanitizer, which unit tests cannot run
 * under.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/hub/interest.h"

enum { WORKERS = 3, PARTITIONS = 4, ROUNDS = 3000, RELIED_ON = 50 };

static struct ft_interest interest;
static _Atomic uint32_t finished, news, left;
static uint64_t
    begun[PARTITIONS]; /* what the relay does before it says that it has joined; no atomic */

static void *work(void *arg)
{
    unsigned seed = *(const unsigned *)arg;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t partition = (uint32_t)rand_r(&seed) % PARTITIONS;
        if (ft_interest_want(&interest, partition))
            atomic_fetch_add(&news, 1);
        while (!ft_interest_is_joined(&interest, partition))
            sched_yield();
        uint64_t since = begun[partition];
        FT_ASSERT(since > 0);
        for (uint32_t i = 0; i < RELIED_ON; i++) {
            FT_ASSERT(ft_interest_is_joined(&interest, partition));
            FT_ASSERT(begun[partition] ==
                      since); /* the relay would have to leave it to begin again */
        }
        ft_interest_unwant(&interest, partition);
        if (round % 16 == 0)
            sched_yield();
    }
    atomic_fetch_add(&finished, 1);
    return NULL;
}

static void *relay(void *arg)
{
    (void)arg;
    uint32_t version = 0;
    while (finished < WORKERS) {
        for (uint32_t k = 0; k < PARTITIONS; k++) {
            if (ft_interest_is_joined(&interest, k)) {
                if (!ft_interest_is_wanted(&interest, k) && ft_interest_leave(&interest, k))
                    atomic_fetch_add(&left, 1);
            } else if (ft_interest_is_wanted(&interest, k)) {
                begun[k]++;
                ft_interest_joined(&interest, k);
                FT_ASSERT(ft_interest_version(&interest) != version);
                version = ft_interest_version(&interest);
            }
        }
        sched_yield();
    }
    return NULL;
}

int main(void)
{
    ft_interest_init(&interest, &(struct ft_partitions){.count = PARTITIONS});
    pthread_t relaying, workers[WORKERS];
    unsigned seeds[WORKERS];
    FT_ASSERT(pthread_create(&relaying, NULL, relay, NULL) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        seeds[i] = i + 1;
        FT_ASSERT(pthread_create(&workers[i], NULL, work, &seeds[i]) == 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    pthread_join(relaying, NULL);
    for (uint32_t k = 0; k < PARTITIONS; k++)
        FT_ASSERT(!ft_interest_is_wanted(&interest, k));
    FT_ASSERT(news > 0 && left > 0); /* it has really come and gone */
    ft_interest_fini(&interest);
    return 0;
}
