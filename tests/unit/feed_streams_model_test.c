/* A model test of positions in many streams: two nodes journal the same partitions in different orders, lose
 * some, take up new streams, restart and warm up; clients hop between them with what they have seen, of both
 * kinds. What must come follows from positions, `recovered` and gaps alone, as a client sees them. What fails
 * says its seed; FEED_SEED=n runs every plan with that one instead. */
#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "protocol/topic.h"
#include "tests/unit/support/streams_world.h"

#include <stdlib.h>

/* ---- what clients do, within a turn ---- */

static uint32_t some_filters(struct ft_model *m)
{
    uint32_t some = UINT32_C(1) << ft_model_below(m, FILTERS);
    while (ft_model_one_in(m, 2))
        some |= UINT32_C(1) << ft_model_below(m, FILTERS);
    return some;
}

static bool has_seen(const struct ft_model_client *c)
{
    for (uint32_t n = 0; n < NAMES; n++) {
        if (c->seen[n] != UINT64_MAX)
            return true;
    }
    return false;
}

/* Forgets streams that are no more: a client that was told goes by the new ones. */
static void forget_old(struct ft_model_client *c)
{
    for (uint32_t n = 0; n < c->m->names; n++) {
        uint32_t now = c->m->current[c->m->streams[n].partition];
        if (n != now && c->seen[now] != UINT64_MAX && ft_model_one_in(c->m, 2))
            c->seen[n] = UINT64_MAX;
    }
}

static void connect_to(struct ft_model_client *c, struct ft_model_node *node)
{
    struct ft_model *m = c->m;
    c->node = node;
    c->fake = (struct ft_fake_client){.on_frame = ft_model_read};
    c->is_deaf = c->is_rewound = c->is_ok = c->was_slow = false;
    c->gaps = c->least_gaps = c->most_gaps = 0;
    memset(c->last, 0, sizeof(c->last));
    memset(c->told, 0xff, sizeof(c->told));
    c->hears =
        !m->is_resting && ft_model_one_in(m, 3) ? 1 + (uint32_t)ft_model_below(m, 20) : UINT32_MAX;
    memset(c->brought, 0, sizeof(c->brought));
    for (uint32_t k = 0; k < PARTITIONS; k++)
        c->most_gaps += node->marks[k]; /* it may be that far behind */
    for (uint32_t k = 0; k < PARTITIONS; k++)
        c->floor[k].name = NAMES;
    ft_fake_client_open(&node->fake, &c->fake, 0, c->frames);
    c->is_connected = true;
    c->is_resume = c->active != 0 && has_seen(c);
    for (uint32_t t = 0; t < TOPICS; t++)
        c->due[t].name = NAMES;
    ft_fake_node_begin(&node->fake, 0);
    if (c->is_resume) {
        forget_old(c);
        uint64_t since[NAMES];
        memcpy(since, c->seen, sizeof(since));
        m->resumes++;
        ft_model_ask(c, c->active, since);
    } else {
        c->active = 0;
        memset(c->seen, 0xff, sizeof(c->seen));
        memset(c->got, 0, sizeof(c->got));
        ft_model_ask(c, some_filters(m), NULL);
    }
    (void)ft_fake_node_end(&node->fake, 0);
}

static void drop(struct ft_model_client *c)
{
    ft_fake_client_close(&c->fake);
    c->is_connected = false;
    c->active &= ~c->asked | (c->is_resume && !c->is_ok ? c->asked : 0);
    c->asked = 0;
    for (uint32_t f = 0; c->is_rewound && f < FILTERS; f++) {
        /* Who goes back and breaks off in the middle has said that it saw more than that. */
        for (uint32_t k = 0; k < PARTITIONS; k++) {
            struct ft_model_place *promised = &c->promised[f][k];
            if (promised->name != NAMES && c->seen[promised->name] != UINT64_MAX &&
                promised->seq < c->seen[promised->name])
                promised->seq = c->seen[promised->name];
        }
    }
}

/* Adds filters, mostly live, now and then from a while ago. */
static void add_filters(struct ft_model_client *c)
{
    struct ft_model *m = c->m;
    uint32_t more = some_filters(m) & ~c->active;
    if (more == 0 || c->asked != 0 || c->frames == FT_FRAMES_EVENTS || c->fake.is_paused)
        return;
    c->is_resume = false;
    if (ft_model_one_in(m, 2)) {
        ft_model_ask(c, more, NULL);
        return;
    }
    uint64_t since[NAMES];
    memset(since, 0xff, sizeof(since));
    for (uint32_t k = 0; k < PARTITIONS; k++) {
        uint32_t name = c->node->name[k];
        if (ft_model_one_in(m, 6) || c->seen[name] == UINT64_MAX)
            continue;
        uint64_t back = ft_model_below(m, 12);
        since[name] = c->seen[name] > back ? c->seen[name] - back : 0;
    }
    bool is_any = false;
    for (uint32_t n = 0; n < NAMES; n++)
        is_any = is_any || since[n] != UINT64_MAX;
    if (!is_any)
        return;
    c->is_rewound = true;
    ft_model_ask(c, more, since);
}

static void act(struct ft_model_client *c)
{
    struct ft_model *m = c->m;
    uint64_t what = ft_model_below(m, 16);
    if (what < 2) {
        add_filters(c);
    } else if (what < 5 && !c->fake.session.is_blocked) {
        c->fake.takes = 1 + (uint32_t)ft_model_below(m, 3);
    } else if (what < 8) {
        ft_fake_client_unblock(&c->fake, 1 + (uint32_t)ft_model_below(m, 3));
    } else if (what < 12) {
        ft_fake_client_unblock(&c->fake, FT_FAKE_ALL);
    } else if (what == 13 && c->fake.session.is_blocked && ft_model_one_in(m, 2)) {
        c->sleeps = (uint32_t)ft_model_below(m, 150);
    } else if (what == 12) {
        c->is_deaf =
            c->is_deaf || ft_model_one_in(m, 3); /* what comes from here on is lost on the way */
    }
}

/* ---- at rest nothing may be missing ---- */

static void check_filter(struct ft_model_client *c, uint32_t f)
{
    struct ft_model *m = c->m;
    for (uint32_t k = 0; k < PARTITIONS; k++) {
        const struct ft_model_place *promised = &c->promised[f][k];
        const struct ft_model_stream *stream = &m->streams[m->current[k]];
        if (!m->touches[f][k])
            continue;
        HOLDS(promised->name == m->current[k], c, "nobody said that partition %u goes on in %s", k,
              stream->name);
        for (uint64_t seq = promised->seq + 1; seq <= stream->head; seq++)
            HOLDS(!m->matches[f][stream->topic[seq]] || c->got[promised->name][seq], c,
                  "client with %x: %s.%lu of %s is missing after %lu", c->active, stream->name,
                  (unsigned long)seq, ft_model_topics[stream->topic[seq]],
                  (unsigned long)promised->seq);
    }
}

static void check(struct ft_model_client *c)
{
    for (uint32_t f = 0; f < FILTERS; f++) {
        if (c->active >> f & 1)
            check_filter(c, f);
    }
    for (uint32_t t = 0; t < TOPICS; t++)
        HOLDS(c->due[t].name == NAMES || c->due[t].name != c->m->current[c->m->partition_of[t]] ||
                  c->was_slow,
              c, "the last value of %s is missing", ft_model_topics[t]);
    HOLDS(c->gaps <= c->most_gaps || c->is_rewound, c, "%u gaps of %u", c->gaps, c->most_gaps);
    HOLDS(c->gaps >= c->least_gaps || c->was_slow, c, "%u gaps only of %u", c->gaps, c->least_gaps);
}

static void rest(struct ft_model *m)
{
    m->is_resting = true;
    for (uint32_t i = 0; i < CLIENTS; i++)
        m->clients[i]->hears = UINT32_MAX;
    for (uint32_t n = 0; n < NODES; n++) {
        for (uint32_t k = 0; k < PARTITIONS; k++) {
            while (m->nodes[n].name[k] != m->current[k] ||
                   m->nodes[n].applied[k] < m->streams[m->current[k]].head) {
                ft_model_follow(m, &m->nodes[n], k, true);
                ft_fake_node_settle(&m->nodes[n].fake);
            }
        }
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct ft_model_client *c = m->clients[i];
        if (c->is_connected && c->is_deaf)
            drop(c);
        if (!c->is_connected)
            connect_to(c, &m->nodes[ft_model_below(m, NODES)]);
        HOLDS(!c->is_deaf, c, "who has just connected hears");
        ft_fake_node_begin(&c->node->fake, 0);
        ft_fake_client_unblock(&c->fake, FT_FAKE_ALL);
        (void)ft_fake_node_end(&c->node->fake, 0);
        ft_fake_node_settle(&c->node->fake);
        HOLDS(c->asked == 0 && !c->fake.session.feed, c, "at rest everybody is live");
        check(c);
    }
    m->is_resting = false;
}

/* ---- turns ---- */

static void restart(struct ft_model *m, struct ft_model_node *node)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (m->clients[i]->is_connected && m->clients[i]->node == node)
            drop(m->clients[i]);
    }
    ft_model_node_end(node);
    ft_model_node_begin(m, node);
}

static void step(struct ft_model *m)
{
    for (uint64_t i = ft_model_below(m, 5); i > 0; i--)
        ft_model_publish(m);
    if (ft_model_one_in(m, m->plan->renames) && m->names < NAMES)
        ft_model_new_stream(m, (uint32_t)ft_model_below(m, PARTITIONS));
    for (uint32_t n = 0; n < NODES; n++) {
        struct ft_model_node *node = &m->nodes[n];
        node->is_behind = ft_model_one_in(m, 20) ? !node->is_behind : node->is_behind;
        for (uint64_t i = ft_model_below(m, node->is_behind ? 3 : 12); i > 0; i--)
            ft_model_follow(m, node, (uint32_t)ft_model_below(m, PARTITIONS), false);
        if (ft_model_one_in(m, 4))
            ft_model_add_ephemeral(node);
        if (ft_model_one_in(m, m->plan->restarts))
            restart(m, node);
        ft_fake_node_begin(&node->fake, 0);
        for (uint32_t i = 0; i < CLIENTS; i++) {
            struct ft_model_client *c = m->clients[i];
            if (c->sleeps > 0)
                c->sleeps--;
            else if (c->is_connected && c->node == node && ft_model_one_in(m, 2))
                act(c);
        }
        (void)ft_fake_node_end(&node->fake, 0);
    }
    struct ft_model_client *c = m->clients[ft_model_below(m, CLIENTS)];
    if (!c->is_connected)
        connect_to(c, &m->nodes[ft_model_below(m, NODES)]);
    else if ((c->is_deaf || (ft_model_one_in(m, 8) && c->sleeps == 0)) && c->asked == 0)
        drop(c);
}

static void begin(struct ft_model *m, const struct ft_model_plan *plan)
{
    *m = (struct ft_model){.plan = plan, .random = plan->seed};
    m->partitions = (struct ft_partitions){.count = PARTITIONS, .hash_levels = 1};
    m->streams = ft_alloc_zero(NAMES * sizeof(*m->streams));
    for (uint32_t t = 0; t < TOPICS; t++)
        m->partition_of[t] = ft_partition_of(&m->partitions, ft_slice_str(ft_model_topics[t]));
    for (uint32_t f = 0; f < FILTERS; f++) {
        struct ft_partition_set set = {0};
        ft_partitions_touched(&m->partitions, ft_slice_str(ft_model_filters[f]), &set);
        for (uint32_t k = 0; k < PARTITIONS; k++)
            m->touches[f][k] = ft_partition_set_has(&set, k);
        for (uint32_t t = 0; t < TOPICS; t++)
            m->matches[f][t] = ft_filter_matches(ft_slice_str(ft_model_filters[f]),
                                                 ft_slice_str(ft_model_topics[t]));
    }
    for (uint32_t k = 0; k < PARTITIONS; k++)
        ft_model_new_stream(m, k);
    for (uint32_t n = 0; n < NODES; n++)
        ft_model_node_begin(m, &m->nodes[n]);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct ft_model_client *c = m->clients[i] = ft_alloc_zero(sizeof(*c));
        c->m = m;
        c->frames = i < EVENTS ? FT_FRAMES_EVENTS : FT_FRAMES_JSON;
        memset(c->seen, 0xff, sizeof(c->seen));
        connect_to(c, &m->nodes[i % NODES]);
    }
}

static void end(struct ft_model *m)
{
    for (uint32_t n = 0; n < NODES; n++)
        ft_model_node_end(&m->nodes[n]);
    for (uint32_t i = 0; i < CLIENTS; i++)
        free(m->clients[i]);
    free(m->streams);
}

static void run(struct ft_model_plan plan)
{
    ft_log_set_level(FT_LOG_WARN);
    const char *seed = getenv("FEED_SEED");
    if (seed)
        plan.seed = strtoull(seed, NULL, 10);
    struct ft_model m;
    plan.has_changes = plan.loses || plan.renames || plan.restarts || plan.journal_bytes < LARGE;
    begin(&m, &plan);
    for (uint32_t i = 1; i <= plan.steps; i++) {
        step(&m);
        if (ft_model_one_in(&m, 60))
            rest(&m);
    }
    rest(&m);
    fprintf(stderr,
            "feed_streams_model: seed %lu: %u messages, %u last values, %u warm; %u resumes, %u "
            "recovered, %u not; %u stalled, %u gaps of the relay, %u of slow ones\n",
            (unsigned long)plan.seed, m.messages, m.retained, m.warmed, m.resumes, m.recovered,
            m.unrecovered, m.stalled, m.gaps, m.slow);
    cr_assert_gt(m.ephemeral, 20);
    cr_assert_gt(m.stalled, 0);
    cr_assert(m.slow > 0 || plan.journal_bytes >= LARGE);
    cr_assert_gt(m.messages, plan.steps);
    cr_assert_gt(m.recovered, plan.steps / 50);
    cr_assert_gt(m.retained, 5);
    cr_assert(plan.has_changes || m.gaps == 0);
    cr_assert(!plan.loses || m.gaps > 20);
    cr_assert(!plan.restarts || m.warmed > 100);
    cr_assert(m.unrecovered > 5 || !plan.has_changes);
    end(&m);
}

TestSuite(feed_streams_model, .timeout = 60);

Test(feed_streams_model, two_nodes_that_differ_in_order_alone)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        run((struct ft_model_plan){.seed = seed, .steps = 1000, .journal_bytes = LARGE});
}

Test(feed_streams_model, nodes_that_lose_some)
{
    for (uint64_t seed = 11; seed <= 16; seed++)
        run((struct ft_model_plan){
            .seed = seed, .steps = 1000, .journal_bytes = LARGE, .loses = 60});
}

Test(feed_streams_model, streams_that_are_replaced)
{
    for (uint64_t seed = 21; seed <= 26; seed++)
        run((struct ft_model_plan){
            .seed = seed, .steps = 1000, .journal_bytes = LARGE, .renames = 30});
}

Test(feed_streams_model, nodes_that_restart_and_warm_up)
{
    for (uint64_t seed = 31; seed <= 36; seed++)
        run((struct ft_model_plan){
            .seed = seed, .steps = 1000, .journal_bytes = LARGE, .restarts = 60});
}

Test(feed_streams_model, journals_that_hold_hardly_anything)
{
    for (uint64_t seed = 51; seed <= 56; seed++)
        run((struct ft_model_plan){.seed = seed, .steps = 1000, .journal_bytes = SMALL});
}

Test(feed_streams_model, all_of_it_and_journals_that_hold_hardly_anything)
{
    for (uint64_t seed = 41; seed <= 48; seed++)
        run((struct ft_model_plan){.seed = seed,
                                   .steps = 1000,
                                   .journal_bytes = SMALL,
                                   .loses = 100,
                                   .renames = 60,
                                   .restarts = 100});
}
