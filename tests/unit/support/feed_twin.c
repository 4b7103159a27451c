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
}

/* ---- what comes ---- */

static uint64_t offset_of(struct ft_slice pos)
{
    struct ft_position_parts parts;
    cr_assert_eq(ft_position_read(pos, &parts, NULL), FT_OK);
    cr_assert(ft_slice_equal(parts.stream, ft_slice_str(FT_FAKE_STREAM)));
    return parts.offset;
}

/* Data is a string "<NUMBER>xxx…", in either encoding. (In MessagePack '<' may also be its length.) */
static uint32_t number_of(struct ft_data data)
{
    size_t at = data.bytes.len;
    while (at > 0 && data.bytes.ptr[at - 1] != '<')
        at--;
    cr_assert_gt(at, 0);
    return (uint32_t)strtoul((const char *)data.bytes.ptr + at, NULL, 10);
}

static uint32_t topic_number(struct ft_slice topic)
{
    uint32_t t = 0;
    while (t < FT_TWIN_TOPICS && !ft_slice_equal(topic, ft_slice_str(ft_twin_topics[t])))
        t++;
    cr_assert_lt(t, FT_TWIN_TOPICS);
    return t;
}

static void read_positions(const struct ft_envelope *envelope, struct ft_twin_event *event)
{
    uint8_t text[FT_POSITION_BYTES_MAX];
    size_t at = 0;
    struct ft_slice pos = envelope->pos;
    if (!pos.ptr && envelope->positions.count == 0)
        return;
    if (!pos.ptr) {
        cr_assert_eq(envelope->positions.count, 1, "one broker is one stream");
        cr_assert_eq(ft_list_next(&envelope->positions, &at, text, sizeof(text), &pos), FT_OK);
    }
    event->offset = offset_of(pos);
}

void ft_twin_parse(const struct ft_fake_client *fake, uint8_t opcode, struct ft_slice payload,
                   struct ft_twin_event *event)
{
    *event = (struct ft_twin_event){.tail = ft_journal_tail(fake->node->journal)};
    if (opcode == 8) {
        event->code = (uint32_t)(payload.ptr[0] << 8 | payload.ptr[1]);
        return;
    }
    static uint8_t scratch[1 << 16];
    struct ft_reader reader;
    struct ft_envelope envelope;
    struct ft_problem problem;
    enum ft_encoding encoding = (enum ft_encoding)fake->session.frames;
    cr_assert_eq(ft_reader_begin(&reader, encoding, payload, scratch, &problem), FT_OK);
    cr_assert_eq(ft_reader_next(&reader, &envelope, &problem), FT_OK, "%s", problem.text);
    event->op = envelope.op;
    event->id = envelope.id.num;
    event->has_recovered = envelope.has_recovered;
    event->recovered = envelope.recovered;
    event->has_lost = envelope.has_lost;
    event->lost = envelope.lost;
    read_positions(&envelope, event);
    if (envelope.op == FT_OP_MSG) {
        event->number = number_of(envelope.data);
        event->topic = topic_number(envelope.topic);
    }
}

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
    twin->was_blocked = twin->was_ever_blocked = false;
    twin->spared = twin->world->known;
}

/* ---- reading ---- */

static void take_message(struct ft_twin *twin, const struct ft_twin_event *e)
{
    struct ft_twin_world *world = twin->world;
    HOLDS(e->offset <= world->known && world->number_at[e->offset] == e->number, twin,
          "%lu is not publication %u", (long)e->offset, e->number);
    HOLDS(world->topic_of[e->number] == e->topic, twin, "%u comes on topic %s", e->number,
          ft_twin_topics[e->topic]);
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
    if (e->offset > twin->greatest)
        twin->greatest = e->offset;
}

static void take_gap(struct ft_twin *twin, const struct ft_twin_event *e)
{
    struct ft_twin_world *world = twin->world;
    HOLDS(e->offset <= e->tail, twin, "a gap up to %lu, but all after %lu is kept", (long)e->offset,
          (long)e->tail);
    uint64_t missing = 0;
    bool is_exact = twin->request_count == 0 && !world->is_throttled;
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
    if (e->offset > twin->greatest)
        twin->greatest = e->offset;
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
    if (e->offset > twin->greatest)
        twin->greatest = e->offset;
    if (request->has_since)
        rewind_filters(twin, request, start);
    if (request->is_resume && start > request->since && start > twin->floor)
        twin->floor = start;
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        if (has(request->filters & ~twin->active, f))
            twin->here[f] = twin->promised[f] = start;
    }
    twin->active |= request->filters;
}

static void take_ok(struct ft_twin *twin, const struct ft_twin_event *e)
{
    HOLDS(twin->request_count > 0, twin, "an ok that nobody asked for");
    struct ft_twin_request request = twin->requests[0];
    twin->request_count--;
    memmove(twin->requests, twin->requests + 1, twin->request_count * sizeof(request));
    HOLDS(e->id == request.id, twin, "ok %lu instead of %lu", (long)e->id, (long)request.id);
    HOLDS(e->has_recovered == request.has_since, twin, "recovered or not: was it asked?");
    if (request.is_live) { /* what was accepted before comes before the answer */
        check(twin, twin->sound, request.head);
        twin->sound = request.head;
    }
    if (!request.is_sub) {
        twin->active &= ~request.filters;
        for (uint64_t o = 0; o < FT_TWIN_PUBLICATIONS; o++)
            twin->brought[o] &= ~request.filters;
        return;
    }
    take_sub(twin, &request, e);
}

void ft_twin_read(struct ft_twin *twin, uint32_t most)
{
    for (uint32_t i = 0; i < twin->event_count && i < most; i++) {
        const struct ft_twin_event *e = &twin->events[i];
        HOLDS(e->op != FT_OP_ERROR, twin, "an error");
        if (e->op == FT_OP_MSG)
            take_message(twin, e);
        else if (e->op == FT_OP_GAP)
            take_gap(twin, e);
        else if (e->op == FT_OP_OK)
            take_ok(twin, e);
        else
            HOLDS(e->code == 4508 && twin->was_blocked, twin, "closed with %u", e->code);
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

void ft_twin_ask(struct ft_twin *twin, const struct ft_twin_request *request, uint32_t every_ms)
{
    struct ft_twin_request *r = &twin->requests[twin->request_count++];
    *r = *request;
    r->id = ++twin->last_id;
    struct ft_buffer text;
    struct ft_writer w;
    ft_buffer_init(&text, 4096);
    ft_writer_init(&w, (enum ft_encoding)twin->fake.session.frames, &text);
    ft_write_map(&w, 3 + r->has_since + (every_ms > 0));
    ft_write_key(&w, "op");
    ft_write_str(&w, ft_slice_str(r->is_sub ? "sub" : "unsub"));
    ft_write_key(&w, "id");
    ft_write_uint(&w, r->id);
    ft_write_key(&w, "topics");
    ft_write_array(&w, (uint32_t)__builtin_popcount(r->filters));
    for (uint32_t f = 0; f < FT_TWIN_FILTERS; f++) {
        if (has(r->filters, f))
            ft_write_str(&w, ft_slice_str(ft_twin_filters[f]));
    }
    if (r->has_since)
        write_since(&w, r->since, r->names_other);
    if (every_ms > 0) {
        ft_write_key(&w, "every");
        ft_write_uint(&w, every_ms);
    }
    const struct ft_session *session = &twin->fake.session;
    bool had_feed = session->feed != NULL;
    ft_fake_client_receive(&twin->fake, ft_buffer_slice(&text));
    r->was_behind = had_feed || session->is_blocked;
    r->is_live = !r->is_resume && !r->was_behind && !session->feed;
    r->tail = ft_journal_tail(twin->fake.node->journal);
    r->head = ft_journal_head(twin->fake.node->journal); /* it was settled; nothing came since */
    ft_buffer_fini(&text);
}

void ft_twin_connect(struct ft_twin *twin, struct ft_fake_node *node, uint32_t worker)
{
    twin->fake = (struct ft_fake_client){.on_frame = on_frame};
    ft_fake_client_open(node, &twin->fake, worker, twin->index % 2 ? FT_MSGPACK : FT_FRAMES_JSON);
    twin->is_connected = true;
    twin->was_blocked = false;
    twin->rewound = 0;
    memset(twin->brought, 0, sizeof(twin->brought));
    if (!twin->active)
        return;
    ft_fake_node_begin(node, worker);
    ft_twin_ask(twin,
                &(struct ft_twin_request){.filters = twin->active,
                                          .since = twin->greatest,
                                          .is_sub = true,
                                          .has_since = true,
                                          .is_resume = true},
                0);
    (void)ft_fake_node_end(node, worker);
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
