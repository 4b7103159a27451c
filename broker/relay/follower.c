/*
 * A follower's life: subscribes, joins, loads what was there before, pours that into the journal, follows; and
 * leaves. The relay's thread; does nothing but call its ops.
 */
#include "broker/relay/follower_parts.h"

#include "broker/base/alloc.h"

#include <stdlib.h>

/* After an error of Redis. */
#define RETRY_MS 1000

struct ft_follower *ft_follower_new(const struct ft_follower_options *options,
                                    const struct ft_follower_ops *ops, void *part)
{
    struct ft_follower *f = ft_alloc_zero(sizeof(*f));
    f->options = *options;
    f->ops = ops;
    f->part = part;
    ft_held_init(&f->held);
    return f;
}

void ft_follower_free(struct ft_follower *f)
{
    if (!f)
        return;
    ft_held_fini(&f->held);
    ft_loaded_free(f->loaded);
    free(f);
}

static void turn_off(struct ft_follower *f)
{
    f->state = FT_FOLLOWER_OFF;
    ft_held_clear(&f->held);
    f->confirmed = f->head; /* nobody can say anything else any more */
    f->confirmed_ms = f->head_ms;
    f->truth = f->target = f->head;
    f->claimed = f->heard_claimed = f->heard_target = 0;
    f->is_stale = true;
    f->is_in_doubt = f->from_certain = f->is_assured = false;
}

static void start(struct ft_follower *f)
{
    bool is_needed = f->is_wanted || f->is_joined;
    if (f->state != FT_FOLLOWER_OFF || !f->is_up || !is_needed || f->now_ms < f->retry_ms)
        return;
    if (f->ops->subscribe(f->part))
        f->state = FT_FOLLOWER_SUBSCRIBING;
}

void ft_follower_up(struct ft_follower *f, bool is_wanted)
{
    f->is_up = true;
    f->is_wanted = is_wanted;
    f->retry_ms = 0;
    start(f);
}

void ft_follower_down(struct ft_follower *f)
{
    f->is_up = false;
    if (f->state == FT_FOLLOWER_POURING)
        f->is_cut = true;
    else
        turn_off(f);
}

void ft_follower_subscribed(struct ft_follower *f, enum ft_answer answer)
{
    if (f->state != FT_FOLLOWER_SUBSCRIBING)
        return;
    if (answer == FT_ANSWER_ERROR)
        f->retry_ms = f->now_ms + RETRY_MS;
    if (answer != FT_ANSWER) {
        turn_off(f);
        return;
    }
    f->state = FT_FOLLOWER_JOINING;
    f->retry_ms = 0;
    ft_follower_ask(f);
}

void ft_follower_ask(struct ft_follower *f)
{
    if (f->is_asking)
        return;
    /* One more than any head: whatever Redis has of it is not what was here. */
    uint64_t head = f->must_fence ? FT_SEQ_MAX + 1 : f->confirmed;
    f->is_asking = f->ops->join(f->part, f->stream, head);
}

/* ---- what was there before ---- */

static void load(struct ft_follower *f, const struct ft_load_plan *plan, uint64_t lost)
{
    if (f->loaded) { /* of before the server was away: its answer is to come */
        turn_off(f);
        return;
    }
    f->plan = *plan;
    f->lost = lost;
    f->is_forgotten = f->is_opened = f->is_cut = false;
    f->loaded = ft_loaded_new(&f->plan);
    f->state = FT_FOLLOWER_LOADING;
    f->is_loading = f->ops->load(f->part, f->loaded, &f->plan);
    if (!f->is_loading) {
        ft_loaded_free(f->loaded);
        f->loaded = NULL;
        turn_off(f);
    }
}

void ft_follower_jump(struct ft_follower *f, uint64_t last, uint64_t ms)
{
    struct ft_load_plan plan = {.head = last, .ms = ms};
    if (f->truth < last || last < f->head) {
        f->truth = last;
        f->truth_ms = ms;
    }
    memcpy(plan.stream, f->stream, sizeof(plan.stream));
    load(f, &plan, ft_follow_distance(f, last));
}

/* Everything is in: the last one of the pouring was the stream's present. */
static void finish(struct ft_follower *f)
{
    ft_loaded_free(f->loaded);
    f->loaded = NULL;
    f->figures.joins++;
    f->confirmed = f->head;
    f->confirmed_ms = f->head_ms;
    f->target = f->head;
    f->beat_head = 0;
    f->claimed = f->heard_claimed = f->heard_target = 0;
    f->state = FT_FOLLOWER_FOLLOWING;
    f->is_stale = true;
    if (f->is_cut) {
        f->is_joined = true;
        f->ops->joined(f->part);
        turn_off(f);
        start(f);
        return;
    }
    ft_follow_go_on(f);
}

/* Restored entries; false: no room. */
static bool pour_kept(struct ft_follower *f)
{
    struct ft_slice message, entries;
    bool is_last;
    while (ft_loaded_kept(f->loaded, &message, &is_last)) {
        if (!f->ops->has_room(f->part))
            return false;
        struct ft_relay_head head;
        struct ft_relay_entry entry;
        if (ft_relay_head_read(message, &head, &entries) == FT_RELAY_SOUND &&
            ft_relay_entry_read(&entries, f->options.message_bytes, &entry) == FT_RELAY_SOUND) {
            /* What is a topic's last value Redis knows, not what once was one. */
            entry.is_retained = is_last;
            entry.clears_retained = false;
            f->ops->append(f->part, &(struct ft_follower_entry){.kind = FT_ENTRY_RESTORED,
                                                                .seq = head.first,
                                                                .at_ms = head.ms,
                                                                .name = head.name,
                                                                .base = head.base,
                                                                .entry = &entry});
            f->figures.restored++;
        }
        ft_loaded_kept_done(f->loaded);
    }
    return true;
}

/* Says that something is lost before what comes now. What was loaded of the log comes behind that: who goes on
 * from a position in it has lost nothing. Who was there before is not given that, and goes on behind `upto`. */
static void mark(struct ft_follower *f, uint64_t upto, uint64_t lost)
{
    f->ops->gap(f->part, upto, lost);
    f->figures.gaps += f->is_joined; /* else nobody has listened */
    f->has_conflict = false;
}

static void open_stream(struct ft_follower *f, uint64_t after)
{
    bool is_contiguous =
        f->plan.is_warm && strcmp(f->stream, f->plan.stream) == 0 && after == f->head;
    if (!is_contiguous) {
        f->ops->open_stream(f->part, f->plan.stream, after);
        if (strcmp(f->stream, f->plan.stream) != 0)
            memcpy(f->before, f->stream, sizeof(f->before));
        memcpy(f->stream, f->plan.stream, sizeof(f->stream));
        f->head = f->head_first = after;
        f->head_ms = f->plan.ms;
        ft_seen_forget(&f->seen);
        mark(f, f->plan.head > after ? f->plan.head : after, f->lost);
    }
    f->is_opened = true;
}

/* What the log had; false: no room. */
static bool pour_log(struct ft_follower *f)
{
    struct ft_slice message, entries;
    while (ft_loaded_log(f->loaded, &message)) {
        struct ft_relay_head head;
        uint64_t appended = f->appended;
        enum ft_taken taken = FT_TAKEN_DAMAGED;
        if (ft_relay_head_read(message, &head, &entries) == FT_RELAY_SOUND)
            taken = ft_follow_take(f, &head, entries, FT_ENTRY_WARM);
        f->figures.warmed += f->appended - appended;
        if (taken == FT_TAKEN_FULL)
            return false;
        if (taken == FT_TAKEN_DAMAGED)
            break; /* the jump below tells */
        ft_loaded_log_done(f->loaded);
    }
    return true;
}

static void pour(struct ft_follower *f)
{
    f->is_full = true; /* until it goes through */
    if (!f->is_forgotten) {
        if (!f->ops->flush(f->part))
            return;
        f->ops->forget_topics(f->part);
        f->is_forgotten = true;
    }
    if (!f->is_opened) {
        if (!pour_kept(f) || !f->ops->flush(f->part))
            return;
        open_stream(f, ft_loaded_from(f->loaded));
    }
    if (!pour_log(f) || !f->ops->flush(f->part))
        return;
    if (f->head < f->plan.head) {
        f->ops->open_stream(f->part, f->stream, f->plan.head);
        f->head = f->head_first = f->plan.head;
        mark(f, f->head, FT_LOST_UNKNOWN);
    }
    f->head_ms = f->plan.ms;
    if (!f->ops->flush(f->part))
        return;
    f->is_full = false;
    finish(f);
}

void ft_follower_loaded(struct ft_follower *f, enum ft_answer answer)
{
    f->is_loading = false;
    if (f->state != FT_FOLLOWER_LOADING || answer == FT_ANSWER_LOST) {
        ft_loaded_free(f->loaded);
        f->loaded = NULL;
        if (f->state == FT_FOLLOWER_LOADING)
            turn_off(f);
        return;
    }
    f->state = FT_FOLLOWER_POURING;
    pour(f);
}

/* ---- joining ---- */

/* Somebody has had a stream of this partition, and now there is another one: all of it is new to him, and is
 * read from the beginning. */
static void change_stream(struct ft_follower *f, const char *name, uint64_t head, uint64_t ms)
{
    f->truth = head;
    f->truth_ms = ms;
    struct ft_load_plan plan = {.head = 0};
    memcpy(plan.stream, name, sizeof(plan.stream));
    load(f, &plan, FT_LOST_UNKNOWN);
}

/* Nobody here relies on what was: what is worth having of it is loaded. */
static void join_freshly(struct ft_follower *f, const char *name, uint64_t head, uint64_t ms)
{
    f->truth = head;
    f->truth_ms = ms;
    struct ft_load_plan plan = {.head = head, .ms = ms, .is_warm = head > 0};
    memcpy(plan.stream, name, sizeof(plan.stream));
    if (strcmp(name, f->stream) == 0)
        plan.had = f->head;
    load(f, &plan, FT_LOST_UNKNOWN);
}

/* The same stream as before the server was away, or before it was left. */
static void go_on(struct ft_follower *f, uint64_t head, uint64_t ms)
{
    if (head == f->head && ms != f->head_ms && head > 0 && !f->must_fence) {
        f->ops->rejected(f->part, FT_MESSAGE_CONFLICT);
        f->must_fence = true;
        ft_follower_ask(f);
        return;
    }
    if (head < f->head || f->must_fence) { /* not what was here, and there is no way to say so */
        f->must_fence = false;
        ft_follower_jump(f, head, ms);
        return;
    }
    f->truth = head;
    f->truth_ms = ms;
    f->state = FT_FOLLOWER_FOLLOWING;
    f->beat_head = 0;
    uint64_t distance = ft_follow_distance(f, head);
    if (!f->is_joined && distance != FT_LOST_UNKNOWN && distance > FT_FOLLOWER_FAR) {
        char name[FT_STREAM_NAME_LEN + 1];
        memcpy(name, f->stream, sizeof(name));
        join_freshly(f, name, head, ms);
        return;
    }
    f->figures.joins++;
    ft_follow_go_on(f);
}

/* Redis was asked, while it followed, whether there is another stream. */
static void hear_answer(struct ft_follower *f, const char *name, uint64_t head, uint64_t ms)
{
    if (strcmp(name, f->stream) != 0) {
        f->must_fence = false;
        f->strangers = 0;
        change_stream(f, name, head, ms);
        return;
    }
    for (; f->strangers > 0; f->strangers--)
        f->ops->rejected(f->part, FT_MESSAGE_SPOOFED);
    if (f->must_fence || head < f->confirmed) {
        f->must_fence = false;
        ft_follower_jump(f, head, ms);
        return;
    }
    f->is_assured = true;
    if (head > f->truth) {
        f->truth = head;
        f->truth_ms = ms;
    }
    ft_follow_go_on(f);
}

void ft_follower_joined(struct ft_follower *f, enum ft_answer answer, struct ft_slice stream,
                        uint64_t head, uint64_t ms)
{
    f->is_asking = false;
    if (f->state != FT_FOLLOWER_JOINING && f->state != FT_FOLLOWER_FOLLOWING)
        return;
    if (answer == FT_ANSWER_LOST) {
        turn_off(f);
        return;
    }
    if (answer == FT_ANSWER && (stream.len != FT_STREAM_NAME_LEN || head > FT_SEQ_MAX ||
                                ft_stream_partition(stream) != (int32_t)f->options.partition))
        answer = FT_ANSWER_ERROR;
    if (answer == FT_ANSWER_ERROR) {
        f->retry_ms = f->now_ms + RETRY_MS;
        if (f->state == FT_FOLLOWER_FOLLOWING)
            ft_follow_go_on(f); /* the next beat asks again, where there is reason to */
        return;
    }
    char name[FT_STREAM_NAME_LEN + 1];
    memcpy(name, stream.ptr, FT_STREAM_NAME_LEN);
    name[FT_STREAM_NAME_LEN] = '\0';
    if (f->state == FT_FOLLOWER_FOLLOWING)
        hear_answer(f, name, head, ms);
    else if (strcmp(name, f->stream) == 0)
        go_on(f, head, ms);
    else {
        f->must_fence = false;
        if (f->is_joined)
            change_stream(f, name, head, ms);
        else
            join_freshly(f, name, head, ms);
    }
}

/* ---- time ---- */

static void leave(struct ft_follower *f)
{
    if (!f->ops->leave(f->part))
        return;
    f->is_joined = false;
    if (f->state == FT_FOLLOWER_FOLLOWING)
        f->ops->unsubscribe(f->part);
    turn_off(f);
}

void ft_follower_tick(struct ft_follower *f, bool is_wanted, uint64_t now_ms)
{
    f->now_ms = now_ms;
    if (is_wanted)
        f->unwanted_ms = 0;
    else if (f->unwanted_ms == 0)
        f->unwanted_ms = now_ms;
    f->is_wanted = is_wanted;
    start(f);
    if (f->state == FT_FOLLOWER_JOINING && now_ms >= f->retry_ms)
        ft_follower_ask(f);
    if (f->state == FT_FOLLOWER_FOLLOWING && (f->is_in_doubt || !f->is_ranging)) {
        f->is_in_doubt = false;
        ft_follow_go_on(f);
    }
    bool is_settled = f->state == FT_FOLLOWER_FOLLOWING || f->state == FT_FOLLOWER_OFF;
    if (f->is_joined && !is_wanted && is_settled && !f->is_full &&
        now_ms - f->unwanted_ms >= FT_FOLLOWER_GRACE_MS)
        leave(f);
}

void ft_follower_resume(struct ft_follower *f)
{
    if (!f->is_full)
        return;
    f->is_full = false;
    if (f->state == FT_FOLLOWER_POURING)
        pour(f);
    else if (f->state == FT_FOLLOWER_FOLLOWING)
        ft_follow_go_on(f);
}

/* ---- how it is ---- */

enum ft_follower_state ft_follower_state(const struct ft_follower *f)
{
    return f->state;
}

const char *ft_follower_stream(const struct ft_follower *f, uint64_t *head)
{
    *head = f->head;
    return f->stream;
}

uint64_t ft_follower_confirmed(const struct ft_follower *f)
{
    return f->confirmed;
}

uint64_t ft_follower_truth(const struct ft_follower *f)
{
    return f->truth > f->head ? f->truth : f->head;
}

const struct ft_follower_figures *ft_follower_figures(const struct ft_follower *f)
{
    return &f->figures;
}
