/* The relay without Redis. Decides nothing. */
#include "tests/unit/support/fake_relay.h"

#include "broker/base/alloc.h"
#include "broker/hub/metrics.h"

#include <stdio.h>
#include <stdlib.h>

static void take_batch(void *context, struct ft_relay_batch *batch)
{
    struct ft_fake_relay *relay = context;
    batch->next = NULL;
    *relay->end = batch;
    relay->end = &batch->next;
    relay->batches++;
}

static size_t room(void *context, size_t *most)
{
    const struct ft_fake_relay *relay = context;
    *most = relay->most;
    return relay->room;
}

static bool is_up(void *context, uint32_t partition)
{
    (void)partition;
    return !((struct ft_fake_relay *)context)->is_away;
}

static void note_interest(void *context)
{
    ((struct ft_fake_relay *)context)->interests++;
}

static void take_ask(void *context, struct ft_relay_ask *ask)
{
    struct ft_fake_relay *relay = context;
    ask->next = NULL;
    *relay->asks_end = ask;
    relay->asks_end = &ask->next;
}

static void note_change(void *context, struct ft_relay_presence *change)
{
    struct ft_fake_relay *relay = context;
    size_t at = strlen(relay->changes);
    uint32_t user_len = change->user_len == UINT32_MAX ? 0 : change->user_len;
    snprintf(relay->changes + at, sizeof(relay->changes) - at, "%s%c%.*s %.*s", at ? " " : "",
             change->is_join ? '+' : '-', change->topic_len, (const char *)change->bytes,
             (int)user_len, (const char *)change->bytes + change->topic_len);
    free(change);
}

static bool is_unready(void *context, char why[200])
{
    const struct ft_fake_relay *relay = context;
    if (relay->why)
        snprintf(why, 200, "%s", relay->why);
    return relay->why != NULL;
}

static const struct ft_relay_figures *lend_figures(void *context)
{
    static const struct ft_relay_figures none;
    (void)context;
    return &none;
}

const struct ft_relay_ops ft_fake_relay_ops = {
    .publish = take_batch,
    .room = room,
    .is_up = is_up,
    .interest = note_interest,
    .ask = take_ask,
    .presence = note_change,
    .is_unready = is_unready,
    .figures = lend_figures,
};

void ft_fake_relay_init(struct ft_fake_relay *relay, const struct ft_partitions *partitions)
{
    *relay = (struct ft_fake_relay){.room = (size_t)1 << 20, .most = (size_t)1 << 20};
    relay->end = &relay->first;
    relay->asks_end = &relay->asks;
    ft_interest_init(&relay->interest, partitions);
}

void ft_fake_relay_fini(struct ft_fake_relay *relay)
{
    struct ft_relay_batch *batch;
    while ((batch = ft_fake_relay_take(relay)))
        batch->letter.drop(&batch->letter);
    struct ft_relay_ask *ask;
    while ((ask = ft_fake_relay_asked(relay)))
        ask->letter.drop(&ask->letter);
    ft_interest_fini(&relay->interest);
}

struct ft_relay_batch *ft_fake_relay_take(struct ft_fake_relay *relay)
{
    struct ft_relay_batch *batch = relay->first;
    if (!batch)
        return NULL;
    relay->first = batch->next;
    if (!relay->first)
        relay->end = &relay->first;
    relay->batches--;
    return batch;
}

struct ft_relay_ask *ft_fake_relay_asked(struct ft_fake_relay *relay)
{
    struct ft_relay_ask *ask = relay->asks;
    if (!ask)
        return NULL;
    relay->asks = ask->next;
    if (!relay->asks)
        relay->asks_end = &relay->asks;
    return ask;
}

void ft_fake_relay_answer(struct ft_fake_node *node, struct ft_relay_ask *ask)
{
    ft_letter_post(node->hub, ask->worker, &ask->letter);
}

void ft_fake_relay_accept(struct ft_fake_node *node, struct ft_relay_batch *batch, uint64_t first)
{
    batch->results = ft_alloc_zero(batch->count * sizeof(*batch->results));
    for (uint32_t i = 0; i < batch->count; i++) {
        char text[FT_POS_LEN_MAX + 8];
        int n = snprintf(text, sizeof(text), FT_FAKE_STREAM ".%llu", (unsigned long long)first + i);
        FT_ASSERT(n > 0 && n <= FT_POS_LEN_MAX);
        memcpy(batch->results[i].pos, text, (size_t)n);
        batch->results[i].pos_len = (uint8_t)n;
    }
    ft_letter_post(node->hub, batch->worker, &batch->letter);
}

void ft_fake_relay_refuse(struct ft_fake_node *node, struct ft_relay_batch *batch, enum ft_err err)
{
    (void)ft_problem_set(&batch->problem, err, "%s", ft_err_text(err));
    batch->problem.retry_ms = 1000;
    ft_letter_post(node->hub, batch->worker, &batch->letter);
}

static size_t add_item(const struct ft_relay_batch *batch, const struct ft_relay_item *item,
                       char *text, size_t size)
{
    int n = 0;
    if (item->is_retained || item->clears_retained)
        n += snprintf(text, size, " %s", item->is_retained ? "retained" : "clears");
    if (item->key_len > 0)
        n += snprintf(text + n, size - (size_t)n, " key=%.*s", item->key_len,
                      (const char *)batch->keys.ptr + item->key_at);
    if (item->history > 0)
        n += snprintf(text + n, size - (size_t)n, " history=%u", item->history);
    if (item->ttl_ms > 0)
        n += snprintf(text + n, size - (size_t)n, " ttl=%u", item->ttl_ms);
    return (size_t)n;
}

const char *ft_fake_relay_entry(const struct ft_relay_batch *batch, uint32_t i)
{
    static char text[1024];
    struct ft_relay_entry entry;
    FT_ASSERT(i < batch->count);
    const struct ft_relay_item *item = &batch->items[i];
    struct ft_slice bytes = ft_slice(batch->entries.ptr + item->at, item->len);
    FT_ASSERT(ft_relay_entry_read(&bytes, (size_t)1 << 16, &entry) == FT_RELAY_SOUND);
    FT_ASSERT(bytes.len == 0);
    FT_ASSERT(entry.is_retained == item->is_retained && entry.history == item->history);
    if (!ft_relay_item_is_plain(item))
        FT_ASSERT(ft_slice_equal(entry.topic,
                                 ft_slice(batch->keys.ptr + item->topic_at, item->topic_len)));
    int n = snprintf(text, sizeof(text), "%.*s=%.*s", (int)entry.topic.len,
                     (const char *)entry.topic.ptr, (int)entry.data.bytes.len,
                     (const char *)entry.data.bytes.ptr);
    FT_ASSERT(n > 0 && (size_t)n < sizeof(text) / 2);
    (void)add_item(batch, item, text + n, sizeof(text) - (size_t)n);
    return text;
}
