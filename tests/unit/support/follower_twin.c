/* Who a follower works for in a test: see the header. */
#include "tests/unit/support/follower_twin.h"

#include "broker/base/alloc.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdlib.h>

uint64_t ft_twin_chance(struct ft_twin *m, uint64_t limit)
{
    return ft_input_random(&m->random, limit);
}

/* ---- what the follower wants done ---- */

struct ft_twin_command *ft_twin_command(struct ft_twin *m, enum ft_twin_kind kind)
{
    if (!m->is_up)
        return NULL;
    cr_assert_lt(m->commands_count, 8);
    struct ft_twin_command *c = &m->commands[m->commands_count++];
    memset(c, 0, sizeof(*c));
    c->kind = kind;
    return c;
}

uint32_t ft_twin_waiting(const struct ft_twin *m, enum ft_twin_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->commands_count; i++)
        n += m->commands[i].kind == kind;
    return n;
}

static bool on_subscribe(void *part)
{
    return ft_twin_command(part, FT_TWIN_SUBSCRIBE) != NULL;
}

static bool on_join(void *part, const char *seen, uint64_t head)
{
    struct ft_twin *m = part;
    cr_assert_eq(ft_twin_waiting(m, FT_TWIN_JOIN), 0);
    struct ft_twin_command *c = ft_twin_command(m, FT_TWIN_JOIN);
    if (c) {
        memcpy(c->name, seen, sizeof(c->name));
        c->a = head;
        c->born = m->born;
        c->acked = m->acked.head;
        memcpy(c->acked_name, m->acked.name, sizeof(c->acked_name));
    }
    return c != NULL;
}

static uint32_t on_range(void *part, uint64_t ms, uint64_t after)
{
    struct ft_twin *m = part;
    cr_assert_eq(ft_twin_waiting(m, FT_TWIN_RANGE), 0, "one range at a time");
    struct ft_twin_command *c = ft_twin_command(m, FT_TWIN_RANGE);
    if (c) {
        c->a = ms;
        c->b = after;
        c->most = 1 + (uint32_t)ft_twin_chance(m, m->range);
    }
    return c ? c->most : 0;
}

static bool on_load(void *part, struct ft_loaded *loaded, const struct ft_load_plan *plan)
{
    struct ft_twin *m = part;
    struct ft_twin_command *c = ft_twin_command(m, FT_TWIN_LOAD);
    m->loaded = loaded;
    m->plan = *plan;
    return c != NULL;
}

static void on_unsubscribe(void *part)
{
    struct ft_twin *m = part;
    m->is_subscribed = false;
    m->events_from = m->events_to;
}

static bool on_room(void *part)
{
    struct ft_twin *m = part;
    if (!m->is_full)
        m->is_full = ft_twin_chance(m, 60) == 0;
    return !m->is_full;
}

static bool on_flush(void *part)
{
    return !((struct ft_twin *)part)->is_full;
}

static void on_forget(void *part)
{
    struct ft_twin *m = part;
    memset(m->last_id, 0, sizeof(m->last_id));
}

static void on_open(void *part, const char *name, uint64_t after)
{
    struct ft_twin *m = part;
    cr_assert_not(m->is_full);
    memcpy(m->stream, name, sizeof(m->stream));
    m->seq = m->upto = after;
    m->newest = 0;
    m->needs_gap = true;
}

static void on_skip(void *part, uint64_t after)
{
    struct ft_twin *m = part;
    cr_assert_not(m->is_full);
    cr_assert_gt(after, m->seq);
    m->seq = after;
}

static void on_life(void *part, uint64_t base)
{
    struct ft_twin *m = part;
    m->base = base > m->base ? base : m->base;
}

static uint64_t on_base(void *part, uint64_t seq)
{
    (void)seq;
    return ((struct ft_twin *)part)->base;
}

static void reserve(struct ft_twin *m, uint32_t id)
{
    while (id >= m->delivered_cap) {
        m->delivered = ft_realloc(m->delivered, m->delivered_cap + 4096);
        m->owed = ft_realloc(m->owed, m->delivered_cap + 4096);
        memset(m->delivered + m->delivered_cap, 0, 4096);
        memset(m->owed + m->delivered_cap, 0, 4096);
        m->delivered_cap += 4096;
    }
}

static void deliver(struct ft_twin *m, uint32_t id)
{
    if (id >= FT_TWIN_FORGED)
        return;
    reserve(m, id);
    cr_assert_eq(m->delivered[id], 0, "publication %u twice", id);
    m->delivered[id] = 1;
    m->owed[id] = 0;
}

void ft_twin_published(struct ft_twin *m, const struct ft_fake_message *message, bool is_ours)
{
    for (uint32_t i = 0; i < m->given_count; i++) {
        const struct ft_twin_given *given = &m->given[i];
        bool is_again = message->first <= given->last && message->last >= given->first &&
                        strcmp(given->name, m->redis.name) == 0;
        cr_assert_not(is_again, "%s.%lu means two things", given->name, message->first);
    }
    if (m->given_count == m->given_cap) {
        m->given_cap += 1024;
        m->given = ft_realloc(m->given, m->given_cap * sizeof(*m->given));
    }
    struct ft_twin_given *given = &m->given[m->given_count++];
    memcpy(given->name, m->redis.name, sizeof(given->name));
    given->first = message->first;
    given->last = message->last;
    if (!is_ours)
        return;
    memcpy(m->acked.name, m->redis.name, sizeof(m->acked.name));
    m->acked.head = message->last;
    m->born = m->redis.born > m->born ? m->redis.born : m->born;
    reserve(m, m->next_id);
    for (uint64_t n = message->first; n <= message->last; n++)
        m->owed[m->next_id - 1 - (message->last - n)] = 1;
}

uint32_t ft_twin_owes(const struct ft_twin *m)
{
    uint32_t n = 0;
    for (uint32_t id = 0; id < m->delivered_cap; id++)
        n += m->owed[id];
    return n;
}

static void on_append(void *part, const struct ft_follower_entry *e)
{
    struct ft_twin *m = part;
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
    if (!m->needs_gap)
        cr_assert_eq(e->kind == FT_ENTRY_WARM, e->seq <= m->upto, "the gap told who gets what");
    if ((m->newest != 0 && before != m->newest) || id >= FT_TWIN_FORGED) {
        cr_assert(m->is_forged, "%u came after %u, not after %u", id, before, m->newest);
        m->owes_gap = true;
    }
    if (!m->is_forged)
        deliver(m, id);
    m->seq = e->seq;
    m->newest = id;
    m->live += e->kind == FT_ENTRY_LIVE;
}

static void on_gap(void *part, uint64_t upto, uint64_t lost)
{
    struct ft_twin *m = part;
    (void)lost;
    cr_assert_geq(upto, m->seq);
    m->upto = upto;
    m->needs_gap = m->owes_gap = false;
    if (m->delivered_cap > 0)
        memset(m->owed, 0, m->delivered_cap);
    m->newest = 0;
    m->gaps++;
}

static void on_joined(void *part)
{
    ((struct ft_twin *)part)->is_joined = true;
}

static bool on_leave(void *part)
{
    struct ft_twin *m = part;
    m->is_joined = m->is_joined && m->is_wanted;
    return !m->is_wanted;
}

static void on_rejected(void *part, enum ft_rejected_message why)
{
    struct ft_twin *m = part;
    if (why == FT_MESSAGE_SPOOFED)
        /* Where Redis came back with less, messages of what was fenced a moment ago look like that. */
        cr_assert(m->is_forged || m->life > 0, "nobody has forged anything");
}

const struct ft_follower_ops ft_twin_ops = {
    .subscribe = on_subscribe,
    .join = on_join,
    .range = on_range,
    .load = on_load,
    .unsubscribe = on_unsubscribe,
    .has_room = on_room,
    .flush = on_flush,
    .forget_topics = on_forget,
    .open_stream = on_open,
    .skip = on_skip,
    .life = on_life,
    .base = on_base,
    .append = on_append,
    .gap = on_gap,
    .joined = on_joined,
    .leave = on_leave,
    .rejected = on_rejected,
};
