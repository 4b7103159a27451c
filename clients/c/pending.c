/*
 * The queue of publications. Neither encodes nor sends, and calls nobody: who takes an item out does
 * that. Pure; the client's thread.
 */
#include "clients/c/pending.h"

#include <stdlib.h>

#include "broker/base/alloc.h"

/* First sizes: a program that publishes now and then never needs more. */
enum { FIRST_ITEMS = 16, FIRST_BYTES = 4096 };

void ft_pending_init(struct ft_pending *pending, size_t max_bytes, uint32_t max_count)
{
    *pending = (struct ft_pending){.max_bytes_ = max_bytes, .max_count_ = max_count};
}

void ft_pending_fini(struct ft_pending *pending)
{
    free(pending->items_);
    free(pending->bytes_);
    ft_pending_init(pending, pending->max_bytes_, pending->max_count_);
}

static struct ft_pending_item *at(const struct ft_pending *pending, uint64_t id)
{
    return &pending->items_[id & pending->mask_];
}

bool ft_pending_has_room(const struct ft_pending *pending, size_t frame_len)
{
    return pending->next - pending->base_ < pending->max_count_ &&
           pending->len_ + frame_len <= pending->max_bytes_;
}

/* Doubles the ring; every item moves to its place under the wider mask. */
static void grow_items(struct ft_pending *pending)
{
    uint64_t room = pending->items_ ? (pending->mask_ + 1) * 2 : FIRST_ITEMS;
    struct ft_pending_item *items = ft_alloc(room * sizeof(*items));
    for (uint64_t id = pending->base_; id < pending->next; id++)
        items[id & (room - 1)] = *at(pending, id);
    free(pending->items_);
    pending->items_ = items;
    pending->mask_ = room - 1;
}

/* Makes room behind the frames: moves them to the front once half of the memory is free there, so
 * that each byte is moved at most once for each byte that was freed; else doubles the memory. */
static void make_room(struct ft_pending *pending, size_t n)
{
    if (pending->head_ + pending->len_ + n <= pending->room_)
        return;
    if (pending->head_ >= pending->room_ / 2 && pending->len_ + n <= pending->room_) {
        memmove(pending->bytes_, pending->bytes_ + pending->head_, pending->len_);
        pending->head_ = 0;
        return;
    }
    size_t room = pending->room_ ? pending->room_ : FIRST_BYTES;
    while (room < pending->head_ + pending->len_ + n)
        room *= 2;
    pending->bytes_ = ft_realloc(pending->bytes_, room);
    pending->room_ = room;
}

void ft_pending_push(struct ft_pending *pending, struct ft_slice frame, bool is_keyed,
                     fantail_result_fn *on_result, void *user)
{
    FT_ASSERT(ft_pending_has_room(pending, frame.len) && frame.len <= UINT32_MAX);
    if (!pending->items_ || pending->next - pending->base_ > pending->mask_)
        grow_items(pending);
    make_room(pending, frame.len);
    memcpy(pending->bytes_ + pending->head_ + pending->len_, frame.ptr, frame.len);
    pending->len_ += frame.len;
    *at(pending, pending->next) = (struct ft_pending_item){
        .on_result = on_result,
        .user = user,
        .frame_len = (uint32_t)frame.len,
        .is_keyed_ = is_keyed,
    };
    pending->next++;
    pending->count++;
}

struct ft_slice ft_pending_unsent(const struct ft_pending *pending, size_t max)
{
    size_t n = 0;
    for (uint64_t id = pending->sent_; id < pending->next; id++) {
        size_t len = at(pending, id)->frame_len;
        if (n > 0 && n + len > max)
            break;
        n += len;
    }
    if (n == 0)
        return ft_slice(NULL, 0);
    return ft_slice(pending->bytes_ + pending->head_ + pending->sent_bytes_, n);
}

void ft_pending_sent(struct ft_pending *pending, size_t n)
{
    pending->sent_bytes_ += n;
    while (n > 0) {
        FT_ASSERT(pending->sent_ < pending->next);
        n -= at(pending, pending->sent_)->frame_len;
        at(pending, pending->sent_)->sent_ms_ = pending->now_ms;
        pending->sent_++;
    }
}

/* Lets go of the oldest items that have ended, and of their frames. */
static void drop_ended(struct ft_pending *pending)
{
    while (pending->base_ < pending->next && at(pending, pending->base_)->is_over_) {
        size_t len = at(pending, pending->base_)->frame_len;
        pending->head_ += len;
        pending->len_ -= len;
        if (pending->base_ < pending->sent_)
            pending->sent_bytes_ -= len;
        else
            pending->sent_++;
        pending->base_++;
    }
    if (pending->len_ == 0)
        pending->head_ = 0;
}

static void take(struct ft_pending *pending, uint64_t id, struct ft_pending_item *item)
{
    *item = *at(pending, id);
    pending->again_ -= item->is_again_;
    at(pending, id)->is_again_ = false;
    at(pending, id)->is_over_ = true;
    pending->count--;
    drop_ended(pending);
}

bool ft_pending_take(struct ft_pending *pending, uint64_t id, struct ft_pending_item *item)
{
    if (id < pending->base_ || id >= pending->sent_ || at(pending, id)->is_over_)
        return false;
    take(pending, id, item);
    return true;
}

/* The end of what was sent last is not known, and will not be. */
static void note_unsure(struct ft_pending_item *item)
{
    if (item->unsure_ms_ == 0)
        item->unsure_ms_ = item->sent_ms_;
}

static bool may_repeat(const struct ft_pending *pending, const struct ft_pending_item *item)
{
    return item->is_keyed_ &&
           (item->unsure_ms_ == 0 || pending->now_ms < item->unsure_ms_ + FT_PENDING_KEY_MS);
}

bool ft_pending_is_unsure(const struct ft_pending_item *item)
{
    return item->unsure_ms_ != 0;
}

bool ft_pending_repeat(struct ft_pending *pending, uint64_t id, uint32_t retry_ms, bool is_unsure)
{
    if (id < pending->base_ || id >= pending->sent_)
        return false;
    struct ft_pending_item *item = at(pending, id);
    if (item->is_over_ || item->is_again_)
        return false;
    if (is_unsure)
        note_unsure(item);
    if (!may_repeat(pending, item))
        return false;
    item->is_again_ = true;
    item->due_ms_ = pending->now_ms + retry_ms;
    if (pending->again_++ == 0 || item->due_ms_ < pending->due_ms_)
        pending->due_ms_ = item->due_ms_;
    return true;
}

uint64_t ft_pending_due_ms(const struct ft_pending *pending)
{
    return pending->again_ > 0 ? pending->due_ms_ : 0;
}

/* Gives up one that waited too long behind others, or appends its frame. */
static void repeat(struct ft_pending *pending, struct ft_pending_item *item, const uint8_t *frame,
                   struct ft_buffer *frames)
{
    item->is_again_ = false;
    pending->again_--;
    if (!may_repeat(pending, item)) {
        item->is_lost_ = true;
        pending->lost_from_ = pending->base_;
        return;
    }
    item->sent_ms_ = pending->now_ms;
    ft_buffer_add(frames, frame, item->frame_len);
}

void ft_pending_repeats(struct ft_pending *pending, size_t max, struct ft_buffer *frames)
{
    if (pending->again_ == 0 || pending->now_ms < pending->due_ms_)
        return;
    const uint8_t *frame = pending->bytes_ + pending->head_;
    uint64_t due_ms = UINT64_MAX;
    for (uint64_t id = pending->base_; id < pending->sent_; id++) {
        struct ft_pending_item *item = at(pending, id);
        bool has_room = frames->len == 0 || frames->len + item->frame_len <= max;
        if (item->is_again_ && item->due_ms_ <= pending->now_ms && has_room)
            repeat(pending, item, frame, frames);
        else if (item->is_again_ && item->due_ms_ < due_ms)
            due_ms = item->due_ms_;
        frame += item->frame_len;
    }
    pending->due_ms_ = due_ms;
}

/* Closes up the frames of those that are still to be sent; nothing counts as sent. */
static void requeue(struct ft_pending *pending)
{
    size_t from = pending->head_;
    size_t to = pending->head_;
    for (uint64_t id = pending->base_; id < pending->next; id++) {
        struct ft_pending_item *item = at(pending, id);
        size_t len = item->frame_len;
        if (item->is_over_ || item->is_lost_) {
            item->frame_len = 0;
        } else {
            memmove(pending->bytes_ + to, pending->bytes_ + from, len);
            to += len;
        }
        from += len;
    }
    pending->len_ = to - pending->head_;
    pending->sent_ = pending->base_;
    pending->lost_from_ = pending->base_;
    pending->sent_bytes_ = 0;
}

void ft_pending_break(struct ft_pending *pending)
{
    for (uint64_t id = pending->base_; id < pending->sent_; id++) {
        struct ft_pending_item *item = at(pending, id);
        if (!item->is_over_ && !item->is_again_)
            note_unsure(item);
        item->is_again_ = false;
        item->is_lost_ = item->is_lost_ || (!item->is_over_ && !may_repeat(pending, item));
    }
    pending->again_ = 0;
    requeue(pending);
}

void ft_pending_expire(struct ft_pending *pending)
{
    bool is_any = false;
    FT_ASSERT(pending->sent_bytes_ == 0);
    for (uint64_t id = pending->base_; id < pending->next; id++) {
        struct ft_pending_item *item = at(pending, id);
        if (!item->is_over_ && item->unsure_ms_ != 0 && !may_repeat(pending, item))
            is_any = item->is_lost_ = true;
    }
    if (is_any)
        requeue(pending);
}

bool ft_pending_take_lost(struct ft_pending *pending, struct ft_pending_item *item)
{
    if (pending->lost_from_ < pending->base_)
        pending->lost_from_ = pending->base_;
    while (pending->lost_from_ < pending->next) {
        uint64_t id = pending->lost_from_++;
        if (!at(pending, id)->is_lost_ || at(pending, id)->is_over_)
            continue;
        take(pending, id, item);
        return true;
    }
    return false;
}

bool ft_pending_take_any(struct ft_pending *pending, struct ft_pending_item *item)
{
    for (uint64_t id = pending->base_; id < pending->next; id++) {
        if (at(pending, id)->is_over_)
            continue;
        take(pending, id, item);
        return true;
    }
    return false;
}
