/*
 * Subscriptions over connections that break at any moment, against a slow, obvious broker: a list of
 * publications and, for the session, the filters with what has come by them (SPEC.md section 4). Each
 * subscription must get each publication that was accepted after it began once, and those of one topic
 * in order.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clients/c/subscriptions.h"
#include "protocol/envelope.h"
#include "protocol/topic.h"
#include "tests/unit/support/input.h"

enum { TOPICS = 8, PUBLICATIONS = 3000, SUBSCRIPTIONS = 12, FILTERS = 64 };

/* --- the broker --- */

static const char *const topics[TOPICS] = {"a", "a/1", "a/2", "b", "b/1", "b/2", "c", "d"};
static const char *const filters[] = {"a", "a/1", "a/+", "a/#", "b/#", "+", "+/1", "#", "c", "d"};

static uint64_t dice;

static size_t below(size_t limit)
{
    return (size_t)ft_input_random(&dice, limit);
}

static uint8_t journal[PUBLICATIONS + 1]; /* the topic of each offset */
static uint64_t head, tail;
static char stream[16];

/* A filter of the session: what is after `from` and not after `had` has come by it already. */
struct wanted {
    char filter[32];
    uint64_t from, had;
};

static struct session {
    struct wanted wanted[FILTERS];
    size_t count;
    uint64_t cursor; /* the session is through with everything up to here */
} session;

/* What the session is told, in order: `ok`s and deliveries. */
enum { QUEUE = 4 * PUBLICATIONS };
static struct word {
    char id[24]; /* of an `ok`; "": a delivery */
    bool recovered;
    uint64_t offset; /* of the delivery; where the `ok` begins */
} queue[QUEUE];
static size_t queued, taken;

static void say(struct word word)
{
    cr_assert_lt(queued, QUEUE);
    queue[queued++] = word;
}

static struct wanted *want(struct ft_slice filter)
{
    for (size_t i = 0; i < session.count; i++)
        if (ft_slice_equal(ft_slice_str(session.wanted[i].filter), filter))
            return &session.wanted[i];
    cr_assert_lt(session.count, FILTERS);
    struct wanted *wanted = &session.wanted[session.count++];
    *wanted = (struct wanted){.from = head, .had = head};
    snprintf(wanted->filter, sizeof(wanted->filter), "%.*s", (int)filter.len,
             (const char *)filter.ptr);
    return wanted;
}

static bool is_for_session(uint64_t offset)
{
    bool is_wanted = false;
    for (size_t i = 0; i < session.count; i++) {
        const struct wanted *wanted = &session.wanted[i];
        if (!ft_filter_matches(ft_slice_str(wanted->filter), ft_slice_str(topics[journal[offset]])))
            continue;
        if (offset <= wanted->had && offset > wanted->from)
            return false;
        is_wanted |= offset > wanted->had;
    }
    return is_wanted;
}

/* Sends up to `n` publications that are due. */
static void feed(size_t n)
{
    for (; session.cursor < head && n > 0; n--)
        if (is_for_session(++session.cursor))
            say((struct word){.offset = session.cursor});
}

/* Carries out one `sub`. */
static void serve_sub(const struct ft_envelope *env)
{
    struct word ok = {.offset = head};
    uint8_t text[256];
    struct ft_slice item;
    struct ft_position_parts pos;
    snprintf(ok.id, sizeof(ok.id), "%.*s", (int)env->id.str.len, (const char *)env->id.str.ptr);
    size_t at = 0;
    for (uint32_t i = 0; i < env->since.count; i++) {
        cr_assert_eq(ft_list_next(&env->since, &at, text, sizeof(text), &item), FT_OK);
        cr_assert_eq(ft_position_read(item, &pos, NULL), FT_OK);
        if (!ft_slice_equal(pos.stream, ft_slice_str(stream)))
            continue;
        ok.recovered = pos.offset >= tail;
        ok.offset = ok.recovered ? pos.offset : tail;
    }
    if (ok.offset < session.cursor) {
        for (size_t i = 0; i < session.count; i++)
            if (session.wanted[i].had < session.cursor)
                session.wanted[i].had = session.cursor;
        session.cursor = ok.offset;
    }
    at = 0;
    for (uint32_t i = 0; i < env->topics.count; i++) {
        cr_assert_eq(ft_list_next(&env->topics, &at, text, sizeof(text), &item), FT_OK);
        struct wanted *wanted = want(item);
        if (env->since.count > 0)
            wanted->from = wanted->had = ok.offset;
    }
    say(ok);
}

/* Carries out an `unsub`. */
static void serve_unsub(const struct ft_envelope *env)
{
    uint8_t text[256];
    struct ft_slice item;
    size_t at = 0;
    for (uint32_t i = 0; i < env->topics.count; i++) {
        cr_assert_eq(ft_list_next(&env->topics, &at, text, sizeof(text), &item), FT_OK);
        *want(item) = session.wanted[session.count - 1];
        session.count--;
    }
}

/* Reads what the client has written. */
static void serve(const struct ft_buffer *message)
{
    struct ft_reader reader;
    struct ft_envelope env;
    uint8_t scratch[4096];
    cr_assert_leq(message->len, sizeof(scratch));
    cr_assert_eq(ft_reader_begin(&reader, FT_JSON, ft_buffer_slice(message), scratch, NULL), FT_OK);
    cr_assert_eq(ft_reader_next(&reader, &env, NULL), FT_OK);
    if (env.op == FT_OP_SUB)
        serve_sub(&env);
    else
        serve_unsub(&env);
}

/* --- the client --- */

static struct ft_subscriptions subs;
static struct ft_buffer envelope;

/* What one subscription must get, and has got. */
static struct owner {
    struct fantail_subscription *sub;
    char filter[32];
    uint64_t next[TOPICS]; /* offsets before it have come, or are not for it */
} owners[SUBSCRIPTIONS];

static unsigned resumes, losses, breaks_amid, delivered;

/* The next publication of a topic, from `offset` on. */
static uint64_t find_next(unsigned topic, uint64_t offset)
{
    while (offset <= head && journal[offset] != topic)
        offset++;
    return offset;
}

static void on_message(struct fantail *f, const struct fantail_message *message, void *user)
{
    (void)f;
    struct owner *owner = user;
    struct ft_position_parts pos;
    cr_assert_eq(ft_position_read(ft_slice(message->pos.ptr, message->pos.len), &pos, NULL), FT_OK);
    unsigned topic = journal[pos.offset];
    uint64_t due = find_next(topic, owner->next[topic]);
    cr_assert_eq(pos.offset, due, "%s got %" PRIu64 " when %" PRIu64 " was due", owner->filter,
                 pos.offset, due);
    owner->next[topic] = due + 1;
    delivered++;
}

static void on_result(struct fantail *f, const struct fantail_result *result, void *user)
{
    (void)f;
    struct owner *owner = user;
    cr_assert_eq(result->code, 0);
    for (unsigned topic = 0; topic < TOPICS; topic++)
        owner->next[topic] = queue[taken].offset + 1;
}

static void on_error(struct fantail *f, const struct fantail_result *result)
{
    (void)f;
    cr_assert_fail("%s", result->message);
}

static void on_resume(struct fantail *f, bool is_recovered)
{
    (void)f;
    resumes += is_recovered;
    losses += !is_recovered;
}

static void subscribe(struct owner *owner)
{
    struct fantail_subscribe_options options = {.on_result = on_result};
    const char *filter = filters[below(sizeof(filters) / sizeof(filters[0]))];
    *owner = (struct owner){0};
    snprintf(owner->filter, sizeof(owner->filter), "%s", filter);
    cr_assert_eq(
        ft_subscriptions_add(&subs, &filter, 1, &options, on_message, owner, &owner->sub, NULL),
        FT_OK);
}

/* Makes up to `n` requests of what waits, about `max` bytes each, and lets the broker read them. */
static void ask(size_t n, size_t max)
{
    for (; n > 0; n--) {
        ft_buffer_clear(&envelope);
        if (!ft_subscriptions_ask(&subs, 0, max, FT_JSON, &envelope))
            return;
        serve(&envelope);
    }
}

/* Lets the client read up to `n` words. */
static void take(size_t n)
{
    for (; taken < queued && n > 0; n--, taken++) {
        const struct word *word = &queue[taken];
        char text[64];
        snprintf(text, sizeof(text), "%s.%" PRIu64, stream, word->offset);
        if (word->id[0] == '\0') {
            const char *topic = topics[journal[word->offset]];
            struct fantail_message message = {
                .topic = {.ptr = topic, .len = strlen(topic)},
                .pos = {.ptr = text, .len = strlen(text)},
            };
            ft_subscriptions_deliver(&subs, &message, NULL, NULL);
            continue;
        }
        struct fantail_result result = {.message = "", .recovered = word->recovered};
        struct ft_positions starts;
        ft_positions_init(&starts);
        ft_positions_see(&starts, ft_slice_str(text));
        /* Where all that asked are gone, nobody knows the request: that is fine. */
        ft_subscriptions_answer(&subs, ft_slice_str(word->id), &result, &starts, 0, on_error);
        ft_positions_fini(&starts);
    }
}

static void break_off(void)
{
    breaks_amid += taken < queued || session.cursor < head;
    ft_subscriptions_break(&subs);
    session = (struct session){.cursor = head};
    queued = taken = 0;
}

static void publish(void)
{
    if (head < PUBLICATIONS)
        journal[++head] = (uint8_t)below(TOPICS);
}

/* One step of the walk. Where requests are split none of the subscriptions ends: what one of them brought
 * to another before that one was answered is known by the first alone. */
static void act(bool is_split)
{
    struct owner *owner = &owners[below(SUBSCRIPTIONS)];
    switch (below(16)) {
    case 0:
        break_off();
        break;
    case 1:
        if (owner->sub && !is_split) {
            ft_buffer_clear(&envelope);
            ft_subscriptions_remove(&subs, owner->sub, FT_JSON, &envelope);
            if (envelope.len > 0)
                serve(&envelope);
            *owner = (struct owner){0};
        }
        break;
    case 2:
        if (!owner->sub)
            subscribe(owner);
        break;
    case 3:
    case 4:
        if (is_split)
            ask(1 + below(3), below(2) ? 4000 : 100);
        else
            ask(SUBSCRIPTIONS, 4000);
        break;
    case 5:
    case 6:
    case 7:
        feed(below(20));
        break;
    case 8:
    case 9:
    case 10:
        take(below(20));
        break;
    default:
        publish();
        break;
    }
}

static void start(uint64_t seed)
{
    dice = seed;
    head = tail = 0;
    queued = taken = 0;
    snprintf(stream, sizeof(stream), "s%" PRIu64, seed);
    session = (struct session){0};
    memset(owners, 0, sizeof(owners));
    resumes = losses = breaks_amid = delivered = 0;
    ft_subscriptions_init(&subs, NULL, on_resume);
    ft_buffer_init(&envelope, 1 << 20);
}

static void finish(void)
{
    ft_subscriptions_fini(&subs);
    ft_buffer_fini(&envelope);
}

/* Lets everything come that is under way, and sees that each has got all of it. */
static void settle(void)
{
    do {
        ask(SUBSCRIPTIONS, 4000);
        feed(PUBLICATIONS);
        take(QUEUE);
    } while (session.cursor < head || taken < queued);
    for (size_t i = 0; i < SUBSCRIPTIONS; i++)
        for (unsigned topic = 0; owners[i].sub && topic < TOPICS; topic++)
            if (ft_filter_matches(ft_slice_str(owners[i].filter), ft_slice_str(topics[topic])))
                cr_assert_gt(find_next(topic, owners[i].next[topic]), head, "%s lacks something",
                             owners[i].filter);
}

Test(client_resume, every_subscription_gets_everything_once_and_in_order)
{
    unsigned all_resumes = 0, all_breaks_amid = 0, all_delivered = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        start(seed);
        while (head < PUBLICATIONS / 2)
            act(seed % 2);
        settle();
        cr_assert_eq(losses, 0);
        all_resumes += resumes;
        all_breaks_amid += breaks_amid;
        all_delivered += delivered;
        finish();
    }
    /* The walk must have been where it hurts. */
    cr_assert_gt(all_resumes, 1000, "%u", all_resumes);
    cr_assert_gt(all_breaks_amid, 10000, "%u", all_breaks_amid);
    cr_assert_gt(all_delivered, 100000, "%u", all_delivered);
}

Test(client_resume, a_gap_moves_everything_on)
{
    struct ft_positions positions;
    char text[FT_POSITION_BYTES_MAX];
    start(1);
    subscribe(&owners[0]);
    subscribe(&owners[1]);
    ask(SUBSCRIPTIONS, 4000);
    take(QUEUE);
    ft_positions_init(&positions);
    ft_positions_see(&positions, ft_slice_str("s1.70"));
    ft_subscriptions_skip(&subs, &positions);
    ft_positions_fini(&positions);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(ft_subscription_position_count(owners[i].sub), 1);
        ft_subscription_position(owners[i].sub, 0, text, sizeof(text));
        cr_assert_str_eq(text, "s1.70");
    }
    finish();
}
