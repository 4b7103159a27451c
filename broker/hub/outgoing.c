/*
 * Open batches, and their way back. Knows neither Redis nor time: when an answer is overdue is for the relay
 * to say. The worker's thread.
 */
#include "broker/hub/outgoing.h"

#include "broker/base/alloc.h"
#include "broker/hub/worker.h"

#include <stdlib.h>

/* No batch comes near it: one entry, and it is full. */
#define ENTRIES_MAX ((size_t)1 << 31)
/* When who was refused may try again. */
#define RETRY_MS 1000

/* Stands for an asker in the batches that are on their way, so that it may go without being looked for there. */
struct ft_ticket {
    struct ft_asker *asker; /* NULL: it is gone */
    uint32_t refs;          /* the asker's, and one for each publish that waits */
};

/* Who waits for what becomes of one publication. */
struct waiting {
    struct ft_ticket *ticket;
    uint64_t num;     /* the id, where it is a number */
    uint32_t text_at; /* where it is a text: in batch->texts */
    uint8_t kind, text_len;
};

/* A batch as the hub has it. */
struct batch {
    struct ft_relay_batch relay; /* first: it comes back as a pointer to this one */
    struct waiting *waiting;     /* none where it is ephemeral */
    uint32_t cap;
    struct ft_buffer texts;
};

struct ft_open_batches {
    struct ft_worker *worker;
    struct batch *open[2][FT_PARTITIONS_MAX]; /* stored, ephemeral */
    struct ft_relay_batch *first, **end;      /* all that are open, as they were opened */
};

/* ---- askers ---- */

static void release(struct ft_ticket *ticket)
{
    if (--ticket->refs == 0)
        free(ticket);
}

static struct ft_ticket *ticket_of(struct ft_asker *asker)
{
    if (!asker->ticket) {
        asker->ticket = ft_alloc(sizeof(*asker->ticket));
        *asker->ticket = (struct ft_ticket){.asker = asker, .refs = 1};
    }
    asker->ticket->refs++;
    return asker->ticket;
}

void ft_outgoing_forget(struct ft_asker *asker)
{
    if (!asker->ticket)
        return;
    asker->ticket->asker = NULL;
    release(asker->ticket);
    asker->ticket = NULL;
}

/* ---- batches ---- */

static void free_batch(struct batch *batch)
{
    ft_buffer_fini(&batch->relay.entries);
    ft_buffer_fini(&batch->relay.keys);
    ft_buffer_fini(&batch->relay.command);
    ft_buffer_fini(&batch->texts);
    free(batch->relay.items);
    free(batch->relay.results);
    free(batch->waiting);
    free(batch);
}

static void drop(struct ft_letter *letter)
{
    struct batch *batch = (struct batch *)letter;
    for (uint32_t i = 0; batch->waiting && i < batch->relay.count; i++)
        release(batch->waiting[i].ticket);
    free_batch(batch);
}

/* Tells whoever waits for it, if he is still there. */
static void tell(const struct batch *batch, const struct waiting *waiting,
                 const struct ft_outcome *outcome)
{
    struct ft_asker *asker = waiting->ticket->asker;
    struct ft_id id = {.kind = (enum ft_id_kind)waiting->kind, .num = waiting->num};
    if (id.kind == FT_ID_STR)
        id.str = ft_slice(batch->texts.ptr + waiting->text_at, waiting->text_len);
    if (asker) {
        asker->unacked--;
        asker->ops->published(asker, id, outcome);
    }
    release(waiting->ticket);
}

/* The relay gives it back. */
static void answered(struct ft_letter *letter, struct ft_worker *w)
{
    struct batch *batch = (struct batch *)letter;
    const struct ft_problem *problem = &batch->relay.problem;
    bool is_accepted = problem->err == FT_OK;
    FT_ASSERT(!is_accepted || batch->relay.results || !batch->relay.wants_results);
    for (uint32_t i = 0; i < batch->relay.count; i++) {
        struct ft_outcome outcome = {.problem = is_accepted ? NULL : problem};
        const struct ft_relay_result *result =
            is_accepted && batch->relay.results ? &batch->relay.results[i] : NULL;
        if (result) {
            outcome.pos = ft_slice(result->pos, result->pos_len);
            outcome.is_duplicate = result->is_duplicate;
        }
        if (!is_accepted)
            ft_count_publication_refused(&w->metrics, problem->err);
        tell(batch, &batch->waiting[i], &outcome);
    }
    free_batch(batch);
}

static void hand_over(struct ft_open_batches *open, struct batch *batch)
{
    struct ft_hub *hub = open->worker->hub;
    open->open[batch->relay.is_ephemeral][batch->relay.partition] = NULL;
    hub->relay_ops->publish(hub->relay, &batch->relay);
}

/* Takes a batch off the list of those that are open. */
static void unlink_batch(struct ft_open_batches *open, struct batch *batch)
{
    struct ft_relay_batch **link = &open->first;
    while (*link != &batch->relay)
        link = &(*link)->next;
    *link = batch->relay.next;
    if (!*link)
        open->end = link;
    batch->relay.next = NULL;
}

static struct batch *open_batch(struct ft_open_batches *open, uint32_t partition, bool is_ephemeral)
{
    struct batch *batch = ft_alloc_zero(sizeof(*batch));
    batch->relay.letter = (struct ft_letter){.open = answered, .drop = drop};
    batch->relay.worker = open->worker->index;
    batch->relay.partition = partition;
    batch->relay.is_ephemeral = is_ephemeral;
    ft_buffer_init(&batch->relay.entries, ENTRIES_MAX);
    ft_buffer_init(&batch->relay.keys, ENTRIES_MAX);
    ft_buffer_init(&batch->texts, ENTRIES_MAX);
    open->open[is_ephemeral][partition] = batch;
    *open->end = &batch->relay;
    open->end = &batch->relay.next;
    return batch;
}

/* Returns the batch that has room for an entry. */
static struct batch *batch_for(struct ft_open_batches *open, const struct ft_relay_entry *entry,
                               bool is_ephemeral)
{
    const struct ft_partitions *partitions = &open->worker->hub->interest->partitions;
    uint32_t partition = ft_partition_of(partitions, entry->topic);
    struct batch *batch = open->open[is_ephemeral][partition];
    size_t len = ft_relay_entry_size(entry->topic, entry->data.bytes);
    if (batch && (batch->relay.count == FT_OUTGOING_COUNT ||
                  batch->relay.entries.len + len > FT_OUTGOING_BYTES)) {
        unlink_batch(open, batch);
        hand_over(open, batch);
        batch = NULL;
    }
    return batch ? batch : open_batch(open, partition, is_ephemeral);
}

/* Makes room for one more publication. */
static void grow(struct batch *batch)
{
    if (batch->relay.count < batch->cap)
        return;
    batch->cap = batch->cap ? 2 * batch->cap : 8;
    batch->relay.items = ft_realloc(batch->relay.items, batch->cap * sizeof(*batch->relay.items));
    if (!batch->relay.is_ephemeral)
        batch->waiting = ft_realloc(batch->waiting, batch->cap * sizeof(*batch->waiting));
}

/* Adds the entry. Returns what the script has to know of it, zero but for where it is. */
static struct ft_relay_item *add(struct batch *batch, const struct ft_relay_entry *entry)
{
    grow(batch);
    struct ft_buffer *entries = &batch->relay.entries;
    struct ft_relay_item *item = &batch->relay.items[batch->relay.count++];
    *item = (struct ft_relay_item){.at = (uint32_t)entries->len};
    ft_relay_entry_write(entry, entries);
    item->len = (uint32_t)entries->len - item->at;
    return item;
}

/* Notes who wants to know what becomes of the last one. */
static void wait_for(struct batch *batch, struct ft_asker *asker, const struct ft_id *id)
{
    struct waiting *waiting = &batch->waiting[batch->relay.count - 1];
    *waiting = (struct waiting){
        .ticket = ticket_of(asker),
        .num = id->num,
        .text_at = (uint32_t)batch->texts.len,
        .kind = (uint8_t)id->kind,
    };
    if (id->kind == FT_ID_STR) {
        waiting->text_len = (uint8_t)id->str.len;
        ft_buffer_add(&batch->texts, id->str.ptr, id->str.len);
    }
    if (id->kind != FT_ID_NONE)
        batch->relay.wants_results = true;
    asker->unacked++;
}

/* Notes what makes it more than a plain one, which has nothing but an entry. */
static void describe(struct batch *batch, struct ft_relay_item *item,
                     const struct ft_publication_spec *spec, struct ft_slice key)
{
    struct ft_buffer *keys = &batch->relay.keys;
    item->history = spec->history;
    item->is_retained = spec->is_retained;
    item->clears_retained = spec->clears_retained;
    item->key_len = (uint8_t)key.len;
    if (ft_relay_item_is_plain(item))
        return;
    item->topic_at = (uint32_t)keys->len;
    item->topic_len = (uint8_t)spec->topic.len;
    ft_buffer_add(keys, spec->topic.ptr, spec->topic.len);
    item->key_at = (uint32_t)keys->len;
    ft_buffer_add(keys, key.ptr, key.len);
}

/* ---- what the worker calls ---- */

struct ft_open_batches *ft_open_batches_new(struct ft_worker *w)
{
    struct ft_open_batches *open = ft_alloc_zero(sizeof(*open));
    open->worker = w;
    open->end = &open->first;
    return open;
}

void ft_open_batches_free(struct ft_open_batches *open)
{
    if (!open)
        return;
    while (open->first) {
        struct ft_relay_batch *batch = open->first;
        open->first = batch->next;
        drop(&batch->letter);
    }
    free(open);
}

void ft_outgoing_hand_over(struct ft_worker *w)
{
    struct ft_open_batches *open = w->outgoing;
    while (open && open->first) {
        struct batch *batch = (struct batch *)open->first;
        unlink_batch(open, batch);
        hand_over(open, batch);
    }
}

bool ft_outgoing_is_crowded(const struct ft_worker *w)
{
    const struct ft_hub *hub = w->hub;
    size_t most;
    return w->outgoing && hub->relay_ops->room(hub->relay, &most) < most / 2;
}

/* How long a publication is kept from now on, in milliseconds; 0: for ever. */
static uint64_t ttl_ms(const struct ft_worker *w, uint32_t expires_ds)
{
    return expires_ds > w->now_ds ? (uint64_t)(expires_ds - w->now_ds) * 100 : 0;
}

enum ft_err ft_outgoing_publish(struct ft_asker *asker, const struct ft_envelope *envelope,
                                const struct ft_publication_spec *spec, struct ft_problem *problem)
{
    struct ft_worker *w = asker->worker;
    size_t most;
    size_t room = w->hub->relay_ops->room(w->hub->relay, &most);
    if (room == 0) {
        (void)ft_problem_set(
            problem, FT_ERR_UNAVAILABLE,
            "too much waits for Redis already (relay.queue): nothing was published");
        problem->retry_ms = RETRY_MS;
        return FT_ERR_UNAVAILABLE;
    }
    uint64_t ttl = ttl_ms(w, spec->expires_ds);
    struct ft_relay_entry entry = {
        .topic = spec->topic,
        .data = spec->data,
        .at_ms = w->now_ms,
        .expires_ms = ttl ? w->now_ms + ttl : 0,
        .history = spec->history,
        .slow = spec->slow,
        .is_retained = spec->is_retained,
        .clears_retained = spec->clears_retained,
    };
    struct batch *batch = batch_for(w->outgoing, &entry, false);
    struct ft_relay_item *item = add(batch, &entry);
    item->ttl_ms = ttl < UINT32_MAX ? (uint32_t)ttl : UINT32_MAX;
    describe(batch, item, spec, envelope->key);
    wait_for(batch, asker, &envelope->id);
    if (room < most / 2)
        ft_worker_hold(asker);
    return FT_OK;
}

void ft_outgoing_tell(struct ft_worker *w, const struct ft_publication *p)
{
    uint64_t ttl = ttl_ms(w, p->expires_ds);
    struct ft_relay_entry entry = {
        .topic = ft_publication_topic(p),
        .data = ft_publication_data(p),
        .at_ms = p->at_ms,
        .expires_ms = ttl ? w->now_ms + ttl : 0,
        .slow = p->slow,
    };
    (void)add(batch_for(w->outgoing, &entry, true), &entry);
}

void ft_outgoing_announce(struct ft_worker *w, struct ft_slice topic, struct ft_slice json)
{
    struct ft_publication_spec spec = {
        .topic = topic,
        .data = {.kind = FT_DATA_JSON, .bytes = json},
        .is_ephemeral = true,
    };
    (void)ft_worker_publish(w, &spec);
}
