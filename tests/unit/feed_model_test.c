/* A model test: random operations on a node with one or two workers against the slow twin in
 * support/feed_twin.c. Publishers, subscribers that come and go, resume, go back, stop reading and read
 * on; journals that hold everything and journals that hold hardly anything; every policy for those who
 * are slow; event streams among them; identities that may less than all, and an operator who takes things
 * away. What fails says its seed; FEED_SEED=n runs every plan with that one instead. */
#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/hub/control.h"
#include "broker/hub/feed.h"
#include "broker/hub/throttle.h"
#include "protocol/writer.h"
#include "tests/unit/support/feed_twin.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define CLIENTS 8
#define STREAMS 3 /* of these, event streams */
#define WORKERS 2
/* Publishes that may wait for their number: a batch must fit the smallest journal. */
#define UNACKED_MAX 12

struct plan {
    uint64_t seed;
    uint32_t workers, steps, lag; /* the last: turns that one worker has while the other lags */
    size_t journal_bytes, queue_bytes, flush_bytes, payload;
    enum ft_slow slow; /* of "a/#" */
    bool is_throttled;
    bool has_gaps; /* it is so narrow that there must be some; otherwise there must be none */
};

struct publisher {
    struct ft_fake_client fake;
    struct ft_twin_world *world;
    uint32_t unacked;
};

struct model {
    const struct plan *plan;
    uint64_t random;
    struct ft_twin_world *world;
    struct ft_fake_node node;
    struct publisher publishers[WORKERS];
    struct ft_twin *twins[CLIENTS];
    uint32_t turn;                          /* whose it is */
    uint32_t parked, closed, blocked, held; /* how often was seen what is to be tested */
};

static uint64_t below(struct model *m, uint64_t limit)
{
    return ft_input_random(&m->random, limit);
}

static bool one_in(struct model *m, uint64_t n)
{
    return below(m, n) == 0;
}

/* ---- publishing ---- */

static void note_ok(struct ft_fake_client *fake, uint8_t opcode, struct ft_slice payload)
{
    struct publisher *publisher = (struct publisher *)fake;
    struct ft_twin_world *world = publisher->world;
    struct ft_twin_event event;
    ft_twin_parse(fake, opcode, payload, &event);
    if (event.op == FT_OP_WELCOME)
        return;
    cr_assert_eq(event.op, FT_OP_OK);
    cr_assert_lt(event.offset, FT_TWIN_PUBLICATIONS);
    cr_assert_eq(world->number_at[event.offset], 0, "two publications have one position");
    uint32_t topic = world->topic_of[event.id];
    world->number_at[event.offset] = (uint32_t)event.id;
    if (event.offset > world->newest[topic])
        world->newest[topic] = event.offset;
    if (world->is_retained[event.id] && event.offset > world->retained_at[topic])
        world->retained_at[topic] = event.offset;
    if (event.offset > world->known)
        world->known = event.offset;
    publisher->unacked--;
}

static void publish(struct model *m, uint32_t worker)
{
    struct publisher *publisher = &m->publishers[worker];
    uint32_t number = ++m->world->numbers, topic = (uint32_t)below(m, FT_TWIN_TOPICS);
    cr_assert_lt(number, FT_TWIN_PUBLICATIONS);
    bool is_retained = one_in(m, 8);
    m->world->topic_of[number] = (uint8_t)topic;
    m->world->is_retained[number] = is_retained;
    static char data[1 << 14];
    int n = snprintf(data, sizeof(data), "<%u>", number);
    size_t padding = below(m, m->plan->payload);
    memset(data + n, 'x', padding);

    struct ft_buffer text;
    struct ft_writer w;
    ft_buffer_init(&text, sizeof(data) + 256);
    ft_writer_init(&w, (enum ft_encoding)publisher->fake.session.frames, &text);
    ft_write_map(&w, 4 + is_retained);
    ft_write_key(&w, "op");
    ft_write_str(&w, ft_slice_str("pub"));
    ft_write_key(&w, "id");
    ft_write_uint(&w, number);
    ft_write_key(&w, "topic");
    ft_write_str(&w, ft_slice_str(ft_twin_topics[topic]));
    ft_write_key(&w, "data");
    ft_write_str(&w, ft_slice(data, (size_t)n + padding));
    if (is_retained) {
        ft_write_key(&w, "retain");
        ft_write_bool(&w, true);
    }
    publisher->unacked++;
    ft_fake_client_receive(&publisher->fake, ft_buffer_slice(&text));
    ft_buffer_fini(&text);
}

static void publish_some(struct model *m, uint32_t worker)
{
    uint64_t n = 1 + below(m, 4);
    for (uint64_t i = 0; i < n; i++) {
        if (m->publishers[worker].unacked < UNACKED_MAX &&
            m->world->numbers + 1 < FT_TWIN_PUBLICATIONS)
            publish(m, worker);
    }
}

/* ---- what subscribers do, within a turn ---- */

static uint32_t some_filters(struct model *m)
{
    uint32_t filters = UINT32_C(1) << below(m, FT_TWIN_FILTERS);
    while (one_in(m, 2))
        filters |= UINT32_C(1) << below(m, FT_TWIN_FILTERS);
    return filters;
}

/* A position from which a client may want to go on: mostly one that it has seen, now and then one
 * around the tail, or one that does not exist yet. */
static uint64_t some_position(struct model *m, const struct ft_twin *twin)
{
    uint64_t head = ft_journal_head(m->node.journal), tail = ft_journal_tail(m->node.journal);
    uint64_t back = below(m, 30), around = tail + below(m, 5);
    if (one_in(m, 16))
        return head + 1 + below(m, 3);
    if (one_in(m, 4))
        return around > 2 ? around - 2 : 0;
    return twin->greatest > back ? twin->greatest - back : 0;
}

static struct ft_twin_request some_request(struct model *m, const struct ft_twin *twin,
                                           bool has_since)
{
    static const uint32_t windows_ms[] = {0, 0, 50, 200};
    struct ft_twin_request request = {.filters = some_filters(m), .is_sub = true};
    if (!one_in(m, 4) && request.filters & ft_twin_allowed[twin->next_rights])
        request.filters &= ft_twin_allowed[twin->next_rights];
    request.has_since = has_since;
    request.since = has_since ? some_position(m, twin) : 0;
    request.names_other = has_since && one_in(m, 8);
    request.every_ms = m->plan->is_throttled ? windows_ms[below(m, 4)] : 0;
    return request;
}

static void subscribe(struct model *m, struct ft_twin *twin, bool has_since)
{
    struct ft_twin_request request = some_request(m, twin, has_since);
    ft_twin_ask(twin, &request);
}

static void unsubscribe(struct model *m, struct ft_twin *twin)
{
    ft_twin_ask(twin, &(struct ft_twin_request){.filters = some_filters(m)});
}

/* Mostly it may everything, so that there is something to take away. */
static uint32_t some_rights(struct model *m)
{
    return one_in(m, 4) ? (uint32_t)below(m, FT_TWIN_RIGHTS) : 0;
}

static void renew(struct model *m, struct ft_twin *twin)
{
    ft_twin_ask(twin, &(struct ft_twin_request){.rights = some_rights(m), .is_auth = true});
}

/* ---- what an operator does ---- */

static void note_outcome(struct ft_question *question)
{
    struct ft_twin_world *world = question->asker;
    const struct ft_order_outcome *outcome = ft_control_outcome(question);
    world->orders += (uint32_t)outcome->subscriptions;
    world->evictions += outcome->subscriptions == 0 ? (uint32_t)outcome->sessions : 0;
}

/* Unsubscribes or disconnects a session, or all of a user's, wherever they are. */
static void order(struct model *m, const struct ft_twin *twin)
{
    struct ft_slice filters[FT_TWIN_FILTERS];
    struct ft_order given = {.filters = filters};
    given.kind = one_in(m, 3) ? FT_ORDER_DISCONNECT : FT_ORDER_UNSUBSCRIBE;
    uint32_t chosen = some_filters(m);
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        if (chosen >> f & 1)
            filters[given.filter_count++] = ft_slice_str(ft_twin_filters[f]);
    }
    if (one_in(m, 2))
        given.user = ft_identity_user(twin->fake.session.asker.who);
    else
        given.session = ft_slice(twin->fake.session.id, FT_SESSION_ID_LEN);
    cr_assert_eq(ft_order_check(&given, NULL), FT_OK);
    (void)ft_control(twin->fake.session.asker.worker, &given, note_outcome, m->world);
    for (uint32_t i = 0; i < CLIENTS; i++) /* those who are meant are among them */
        m->twins[i]->is_meddled_with = true;
}

static void act(struct model *m, struct ft_twin *twin)
{
    bool may_ask = !twin->fake.is_paused && twin->request_count < FT_TWIN_REQUESTS &&
                   !twin->fake.session.is_ending && twin->frames != FT_FRAMES_EVENTS;
    uint64_t what = below(m, 20);
    if (what < 3 && may_ask) {
        subscribe(m, twin, false);
    } else if (what < 5 && may_ask) {
        subscribe(m, twin, true);
    } else if (what < 8 && may_ask) {
        unsubscribe(m, twin);
    } else if (what < 12 && !twin->fake.session.is_blocked) {
        twin->fake.takes = 1 + (uint32_t)below(m, 3);
        twin->was_blocked = twin->was_ever_blocked = true;
    } else if (what < 14) {
        twin->was_blocked = twin->was_ever_blocked = true;
        ft_fake_client_unblock(&twin->fake, 1 + (uint32_t)below(m, 3));
    } else if (what < 16) {
        ft_fake_client_unblock(&twin->fake, FT_FAKE_ALL);
    } else if (what == 16 && may_ask && one_in(m, 2)) {
        renew(m, twin);
    } else if (what == 17 && one_in(m, 2)) {
        order(m, twin);
    }
}

/* Connects one that was cut off, or begins anew where it has nothing to go on with. */
static void come_back(struct model *m, struct ft_twin *twin)
{
    uint32_t worker = (uint32_t)below(m, m->plan->workers);
    twin->next_rights = some_rights(m);
    bool is_stream = twin->frames == FT_FRAMES_EVENTS;
    if (is_stream && one_in(m, 4))
        twin->active = 0; /* another page, another stream */
    ft_twin_connect(twin, &m->node, worker);
    if (twin->is_connected)
        return;
    struct ft_twin_request request = some_request(m, twin, one_in(m, 3));
    request.last = !request.has_since && one_in(m, 2) ? 1 + (uint32_t)below(m, 4) : 0;
    ft_twin_stream(twin, &m->node, worker, &request);
}

/* ---- turns ---- */

/* Counts what the plan is there for. */
static void look(struct model *m)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct ft_session *session = &m->twins[i]->fake.session;
        if (!m->twins[i]->is_connected)
            continue;
        m->blocked += session->is_blocked;
        m->parked += session->feed && session->feed->is_parked;
        m->closed += session->is_ending;
        for (const struct ft_throttle *t = session->throttles; t; t = t->next)
            m->held += t->waiting.count;
    }
}

/* Everybody reads what has come; now and then a connection breaks before all of it is read. */
static void read_all(struct model *m)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct ft_twin *twin = m->twins[i];
        if (!twin->is_connected) {
            if (one_in(m, 8))
                come_back(m, twin);
            continue;
        }
        bool breaks = twin->fake.session.is_ending ? one_in(m, 3) : one_in(m, 100);
        ft_twin_read(twin, breaks ? (uint32_t)below(m, 8) : UINT32_MAX);
        if (breaks)
            ft_twin_drop(twin);
    }
}

static void turn(struct model *m)
{
    if (m->plan->lag == 0 || one_in(m, m->plan->lag))
        m->turn = (uint32_t)below(m, m->plan->workers);
    uint32_t worker = m->turn;
    uint64_t passed_ms = m->plan->is_throttled ? below(m, 40) : 0;
    m->node.mono_ms += passed_ms;
    m->node.wall_ms += passed_ms;
    ft_fake_node_begin(&m->node, worker);
    for (uint64_t i = below(m, 5); i > 0; i--) {
        struct ft_twin *twin = m->twins[below(m, CLIENTS)];
        if (one_in(m, 3))
            publish_some(m, worker);
        else if (twin->is_connected && twin->fake.session.asker.worker->index == worker)
            act(m, twin);
    }
    (void)ft_fake_node_end(&m->node, worker);
    look(m);
    read_all(m);
}

/* Everybody comes back and reads on; then nothing may be missing. */
static void rest(struct model *m)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct ft_twin *twin = m->twins[i];
        if (twin->is_connected && twin->fake.session.is_ending)
            ft_twin_drop(twin);
        while (!twin->is_connected)
            come_back(m, twin);
        ft_fake_node_begin(&m->node, twin->fake.session.asker.worker->index);
        ft_fake_client_unblock(&twin->fake, FT_FAKE_ALL);
        (void)ft_fake_node_end(&m->node, twin->fake.session.asker.worker->index);
    }
    ft_fake_node_settle(&m->node);
    ft_fake_node_settle(&m->node); /* an order may be on its way to the first worker again */
    if (m->plan->is_throttled)
        ft_fake_node_pass(&m->node, 500);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct ft_twin *twin = m->twins[i];
        ft_twin_read(twin, UINT32_MAX);
        if (twin->fake.session.is_ending)
            continue; /* it was too slow before it could read on */
        cr_assert_null(twin->fake.session.feed, "seed %lu: at rest everybody is live",
                       (unsigned long)m->plan->seed);
        ft_twin_check(twin);
    }
}

static void begin(struct model *m, const struct plan *plan)
{
    *m = (struct model){.plan = plan, .random = plan->seed};
    m->world = ft_alloc(sizeof(*m->world));
    ft_twin_world_init(m->world, plan->seed);
    m->world->is_throttled = plan->is_throttled;
    struct ft_policies *policies = ft_policies_new();
    cr_assert(
        ft_policies_add(policies, ft_slice_str("a/#"), &(struct ft_policy){.slow = plan->slow}));
    for (uint32_t t = 0; t < FT_TWIN_TOPICS; t++)
        m->world->slow[t] = ft_policies_find(policies, ft_slice_str(ft_twin_topics[t]), NULL)->slow;
    ft_fake_node_init(&m->node,
                      &(struct ft_journal_options){.size_bytes = plan->journal_bytes,
                                                   .chunk_bytes = 4096,
                                                   .age_s = 100000,
                                                   .seed = plan->seed},
                      &(struct ft_hub_options){.queue_bytes = plan->queue_bytes,
                                               .flush_bytes = plan->flush_bytes,
                                               .policies = policies},
                      plan->workers);
    ft_twin_tokens(&m->node.gate);
    for (uint32_t w = 0; w < plan->workers; w++) {
        m->publishers[w] = (struct publisher){.fake.on_frame = note_ok, .world = m->world};
        ft_fake_client_open(&m->node, &m->publishers[w].fake, w, w ? FT_MSGPACK : FT_FRAMES_JSON);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        m->twins[i] = ft_alloc_zero(sizeof(*m->twins[i]));
        m->twins[i]->index = i;
        m->twins[i]->world = m->world;
        m->twins[i]->frames = i < STREAMS ? FT_FRAMES_EVENTS
                              : i % 2     ? FT_FRAMES_MSGPACK
                                          : FT_FRAMES_JSON;
        come_back(m, m->twins[i]);
    }
}

static void end(struct model *m)
{
    ft_fake_node_fini(&m->node);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        free(m->twins[i]->events);
        free(m->twins[i]);
    }
    free(m->world);
}

static void run(struct plan plan)
{
    ft_log_set_level(FT_LOG_WARN);
    const char *seed = getenv("FEED_SEED");
    if (seed)
        plan.seed = strtoull(seed, NULL, 10);
    struct model m;
    begin(&m, &plan);
    for (uint32_t i = 1; i <= plan.steps; i++) {
        m.world->step = i;
        turn(&m);
        if (one_in(&m, 150))
            rest(&m);
    }
    rest(&m);
    const struct ft_twin_world *world = m.world;
    fprintf(
        stderr,
        "feed_model: seed %lu: %u messages, %u again; %u gaps, %u of them with losses; %u "
        "recovered, %u not; blocked %u, parked %u, closed %u, held back %u; %u of snapshots, %u "
        "refused, %u ended, %u disconnected\n",
        (unsigned long)plan.seed, world->messages, world->repeats, world->gaps, world->losses,
        world->recovered, world->unrecovered, m.blocked, m.parked, m.closed, m.held,
        world->snapshots, world->refused, world->ended, world->disconnected);
    cr_assert_gt(world->messages, plan.steps);
    cr_assert_gt(world->recovered, 20);
    cr_assert_gt(world->claimless, 0);
    cr_assert_gt(world->snapshots, 20);
    cr_assert_gt(world->refused, 2);
    cr_assert_gt(world->ended, 2);
    cr_assert_gt(world->disconnected, 0);
    cr_assert_gt(world->orders, 2);
    cr_assert_leq(world->disconnected, world->evictions);
    cr_assert_gt(m.blocked, 100);
    cr_assert(m.parked > 20 || plan.slow == FT_SLOW_DISCONNECT || plan.is_throttled);
    cr_assert(m.closed > 20 || plan.slow != FT_SLOW_DISCONNECT);
    cr_assert(m.held > 100 || !plan.is_throttled);
    cr_assert_eq(world->losses > 5, plan.has_gaps);
    cr_assert_eq(world->unrecovered > 5, plan.has_gaps);
    end(&m);
}

#define LARGE ((size_t)16 << 20)
#define SMALL ((size_t)24 << 10)

TestSuite(feed_model, .timeout = 60);

Test(feed_model, one_worker_and_a_journal_that_holds_everything)
{
    for (uint64_t seed = 1; seed <= 2; seed++)
        run((struct plan){.seed = seed,
                          .workers = 1,
                          .steps = 2000,
                          .journal_bytes = LARGE,
                          .queue_bytes = 4096,
                          .flush_bytes = 1024,
                          .payload = 200});
}

Test(feed_model, two_workers_and_a_journal_that_holds_everything)
{
    for (uint64_t seed = 11; seed <= 12; seed++)
        run((struct plan){.seed = seed,
                          .workers = 2,
                          .steps = 2000,
                          .journal_bytes = LARGE,
                          .queue_bytes = 2048,
                          .flush_bytes = 1024,
                          .payload = 200});
}

Test(feed_model, a_journal_that_holds_hardly_anything)
{
    for (uint64_t seed = 21; seed <= 24; seed++)
        run((struct plan){.seed = seed,
                          .workers = 1 + seed % 2,
                          .steps = 2000,
                          .journal_bytes = SMALL,
                          .queue_bytes = 2048,
                          .flush_bytes = 1024,
                          .payload = 200,
                          .has_gaps = true});
}

Test(feed_model, a_worker_that_lags_while_the_journal_is_full)
{
    for (uint64_t seed = 71; seed <= 72; seed++)
        run((struct plan){.seed = seed,
                          .workers = 2,
                          .steps = 2000,
                          .lag = 60,
                          .journal_bytes = SMALL,
                          .queue_bytes = 8192,
                          .flush_bytes = 1024,
                          .payload = 200,
                          .has_gaps = true});
}

Test(feed_model, large_publications_take_more_than_one_turn)
{
    for (uint64_t seed = 31; seed <= 32; seed++)
        run((struct plan){.seed = seed,
                          .workers = 2,
                          .steps = 1500,
                          .journal_bytes = 4 * LARGE,
                          .queue_bytes = 65536,
                          .flush_bytes = 16384,
                          .payload = 12000});
}

Test(feed_model, of_topics_of_which_the_newest_counts_the_newest_comes)
{
    for (uint64_t seed = 41; seed <= 44; seed++)
        run((struct plan){.seed = seed,
                          .workers = 1 + seed % 2,
                          .steps = 2000,
                          .journal_bytes = seed < 43 ? LARGE : SMALL,
                          .queue_bytes = 2048,
                          .flush_bytes = 1024,
                          .payload = 200,
                          .slow = FT_SLOW_LATEST,
                          .has_gaps = seed >= 43});
}

Test(feed_model, who_is_closed_for_being_slow_has_missed_nothing)
{
    static const uint64_t seeds[] = {51, 52, 4001};
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
        run((struct plan){.seed = seeds[i],
                          .workers = 1 + seeds[i] % 2,
                          .steps = 2000,
                          .journal_bytes = LARGE,
                          .queue_bytes = 2048,
                          .flush_bytes = 1024,
                          .payload = 200,
                          .slow = FT_SLOW_DISCONNECT});
}

Test(feed_model, who_asks_for_less_gets_the_newest)
{
    for (uint64_t seed = 61; seed <= 62; seed++)
        run((struct plan){.seed = seed,
                          .workers = 1 + seed % 2,
                          .steps = 2000,
                          .journal_bytes = LARGE,
                          .queue_bytes = 2048,
                          .flush_bytes = 1024,
                          .payload = 200,
                          .is_throttled = true});
}
