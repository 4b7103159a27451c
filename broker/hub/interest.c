/*
 * Who wants which partition, and which are joined. Counts workers, not filters (wants.c does), and knows neither
 * how the relay joins nor when it lets go. What decides about leaving is under one lock, which is taken
 * when a worker's first filter comes and its last one goes; looking at what is joined takes none.
 */
#include "broker/hub/interest.h"

#include "broker/base/alloc.h"

void ft_interest_init(struct ft_interest *interest, const struct ft_partitions *partitions)
{
    FT_ASSERT(partitions->count >= 1 && partitions->count <= FT_PARTITIONS_MAX);
    *interest = (struct ft_interest){.partitions = *partitions};
    pthread_mutex_init(&interest->lock_, NULL);
}

void ft_interest_fini(struct ft_interest *interest)
{
    pthread_mutex_destroy(&interest->lock_);
}

bool ft_interest_want(struct ft_interest *interest, uint32_t partition)
{
    pthread_mutex_lock(&interest->lock_);
    bool is_first = interest->wanted_[partition]++ == 0;
    pthread_mutex_unlock(&interest->lock_);
    return is_first;
}

void ft_interest_unwant(struct ft_interest *interest, uint32_t partition)
{
    pthread_mutex_lock(&interest->lock_);
    FT_ASSERT(interest->wanted_[partition] > 0);
    interest->wanted_[partition]--;
    pthread_mutex_unlock(&interest->lock_);
}

bool ft_interest_is_wanted(struct ft_interest *interest, uint32_t partition)
{
    pthread_mutex_lock(&interest->lock_);
    bool is_wanted = interest->wanted_[partition] > 0;
    pthread_mutex_unlock(&interest->lock_);
    return is_wanted;
}

void ft_interest_joined(struct ft_interest *interest, uint32_t partition)
{
    atomic_store(&interest->joined_[partition], true);
    atomic_fetch_add(&interest->version_, 1);
}

bool ft_interest_leave(struct ft_interest *interest, uint32_t partition)
{
    pthread_mutex_lock(&interest->lock_);
    bool may_leave = interest->wanted_[partition] == 0;
    if (may_leave)
        atomic_store(&interest->joined_[partition], false);
    pthread_mutex_unlock(&interest->lock_);
    return may_leave;
}
