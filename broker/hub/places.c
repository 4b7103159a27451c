/* Partitions that sessions hear from, by their filters: worked out when it is asked for, which is seldom, so that
 * no subscription has to carry it. The worker's thread. */
#include "broker/hub/places.h"

#include "broker/hub/feed.h"
#include "broker/hub/worker.h"
#include "protocol/topic.h"

/* Adds the partitions that a subscription touches. */
static void add_touched(const struct ft_subscription *subscription, struct ft_partition_set *set)
{
    const struct ft_worker *w = subscription->session->asker.worker;
    char filter[FT_TOPIC_BYTES_MAX];
    size_t len = ft_topic_trie_filter_of(w->trie, &subscription->sub, filter);
    ft_partitions_touched(&w->hub->interest->partitions, ft_slice(filter, len), set);
}

bool ft_subscription_touches(const struct ft_subscription *subscription, uint32_t partition)
{
    struct ft_partition_set set = {0};
    add_touched(subscription, &set);
    return ft_partition_set_has(&set, partition);
}

uint32_t ft_session_places(const struct ft_session *s, uint64_t at, struct ft_place *places)
{
    struct ft_journal *journal = s->asker.worker->hub->journal;
    struct ft_partition_set set = {0};
    if (ft_journal_streams(journal) == 0)
        return ft_journal_places(journal, NULL, at, places);
    for (const struct ft_subscription *sub = s->subscriptions; sub; sub = sub->next)
        add_touched(sub, &set);
    return ft_journal_places(journal, &set, at, places);
}

void ft_places_since(struct ft_journal *journal, const struct ft_starts *starts, uint64_t at,
                     struct ft_place *places, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = places[i].index;
        struct ft_partition_set set = {0};
        ft_partition_set_add(&set, index);
        if (index < starts->count && starts->at[index] > at)
            (void)ft_journal_places(journal, &set, starts->at[index], &places[i]);
    }
}
