/*
 * The follower against a model of Redis that loses, doubles and delays messages, forgets its log, is away,
 * comes back with less than it had or with nothing, and to whose channel anybody may send. What reaches the
 * journal is compared with what was really published: every publication says which one came before it.
 */
#include "broker/base/alloc.h"
#include "tests/unit/support/follower_twin.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define INSTANCE "abcdefghijklmnop"

/* ---- what Redis does ---- */

static struct ft_twin_event *send(struct ft_twin *m)
{
    if (!m->is_up || !m->is_subscribed || m->events_to - m->events_from == FT_TWIN_EVENTS)
        return NULL;
    struct ft_twin_event *event = &m->events[m->events_to++ % FT_TWIN_EVENTS];
    event->is_beat = false;
    return event;
}

static void publish(struct ft_twin *m)
{
    uint64_t head;
    struct ft_fake_seen seen = {0};
    bool is_ours = m->is_up && ft_twin_chance(m, 2) == 0;
    if (is_ours) { /* it says what it has seen; others, who come first, have seen nothing */
        seen.streams[0].name = ft_follower_stream(m->follower, &head);
        seen.streams[0].head = ft_follower_confirmed(m->follower);
        seen.streams[1].name = m->acked.name;
        seen.streams[1].head = m->acked.head;
    }
    m->redis.ms += ft_twin_chance(m, 3);
    const struct ft_fake_message *message = ft_fake_publish(
        &m->redis, m->life, 1 + (uint32_t)ft_twin_chance(m, 3), &m->random, &m->next_id, &seen);
    ft_twin_published(m, message, is_ours);
    struct ft_twin_event *event = send(m);
    if (event)
        event->message = *message;
}

static void answer_range(struct ft_twin *m, struct ft_twin_command *c)
{
    for (uint32_t i = m->redis.from; i != m->redis.to && c->count < c->most; i++) {
        const struct ft_fake_message *message = &m->redis.log[i % FT_FAKE_LOG];
        if (message->ms < c->a || (message->ms == c->a && message->last <= c->b))
            continue;
        c->copies[c->count] = *message;
        c->entries[c->count] = (struct ft_log_entry){
            .ms = message->ms,
            .last = message->last,
            .message = ft_slice(c->copies[c->count].bytes, message->len),
        };
        c->count++;
    }
}

static void answer_load(struct ft_twin *m)
{
    uint64_t budget = ft_twin_chance(m, 20);
    for (uint32_t i = m->redis.to; m->plan.is_warm && i != m->redis.from && budget > 0; i--) {
        const struct ft_fake_message *message = &m->redis.log[(i - 1) % FT_FAKE_LOG];
        if (message->last > m->plan.head)
            continue;
        budget--;
        if (!ft_loaded_add_log(m->loaded, ft_slice(message->bytes, message->len)))
            break;
    }
}

static void answer_last(struct ft_twin *m)
{
    for (uint32_t i = 0; i < FT_FAKE_TOPICS; i++) {
        const struct ft_fake_message *last = &m->redis.last[i];
        if (m->redis.last_id[i] != 0)
            ft_loaded_add_last(m->loaded, ft_slice(last->bytes, last->len));
    }
    ft_loaded_seal(m->loaded);
}

static void execute(struct ft_twin *m)
{
    for (uint32_t i = 0; i < m->commands_count; i++) {
        struct ft_twin_command *c = &m->commands[i];
        if (c->is_executed)
            continue;
        c->is_executed = true;
        if (c->kind == FT_TWIN_SUBSCRIBE)
            m->is_subscribed = true;
        else if (c->kind == FT_TWIN_JOIN) {
            ft_fake_join(
                &m->redis, m->life, &m->next_id,
                &(struct ft_fake_seen){.born = c->born,
                                       .streams = {{c->name, c->a}, {c->acked_name, c->acked}}});
            c->born = m->redis.born;
            memcpy(c->stream, m->redis.name, sizeof(c->stream));
            c->head = m->redis.head;
            c->ms = m->redis.ms;
        } else if (c->kind == FT_TWIN_RANGE)
            answer_range(m, c);
        else if (c->kind == FT_TWIN_LOAD)
            answer_load(m);
        else {
            struct ft_twin_event *event = send(m);
            if (event) {
                event->is_beat = true;
                memcpy(event->name, m->redis.name, sizeof(event->name));
                event->message.last = m->redis.head;
                event->message.ms = m->redis.ms;
            }
        }
        return;
    }
}

static void answer(struct ft_twin *m)
{
    if (m->commands_count == 0 || !m->commands[0].is_executed)
        return;
    static struct ft_twin_command c;
    c = m->commands[0];
    for (uint32_t i = 0; i < c.count; i++)
        c.entries[i].message.ptr = c.copies[i].bytes;
    memmove(m->commands, m->commands + 1, --m->commands_count * sizeof(c));
    switch (c.kind) {
    case FT_TWIN_SUBSCRIBE:
        ft_follower_subscribed(m->follower, FT_ANSWER);
        break;
    case FT_TWIN_JOIN:
        m->born = c.born > m->born ? c.born : m->born;
        ft_follower_joined(m->follower, FT_ANSWER, ft_slice_str(c.stream), c.head, c.ms);
        break;
    case FT_TWIN_RANGE:
        ft_follower_range(m->follower, FT_ANSWER, c.entries, c.count);
        break;
    case FT_TWIN_LOAD:
        answer_last(m); /* read later than the log was */
        ft_follower_loaded(m->follower, FT_ANSWER);
        break;
    default:
        break;
    }
}

static void lose_connection(struct ft_twin *m)
{
    if (!m->is_up)
        return;
    m->is_up = m->is_subscribed = m->has_heard = false;
    m->events_from = m->events_to;
    while (m->commands_count > 0) {
        enum ft_twin_kind kind = m->commands[--m->commands_count].kind;
        if (kind == FT_TWIN_SUBSCRIBE)
            ft_follower_subscribed(m->follower, FT_ANSWER_LOST);
        else if (kind == FT_TWIN_JOIN)
            ft_follower_joined(m->follower, FT_ANSWER_LOST, ft_slice_str(""), 0, 0);
        else if (kind == FT_TWIN_RANGE)
            ft_follower_range(m->follower, FT_ANSWER_LOST, NULL, 0);
        else if (kind == FT_TWIN_LOAD)
            ft_follower_loaded(m->follower, FT_ANSWER_LOST);
    }
    ft_follower_down(m->follower);
}

static void connect(struct ft_twin *m)
{
    if (m->is_up)
        return;
    m->is_up = true;
    ft_follower_up(m->follower, m->is_wanted);
}

/* ---- what comes by the channel ---- */

static void receive(struct ft_twin *m)
{
    if (m->events_from == m->events_to)
        return;
    const struct ft_twin_event *event = &m->events[m->events_from++ % FT_TWIN_EVENTS];
    const struct ft_fake_message *message = &event->message;
    if (event->is_beat) {
        ft_follower_heard(m->follower);
        m->heard = *event;
        m->has_heard = true;
        return;
    }
    uint64_t fate = m->is_forged ? 9 : ft_twin_chance(m, 30);
    uint32_t len = fate == 1 ? (uint32_t)ft_twin_chance(m, message->len) : message->len;
    if (fate == 0)
        return;
    struct ft_slice exact = ft_input_exact(ft_slice(message->bytes, len));
    ft_follower_message(m->follower, exact);
    if (fate == 2)
        ft_follower_message(m->follower, exact);
    ft_input_free(exact);
}

/* Somebody sends what looks like a message. */
static void forge(struct ft_twin *m)
{
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    char name[FT_STREAM_NAME_LEN + 1];
    memcpy(name, m->redis.name, sizeof(name));
    if (*name == '\0' || ft_twin_chance(m, 5) == 0)
        ft_fake_name(1000000 + (uint32_t)ft_twin_chance(m, 9), name);
    uint64_t first = m->redis.head + 3 - ft_twin_chance(m, 6);
    if (first == 0 || first > m->redis.head + 3)
        first = 1;
    uint32_t count = 1 + (uint32_t)ft_twin_chance(m, 4);
    ft_fake_head(name, m->redis.ms + 100 - ft_twin_chance(m, 120), first, count, &out);
    for (uint32_t i = 0; i < count; i++)
        ft_fake_entry(0, FT_TWIN_FORGED + (uint32_t)ft_twin_chance(m, 100), 1, false, &out);
    struct ft_twin_event *event = send(m);
    if (event) {
        memcpy(event->message.bytes, out.ptr, out.len);
        event->message.len = (uint32_t)out.len;
    }
    ft_buffer_fini(&out);
}

/* ---- time ---- */

static void tick(struct ft_twin *m, uint64_t ms)
{
    m->now_ms += ms;
    ft_follower_tick(m->follower, m->is_wanted, m->now_ms);
}

/* What a beat says is told when its answer has come, too. */
static void tell(struct ft_twin *m)
{
    if (!m->has_heard)
        return;
    m->has_heard = false;
    ft_follower_beat(m->follower, ft_slice_str(m->heard.name), m->heard.message.last,
                     m->heard.message.ms);
}

static void beat(struct ft_twin *m)
{
    tell(m);
    if (ft_follower_state(m->follower) == FT_FOLLOWER_FOLLOWING &&
        ft_twin_waiting(m, FT_TWIN_BEAT) == 0)
        ft_twin_command(m, FT_TWIN_BEAT);
}

static void resume(struct ft_twin *m)
{
    m->is_full = false;
    ft_follower_resume(m->follower);
}

/* Redis is killed, and comes back: with all it had, with less, or with nothing. */
static void restart(struct ft_twin *m)
{
    lose_connection(m);
    uint64_t ms = m->redis.ms + 1 + ft_twin_chance(m, 50);
    m->life++;
    if (m->has_snapshot && ft_twin_chance(m, 2) == 0)
        m->redis = m->snapshot;
    else if (ft_twin_chance(m, 2) == 0) {
        memset(&m->redis, 0, sizeof(m->redis));
        m->has_snapshot = false;
    }
    /* A server that takes over may have another clock; but within a stream time does not go back. */
    m->redis.ms = ft_twin_chance(m, 2) == 0 ? ms : m->redis.ms + ft_twin_chance(m, 10);
    m->has_snapshot = false;
}

static void something_rare(struct ft_twin *m)
{
    switch (ft_twin_chance(m, 9)) {
    case 0:
        lose_connection(m);
        break;
    case 1:
        restart(m);
        break;
    case 2:
        m->snapshot = m->redis;
        m->has_snapshot = true;
        break;
    case 3:
        if (m->redis.from != m->redis.to)
            m->redis.from += (uint32_t)ft_twin_chance(m, m->redis.to - m->redis.from + 1);
        break;
    case 4:
        m->is_wanted = !m->is_wanted;
        break;
    case 5:
        tick(m, FT_FOLLOWER_GRACE_MS + 1);
        break;
    case 6:
        if (m->redis.from != m->redis.to) {
            m->redis.log[m->redis.from % FT_FAKE_LOG].len = (uint32_t)ft_twin_chance(m, 20);
            m->is_damaged = true;
        }
        break;
    default:
        connect(m);
    }
}

static void step(struct ft_twin *m)
{
    switch (ft_twin_chance(m, 13)) {
    case 0:
    case 1:
        publish(m);
        break;
    case 2:
    case 3:
    case 4:
        receive(m);
        break;
    case 5:
    case 6:
        execute(m);
        break;
    case 7:
    case 8:
        answer(m);
        break;
    case 9:
        tick(m, 100);
        tell(m);
        break;
    case 10:
        if (ft_twin_chance(m, 4) == 0)
            beat(m);
        break;
    case 11:
        if (m->is_full)
            resume(m);
        else if (m->is_forged && ft_twin_chance(m, 10) == 0)
            forge(m);
        break;
    default:
        if (!m->is_calm && ft_twin_chance(m, 12) == 0)
            something_rare(m);
        else
            connect(m);
    }
}

/* Nothing goes wrong any more: all that is on its way arrives, and beats go by. */
static void settle(struct ft_twin *m)
{
    m->is_wanted = true;
    connect(m);
    for (uint32_t round = 0; round < 400; round++) {
        resume(m);
        while (m->events_from != m->events_to && !m->is_full)
            receive(m);
        for (uint32_t i = 0; i < 8; i++) {
            execute(m);
            answer(m);
        }
        tick(m, 100);
        tell(m);
        if (round % 10 == 0)
            beat(m);
    }
    resume(m);
}

static void begin(struct ft_twin *m, uint64_t seed)
{
    *m = (struct ft_twin){.random = seed, .is_wanted = true, .next_id = 1, .now_ms = 1};
    m->redis.ms = 1000;
    m->range = 1 + (uint32_t)ft_twin_chance(m, FT_FOLLOWER_RANGE);
    m->events = ft_alloc_zero(FT_TWIN_EVENTS * sizeof(*m->events));
    m->follower =
        ft_follower_new(&(struct ft_follower_options){.instance = INSTANCE, .message_bytes = 1000},
                        &ft_twin_ops, m);
}

static void end(struct ft_twin *m)
{
    lose_connection(m);
    ft_follower_free(m->follower);
    free(m->events);
    free(m->delivered);
    free(m->owed);
    free(m->given);
}

static void expect_all(struct ft_twin *m, uint64_t seed)
{
    uint64_t head;
    const char *stream = ft_follower_stream(m->follower, &head);
    cr_assert_eq(ft_follower_state(m->follower), FT_FOLLOWER_FOLLOWING, "seed %lu: state %d", seed,
                 ft_follower_state(m->follower));
    cr_assert_str_eq(stream, m->redis.name, "seed %lu", seed);
    cr_assert_str_eq(m->stream, m->redis.name);
    cr_assert_eq(head, m->redis.head, "seed %lu: %lu, and Redis has %lu", seed, head,
                 m->redis.head);
    cr_assert_eq(m->seq, m->redis.head);
    cr_assert(m->is_joined);
    cr_assert_not(m->needs_gap);
    cr_assert_eq(m->is_forged ? 0 : ft_twin_owes(m), 0,
                 "seed %lu: acknowledged, and lost in silence", seed);
    cr_assert_not(m->owes_gap, "seed %lu: something was lost in silence", seed);
    cr_assert_not(ft_follower_is_healing(m->follower));
}

enum kind_of_run { RUN_CALM, RUN_ROUGH, RUN_FORGED };

static void run(uint64_t seed, enum kind_of_run kind, uint32_t steps)
{
    static struct ft_twin m;
    begin(&m, seed);
    m.is_forged = kind == RUN_FORGED;
    m.is_calm = kind == RUN_CALM;
    connect(&m);
    for (uint32_t i = 0; i < steps; i++)
        step(&m);
    settle(&m);
    expect_all(&m, seed);
    if (m.is_calm) {
        cr_assert_eq(m.gaps, 1, "seed %lu: the log had all of it", seed);
        cr_assert_gt(ft_follower_figures(m.follower)->holes, 0);
        cr_assert_gt(ft_follower_figures(m.follower)->healed, 0);
    }
    if (!m.is_forged && !m.is_damaged) {
        for (uint32_t i = 0; i < FT_FAKE_TOPICS; i++)
            cr_assert_eq(m.last_id[i], m.redis.last_id[i], "seed %lu: last value of t/%u", seed, i);
    }
    end(&m);
}

Test(follower_model, what_the_log_has_is_never_a_gap, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 200; seed++)
        run(seed, RUN_CALM, 2000);
}

Test(follower_model, what_reaches_the_journal_is_all_in_order_or_marked_by_a_gap, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 400; seed++)
        run(seed, RUN_ROUGH, 3000);
}

Test(follower_model, what_is_forged_displaces_nothing_in_silence, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 400; seed++)
        run(seed, RUN_FORGED, 3000);
}
