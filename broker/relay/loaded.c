/*
 * What was read from Redis as a partition is joined: filters it, and puts it in order. Entries are not looked
 * into here; whoever appends them does that.
 */
#include "broker/relay/loaded.h"

#include "broker/base/alloc.h"

#include <stdlib.h>

/* What an entry takes in the journal beside its own bytes. */
#define ENTRY_BYTES 256

struct item {
    struct ft_slice message; /* owned */
    uint64_t ms, first;
    uint32_t count;
    bool is_last, is_of_stream;
};

struct list {
    struct item *items;
    uint32_t count, cap, at;
    size_t bytes;
};

struct ft_loaded {
    struct ft_load_plan plan;
    uint64_t from;   /* W, as far as the log was read */
    struct list log; /* the newest one first */
    struct list kept;
};

struct ft_loaded *ft_loaded_new(const struct ft_load_plan *plan)
{
    struct ft_loaded *loaded = ft_alloc_zero(sizeof(*loaded));
    loaded->plan = *plan;
    loaded->from = plan->head;
    return loaded;
}

static void free_list(struct list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        free((void *)list->items[i].message.ptr);
    free(list->items);
}

void ft_loaded_free(struct ft_loaded *loaded)
{
    if (!loaded)
        return;
    free_list(&loaded->log);
    free_list(&loaded->kept);
    free(loaded);
}

static void push(struct list *list, const struct item *item)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->items = ft_realloc(list->items, list->cap * sizeof(*list->items));
    }
    struct item *at = &list->items[list->count++];
    *at = *item;
    uint8_t *copy = ft_alloc(item->message.len);
    memcpy(copy, item->message.ptr, item->message.len);
    at->message.ptr = copy;
    list->bytes += item->message.len + item->count * ENTRY_BYTES;
}

static bool is_of_stream(const struct ft_loaded *loaded, const struct ft_relay_head *head)
{
    return ft_slice_equal(head->name, ft_slice_str(loaded->plan.stream));
}

bool ft_loaded_add_log(struct ft_loaded *loaded, struct ft_slice message)
{
    struct ft_relay_head head;
    struct ft_slice entries;
    if (ft_relay_head_read(message, &head, &entries) != FT_RELAY_SOUND ||
        head.kind != FT_RELAY_STORED || !is_of_stream(loaded, &head) || head.first == 0 ||
        head.first > loaded->from || head.first + head.count - 1 != loaded->from ||
        loaded->from <= loaded->plan.had)
        return false;
    push(&loaded->log, &(struct item){.message = message,
                                      .ms = head.ms,
                                      .first = head.first,
                                      .count = head.count,
                                      .is_of_stream = true});
    /* Where it does not follow what the journal has, the journal cannot go on with it. */
    bool is_other = head.follows < loaded->plan.had && head.first - 1 > loaded->plan.had;
    uint64_t follows = is_other ? head.first - 1 : head.follows;
    loaded->from = follows > loaded->plan.had ? follows : loaded->plan.had;
    return !is_other && loaded->from > loaded->plan.had;
}

static void add_kept(struct ft_loaded *loaded, struct ft_slice message, bool is_last)
{
    struct ft_relay_head head;
    struct ft_slice entries;
    if (ft_relay_head_read(message, &head, &entries) != FT_RELAY_SOUND ||
        head.kind != FT_RELAY_STORED || head.count != 1)
        return;
    bool is_now = is_of_stream(loaded, &head);
    if (is_now && head.first > loaded->plan.head)
        return;
    push(&loaded->kept, &(struct item){.message = message,
                                       .ms = head.ms,
                                       .first = head.first,
                                       .count = 1,
                                       .is_last = is_last,
                                       .is_of_stream = is_now});
}

void ft_loaded_add_last(struct ft_loaded *loaded, struct ft_slice message)
{
    add_kept(loaded, message, true);
}

void ft_loaded_add_history(struct ft_loaded *loaded, struct ft_slice message)
{
    add_kept(loaded, message, false);
}

size_t ft_loaded_log_bytes(const struct ft_loaded *loaded)
{
    return loaded->log.bytes;
}

size_t ft_loaded_kept_bytes(const struct ft_loaded *loaded)
{
    return loaded->kept.bytes;
}

/* Those of streams of the past come first. Of the same publication the last value comes first, so that what is
 * a history's is what is left out. */
static int compare(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    if (a->is_of_stream != b->is_of_stream)
        return a->is_of_stream ? 1 : -1;
    if (a->ms != b->ms)
        return a->ms < b->ms ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return (int)b->is_last - (int)a->is_last;
}

static bool is_same(const struct item *a, const struct item *b)
{
    return a->is_of_stream == b->is_of_stream && a->ms == b->ms && a->first == b->first &&
           ft_slice_equal(a->message, b->message);
}

void ft_loaded_seal(struct ft_loaded *loaded)
{
    struct list *kept = &loaded->kept;
    if (kept->count > 1)
        qsort(kept->items, kept->count, sizeof(*kept->items), compare);
    uint32_t left = 0;
    for (uint32_t i = 0; i < kept->count; i++) {
        struct item *item = &kept->items[i];
        bool is_double = left > 0 && is_same(item, &kept->items[left - 1]);
        if (is_double || (item->is_of_stream && item->first > loaded->from)) {
            free((void *)item->message.ptr);
        } else
            kept->items[left++] = *item;
    }
    kept->count = left;
}

uint64_t ft_loaded_from(const struct ft_loaded *loaded)
{
    return loaded->from;
}

bool ft_loaded_kept(const struct ft_loaded *loaded, struct ft_slice *message, bool *is_last)
{
    const struct list *kept = &loaded->kept;
    if (kept->at == kept->count)
        return false;
    *message = kept->items[kept->at].message;
    *is_last = kept->items[kept->at].is_last;
    return true;
}

void ft_loaded_kept_done(struct ft_loaded *loaded)
{
    loaded->kept.at++;
}

bool ft_loaded_log(const struct ft_loaded *loaded, struct ft_slice *message)
{
    const struct list *log = &loaded->log;
    if (log->at == log->count)
        return false;
    *message = log->items[log->count - 1 - log->at].message;
    return true;
}

void ft_loaded_log_done(struct ft_loaded *loaded)
{
    loaded->log.at++;
}
