/* How a client reads what comes: frames of a WebSocket, in either encoding, and events of an event stream.
 * Strict about what an event is called, its id and its lines. Knows nothing of what should have come. */
#include "protocol/position.h"
#include "tests/unit/support/feed_twin.h"

#include <criterion/criterion.h>
#include <stdlib.h>

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

/* The filters that an answer says have ended: strings that are short in either encoding, at its end. */
static uint32_t read_ended(struct ft_slice payload)
{
    static const char key[] = "unsubscribed";
    const uint8_t *end = payload.ptr + payload.len;
    const uint8_t *at = NULL;
    uint32_t filters = 0;
    for (const uint8_t *found = payload.ptr;
         (found = memmem(found, (size_t)(end - found), key, sizeof(key) - 1)); found++)
        at = found + sizeof(key) - 1; /* the last: a message may say it, too */
    while (at && at < end) {
        uint32_t f = 0;
        size_t len = 0;
        for (; f < FT_TWIN_FILTERS; f++) {
            len = strlen(ft_twin_filters[f]);
            bool is_json = at[-1] == '"' && at + len < end && at[len] == '"';
            bool is_msgpack = at[-1] == (0xa0 | len) && (size_t)(end - at) >= len;
            if ((is_json || is_msgpack) && memcmp(at, ft_twin_filters[f], len) == 0)
                break;
        }
        if (f < FT_TWIN_FILTERS)
            filters |= UINT32_C(1) << f;
        at += f < FT_TWIN_FILTERS ? len : 1;
    }
    return filters;
}

/* Takes the lines of an event apart: what it is called, its id, and the envelope, which is returned. */
static struct ft_slice read_event(struct ft_slice lines, struct ft_slice *name, struct ft_slice *id)
{
    struct ft_slice data = {0};
    *name = *id = (struct ft_slice){0};
    while (lines.len > 0) {
        size_t n = (size_t)((const uint8_t *)memchr(lines.ptr, '\n', lines.len) - lines.ptr);
        struct ft_slice line = ft_slice(lines.ptr, n);
        lines = ft_slice(lines.ptr + n + 1, lines.len - n - 1);
        const uint8_t *colon = memmem(line.ptr, n, ": ", 2);
        cr_assert(colon);
        struct ft_slice field = ft_slice(line.ptr, (size_t)(colon - line.ptr)),
                        value = ft_slice(colon + 2, n - field.len - 2);
        struct ft_slice *to = ft_slice_equal(field, ft_slice_str("event")) ? name
                              : ft_slice_equal(field, ft_slice_str("id"))  ? id
                                                                           : &data;
        cr_assert(to != &data || ft_slice_equal(field, ft_slice_str("data")));
        cr_assert_null(to->ptr, "a field comes twice in one event");
        *to = value;
    }
    return data;
}

/* An event is called what it is, and a place to go on from is the envelope's own. */
static void check_event(const struct ft_twin_event *event, struct ft_slice name, struct ft_slice id,
                        bool is_positioned)
{
    const char *called = event->op == FT_OP_MSG ? "" : ft_op_name(event->op);
    cr_assert(ft_slice_equal(name, ft_slice_str(called)), "%s is called %.*s", called,
              (int)name.len, (const char *)name.ptr);
    cr_assert_eq(is_positioned, id.ptr != NULL);
    cr_assert(!id.ptr || offset_of(id) == event->offset);
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
    enum ft_frames frames = (enum ft_frames)fake->session.frames;
    enum ft_encoding encoding = ft_frames_encoding(frames);
    struct ft_slice name, id = {0};
    if (frames == FT_FRAMES_EVENTS)
        payload = read_event(payload, &name, &id);
    if (id.ptr && !name.ptr && !payload.ptr) {
        event->offset = offset_of(id);
        event->has_place = event->is_place = true;
        return;
    }
    cr_assert_eq(ft_reader_begin(&reader, encoding, payload, scratch, &problem), FT_OK);
    cr_assert_eq(ft_reader_next(&reader, &envelope, &problem), FT_OK, "%s", problem.text);
    event->op = envelope.op;
    event->id = envelope.id.num;
    event->has_recovered = envelope.has_recovered;
    event->recovered = envelope.recovered;
    event->has_lost = envelope.has_lost;
    event->lost = envelope.lost;
    event->is_retained = envelope.retained;
    event->code = (uint32_t)envelope.code;
    read_positions(&envelope, event);
    event->has_place = frames != FT_FRAMES_EVENTS || id.ptr;
    if (frames == FT_FRAMES_EVENTS)
        check_event(event, name, id, envelope.pos.ptr || envelope.positions.count > 0);
    if (envelope.op == FT_OP_OK || envelope.op == FT_OP_ERROR)
        event->filters = read_ended(payload);
    if (envelope.op == FT_OP_MSG) {
        event->number = number_of(envelope.data);
        event->topic = topic_number(envelope.topic);
    }
}
