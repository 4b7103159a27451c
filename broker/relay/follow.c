/*
 * Following: what comes by the channel, what the log says, what the beat says. Each is held against how far the
 * journal has the stream. See the header of the follower. The relay's thread.
 */
#include "broker/relay/follower_parts.h"

/* Whoever sends messages of streams that are not there has one question a second asked. */
#define ASK_MS 1000

static bool is_busy(const struct ft_follower *f)
{
    return f->is_ranging || f->is_asking || f->is_full;
}

static bool is_missing(const struct ft_follower *f)
{
    return (f->truth > f->head || f->target > f->head) && !f->is_in_doubt;
}

bool ft_follower_is_healing(const struct ft_follower *f)
{
    return f->is_ranging || f->truth > f->head || f->target > f->head;
}

static void reject(struct ft_follower *f, enum ft_rejected_message why)
{
    f->ops->rejected(f->part, why);
}

static void reject_fault(struct ft_follower *f, enum ft_relay_fault fault)
{
    switch (fault) {
    case FT_RELAY_FOREIGN:
        reject(f, FT_MESSAGE_FOREIGN);
        break;
    case FT_RELAY_VERSION_:
        reject(f, FT_MESSAGE_VERSION);
        break;
    case FT_RELAY_TOO_LARGE:
        reject(f, FT_MESSAGE_TOO_LARGE);
        break;
    default:
        reject(f, FT_MESSAGE_DAMAGED);
    }
}

static void note_target(struct ft_follower *f, uint64_t last)
{
    if (last > f->target)
        f->target = last;
}

uint64_t ft_follow_distance(const struct ft_follower *f, uint64_t last)
{
    return last > f->head && last - f->head < FT_SKIP_MIN ? last - f->head : FT_LOST_UNKNOWN;
}

bool ft_follow_lose(struct ft_follower *f, uint64_t last, uint64_t ms)
{
    if (!f->ops->flush(f->part)) {
        f->is_full = true;
        return false;
    }
    f->ops->open_stream(f->part, f->stream, last);
    f->ops->gap(f->part, last, ft_follow_distance(f, last));
    f->figures.gaps++;
    f->head = f->head_first = last;
    f->head_ms = ms;
    f->has_conflict = false;
    return true;
}

/* What is between the head and `after` was never there. */
static bool skip(struct ft_follower *f, uint64_t after)
{
    if (!f->ops->flush(f->part))
        return false;
    f->ops->skip(f->part, after);
    f->head = f->head_first = after;
    return true;
}

static bool is_of_known_life(const struct ft_follower *f, const struct ft_relay_head *head)
{
    return head->base == f->ops->base(f->part, head->first);
}

enum ft_taken ft_follow_take(struct ft_follower *f, const struct ft_relay_head *head,
                             struct ft_slice entries, enum ft_entry kind)
{
    struct ft_slice all = entries;
    if (!is_of_known_life(f, head))
        f->ops->life(f->part, head->base);
    if (head->first > f->head + 1 && !skip(f, head->first - 1))
        return FT_TAKEN_FULL;
    for (uint32_t i = 0; i < head->count; i++) {
        struct ft_relay_entry entry;
        enum ft_relay_fault fault = ft_relay_entry_read(&entries, f->options.message_bytes, &entry);
        uint64_t seq = head->first + i;
        if (fault == FT_RELAY_SOUND && seq <= f->head)
            continue;
        if (fault == FT_RELAY_TOO_LARGE) {
            if (seq > f->head && !ft_follow_lose(f, seq, head->ms))
                return FT_TAKEN_FULL;
            reject(f, FT_MESSAGE_TOO_LARGE);
            f->head_first = head->first;
            continue;
        }
        if (fault != FT_RELAY_SOUND)
            return FT_TAKEN_DAMAGED;
        if (!f->ops->has_room(f->part))
            return FT_TAKEN_FULL;
        f->ops->append(f->part, &(struct ft_follower_entry){.kind = kind,
                                                            .seq = seq,
                                                            .at_ms = head->ms,
                                                            .name = ft_slice_str(f->stream),
                                                            .entry = &entry});
        f->appended++;
        f->head = seq;
        f->head_ms = head->ms;
        f->head_first = head->first;
    }
    ft_seen_note(&f->seen, head, all);
    return FT_TAKEN;
}

/* ---- the log ---- */

static void range(struct ft_follower *f)
{
    if (f->target <= f->head && f->truth <= f->head)
        return;
    bool certain = f->from_certain && f->confirmed < f->head;
    f->from_certain = false;
    f->range_from = certain ? f->confirmed : f->head;
    f->range_truth = f->truth;
    f->range_truth_ms = f->truth_ms;
    f->is_certain = certain;
    f->is_stale = false;
    uint64_t ms = certain ? f->confirmed_ms : f->head_ms;
    f->range_most = f->ops->range(f->part, f->range_from == 0 ? 0 : ms, f->range_from);
    f->is_ranging = f->range_most > 0;
}

/* Says whether a whole message is another one than was taken in at its place, as far as that is known. */
static bool is_another(const struct ft_follower *f, const struct ft_relay_head *head,
                       struct ft_slice entries)
{
    struct ft_slice rest = entries;
    struct ft_relay_entry entry;
    for (uint32_t i = 0; i < head->count; i++)
        if (ft_relay_entry_read(&rest, FT_RELAY_DATA_MAX, &entry) == FT_RELAY_DAMAGED)
            return false;
    return ft_seen_differs(&f->seen, head, entries);
}

/* The log has another message where one was taken in. False: the stream has to be fenced. */
static bool contradict(struct ft_follower *f)
{
    reject(f, FT_MESSAGE_CONFLICT);
    f->has_conflict = true;
    if (f->head > f->confirmed)
        return true; /* that one was forged, not this one */
    f->must_fence = true;
    ft_follower_ask(f);
    return false;
}

static bool overlaps_rightly(const struct ft_follower *f, const struct ft_relay_head *head)
{
    return head->first > f->head || (head->first == f->head_first && head->ms == f->head_ms);
}

/* An entry of another stream, in the log of this one: there is another stream by now. False: stop here. */
static bool is_strange(struct ft_follower *f, const struct ft_log_entry *logged)
{
    if (f->is_assured) {
        f->is_assured = false;
        return logged->last > f->range_truth || ft_follow_lose(f, logged->last, logged->ms);
    }
    ft_follower_ask(f);
    return false;
}

/* A message of the log does not follow the head. True: by now it does. */
static bool leap(struct ft_follower *f, const struct ft_relay_head *head)
{
    if (head->follows > f->head) {
        f->ops->life(f->part, head->base);
        ft_follower_jump(f, head->follows, head->ms);
        return false;
    }
    /* It leaves out the head: that was before Redis lost it, or it is forged. */
    reject(f, FT_MESSAGE_CONFLICT);
    if (f->head > f->confirmed)
        return ft_follow_lose(f, head->first - 1, head->ms);
    f->must_fence = true;
    ft_follower_ask(f);
    return false;
}

/* Returns false where the rest of the range is of no use now. */
static bool take_logged(struct ft_follower *f, const struct ft_log_entry *logged)
{
    if (logged->last > FT_SEQ_MAX)
        return true;
    if (logged->last <= f->head && !f->is_certain)
        return contradict(f);
    struct ft_relay_head head;
    struct ft_slice entries;
    enum ft_relay_fault fault = ft_relay_head_read(logged->message, &head, &entries);
    if (fault == FT_RELAY_SOUND && head.kind == FT_RELAY_STORED &&
        !ft_slice_equal(head.name, ft_slice_str(f->stream)))
        return is_strange(f, logged);
    if (fault != FT_RELAY_SOUND || head.kind != FT_RELAY_STORED || head.ms != logged->ms ||
        head.first == 0 || head.first + head.count - 1 != logged->last) {
        reject_fault(f, fault);
        return logged->last <= f->head || ft_follow_lose(f, logged->last, logged->ms);
    }
    if (logged->last <= f->head || !overlaps_rightly(f, &head)) {
        if (!f->is_certain && !contradict(f))
            return false;
        if (is_another(f, &head, entries)) {
            reject(f, FT_MESSAGE_CONFLICT);
            f->has_conflict = true;
        }
    }
    if (logged->last <= f->head)
        return true;
    if (head.first > f->head + 1 && head.follows != f->head && !leap(f, &head))
        return false;
    switch (ft_follow_take(f, &head, entries, FT_ENTRY_LIVE)) {
    case FT_TAKEN_FULL:
        f->is_full = true;
        return false;
    case FT_TAKEN_DAMAGED:
        reject(f, FT_MESSAGE_DAMAGED);
        return ft_follow_lose(f, logged->last, logged->ms);
    case FT_TAKEN:
        break;
    }
    return true;
}

/* The log has told all it has. False: what is missing is lost, and that takes its course. */
static bool conclude(struct ft_follower *f, uint64_t before)
{
    if (f->head < f->range_truth) {
        if (f->head == before && !f->is_certain && f->confirmed < f->head) {
            f->from_certain = true; /* perhaps it is our own place that is forged */
            return true;
        }
        ft_follower_jump(f, f->range_truth, f->range_truth_ms);
        return false;
    }
    if (f->head == before && f->truth <= f->head)
        f->is_in_doubt = true;
    return true;
}

void ft_follower_range(struct ft_follower *f, enum ft_answer answer,
                       const struct ft_log_entry *entries, uint32_t count)
{
    f->is_ranging = false;
    if (f->state != FT_FOLLOWER_FOLLOWING || answer == FT_ANSWER_LOST)
        return;
    if (answer == FT_ANSWER_ERROR)
        f->is_in_doubt = true;
    if (answer == FT_ANSWER_ERROR || f->is_stale) {
        ft_follow_go_on(f);
        return;
    }
    uint64_t before = f->head, appended = f->appended;
    bool was_certain = f->is_certain || f->confirmed >= f->head;
    bool goes_on = true;
    for (uint32_t i = 0; i < count && goes_on; i++)
        goes_on = take_logged(f, &entries[i]);
    f->figures.healed += f->appended - appended;
    if (was_certain && f->state == FT_FOLLOWER_FOLLOWING && f->head > f->confirmed) {
        f->confirmed = f->head;
        f->confirmed_ms = f->head_ms;
    }
    if (goes_on && (count == f->range_most || conclude(f, before)))
        ft_follow_go_on(f);
}

/* ---- the channel ---- */

static void take_ephemeral(struct ft_follower *f, const struct ft_relay_head *head,
                           struct ft_slice entries)
{
    if (ft_slice_equal(head->name, ft_slice(f->options.instance, FT_INSTANCE_LEN)))
        return;
    for (uint32_t i = 0; i < head->count; i++) {
        struct ft_relay_entry entry;
        if (ft_relay_entry_read(&entries, f->options.message_bytes, &entry) != FT_RELAY_SOUND) {
            reject(f, FT_MESSAGE_DAMAGED);
            return;
        }
        if (!f->ops->has_room(f->part))
            return; /* nobody promised more */
        f->ops->append(f->part, &(struct ft_follower_entry){
                                    .kind = FT_ENTRY_LIVE, .at_ms = entry.at_ms, .entry = &entry});
        f->figures.ephemeral++;
    }
}

/* A message of a stream that is not the one that is followed. */
static void hear_of_another(struct ft_follower *f, const struct ft_relay_head *head)
{
    if (ft_stream_partition(head->name) != (int32_t)f->options.partition) {
        reject(f, FT_MESSAGE_SPOOFED);
        return;
    }
    if (ft_slice_equal(head->name, ft_slice_str(f->before)))
        return;
    f->strangers++;
    if (f->asked_ms == 0 || f->now_ms - f->asked_ms >= ASK_MS) {
        f->asked_ms = f->now_ms;
        ft_follower_ask(f);
    }
}

/* Takes in one message that was not made to wait. */
static void take_message(struct ft_follower *f, const struct ft_relay_head *head,
                         struct ft_slice entries)
{
    uint64_t last = head->first + head->count - 1;
    if (!ft_slice_equal(head->name, ft_slice_str(f->stream))) {
        hear_of_another(f, head);
        return;
    }
    if (last <= f->head) {
        if (is_another(f, head, entries)) {
            reject(f, FT_MESSAGE_CONFLICT);
            f->has_conflict = true;
        }
        return;
    }
    if (head->ms < f->head_ms) { /* this one is forged, or the one that is at the head */
        reject(f, FT_MESSAGE_CONFLICT);
        f->has_conflict = f->has_conflict || f->head > f->confirmed;
        f->from_certain = true;
        note_target(f, last);
        return;
    }
    if (head->first > f->head + 1) {
        if (f->target <= f->head)
            f->figures.holes++;
        note_target(f, last);
        return;
    }
    if (!is_of_known_life(f, head)) {
        reject(f, FT_MESSAGE_CONFLICT);
        note_target(f, last);
        return;
    }
    if (!overlaps_rightly(f, head)) {
        reject(f, FT_MESSAGE_CONFLICT);
        f->has_conflict = true;
    }
    uint64_t appended = f->appended;
    enum ft_taken taken = ft_follow_take(f, head, entries, FT_ENTRY_LIVE);
    f->figures.received += f->appended - appended;
    f->claimed = f->head;
    if (taken == FT_TAKEN)
        return;
    note_target(f, last);
    if (taken == FT_TAKEN_FULL)
        f->is_full = true;
    else
        reject(f, FT_MESSAGE_DAMAGED); /* the log has it as it was */
}

/* Reads a message's head; false: it was rejected. */
static bool read_head(struct ft_follower *f, struct ft_slice message, struct ft_relay_head *head,
                      struct ft_slice *entries)
{
    enum ft_relay_fault fault = ft_relay_head_read(message, head, entries);
    if (fault == FT_RELAY_SOUND && head->kind == FT_RELAY_STORED &&
        (head->first == 0 || head->first > FT_SEQ_MAX || head->count > FT_RELAY_COUNT_MAX ||
         head->count == 0))
        fault = FT_RELAY_DAMAGED;
    if (fault != FT_RELAY_SOUND)
        reject_fault(f, fault);
    return fault == FT_RELAY_SOUND;
}

void ft_follower_message(struct ft_follower *f, struct ft_slice message)
{
    if (f->state == FT_FOLLOWER_OFF || f->state == FT_FOLLOWER_SUBSCRIBING)
        return;
    struct ft_relay_head head;
    struct ft_slice entries;
    if (!read_head(f, message, &head, &entries))
        return;
    if (head.kind == FT_RELAY_EPHEMERAL) {
        take_ephemeral(f, &head, entries);
        return;
    }
    if (f->state == FT_FOLLOWER_FOLLOWING && !is_busy(f)) {
        take_message(f, &head, entries);
        if (is_missing(f))
            ft_follow_go_on(f);
        return;
    }
    if (!ft_held_push(&f->held, message) && ft_slice_equal(head.name, ft_slice_str(f->stream)))
        note_target(f, head.first + head.count - 1);
}

void ft_follow_go_on(struct ft_follower *f)
{
    while (f->state == FT_FOLLOWER_FOLLOWING && !is_busy(f)) {
        if (is_missing(f)) {
            range(f);
            if (!f->is_ranging)
                return; /* the server has gone: ft_follower_down() comes */
            break;
        }
        struct ft_slice message, entries;
        if (!ft_held_pop(&f->held, &message))
            break;
        struct ft_relay_head head;
        if (ft_relay_head_read(message, &head, &entries) == FT_RELAY_SOUND)
            take_message(f, &head, entries);
    }
    if (f->state != FT_FOLLOWER_FOLLOWING || f->is_joined || f->is_full || f->head < f->truth)
        return;
    if (!f->ops->flush(f->part)) {
        f->is_full = true;
        return;
    }
    f->is_joined = true;
    f->ops->joined(f->part);
}

/* ---- the beat ---- */

/* Messages that were taken in claimed more than there is: what comes goes on behind what there is. */
static bool go_back(struct ft_follower *f, uint64_t head, uint64_t ms)
{
    if (!f->ops->flush(f->part))
        return false; /* the next beat says so again */
    f->ops->open_stream(f->part, f->stream, head);
    f->ops->gap(f->part, head, FT_LOST_UNKNOWN);
    f->figures.gaps++;
    f->head = f->head_first = f->confirmed = head;
    f->head_ms = f->confirmed_ms = ms;
    f->truth = f->target = head;
    f->truth_ms = ms;
    f->is_stale = true;
    f->has_conflict = false;
    ft_seen_forget(&f->seen);
    return true;
}

void ft_follower_heard(struct ft_follower *f)
{
    f->heard_claimed = f->claimed;
    f->heard_target = f->target;
}

void ft_follower_beat(struct ft_follower *f, struct ft_slice stream, uint64_t head, uint64_t ms)
{
    if (f->state != FT_FOLLOWER_FOLLOWING || head > FT_SEQ_MAX)
        return;
    if (!ft_slice_equal(stream, ft_slice_str(f->stream)) || head < f->beat_head) {
        ft_follower_ask(f);
        return;
    }
    f->beat_head = head;
    if (f->heard_target > head) {
        if (f->heard_target > f->head)
            reject(f, FT_MESSAGE_SPOOFED);
        if (f->target == f->heard_target)
            f->target = head;
        f->heard_target = 0;
    }
    if (head > f->truth) {
        f->truth = head;
        f->truth_ms = ms;
    }
    if (f->heard_claimed > head && f->heard_claimed > f->confirmed) {
        reject(f, FT_MESSAGE_SPOOFED);
        if (f->head != f->heard_claimed)
            f->has_conflict = true; /* something is behind it by now */
        else if (!go_back(f, head, ms))
            return;
        f->heard_claimed = 0;
        f->claimed = f->claimed < head ? f->claimed : head;
    } else if (f->head == head && f->head_ms != ms && head > 0) {
        reject(f, FT_MESSAGE_CONFLICT);
        f->has_conflict = true;
        f->head_ms = ms;
    }
    uint64_t certain = f->head <= head ? f->head : head;
    if (certain > f->confirmed) {
        f->confirmed = certain;
        f->confirmed_ms = f->head <= head ? f->head_ms : ms;
    }
    if (f->has_conflict && f->ops->has_room(f->part)) {
        f->ops->gap(f->part, f->head, FT_LOST_UNKNOWN);
        f->figures.gaps++;
        f->has_conflict = false;
    }
    if (head > f->head && !is_busy(f)) {
        f->figures.holes++;
        f->is_in_doubt = false;
    }
    ft_follow_go_on(f);
}
