/*
 * Stalled sessions: what they wait for, what they keep meanwhile, and how they go on. Knows no verb: an
 * envelope that has waited is handed to verbs.c again, as if it had just come. The worker's thread.
 */
#include "broker/hub/stall.h"

#include "broker/base/alloc.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"
#include "protocol/position.h"

#include <stdlib.h>

/* How long a `since` ahead of this node is waited for. A message from Redis takes milliseconds, a hole that is
 * healed by the next beat a second. */
#define AHEAD_MS 1500
/* Publishes are answered within the deadline; what comes later than that by this much does not come. */
#define ANSWERS_SLACK_MS 1000

/* A message of which all or the rest is still to be read. */
struct kept {
    struct kept *next;
    struct ft_reader reader; /* where it goes on … */
    bool is_begun;           /* … if it has begun */
    uint32_t len;
    uint8_t bytes[];
};

struct ft_stall {
    struct ft_alarm alarm; /* the first field: when its time is over */
    struct ft_session *session;
    struct ft_stall *next,
        **link; /* of those who wait for the same, or are ready; link NULL: neither */
    enum ft_stall_kind kind;
    bool is_waiting, is_running;
    bool is_dropped; /* while it was running, which frees it */
    bool has_held;
    bool has_waited[FT_STALL_KINDS]; /* this envelope, for that */
    struct ft_partition_set held;    /* wanted on behalf of this envelope */
    struct ft_join_wait join;        /* to be joined */
    struct ft_place *places;         /* to be reached */
    uint32_t place_count;
    struct kept *first, **end;
    size_t bytes; /* of what came behind the first */
};

/* ---- the lists ---- */

void ft_stalls_init(struct ft_stalls *stalls)
{
    *stalls = (struct ft_stalls){0};
    stalls->ready_end = &stalls->ready;
}

static struct ft_stalls *stalls_of(const struct ft_stall *stall)
{
    return &stall->session->asker.worker->stalls;
}

static void list_remove(struct ft_stall *stall)
{
    struct ft_stalls *stalls = stalls_of(stall);
    if (!stall->link)
        return;
    *stall->link = stall->next;
    if (stall->next)
        stall->next->link = stall->link;
    else if (stalls->ready_end == &stall->next)
        stalls->ready_end = stall->link;
    stall->link = NULL;
}

static void stop_waiting(struct ft_stall *stall)
{
    ft_wheel_cancel(&stall->alarm.timer);
    ft_join_wait_end(&stall->join);
    list_remove(stall);
}

static void make_ready(struct ft_stall *stall)
{
    struct ft_stalls *stalls = stalls_of(stall);
    stop_waiting(stall);
    stall->next = NULL;
    stall->link = stalls->ready_end;
    *stalls->ready_end = stall;
    stalls->ready_end = &stall->next;
}

/* Takes out the first that is ready; there is one. */
static struct ft_stall *take_ready(struct ft_stalls *stalls)
{
    struct ft_stall *stall = stalls->ready;
    stalls->ready = stall->next;
    if (stall->next)
        stall->next->link = &stalls->ready;
    else
        stalls->ready_end = &stalls->ready;
    stall->link = NULL;
    return stall;
}

static void on_alarm(struct ft_alarm *alarm)
{
    make_ready((struct ft_stall *)alarm);
}

static void on_joined(struct ft_join_wait *join)
{
    make_ready((struct ft_stall *)((char *)join - offsetof(struct ft_stall, join)));
}

bool ft_stalls_are_there(const struct ft_worker *w)
{
    return w->stalls.ready || w->stalls.ahead || w->join_waits.first;
}

bool ft_stalls_are_calm(const struct ft_worker *w)
{
    const struct ft_stalls *stalls = &w->stalls;
    return !stalls->ready && ft_join_waits_are_calm(w) &&
           (!stalls->ahead || ft_journal_head(w->hub->journal) == stalls->head);
}

/* ---- beginning to wait ---- */

static bool may_wait(const struct ft_session *s, enum ft_stall_kind kind)
{
    return s->asker.worker->wants && !s->is_ending && !(s->stall && s->stall->has_waited[kind]);
}

/* Returns the session's stall, made on need. */
static struct ft_stall *stall_of(struct ft_session *s)
{
    if (s->stall)
        return s->stall;
    struct ft_stall *stall = s->stall = ft_alloc_zero(sizeof(*stall));
    ft_count(s->asker.worker->metrics.sessions_stalled, 1);
    stall->session = s;
    stall->end = &stall->first;
    stall->alarm.fire = on_alarm;
    stall->join.ready = on_joined;
    return stall;
}

static void wait(struct ft_stall *stall, enum ft_stall_kind kind)
{
    struct ft_session *s = stall->session;
    stall->kind = kind;
    stall->is_waiting = stall->has_waited[kind] = true;
    if (s->frames != FT_FRAMES_EVENTS) /* which says nothing; but that it is gone has to be seen */
        ft_session_pause(s, FT_PAUSED_RELAY, true);
}

static void hold(struct ft_stall *stall, const struct ft_partition_set *touched)
{
    if (stall->has_held)
        return;
    stall->has_held = true;
    stall->held = *touched;
    ft_worker_want(stall->session->asker.worker, touched);
}

static void release(struct ft_stall *stall)
{
    if (stall->has_held)
        ft_worker_unwant(stall->session->asker.worker, &stall->held);
    stall->has_held = false;
}

bool ft_stall_until_joined(struct ft_session *s, const struct ft_partition_set *touched,
                           const struct ft_partition_set *missing)
{
    if (!may_wait(s, FT_STALL_JOIN))
        return false;
    struct ft_stall *stall = stall_of(s);
    wait(stall, FT_STALL_JOIN);
    ft_join_wait_begin(&stall->join, s->asker.worker, missing);
    hold(stall, touched);
    return true;
}

/* Says whether this node has not come so far, perhaps in a life that it has not even heard of. */
static bool is_ahead(struct ft_journal *journal, struct ft_slice stream, uint64_t seq)
{
    uint32_t index;
    uint64_t at;
    enum ft_found found = ft_journal_find(journal, stream, seq, UINT64_MAX, &index, &at);
    return found == FT_FOUND_AHEAD || found == FT_FOUND_LATER;
}

/* Returns how many of the positions are ahead of this node, and where they are in `places` (room for all that
 * are in the list). */
static uint32_t find_ahead(struct ft_journal *journal, const struct ft_partition_set *touched,
                           const struct ft_list *since, struct ft_place *places)
{
    uint8_t text[FT_POSITION_BYTES_MAX];
    uint32_t n = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < since->count; i++) {
        struct ft_slice item;
        struct ft_position_parts parts;
        if (ft_list_next(since, &at, text, sizeof(text), &item) != FT_OK ||
            ft_position_read(item, &parts, NULL) != FT_OK)
            continue;
        int32_t partition = ft_stream_partition(parts.stream);
        if (partition < 0 || partition >= FT_PARTITIONS_MAX ||
            !ft_partition_set_has(touched, (uint32_t)partition) ||
            !is_ahead(journal, parts.stream, parts.offset))
            continue;
        places[n] = (struct ft_place){.seq = parts.offset};
        memcpy(places[n++].stream, parts.stream.ptr, FT_STREAM_NAME_LEN);
    }
    return n;
}

bool ft_stall_until_there(struct ft_session *s, const struct ft_partition_set *touched,
                          const struct ft_list *since)
{
    if (since->count == 0 || !may_wait(s, FT_STALL_AHEAD))
        return false;
    struct ft_place *places = ft_alloc(since->count * sizeof(*places));
    uint32_t n = find_ahead(s->asker.worker->hub->journal, touched, since, places);
    if (n == 0) {
        free(places);
        return false;
    }
    struct ft_worker *w = s->asker.worker;
    struct ft_stall *stall = stall_of(s);
    wait(stall, FT_STALL_AHEAD);
    stall->next = w->stalls.ahead;
    stall->link = &w->stalls.ahead;
    if (stall->next)
        stall->next->link = &stall->next;
    w->stalls.ahead = stall;
    ft_wheel_set(&w->alarms, &stall->alarm.timer, AHEAD_MS);
    stall->places = ft_realloc(places, n * sizeof(*places));
    stall->place_count = n;
    hold(stall, touched);
    return true;
}

bool ft_stall_until_answered(struct ft_session *s)
{
    if (s->asker.unacked == 0 || !may_wait(s, FT_STALL_ANSWERS))
        return false;
    struct ft_worker *w = s->asker.worker;
    struct ft_stall *stall = stall_of(s);
    wait(stall, FT_STALL_ANSWERS);
    ft_wheel_set(&w->alarms, &stall->alarm.timer, ft_relay_deadline_ms(w) + ANSWERS_SLACK_MS);
    return true;
}

/* ---- what is kept ---- */

static struct kept *kept_new(struct ft_slice message)
{
    struct kept *kept = ft_alloc(sizeof(*kept) + message.len);
    kept->next = NULL;
    kept->is_begun = false;
    kept->len = (uint32_t)message.len;
    if (message.len > 0)
        memcpy(kept->bytes, message.ptr, message.len);
    return kept;
}

static void push(struct ft_stall *stall, struct kept *kept)
{
    *stall->end = kept;
    stall->end = &kept->next;
}

static void pop(struct ft_stall *stall)
{
    struct kept *kept = stall->first;
    stall->first = kept->next;
    if (!stall->first)
        stall->end = &stall->first;
    free(kept);
}

bool ft_stall_keep(struct ft_session *s, const struct ft_reader *mark)
{
    struct ft_stall *stall = s->stall;
    if (!stall->is_waiting) { /* it has not come to that, or no more */
        release(stall);
        memset(stall->has_waited, 0, sizeof(stall->has_waited));
        return false;
    }
    struct kept *kept = stall->first;
    if (!kept)
        push(stall, kept = kept_new(ft_reader_message(mark)));
    kept->reader = *mark;
    kept->is_begun = true;
    return true;
}

bool ft_stall_queue(struct ft_session *s, struct ft_slice message)
{
    struct ft_stall *stall = s->stall;
    if (stall->is_running)
        return false;
    /* Nothing is read from it: what comes all the same was read already. */
    if (stall->bytes + message.len > s->asker.worker->options->message_bytes) {
        ft_session_end(s, 4508, "more was sent than is kept while a request waits");
        return true;
    }
    stall->bytes += message.len;
    push(stall, kept_new(message));
    return true;
}

/* ---- going on ---- */

static void stall_free(struct ft_stall *stall)
{
    while (stall->first)
        pop(stall);
    free(stall->places);
    free(stall);
}

void ft_stall_drop(struct ft_session *s)
{
    struct ft_stall *stall = s->stall;
    stop_waiting(stall);
    release(stall);
    s->stall = NULL;
    ft_uncount(s->asker.worker->metrics.sessions_stalled, 1);
    stall->is_dropped = true;
    if (!stall->is_running)
        stall_free(stall);
}

void ft_stall_answered(struct ft_session *s)
{
    struct ft_stall *stall = s->stall;
    if (stall->is_waiting && stall->kind == FT_STALL_ANSWERS && s->asker.unacked == 0)
        make_ready(stall);
}

/* Reads the first message that is kept, from where it waits. */
static void read_first(struct ft_stall *stall)
{
    struct ft_session *s = stall->session;
    struct ft_worker *w = s->asker.worker;
    struct kept *kept = stall->first;
    if (kept->len > w->options->message_bytes) { /* so is the scratch by now */
        ft_session_end(s, 1009, "a message may not be as long any more");
    } else if (kept->is_begun) {
        ft_reader_move(&kept->reader, kept->bytes, w->scratch);
        struct ft_reader reader = kept->reader;
        ft_handle_envelopes(s, &reader);
    } else {
        ft_handle_message(s, ft_slice(kept->bytes, kept->len));
    }
}

static void go_on(struct ft_stall *stall)
{
    struct ft_session *s = stall->session;
    stall->is_waiting = false;
    stall->is_running = true;
    free(stall->places);
    stall->places = NULL;
    stall->place_count = 0;
    while (stall->first && !stall->is_dropped) {
        read_first(stall);
        if (stall->is_waiting)
            break;
        pop(stall);
    }
    stall->is_running = false;
    if (stall->is_dropped) {
        stall_free(stall);
    } else if (!stall->is_waiting) {
        ft_stall_drop(s);
        ft_session_pause(s, FT_PAUSED_RELAY, false);
    }
}

/* ---- looking ---- */

/* A place is reached, or never will be because its stream is another one by now. */
static void look_at_places(struct ft_worker *w)
{
    struct ft_journal *journal = w->hub->journal;
    w->stalls.head = ft_journal_head(journal);
    struct ft_stall *next;
    for (struct ft_stall *stall = w->stalls.ahead; stall; stall = next) {
        next = stall->next;
        uint32_t i = 0;
        while (i < stall->place_count &&
               !is_ahead(journal, ft_slice_str(stall->places[i].stream), stall->places[i].seq))
            i++;
        if (i == stall->place_count)
            make_ready(stall);
    }
}

void ft_stalls_run(struct ft_worker *w)
{
    ft_join_waits_look(w);
    if (w->stalls.ahead && ft_journal_head(w->hub->journal) != w->stalls.head)
        look_at_places(w);
    while (w->stalls.ready)
        go_on(take_ready(&w->stalls));
}
