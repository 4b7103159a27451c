/* Waiting for partitions to be joined. Knows nothing of who waits. The worker's thread. */
#include "broker/hub/join_wait.h"

#include "broker/hub/worker.h"

/* relay.deadline where nobody said another one. */
#define DEADLINE_MS 2000

uint32_t ft_relay_deadline_ms(const struct ft_worker *w)
{
    return w->options->relay_deadline_ms ? w->options->relay_deadline_ms : DEADLINE_MS;
}

static void finish(struct ft_join_wait *wait)
{
    ft_join_wait_end(wait);
    wait->ready(wait);
}

static void on_alarm(struct ft_alarm *alarm)
{
    finish((struct ft_join_wait *)alarm);
}

bool ft_join_is_missing(const struct ft_worker *w, const struct ft_partition_set *touched,
                        bool has_since, struct ft_partition_set *missing)
{
    const struct ft_hub *hub = w->hub;
    bool is_missing = false;
    *missing = (struct ft_partition_set){0};
    for (uint32_t k = 0; k < hub->interest->partitions.count; k++) {
        if (!ft_partition_set_has(touched, k) || ft_interest_is_joined(hub->interest, k))
            continue;
        if (!has_since && !hub->relay_ops->is_up(hub->relay, k))
            continue;
        ft_partition_set_add(missing, k);
        is_missing = true;
    }
    return is_missing;
}

void ft_join_wait_begin(struct ft_join_wait *wait, struct ft_worker *w,
                        const struct ft_partition_set *missing)
{
    wait->joining_ = *missing;
    wait->next_ = w->join_waits.first;
    wait->link_ = &w->join_waits.first;
    if (wait->next_)
        wait->next_->link_ = &wait->next_;
    w->join_waits.first = wait;
    wait->alarm_.fire = on_alarm;
    ft_wheel_set(&w->alarms, &wait->alarm_.timer, ft_relay_deadline_ms(w));
}

void ft_join_wait_end(struct ft_join_wait *wait)
{
    if (!wait->link_)
        return;
    ft_wheel_cancel(&wait->alarm_.timer);
    *wait->link_ = wait->next_;
    if (wait->next_)
        wait->next_->link_ = wait->link_;
    wait->link_ = NULL;
}

static bool are_joined(const struct ft_partition_set *joining,
                       const struct ft_partition_set *joined)
{
    uint64_t missing = 0;
    for (size_t i = 0; i < sizeof(joined->words) / sizeof(joined->words[0]); i++)
        missing |= joining->words[i] & ~joined->words[i];
    return missing == 0;
}

void ft_join_waits_look(struct ft_worker *w)
{
    const struct ft_interest *interest = w->hub->interest;
    if (ft_join_waits_are_calm(w))
        return;
    struct ft_partition_set joined = {0};
    w->join_waits.version = ft_interest_version(interest); /* before looking */
    for (uint32_t k = 0; k < interest->partitions.count; k++) {
        if (ft_interest_is_joined(interest, k))
            ft_partition_set_add(&joined, k);
    }
    /* First out of the list, all of them: who is ready may wait again. */
    struct ft_join_wait *ready = NULL, **end = &ready, *next;
    for (struct ft_join_wait *wait = w->join_waits.first; wait; wait = next) {
        next = wait->next_;
        if (!are_joined(&wait->joining_, &joined))
            continue;
        ft_join_wait_end(wait);
        wait->next_ = NULL;
        wait->link_ = end;
        *end = wait;
        end = &wait->next_;
    }
    struct ft_join_wait *wait;
    while ((wait = ready))
        finish(wait);
}

bool ft_join_waits_are_calm(const struct ft_worker *w)
{
    return !w->join_waits.first || ft_interest_version(w->hub->interest) == w->join_waits.version;
}
