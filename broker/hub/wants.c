/* A worker's count of filters by partition. Decides nothing but what is first and what is last. */
#include "broker/hub/wants.h"

#include "broker/base/alloc.h"

#include <stdlib.h>
#include <string.h>

struct ft_wants {
    struct ft_interest *interest;
    struct ft_partition_set every; /* partition that there is */
    uint32_t all;
    uint32_t counts[];
};

struct ft_wants *ft_wants_new(struct ft_interest *interest)
{
    uint32_t count = interest->partitions.count;
    struct ft_wants *wants = ft_alloc_zero(sizeof(*wants) + count * sizeof(wants->counts[0]));
    wants->interest = interest;
    for (uint32_t k = 0; k < count; k++)
        ft_partition_set_add(&wants->every, k);
    return wants;
}

void ft_wants_free(struct ft_wants *wants)
{
    if (!wants)
        return;
    FT_ASSERT(wants->all == 0);
    for (uint32_t k = 0; k < wants->interest->partitions.count; k++)
        FT_ASSERT(wants->counts[k] == 0);
    free(wants);
}

/* The worker begins to want (or wants no more) what no counter of its own speaks for. */
static bool turn_all(struct ft_wants *wants, bool on)
{
    bool is_news = false;
    for (uint32_t k = 0; k < wants->interest->partitions.count; k++) {
        if (wants->counts[k] > 0)
            continue;
        if (on)
            is_news |= ft_interest_want(wants->interest, k);
        else
            ft_interest_unwant(wants->interest, k);
    }
    return is_news;
}

static bool is_every(const struct ft_wants *wants, const struct ft_partition_set *set)
{
    return memcmp(set, &wants->every, sizeof(*set)) == 0;
}

bool ft_wants_add_set(struct ft_wants *wants, const struct ft_partition_set *set)
{
    if (is_every(wants, set))
        return wants->all++ == 0 && turn_all(wants, true);
    bool is_news = false;
    for (uint32_t k = 0; k < wants->interest->partitions.count; k++) {
        if (ft_partition_set_has(set, k) && wants->counts[k]++ == 0 && wants->all == 0)
            is_news |= ft_interest_want(wants->interest, k);
    }
    return is_news;
}

void ft_wants_remove_set(struct ft_wants *wants, const struct ft_partition_set *set)
{
    if (is_every(wants, set)) {
        if (--wants->all == 0)
            (void)turn_all(wants, false);
        return;
    }
    for (uint32_t k = 0; k < wants->interest->partitions.count; k++) {
        if (ft_partition_set_has(set, k) && --wants->counts[k] == 0 && wants->all == 0)
            ft_interest_unwant(wants->interest, k);
    }
}

bool ft_wants_add(struct ft_wants *wants, struct ft_slice filter)
{
    struct ft_partition_set set = {0};
    ft_partitions_touched(&wants->interest->partitions, filter, &set);
    return ft_wants_add_set(wants, &set);
}

void ft_wants_remove(struct ft_wants *wants, struct ft_slice filter)
{
    struct ft_partition_set set = {0};
    ft_partitions_touched(&wants->interest->partitions, filter, &set);
    ft_wants_remove_set(wants, &set);
}
