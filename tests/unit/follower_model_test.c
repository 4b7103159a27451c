/*
 * The follower against a model of Redis that loses, doubles and delays messages, forgets its log, is away,
 * comes back with less than it had or with nothing, and to whose channel anybody may send. What reaches the
 * journal is compared with what was really published: every publication says which one came before it.
 */
#include "broker/base/alloc.h"
#include "tests/unit/support/fake_stream.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define INSTANCE "abcdefghijklmnop"
#define FORGED   UINT32_C(0x80000000)
#define EVENTS   512

struct
    event { /* on the channel, or on the node's own: behind everything that was published before */
    bool is_beat;
    struct ft_fake_message message; /* or of the beat: last, ms … */
    char name[FT_STREAM_NAME_LEN + 1];
};

enum kind { COMMAND_SUBSCRIBE, COMMAND_JOIN, COMMAND_RANGE, COMMAND_LOAD, COMMAND_BEAT };

struct command {
    enum kind kind;
    uint64_t a, b;
    char name[FT_STREAM_NAME_LEN + 1];
    bool is_executed; /* its answer is as follows */
    struct ft_log_entry entries[FT_FOLLOWER_RANGE];
    struct ft_fake_message copies[FT_FOLLOWER_RANGE];
    uint32_t count;
    char stream[FT_STREAM_NAME_LEN + 1];
    uint64_t head, ms;
};

struct model {
    uint64_t random;
    struct ft_follower *follower;
    struct ft_fake_stream redis, snapshot;
    bool has_snapshot, is_up, is_wanted, is_full, is_subscribed;
    bool is_forged;  /* somebody sends to the channel */
    bool is_calm;    /* messages are lost, doubled, damaged; and that is all */
    bool is_damaged; /* the log has something that cannot be read */
    uint32_t next_id;
    uint64_t now_ms;
    uint32_t range;
    struct event *events;
    uint32_t events_from, events_to;
    struct event heard; /* a beat that is not told yet */
    bool has_heard;
    struct command commands[8];
    uint32_t commands_count;
    struct ft_loaded *loaded;
    struct ft_load_plan plan;

    /* the journal */
    char stream[FT_STREAM_NAME_LEN + 1];
    uint64_t seq;
    uint32_t newest; /* 0: something unknown was before */
    bool needs_gap, owes_gap, is_joined;
    uint32_t gaps, live, last_id[FT_FAKE_TOPICS];
    uint8_t *delivered;
    uint32_t delivered_cap;
};

static uint64_t chance(struct model *m, uint64_t limit)
{
    return ft_input_random(&m->random, limit);
}

/* ---- what the follower wants done ---- */

static struct command *command(struct model *m, enum kind kind)
{
    if (!m->is_up)
        return NULL;
    cr_assert_lt(m->commands_count, 8);
    struct command *c = &m->commands[m->commands_count++];
    memset(c, 0, sizeof(*c));
    c->kind = kind;
    return c;
}

static uint32_t waiting(const struct model *m, enum kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->commands_count; i++)
        n += m->commands[i].kind == kind;
    return n;
}

static bool on_subscribe(void *part)
{
    return command(part, COMMAND_SUBSCRIBE) != NULL;
}

static bool on_join(void *part, const char *seen, uint64_t head)
{
    struct model *m = part;
    cr_assert_eq(waiting(m, COMMAND_JOIN), 0);
    struct command *c = command(m, COMMAND_JOIN);
    if (c) {
        memcpy(c->name, seen, sizeof(c->name));
        c->a = head;
    }
    return c != NULL;
}

static bool on_range(void *part, uint64_t ms, uint64_t after)
{
    struct model *m = part;
    cr_assert_eq(waiting(m, COMMAND_RANGE), 0, "one range at a time");
    struct command *c = command(m, COMMAND_RANGE);
    if (c) {
        c->a = ms;
        c->b = after;
    }
    return c != NULL;
}

static bool on_load(void *part, struct ft_loaded *loaded, const struct ft_load_plan *plan)
{
    struct model *m = part;
    struct command *c = command(m, COMMAND_LOAD);
    m->loaded = loaded;
    m->plan = *plan;
    return c != NULL;
}

static void on_unsubscribe(void *part)
{
    struct model *m = part;
    m->is_subscribed = false;
    m->events_from = m->events_to;
}

static bool on_room(void *part)
{
    struct model *m = part;
    if (!m->is_full)
        m->is_full = chance(m, 60) == 0;
    return !m->is_full;
}

static bool on_flush(void *part)
{
    return !((struct model *)part)->is_full;
}

static void on_forget(void *part)
{
    struct model *m = part;
    memset(m->last_id, 0, sizeof(m->last_id));
}

static void on_open(void *part, const char *name, uint64_t after)
{
    struct model *m = part;
    cr_assert_not(m->is_full);
    memcpy(m->stream, name, sizeof(m->stream));
    m->seq = after;
    m->newest = 0;
    m->needs_gap = true;
}

static void deliver(struct model *m, uint32_t id)
{
    if (id >= FORGED)
        return;
    while (id >= m->delivered_cap) {
        m->delivered = ft_realloc(m->delivered, m->delivered_cap + 4096);
        memset(m->delivered + m->delivered_cap, 0, 4096);
        m->delivered_cap += 4096;
    }
    cr_assert_eq(m->delivered[id], 0, "publication %u twice", id);
    m->delivered[id] = 1;
}

static void on_append(void *part, const struct ft_follower_entry *e)
{
    struct model *m = part;
    cr_assert_not(m->is_full);
    uint32_t topic, id, before;
    ft_fake_entry_read(e->entry, &topic, &id, &before);
    cr_assert_lt(topic, FT_FAKE_TOPICS);
    if (e->entry->is_retained)
        m->last_id[topic] = id;
    if (e->kind == FT_ENTRY_RESTORED)
        return;
    cr_assert(ft_slice_equal(e->name, ft_slice_str(m->stream)));
    cr_assert_eq(e->seq, m->seq + 1, "no hole");
    if (e->kind == FT_ENTRY_LIVE)
        cr_assert_not(m->needs_gap, "a gap was to be told first");
    if ((m->newest != 0 && before != m->newest) || id >= FORGED) {
        cr_assert(m->is_forged, "%u came after %u, not after %u", id, before, m->newest);
        m->owes_gap = true;
    }
    if (!m->is_forged)
        deliver(m, id);
    m->seq = e->seq;
    m->newest = id;
    m->live += e->kind == FT_ENTRY_LIVE;
}

static void on_gap(void *part, uint64_t seq, uint64_t lost)
{
    struct model *m = part;
    (void)lost;
    cr_assert_eq(seq, m->seq);
    m->needs_gap = m->owes_gap = false;
    m->newest = 0;
    m->gaps++;
}

static void on_joined(void *part)
{
    ((struct model *)part)->is_joined = true;
}

static bool on_leave(void *part)
{
    struct model *m = part;
    m->is_joined = m->is_joined && m->is_wanted;
    return !m->is_wanted;
}

static void on_rejected(void *part, enum ft_rejected_message why)
{
    struct model *m = part;
    if (why == FT_MESSAGE_SPOOFED)
        cr_assert(m->is_forged, "nobody has forged anything");
}

static const struct ft_follower_ops ops = {
    .subscribe = on_subscribe,
    .join = on_join,
    .range = on_range,
    .load = on_load,
    .unsubscribe = on_unsubscribe,
    .has_room = on_room,
    .flush = on_flush,
    .forget_topics = on_forget,
    .open_stream = on_open,
    .append = on_append,
    .gap = on_gap,
    .joined = on_joined,
    .leave = on_leave,
    .rejected = on_rejected,
};

/* ---- what Redis does ---- */

static struct event *send(struct model *m)
{
    if (!m->is_up || !m->is_subscribed || m->events_to - m->events_from == EVENTS)
        return NULL;
    struct event *event = &m->events[m->events_to++ % EVENTS];
    event->is_beat = false;
    return event;
}

static void publish(struct model *m)
{
    uint64_t head = 0;
    const char *seen = "";
    if (m->is_up && chance(m, 2) == 0) { /* by this node, which says what it has seen */
        seen = ft_follower_stream(m->follower, &head);
        head = ft_follower_confirmed(m->follower);
    }
    m->redis.ms += chance(m, 3);
    const struct ft_fake_message *message =
        ft_fake_publish(&m->redis, 1 + (uint32_t)chance(m, 3), &m->random, &m->next_id, seen, head);
    struct event *event = send(m);
    if (event)
        event->message = *message;
}

static void answer_range(struct model *m, struct command *c)
{
    for (uint32_t i = m->redis.from; i != m->redis.to && c->count < m->range; i++) {
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

static void answer_load(struct model *m)
{
    uint64_t budget = chance(m, 20);
    for (uint32_t i = m->redis.to; m->plan.is_warm && i != m->redis.from && budget > 0; i--) {
        const struct ft_fake_message *message = &m->redis.log[(i - 1) % FT_FAKE_LOG];
        if (message->last > m->plan.head)
            continue;
        budget--;
        if (!ft_loaded_add_log(m->loaded, ft_slice(message->bytes, message->len)))
            break;
    }
}

static void answer_last(struct model *m)
{
    for (uint32_t i = 0; i < FT_FAKE_TOPICS; i++) {
        const struct ft_fake_message *last = &m->redis.last[i];
        if (m->redis.last_id[i] != 0)
            ft_loaded_add_last(m->loaded, ft_slice(last->bytes, last->len));
    }
    ft_loaded_seal(m->loaded);
}

static void execute(struct model *m)
{
    for (uint32_t i = 0; i < m->commands_count; i++) {
        struct command *c = &m->commands[i];
        if (c->is_executed)
            continue;
        c->is_executed = true;
        if (c->kind == COMMAND_SUBSCRIBE)
            m->is_subscribed = true;
        else if (c->kind == COMMAND_JOIN) {
            ft_fake_join(&m->redis, &m->next_id, c->name, c->a);
            memcpy(c->stream, m->redis.name, sizeof(c->stream));
            c->head = m->redis.head;
            c->ms = m->redis.ms;
        } else if (c->kind == COMMAND_RANGE)
            answer_range(m, c);
        else if (c->kind == COMMAND_LOAD)
            answer_load(m);
        else {
            struct event *event = send(m);
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

static void answer(struct model *m)
{
    if (m->commands_count == 0 || !m->commands[0].is_executed)
        return;
    static struct command c;
    c = m->commands[0];
    for (uint32_t i = 0; i < c.count; i++)
        c.entries[i].message.ptr = c.copies[i].bytes;
    memmove(m->commands, m->commands + 1, --m->commands_count * sizeof(c));
    switch (c.kind) {
    case COMMAND_SUBSCRIBE:
        ft_follower_subscribed(m->follower, true);
        break;
    case COMMAND_JOIN:
        ft_follower_joined(m->follower, FT_ANSWER, ft_slice_str(c.stream), c.head, c.ms);
        break;
    case COMMAND_RANGE:
        ft_follower_range(m->follower, FT_ANSWER, c.entries, c.count);
        break;
    case COMMAND_LOAD:
        answer_last(m); /* read later than the log was */
        ft_follower_loaded(m->follower, FT_ANSWER);
        break;
    default:
        break;
    }
}

static void lose_connection(struct model *m)
{
    if (!m->is_up)
        return;
    m->is_up = m->is_subscribed = m->has_heard = false;
    m->events_from = m->events_to;
    while (m->commands_count > 0) {
        enum kind kind = m->commands[--m->commands_count].kind;
        if (kind == COMMAND_SUBSCRIBE)
            ft_follower_subscribed(m->follower, false);
        else if (kind == COMMAND_JOIN)
            ft_follower_joined(m->follower, FT_ANSWER_LOST, ft_slice_str(""), 0, 0);
        else if (kind == COMMAND_RANGE)
            ft_follower_range(m->follower, FT_ANSWER_LOST, NULL, 0);
        else if (kind == COMMAND_LOAD)
            ft_follower_loaded(m->follower, FT_ANSWER_LOST);
    }
    ft_follower_down(m->follower);
}

static void connect(struct model *m)
{
    if (m->is_up)
        return;
    m->is_up = true;
    ft_follower_up(m->follower, m->is_wanted);
}

/* ---- what comes by the channel ---- */

static void receive(struct model *m)
{
    if (m->events_from == m->events_to)
        return;
    const struct event *event = &m->events[m->events_from++ % EVENTS];
    const struct ft_fake_message *message = &event->message;
    if (event->is_beat) {
        ft_follower_heard(m->follower);
        m->heard = *event;
        m->has_heard = true;
        return;
    }
    uint64_t fate = m->is_forged ? 9 : chance(m, 30);
    uint32_t len = fate == 1 ? (uint32_t)chance(m, message->len) : message->len;
    if (fate == 0)
        return;
    struct ft_slice exact = ft_input_exact(ft_slice(message->bytes, len));
    ft_follower_message(m->follower, exact);
    if (fate == 2)
        ft_follower_message(m->follower, exact);
    ft_input_free(exact);
}

/* Somebody sends what looks like a message. */
static void forge(struct model *m)
{
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    char name[FT_STREAM_NAME_LEN + 1];
    memcpy(name, m->redis.name, sizeof(name));
    if (*name == '\0' || chance(m, 5) == 0)
        ft_fake_name(1000000 + (uint32_t)chance(m, 9), name);
    uint64_t first = m->redis.head + 3 - chance(m, 6);
    if (first == 0 || first > m->redis.head + 3)
        first = 1;
    uint32_t count = 1 + (uint32_t)chance(m, 4);
    ft_fake_head(name, m->redis.ms + 100 - chance(m, 120), first, count, &out);
    for (uint32_t i = 0; i < count; i++)
        ft_fake_entry(0, FORGED + (uint32_t)chance(m, 100), 1, false, &out);
    struct event *event = send(m);
    if (event) {
        memcpy(event->message.bytes, out.ptr, out.len);
        event->message.len = (uint32_t)out.len;
    }
    ft_buffer_fini(&out);
}

/* ---- time ---- */

static void tick(struct model *m, uint64_t ms)
{
    m->now_ms += ms;
    ft_follower_tick(m->follower, m->is_wanted, m->now_ms);
}

/* What a beat says is told when its answer has come, too. */
static void tell(struct model *m)
{
    if (!m->has_heard)
        return;
    m->has_heard = false;
    ft_follower_beat(m->follower, ft_slice_str(m->heard.name), m->heard.message.last,
                     m->heard.message.ms);
}

static void beat(struct model *m)
{
    tell(m);
    if (ft_follower_state(m->follower) == FT_FOLLOWER_FOLLOWING && waiting(m, COMMAND_BEAT) == 0)
        command(m, COMMAND_BEAT);
}

static void resume(struct model *m)
{
    m->is_full = false;
    ft_follower_resume(m->follower);
}

/* Redis is killed, and comes back: with all it had, with less, or with nothing. */
static void restart(struct model *m)
{
    lose_connection(m);
    uint64_t ms = m->redis.ms + 1 + chance(m, 50); /* time does not go back with it */
    if (m->has_snapshot && chance(m, 2) == 0)
        m->redis = m->snapshot;
    else if (chance(m, 2) == 0) {
        memset(&m->redis, 0, sizeof(m->redis));
        m->has_snapshot = false;
    }
    m->redis.ms = ms;
    m->has_snapshot = false;
}

static void something_rare(struct model *m)
{
    switch (chance(m, 9)) {
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
            m->redis.from += (uint32_t)chance(m, m->redis.to - m->redis.from + 1);
        break;
    case 4:
        m->is_wanted = !m->is_wanted;
        break;
    case 5:
        tick(m, FT_FOLLOWER_GRACE_MS + 1);
        break;
    case 6:
        if (m->redis.from != m->redis.to) {
            m->redis.log[m->redis.from % FT_FAKE_LOG].len = (uint32_t)chance(m, 20);
            m->is_damaged = true;
        }
        break;
    default:
        connect(m);
    }
}

static void step(struct model *m)
{
    switch (chance(m, 13)) {
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
        if (chance(m, 4) == 0)
            beat(m);
        break;
    case 11:
        if (m->is_full)
            resume(m);
        else if (m->is_forged && chance(m, 10) == 0)
            forge(m);
        break;
    default:
        if (!m->is_calm && chance(m, 12) == 0)
            something_rare(m);
        else
            connect(m);
    }
}

/* Nothing goes wrong any more: all that is on its way arrives, and beats go by. */
static void settle(struct model *m)
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

static void begin(struct model *m, uint64_t seed)
{
    *m = (struct model){.random = seed, .is_wanted = true, .next_id = 1, .now_ms = 1};
    m->redis.ms = 1000;
    m->range = 1 + (uint32_t)chance(m, FT_FOLLOWER_RANGE);
    m->events = ft_alloc_zero(EVENTS * sizeof(*m->events));
    m->follower = ft_follower_new(&(struct ft_follower_options){.instance = INSTANCE,
                                                                .message_bytes = 1000,
                                                                .range = m->range},
                                  &ops, m);
}

static void end(struct model *m)
{
    lose_connection(m);
    ft_follower_free(m->follower);
    free(m->events);
    free(m->delivered);
}

static void expect_all(struct model *m, uint64_t seed)
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
    cr_assert_not(m->owes_gap, "seed %lu: something was lost in silence", seed);
    cr_assert_not(ft_follower_is_healing(m->follower));
}

enum kind_of_run { RUN_CALM, RUN_ROUGH, RUN_FORGED };

static void run(uint64_t seed, enum kind_of_run kind, uint32_t steps)
{
    static struct model m;
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
