/* Partitions that sessions hear from, by their filters: worked out when it is asked for, which is seldom, so that
 * no subscription has to carry it. The worker's thread. */
#include "broker/hub/places.h"

#include "broker/base/alloc.h"
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

/* Raises places to those of the floor. Both are by index. */
static void raise(const struct ft_floor *floor, struct ft_place *places, uint32_t n)
{
    for (uint32_t i = 0, k = 0; i < n; i++) {
        struct ft_place *place = &places[i];
        while (k < floor->count && floor->places[k].index < place->index)
            k++;
        if (k == floor->count)
            return;
        const struct ft_place *known = &floor->places[k];
        if (known->index != place->index || strcmp(known->stream, place->stream) != 0)
            continue; /* another one has taken its place */
        place->is_later = false;
        if (place->seq < known->seq)
            place->seq = known->seq;
    }
}

uint32_t ft_session_places(const struct ft_session *s, const struct ft_partition_set *set,
                           uint64_t at, struct ft_place *places)
{
    uint32_t n = ft_journal_places(s->asker.worker->hub->journal, set, at, places);
    if (s->feed && s->feed->floor)
        raise(s->feed->floor, places, n);
    return n;
}

uint32_t ft_session_touched_places(const struct ft_session *s, uint64_t at, struct ft_place *places)
{
    struct ft_partition_set set = {0};
    if (ft_journal_streams(s->asker.worker->hub->journal) == 0)
        return ft_session_places(s, NULL, at, places);
    for (const struct ft_subscription *sub = s->subscriptions; sub; sub = sub->next)
        add_touched(sub, &set);
    return ft_session_places(s, &set, at, places);
}

struct ft_floor *ft_floor_new(const struct ft_place *places, uint32_t n)
{
    struct ft_floor *floor = ft_alloc(sizeof(*floor) + n * sizeof(floor->places[0]));
    floor->count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!places[i].is_later)
            floor->places[floor->count++] = places[i];
    }
    return floor;
}
