/* The slow, obvious twin of everything between a journal and a client: see the header. Fails the test
 * that it runs in, and says seed, step and client. */
#include "tests/unit/support/feed_twin.h"

#include "broker/base/alloc.h"
#include "protocol/position.h"
#include "protocol/topic.h"
#include "protocol/writer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

const char *const ft_twin_topics[FT_TWIN_TOPICS] = {"a", "a/b", "a/b/c", "a/x",
                                                    "b", "b/c", "b/b",   "x/b"};
const char *const ft_twin_filters[FT_TWIN_FILTERS] = {
    "a", "a/b", "a/+", "a/#", "#", "+", "+/b", "+/+", "b/#", "b/c", "a/b/c", "none/#"};
const char *const ft_twin_users[FT_TWIN_USERS] = {"ann", "bob"};
const char *const ft_twin_rights[FT_TWIN_RIGHTS] = {"#", "a/#", "+/b"};
/* By hand, so that it can be wrong in no way that the broker is. */
const uint32_t ft_twin_allowed[FT_TWIN_RIGHTS] = {
    (1U << FT_TWIN_FILTERS) - 1,
    1U << 0 | 1U << 1 | 1U << 2 | 1U << 3 | 1U << 10, /* a, a/b, a/+, a/#, a/b/c */
    1U << 1 | 1U << 6,                                /* a/b, +/b */
};

#define HOLDS(condition, twin, ...)                                                          \
    do {                                                                                     \
        char text_[256];                                                                     \
        snprintf(text_, sizeof(text_), __VA_ARGS__);                                         \
        cr_assert(condition, "seed %lu, step %lu, client %u: %s", (long)(twin)->world->seed, \
                  (long)(twin)->world->step, (twin)->index, text_);                          \
    } while (0)

/* Beside the filters that brought a publication: one of them was sent back while another one had
 * brought it. It need not come again; it may, if that other one goes before. */
#define MAYBE (UINT32_C(1) << 31)

static bool has(uint32_t filters, uint32_t f)
{
    return filters >> f & 1;
}

void ft_twin_world_init(struct ft_twin_world *world, uint64_t seed)
{
    *world = (struct ft_twin_world){.seed = seed};
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        for (uint32_t t = 0; t < FT_TWIN_TOPICS; t++)
            world->matches[f][t] = ft_filter_matches(ft_slice_str(ft_twin_filters[f]),
                                                     ft_slice_str(ft_twin_topics[t]));
    }
    for (uint32_t r = 0; r < FT_TWIN_RIGHTS; r++) {
        for (uint32_t t = 0; t < FT_TWIN_TOPICS; t++)
            world->permits[r][t] =
                ft_filter_matches(ft_slice_str(ft_twin_rights[r]), ft_slice_str(ft_twin_topics[t]));
    }
}

static const char *user_of(const struct ft_twin *twin)
{
    return ft_twin_users[twin->index / 2 % FT_TWIN_USERS];
}

void ft_twin_tokens(struct ft_fake_gate *gate)
{
    static char texts[FT_TWIN_USERS * FT_TWIN_RIGHTS][16];
    for (uint32_t i = 0; i < FT_TWIN_USERS * FT_TWIN_RIGHTS; i++) {
        const char *user = ft_twin_users[i / FT_TWIN_RIGHTS];
        snprintf(texts[i], sizeof(texts[i]), "%s%u", user, i % FT_TWIN_RIGHTS);
        gate->tokens[i] = (struct ft_fake_token){
            .text = texts[i], .user = user, .sub = ft_twin_rights[i % FT_TWIN_RIGHTS]};
    }
}

/* ---- what comes ---- */

static void on_frame(struct ft_fake_client *fake, uint8_t opcode, struct ft_slice payload)
{
    struct ft_twin *twin = (struct ft_twin *)fake;
    struct ft_twin_event event;
    ft_twin_parse(fake, opcode, payload, &event);
    if (event.op == FT_OP_WELCOME)
        return;
    if (twin->event_count == twin->event_cap) {
        twin->event_cap = twin->event_cap ? 2 * twin->event_cap : 64;
        twin->events = ft_realloc(twin->events, twin->event_cap * sizeof(*twin->events));
    }
    twin->events[twin->event_count++] = event;
}

/* ---- what must have come ---- */

/* Says whether a publication has to come to a client by one of its filters. */
static bool is_due(const struct ft_twin *twin, uint64_t offset, const uint64_t *from)
{
    uint32_t topic = twin->world->topic_of[twin->world->number_at[offset]];
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        if (has(twin->active, f) && twin->world->matches[f][topic] && offset > from[f])
            return true;
    }
    return false;
}

/* Says whether it may be left out because a newer one of its topic is there. */
static bool may_be_spared(const struct ft_twin *twin, uint64_t offset, bool was_blocked)
{
    const struct ft_twin_world *world = twin->world;
    uint32_t topic = world->topic_of[world->number_at[offset]];
    bool is_spared = world->is_throttled || (world->slow[topic] == FT_SLOW_LATEST &&
                                             (was_blocked || offset <= twin->spared));
    return is_spared && offset < world->newest[topic];
}

/* Nothing after `from`, up to `upto`, may be missing. */
static void check(const struct ft_twin *twin, uint64_t from, uint64_t upto)
{
    for (uint64_t o = (from > twin->floor ? from : twin->floor) + 1; o <= upto; o++) {
        HOLDS(!is_due(twin, o, twin->here) || twin->brought[o] ||
                  may_be_spared(twin, o, twin->was_blocked),
              twin, "%lu did not come, nor a word about it", (long)o);
        HOLDS(!is_due(twin, o, twin->promised) || twin->got[o] ||
                  may_be_spared(twin, o, twin->was_ever_blocked),
              twin, "%lu was lost on the way from one connection to the next", (long)o);
    }
}

void ft_twin_check(struct ft_twin *twin)
{
    check(twin, 0, twin->world->known);
    HOLDS(twin->request_count == 0, twin, "%u requests without an answer", twin->request_count);
    HOLDS(twin->fake.session.subscription_count == (uint32_t)__builtin_popcount(twin->active), twin,
          "%u subscriptions, and not those of %x", twin->fake.session.subscription_count,
          twin->active);
    for (uint32_t t = 0; t < FT_TWIN_TOPICS; t++)
        HOLDS(!twin->due[t] || twin->world->retained_at[t] > twin->due[t], twin,
              "the last value of %s did not come", ft_twin_topics[t]);
    twin->was_blocked = twin->was_ever_blocked = twin->is_meddled_with = false;
    twin->spared = twin->world->known;
}

/* ---- reading ---- */

/* Goes on from there when it comes back. */
static void keep(struct ft_twin *twin, const struct ft_twin_event *e)
{
    if (e->has_place && (e->offset > twin->greatest || twin->frames == FT_FRAMES_EVENTS))
        twin->greatest = e->offset;
}

/* Says whether it is a last value, or one of a stream's `last`: of before the cut. */
static bool is_of_snapshot(const struct ft_twin *twin, const struct ft_twin_event *e)
{
    return e->is_retained || (twin->frames == FT_FRAMES_EVENTS && e->offset <= twin->cut);
}

/* A stream that is cut off within a snapshot goes on from what it got of it, and so gets the rest. */
static void take_snapshot(struct ft_twin *twin, const struct ft_twin_event *e)
{
    struct ft_twin_world *world = twin->world;
    HOLDS(e->offset <= twin->cut, twin, "%lu is of after the cut at %lu", (long)e->offset,
          (long)twin->cut);
    bool matches = false;
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++)
        matches |= has(twin->looked_back & twin->active, f) && world->matches[f][e->topic];
    HOLDS(matches, twin, "a snapshot with %s is for no filter", ft_twin_topics[e->topic]);
    world->snapshots++;
    HOLDS(twin->frames != FT_FRAMES_EVENTS || e->offset > twin->picked, twin,
          "%lu comes after %lu of one snapshot", (long)e->offset, (long)twin->picked);
    twin->picked = e->offset;
    keep(twin, e);
    if (!e->is_retained) {
        HOLDS(++twin->picks[e->topic] <= twin->rewind, twin, "more than %u of %s", twin->rewind,
              ft_twin_topics[e->topic]);
        return;
    }
    HOLDS(world->is_retained[e->number], twin, "%u is no last value", e->number);
    uint64_t newest = world->retained_at[e->topic];
    HOLDS(e->offset == newest || newest > twin->cut, twin,
          "%lu is not the last value of %s, %lu is", (long)e->offset, ft_twin_topics[e->topic],
          (long)newest);
    twin->due[e->topic] = 0;
}

static void take_message(struct ft_twin *twin, const struct ft_twin_event *e)
{
    struct ft_twin_world *world = twin->world;
    HOLDS(e->offset <= world->known && world->number_at[e->offset] == e->number, twin,
          "%lu is not publication %u", (long)e->offset, e->number);
    HOLDS(world->topic_of[e->number] == e->topic, twin, "%u comes on topic %s", e->number,
          ft_twin_topics[e->topic]);
    HOLDS(world->permits[twin->rights][e->topic], twin, "%s is not for one who may %s",
          ft_twin_topics[e->topic], ft_twin_rights[twin->rights]);
    if (is_of_snapshot(twin, e)) {
        take_snapshot(twin, e);
        return;
    }
    uint32_t by = 0;
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        if (has(twin->active, f) && world->matches[f][e->topic] && e->offset > twin->here[f])
            by |= UINT32_C(1) << f;
    }
    HOLDS(by, twin, "%lu on %s is for no filter", (long)e->offset, ft_twin_topics[e->topic]);
    HOLDS(!(twin->brought[e->offset] & ~MAYBE), twin, "%lu comes twice", (long)e->offset);
    HOLDS(!twin->got[e->offset] || by & twin->rewound, twin, "%lu has come before, over %s",
          (long)e->offset, "another connection");
    HOLDS(world->is_throttled || e->offset > twin->last, twin, "%lu comes after %lu",
          (long)e->offset, (long)twin->last);
    HOLDS(e->offset > twin->last_of[e->topic], twin, "%lu comes after %lu on one topic",
          (long)e->offset, (long)twin->last_of[e->topic]);
    HOLDS(e->offset > twin->floor, twin, "%lu was said to be lost", (long)e->offset);
    world->repeats += twin->got[e->offset];
    world->messages++;
    twin->brought[e->offset] |= by;
    twin->got[e->offset] = true;
    twin->last = twin->last_of[e->topic] = e->offset;
    keep(twin, e);
}

static void take_gap(struct ft_twin *twin, const struct ft_twin_event *e)
{
    struct ft_twin_world *world = twin->world;
    HOLDS(e->offset <= e->tail, twin, "a gap up to %lu, but all after %lu is kept", (long)e->offset,
          (long)e->tail);
    uint64_t missing = 0;
    bool is_exact = twin->request_count == 0 && !world->is_throttled && !twin->is_meddled_with &&
                    twin->rewind == 0;
    for (uint64_t o = twin->floor + 1; o <= e->offset && o <= world->known; o++) {
        is_exact = is_exact && world->slow[world->topic_of[world->number_at[o]]] != FT_SLOW_LATEST;
        if (is_due(twin, o, twin->here) && !twin->brought[o])
            missing++;
    }
    if (e->has_lost && is_exact)
        HOLDS(e->lost == missing, twin, "a gap of %lu up to %lu, but %lu are missing",
              (long)e->lost, (long)e->offset, (long)missing);
    world->gaps++;
    world->losses += missing > 0;
    if (e->offset > twin->floor)
        twin->floor = e->offset;
    if (e->offset > twin->last)
        twin->last = e->offset;
    keep(twin, e);
}

/* The filters of a request begin anew after `offset`. */
static void rewind_filters(struct ft_twin *twin, const struct ft_twin_request *request,
                           uint64_t offset)
{
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        if (!has(request->filters, f))
            continue;
        twin->here[f] = offset;
        if (!request->is_resume) {
            twin->promised[f] = offset;
            twin->rewound |= UINT32_C(1) << f;
        }
        for (uint32_t t = 0; t < FT_TWIN_TOPICS; t++) {
            if (twin->world->matches[f][t] && offset < twin->last_of[t])
                twin->last_of[t] = offset;
        }
    }
    for (uint64_t o = 1; o <= twin->world->known; o++) {
        twin->brought[o] &= ~request->filters;
        if (twin->brought[o])
            twin->brought[o] |= MAYBE;
    }
    if (offset < twin->last || request->is_resume)
        twin->last = offset;
    if (offset < twin->sound)
        twin->sound = offset;
}

/* Where the feed of a request begins, and whether the broker can say that nothing is missing. */
static uint64_t start_of(const struct ft_twin_request *request, bool *is_recovered)
{
    *is_recovered = false;
    if (!request->has_since || request->since > request->head)
        return request->head;
    *is_recovered = request->since >= request->tail && !request->names_other;
    return request->since >= request->tail ? request->since : request->tail;
}

/* The last values of these filters come, as they were at the cut; and of a stream its `last`. What was
 * still to come of an earlier request for the same filters is replaced. */
static void expect_snapshot(struct ft_twin *twin, const struct ft_twin_request *request,
                            uint64_t cut, bool is_recovered)
{
    const struct ft_twin_world *world = twin->world;
    if (!is_recovered)
        twin->looked_back |= request->filters;
    if (!is_recovered && cut > twin->cut)
        twin->cut = cut;
    for (uint32_t t = 0; t < FT_TWIN_TOPICS; t++) {
        bool matches = false;
        for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++)
            matches |= has(request->filters, f) && world->matches[f][t];
        bool is_due = !is_recovered && world->retained_at[t] > 0 && world->retained_at[t] <= cut;
        if (matches)
            twin->due[t] = is_due ? cut : 0;
    }
}

static void take_sub(struct ft_twin *twin, const struct ft_twin_request *request,
                     const struct ft_twin_event *e)
{
    struct ft_twin_world *world = twin->world;
    bool is_recovered;
    uint64_t start = start_of(request, &is_recovered);
    HOLDS(e->recovered == is_recovered, twin, "since %lu with %lu the last that is gone: %d",
          (long)request->since, (long)request->tail, e->recovered);
    HOLDS(e->offset == start || (request->was_behind && e->offset < start), twin,
          "a feed begins after %lu, not %lu", (long)e->offset, (long)start);
    world->recovered += is_recovered;
    world->unrecovered += request->has_since && start > request->since;
    world->claimless += request->names_other;
    keep(twin, e);
    if (request->has_since)
        rewind_filters(twin, request, start);
    if (twin->frames == FT_FRAMES_EVENTS && !request->is_resume) /* another page */
        memset(twin->got, 0, sizeof(twin->got));
    if (request->is_resume && start > request->since && start > twin->floor)
        twin->floor = start;
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        if (has(request->filters & ~twin->active, f))
            twin->here[f] = twin->promised[f] = start;
    }
    twin->active |= request->filters;
    expect_snapshot(twin, request, start, is_recovered);
}

/* These subscriptions are no more. */
static void end_filters(struct ft_twin *twin, uint32_t filters)
{
    twin->active &= ~filters;
    for (uint64_t o = 0; o < FT_TWIN_PUBLICATIONS; o++)
        twin->brought[o] &= ~filters;
    for (uint32_t t = 0; t < FT_TWIN_TOPICS; t++)
        twin->due[t] = 0; /* it may have been of one of these */
}

/* What the fresh identity may not, has ended, and nothing else. */
static void take_auth(struct ft_twin *twin, const struct ft_twin_request *request,
                      const struct ft_twin_event *e)
{
    uint32_t lost = twin->active & ~ft_twin_allowed[request->rights];
    HOLDS(e->filters == lost, twin, "%x have ended for one who may %s, and not %x", e->filters,
          ft_twin_rights[request->rights], lost);
    twin->rights = request->rights;
    twin->world->ended += (uint32_t)__builtin_popcount(lost);
    end_filters(twin, lost);
}

static struct ft_twin_request next_request(struct ft_twin *twin, const struct ft_twin_event *e)
{
    HOLDS(twin->request_count > 0, twin, "an answer that nobody asked for");
    struct ft_twin_request request = twin->requests[0];
    twin->request_count--;
    memmove(twin->requests, twin->requests + 1, twin->request_count * sizeof(request));
    HOLDS(e->id == request.id || twin->frames == FT_FRAMES_EVENTS, twin,
          "an answer to %lu, not %lu", (long)e->id, (long)request.id);
    HOLDS((e->op == FT_OP_ERROR) == request.is_refused, twin, "%s, but it may %s",
          ft_op_name(e->op), ft_twin_rights[twin->rights]);
    return request;
}

/* It may not subscribe, or an operator ended what it had. */
static void take_error(struct ft_twin *twin, const struct ft_twin_event *e)
{
    HOLDS(e->code == 403, twin, "an error %u", e->code);
    if (e->id > 0) {
        (void)next_request(twin, e);
        twin->world->refused++;
        return;
    }
    HOLDS(e->filters && !(e->filters & ~twin->active) && twin->is_meddled_with, twin,
          "%x have ended, of %x", e->filters, twin->active);
    twin->world->ended += (uint32_t)__builtin_popcount(e->filters);
    end_filters(twin, e->filters);
}

static void take_ok(struct ft_twin *twin, const struct ft_twin_event *e)
{
    struct ft_twin_request request = next_request(twin, e);
    HOLDS(e->has_recovered == request.has_since, twin, "recovered or not: was it asked?");
    if (request.is_live) { /* what was accepted before comes before the answer */
        check(twin, twin->sound, request.head);
        twin->sound = request.head;
    }
    if (request.is_sub)
        take_sub(twin, &request, e);
    else if (request.is_auth)
        take_auth(twin, &request, e);
    else
        end_filters(twin, request.filters);
}

/* Behind last values, where the stream goes on is said again; and when all of the past has come, up to where. */
static void take_place(struct ft_twin *twin, const struct ft_twin_event *e)
{
    if (e->offset != twin->cut) {
        HOLDS(e->offset >= twin->sound, twin, "all has come up to %lu, but it had up to %lu",
              (long)e->offset, (long)twin->sound);
        check(twin, twin->sound, e->offset);
        twin->sound = e->offset;
    }
    keep(twin, e);
}

static void take_end(struct ft_twin *twin, const struct ft_twin_event *e)
{
    bool is_slow = e->code == 4508 && twin->was_blocked;
    HOLDS(is_slow || (e->code == 4403 && twin->is_meddled_with), twin, "closed with %u", e->code);
    twin->world->disconnected += !is_slow;
}

void ft_twin_read(struct ft_twin *twin, uint32_t most)
{
    for (uint32_t i = 0; i < twin->event_count && i < most; i++) {
        const struct ft_twin_event *e = &twin->events[i];
        if (e->op == FT_OP_MSG)
            take_message(twin, e);
        else if (e->is_place)
            take_place(twin, e);
        else if (e->op == FT_OP_GAP)
            take_gap(twin, e);
        else if (e->op == FT_OP_OK)
            take_ok(twin, e);
        else if (e->op == FT_OP_ERROR)
            take_error(twin, e);
        else
            take_end(twin, e);
    }
    twin->event_count = 0;
}

/* ---- asking ---- */

static void write_since(struct ft_writer *w, uint64_t since, bool names_other)
{
    char pos[FT_POSITION_BYTES_MAX];
    snprintf(pos, sizeof(pos), FT_FAKE_STREAM ".%llu", (unsigned long long)since);
    ft_write_key(w, "since");
    ft_write_array(w, 1 + names_other);
    if (names_other)
        ft_write_str(w, ft_slice_str("another.17"));
    ft_write_str(w, ft_slice_str(pos));
}

static void write_sub(struct ft_writer *w, const struct ft_twin_request *r)
{
    ft_write_key(w, "topics");
    ft_write_array(w, (uint32_t)__builtin_popcount(r->filters));
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        if (has(r->filters, f))
            ft_write_str(w, ft_slice_str(ft_twin_filters[f]));
    }
    if (r->has_since)
        write_since(w, r->since, r->names_other);
    if (r->every_ms > 0) {
        ft_write_key(w, "every");
        ft_write_uint(w, r->every_ms);
    }
    if (r->last > 0) {
        ft_write_key(w, "last");
        ft_write_uint(w, r->last);
    }
}

static void write_request(const struct ft_twin *twin, const struct ft_twin_request *r,
                          struct ft_buffer *text)
{
    struct ft_writer w;
    ft_writer_init(&w, ft_frames_encoding(twin->frames), text);
    ft_write_map(&w, 3 + r->has_since + (r->every_ms > 0) + (r->last > 0));
    ft_write_key(&w, "op");
    ft_write_str(&w, ft_slice_str(r->is_auth ? "auth" : r->is_sub ? "sub" : "unsub"));
    ft_write_key(&w, "id");
    ft_write_uint(&w, r->id);
    if (r->is_auth) {
        char token[16];
        int n = snprintf(token, sizeof(token), "%s%u", user_of(twin), r->rights);
        ft_write_key(&w, "token");
        ft_write_str(&w, ft_slice(token, (size_t)n));
        return;
    }
    write_sub(&w, r);
}

/* Hands the request to the session. A stream's may be refused, and then it never was one. */
static void hand_over(struct ft_twin *twin, const struct ft_twin_request *r, struct ft_slice text)
{
    struct ft_problem problem;
    if (twin->frames != FT_FRAMES_EVENTS) {
        ft_fake_client_receive(&twin->fake, text);
        return;
    }
    if (twin->fake.session.is_ending)
        return; /* an operator was faster than the fake, which opens it in a turn of its own */
    enum ft_err err = ft_session_carry_out(&twin->fake.session, text, &problem);
    HOLDS(err == (r->is_refused ? FT_ERR_FORBIDDEN : FT_OK), twin, "a stream: %s",
          err ? problem.text : "permitted");
}

void ft_twin_ask(struct ft_twin *twin, const struct ft_twin_request *request)
{
    struct ft_twin_request *r = &twin->requests[twin->request_count++];
    *r = *request;
    r->id = ++twin->last_id;
    r->is_refused = r->is_sub && (r->filters & ~ft_twin_allowed[twin->next_rights]);
    if (r->is_auth)
        twin->next_rights = r->rights;
    struct ft_buffer text;
    ft_buffer_init(&text, 4096);
    write_request(twin, r, &text);
    const struct ft_session *session = &twin->fake.session;
    bool had_feed = session->feed != NULL;
    hand_over(twin, r, ft_buffer_slice(&text));
    r->was_behind = had_feed || session->is_blocked;
    r->is_live = !r->is_resume && !r->is_refused && !r->was_behind && !session->feed;
    r->tail = ft_journal_tail(twin->fake.node->journal);
    r->head = ft_journal_head(twin->fake.node->journal); /* it was settled; nothing came since */
    ft_buffer_fini(&text);
}

static void begin(struct ft_twin *twin, struct ft_fake_node *node, uint32_t worker)
{
    twin->fake = (struct ft_fake_client){.on_frame = on_frame};
    twin->fake.who = ft_fake_identity(&(struct ft_fake_token){
        .user = user_of(twin),
        .sub = ft_twin_rights[twin->next_rights],
    });
    ft_fake_client_open(node, &twin->fake, worker, twin->frames);
    twin->is_connected = true;
    twin->was_blocked = false;
    twin->rights = twin->next_rights;
    twin->rewound = twin->looked_back = 0;
    twin->cut = twin->picked = 0;
    memset(twin->brought, 0, sizeof(twin->brought));
    memset(twin->due, 0, sizeof(twin->due));
    memset(twin->picks, 0, sizeof(twin->picks));
}

void ft_twin_connect(struct ft_twin *twin, struct ft_fake_node *node, uint32_t worker)
{
    twin->active &= ft_twin_allowed[twin->next_rights];
    if (!twin->active && twin->frames == FT_FRAMES_EVENTS)
        return;
    begin(twin, node, worker);
    if (!twin->active)
        return;
    ft_fake_node_begin(node, worker);
    ft_twin_ask(twin, &(struct ft_twin_request){.filters = twin->active,
                                                .since = twin->greatest,
                                                .every_ms = twin->every_ms,
                                                .last = twin->rewind,
                                                .is_sub = true,
                                                .has_since = true,
                                                .is_resume = true});
    (void)ft_fake_node_end(node, worker);
}

void ft_twin_stream(struct ft_twin *twin, struct ft_fake_node *node, uint32_t worker,
                    const struct ft_twin_request *request)
{
    begin(twin, node, worker);
    twin->every_ms = request->every_ms;
    twin->rewind = request->last;
    ft_fake_node_begin(node, worker);
    ft_twin_ask(twin, request);
    (void)ft_fake_node_end(node, worker);
    if (!twin->requests[0].is_refused || twin->fake.session.is_ending)
        return;
    HOLDS(twin->event_count == 0, twin, "a refused stream says %u things", twin->event_count);
    twin->world->refused++;
    ft_twin_drop(twin);
}

void ft_twin_drop(struct ft_twin *twin)
{
    ft_fake_client_close(&twin->fake);
    twin->is_connected = false;
    twin->event_count = 0;
    for (uint32_t i = 0; i < twin->request_count; i++) {
        if (!twin->requests[i].is_sub)
            twin->active &= ~twin->requests[i].filters; /* whatever came of it: it is not wanted */
    }
    twin->request_count = 0;
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        /* Who goes back and breaks off in the middle has said that it saw more than that. */
        if ((has(twin->rewound, f) || twin->world->is_throttled) &&
            twin->promised[f] < twin->greatest)
            twin->promised[f] = twin->greatest;
    }
}
