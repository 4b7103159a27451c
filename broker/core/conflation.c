/*
 * A table with open addressing from which nothing is ever removed alone. When it is taken, the offsets
 * move to the front of its own memory and are sorted there. Knows neither topics nor publications, and
 * has no idea when to flush; one thread each.
 */
#include "broker/core/conflation.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/alloc.h"

/* The smallest table: 192 bytes, because many subscribers watch a topic or two. */
#define FIRST_BITS 3

/* The largest table that is kept while it is empty: 1.5 KiB. */
#define KEPT_BITS 6

struct ft_conflation_slot {
    uint64_t topic_hash;
    uint64_t offset; /* 0: the slot is empty */
    uint32_t bytes;
};

_Static_assert(sizeof(struct ft_conflation_slot) >= sizeof(uint64_t),
               "the offsets of all slots must fit where the slots were");

static size_t slots_of(uint32_t bits)
{
    return (size_t)1 << bits;
}

void ft_conflation_init(struct ft_conflation *conflation)
{
    *conflation = (struct ft_conflation){0};
}

void ft_conflation_fini(struct ft_conflation *conflation)
{
    free(conflation->slots_);
    *conflation = (struct ft_conflation){0};
}

void ft_conflation_clear(struct ft_conflation *conflation)
{
    if (conflation->bits_ > KEPT_BITS) {
        ft_conflation_fini(conflation);
        return;
    }
    if (conflation->count > 0 || conflation->lent_ > 0)
        memset(conflation->slots_, 0, slots_of(conflation->bits_) * sizeof(*conflation->slots_));
    conflation->lent_ = 0;
    conflation->count = 0;
    conflation->bytes = 0;
}

/* Returns the slot of a topic, or the empty one where it belongs. The top bits of the hash are the
 * home, so that a table that grows is copied nearly in order. */
static struct ft_conflation_slot *slot_of(const struct ft_conflation *conflation,
                                          uint64_t topic_hash)
{
    size_t mask = slots_of(conflation->bits_) - 1;
    size_t at = topic_hash >> (64 - conflation->bits_);
    struct ft_conflation_slot *slots = conflation->slots_;
    while (slots[at].offset != 0 && slots[at].topic_hash != topic_hash)
        at = (at + 1) & mask;
    return &slots[at];
}

static void resize(struct ft_conflation *conflation, uint32_t bits)
{
    FT_ASSERT(bits <= 32); /* `count` ends there */
    struct ft_conflation_slot *old = conflation->slots_;
    size_t old_slots = old ? slots_of(conflation->bits_) : 0;
    conflation->slots_ = ft_alloc_zero(slots_of(bits) * sizeof(*conflation->slots_));
    conflation->bits_ = bits;
    for (size_t i = 0; i < old_slots; i++)
        if (old[i].offset != 0)
            *slot_of(conflation, old[i].topic_hash) = old[i];
    free(old);
}

/* Makes room for one more. At most three quarters are in use: probes stay short. */
static void reserve(struct ft_conflation *conflation)
{
    if (!conflation->slots_)
        resize(conflation, FIRST_BITS);
    else if (conflation->count >= slots_of(conflation->bits_) / 4 * 3)
        resize(conflation, conflation->bits_ + 1);
}

void ft_conflation_put(struct ft_conflation *conflation, uint64_t topic_hash, uint64_t offset,
                       uint32_t bytes)
{
    FT_ASSERT(offset > 0);
    if (conflation->lent_ > 0)
        ft_conflation_clear(conflation);
    reserve(conflation);
    struct ft_conflation_slot *slot = slot_of(conflation, topic_hash);
    if (slot->offset >= offset)
        return;
    if (slot->offset == 0)
        conflation->count++;
    conflation->bytes += (uint64_t)bytes - slot->bytes; /* an empty slot has 0 */
    *slot = (struct ft_conflation_slot){topic_hash, offset, bytes};
}

bool ft_conflation_has(const struct ft_conflation *conflation, uint64_t topic_hash)
{
    return conflation->count > 0 && slot_of(conflation, topic_hash)->offset != 0;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

uint32_t ft_conflation_take(struct ft_conflation *conflation, const uint64_t **offsets)
{
    if (conflation->lent_ > 0)
        ft_conflation_clear(conflation);
    uint32_t n = 0;
    /* Offset n lies at or before the slot that it comes from, and nobody reads those before. */
    uint64_t *list = (uint64_t *)conflation->slots_;
    size_t slots = conflation->count > 0 ? slots_of(conflation->bits_) : 0;
    bool is_sorted = true;
    for (size_t i = 0; i < slots; i++) {
        uint64_t offset = conflation->slots_[i].offset;
        if (offset == 0)
            continue;
        is_sorted = is_sorted && (n == 0 || list[n - 1] < offset);
        list[n++] = offset;
    }
    if (!is_sorted)
        qsort(list, n, sizeof(*list), compare_offsets);
    conflation->lent_ = n;
    conflation->count = 0;
    conflation->bytes = 0;
    *offsets = list;
    return n;
}

size_t ft_conflation_bytes(const struct ft_conflation *conflation)
{
    return conflation->slots_ ? slots_of(conflation->bits_) * sizeof(*conflation->slots_) : 0;
}
