/* The ledger of a client: what it reads, and what was promised to it. */
#include "tests/unit/support/streams_world.h"

#include <jansson.h>
#include <stdlib.h>

/* ---- what clients read ---- */

static struct ft_model_place place_of(struct ft_model_client *c, const char *text, size_t len)
{
    struct ft_model *m = c->m;
    HOLDS(len > FT_STREAM_NAME_LEN + 1 && text[FT_STREAM_NAME_LEN] == '.', c, "a position %.*s",
          (int)len, text);
    for (uint32_t n = 0; n < m->names; n++) {
        if (memcmp(m->streams[n].name, text, FT_STREAM_NAME_LEN) == 0)
            return (struct ft_model_place){n, strtoull(text + FT_STREAM_NAME_LEN + 1, NULL, 10)};
    }
    HOLDS(false, c, "a position %.*s in no stream", (int)len, text);
    return (struct ft_model_place){NAMES, 0};
}

static void see(struct ft_model_client *c, struct ft_model_place place)
{
    if (c->frames == FT_FRAMES_EVENTS)
        return; /* it goes by ids */
    if (c->seen[place.name] == UINT64_MAX || c->seen[place.name] < place.seq)
        c->seen[place.name] = place.seq;
}

/* An event stream goes on from the last id alone. */
static void take_id(struct ft_model_client *c, const char *id, size_t len)
{
    memset(c->seen, 0xff, sizeof(c->seen));
    while (len > 0) {
        const char *comma = memchr(id, ',', len);
        size_t n = comma ? (size_t)(comma - id) : len;
        struct ft_model_place place = place_of(c, id, n);
        c->seen[place.name] = place.seq;
        id += n + (comma != NULL);
        len -= n + (comma != NULL);
    }
}

/* What an id says does not go back: neither in a stream, nor by leaving out a partition that matters. */
static void check_id(struct ft_model_client *c)
{
    const struct ft_model *m = c->m;
    bool has[PARTITIONS];
    for (uint32_t k = 0; k < PARTITIONS; k++) {
        has[k] = true;
        for (uint32_t f = 0; f < FILTERS; f++)
            has[k] = has[k] && !(c->active >> f & 1 && m->touches[f][k]);
    }
    for (uint32_t n = 0; n < m->names; n++)
        has[m->streams[n].partition] |= c->seen[n] != UINT64_MAX;
    for (uint32_t n = 0; n < m->names; n++) {
        if (c->told[n] == UINT64_MAX)
            continue;
        HOLDS(has[m->streams[n].partition], c, "an id without %s", m->streams[n].name);
        HOLDS(c->seen[n] == UINT64_MAX || c->seen[n] >= c->told[n], c,
              "an id with %s.%lu after %lu", m->streams[n].name, (unsigned long)c->seen[n],
              (unsigned long)c->told[n]);
    }
    memcpy(c->told, c->seen, sizeof(c->told));
}

static uint32_t read_places(struct ft_model_client *c, const json_t *message,
                            struct ft_model_place *places)
{
    const json_t *list = json_object_get(message, "pos");
    for (uint32_t k = 0; k < PARTITIONS; k++)
        places[k].name = NAMES;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *text = json_array_get(list, i);
        struct ft_model_place place =
            place_of(c, json_string_value(text), json_string_length(text));
        places[c->m->streams[place.name].partition] = place;
    }
    return (uint32_t)json_array_size(list);
}

static void take_message(struct ft_model_client *c, const json_t *message)
{
    struct ft_model *m = c->m;
    const json_t *text = json_object_get(message, "pos");
    const char *topic = json_string_value(json_object_get(message, "topic"));
    if (!text) {
        HOLDS(strcmp(topic, EPHEMERAL) == 0 && (c->active & 1), c, "%s has no position", topic);
        m->ephemeral++;
        return;
    }
    struct ft_model_place place = place_of(c, json_string_value(text), json_string_length(text));
    const struct ft_model_stream *stream = &m->streams[place.name];
    HOLDS(place.seq <= stream->head && place.seq > 0, c, "%s.%lu was never there", stream->name,
          (unsigned long)place.seq);
    uint32_t t = stream->topic[place.seq];
    HOLDS(strcmp(ft_model_topics[t], topic) == 0, c, "%s.%lu is of %s, not %s", stream->name,
          (unsigned long)place.seq, ft_model_topics[t], topic);
    bool is_wanted = false;
    for (uint32_t f = 0; f < FILTERS; f++)
        is_wanted = is_wanted || ((c->active >> f & 1) && m->matches[f][t]);
    HOLDS(is_wanted, c, "%s was not asked for", topic);
    if (c->due[t].name == place.name && c->due[t].seq <= place.seq)
        c->due[t].name = NAMES;
    see(c, place);
    if (json_is_true(json_object_get(message, "retained"))) {
        HOLDS(stream->is_retained[place.seq], c, "%s.%lu is no last value", stream->name,
              (unsigned long)place.seq);
        m->retained++;
        return;
    }
    HOLDS(!c->brought[place.name][place.seq], c, "client %s: %s.%lu comes twice",
          c->frames == FT_FRAMES_EVENTS ? "of events" : "", stream->name, (unsigned long)place.seq);
    if (!c->is_rewound) {
        HOLDS(c->last[place.name] < place.seq, c, "%s.%lu comes after %lu", stream->name,
              (unsigned long)place.seq, (unsigned long)c->last[place.name]);
        HOLDS(!c->got[place.name][place.seq], c, "client %s: %s.%lu comes again",
              c->frames == FT_FRAMES_EVENTS ? "of events" : "", stream->name,
              (unsigned long)place.seq);
        c->last[place.name] = place.seq;
    }
    c->got[place.name][place.seq] = c->brought[place.name][place.seq] = true;
    m->messages++;
}

/* Says whether a position is of a later stream of its partition, or later in the same one. */
static bool is_later(struct ft_model_place place, struct ft_model_place than)
{
    return than.name == NAMES || place.name > than.name ||
           (place.name == than.name && place.seq > than.seq);
}

static void take_gap(struct ft_model_client *c, const json_t *message)
{
    struct ft_model *m = c->m;
    struct ft_model_place places[PARTITIONS];
    bool is_relay = strcmp(json_string_value(json_object_get(message, "reason")), "relay") == 0;
    uint32_t n = read_places(c, message, places), touched = 0;
    c->gaps += is_relay;
    c->was_slow = c->was_slow || !is_relay;
    m->gaps += is_relay;
    m->slow += !is_relay;
    for (uint32_t k = 0; k < PARTITIONS; k++) {
        bool is_touched = false;
        for (uint32_t f = 0; f < FILTERS; f++) {
            struct ft_model_place *promised = &c->promised[f][k];
            if (!((c->active & ~c->asked) >> f & 1) || !m->touches[f][k])
                continue;
            is_touched = true;
            uint64_t floor = places[k].seq;
            if (places[k].name == NAMES)
                continue;
            if (is_relay && places[k].name == c->node->name[k] && floor > c->node->gap[k])
                floor =
                    c->node->gap[k]; /* of a partition that has lost nothing it excuses nothing */
            if (is_later((struct ft_model_place){places[k].name, floor}, *promised))
                *promised = (struct ft_model_place){places[k].name, floor};
        }
        touched += is_touched;
        if (places[k].name != NAMES)
            see(c, places[k]);
        if (!is_relay && places[k].name != NAMES)
            c->floor[k] = places[k];
    }
    /* One that goes in front of an `ok` that waits may name more. */
    HOLDS(n == touched || (c->asked && n > touched), c, "a gap names %u streams of %u", n, touched);
}

/* Notes which last values have to come. */
static void expect_retained(struct ft_model_client *c)
{
    struct ft_model *m = c->m;
    for (uint32_t t = 0; t < TOPICS; t++) {
        uint32_t k = m->partition_of[t];
        const struct ft_model_stream *stream = &m->streams[c->here[k].name];
        bool is_wanted = false;
        for (uint32_t f = 0; f < FILTERS; f++)
            is_wanted = is_wanted || ((c->asked >> f & 1) && m->matches[f][t]);
        uint64_t seq = c->here[k].seq;
        while (seq > 0 && !(stream->topic[seq] == t && stream->is_retained[seq]))
            seq--;
        if (is_wanted && seq > 0 && !c->node->is_stale[k] && !c->brought[c->here[k].name][seq])
            c->due[t] = (struct ft_model_place){c->here[k].name, seq};
    }
}

static void take_ok(struct ft_model_client *c, const json_t *message)
{
    struct ft_model *m = c->m;
    struct ft_model_place places[PARTITIONS];
    const json_t *recovered = json_object_get(message, "recovered");
    bool is_recovered = json_is_true(recovered), is_first = !c->is_ok;
    (void)read_places(c, message, places);
    HOLDS((recovered != NULL) == c->has_since, c, "recovered where it was not asked for");
    m->recovered += is_recovered;
    m->unrecovered += recovered && !is_recovered;
    bool is_any = false;
    for (uint32_t n = 0; n < m->names; n++) {
        for (uint32_t f = 0; f < FILTERS && c->since[n] != UINT64_MAX; f++)
            is_any = is_any || ((c->asked >> f & 1) && m->touches[f][m->streams[n].partition]);
    }
    HOLDS(!recovered || is_recovered || !is_any || m->plan->has_changes, c,
          "nothing is lost, and not recovered");
    for (uint32_t k = 0; k < PARTITIONS; k++) {
        struct ft_model_place now = {c->node->name[k], c->node->applied[k]};
        struct ft_model_place here = c->is_stalled ? now : c->here[k];
        bool is_named = c->has_since && c->since[here.name] != UINT64_MAX;
        uint64_t named = is_named ? c->since[here.name] : 0;
        for (uint32_t f = 0; f < FILTERS; f++) {
            if (!(c->asked >> f & 1) || !m->touches[f][k])
                continue;
            HOLDS(places[k].name != NAMES, c, "the place of partition %u is missing", k);
            if (is_first && is_recovered && is_named && places[k].name == here.name)
                HOLDS(places[k].seq == named, c, "recovered at %lu, not %lu",
                      (unsigned long)places[k].seq, (unsigned long)named);
            if (is_recovered && is_named)
                HOLDS(places[k].name == here.name || c->is_stalled, c, "recovered elsewhere");
            HOLDS(c->is_stalled || places[k].name == here.name, c, "of another stream");
            HOLDS(places[k].name != here.name || places[k].seq <= here.seq, c,
                  "a place beyond what the node has");
            if (is_first && !c->is_stalled && (!c->has_since || (is_recovered && !is_named)))
                HOLDS(places[k].seq == here.seq, c, "live at %lu, not %lu",
                      (unsigned long)places[k].seq, (unsigned long)here.seq);
            if (is_recovered && is_named && !c->is_resume)
                c->promised[f][k] = (struct ft_model_place){here.name, named};
            else if (!is_recovered || !is_named)
                c->promised[f][k] = here; /* what comes of before is welcome */
            if (c->floor[k].name != NAMES && is_later(c->floor[k], c->promised[f][k]))
                c->promised[f][k] = c->floor[k];
        }
        if (places[k].name != NAMES)
            see(c, places[k]);
    }
    if (!is_recovered && !c->is_stalled)
        expect_retained(c);
    c->asked = 0;
    c->is_ok = true;
}

void ft_model_read(struct ft_fake_client *fake, uint8_t opcode, struct ft_slice payload)
{
    struct ft_model_client *c = (struct ft_model_client *)fake;
    c->is_deaf = c->is_deaf || c->hears == 0;
    if (c->is_deaf)
        return;
    c->hears -= c->is_ok;
    HOLDS(opcode == 1, c, "a frame with opcode %u", opcode);
    const char *line = (const char *)payload.ptr, *end = line + payload.len;
    if (c->frames == FT_FRAMES_EVENTS) {
        struct ft_slice id = {0}, data = {0};
        for (const char *next; line < end; line = next) {
            const char *stop = memchr(line, '\n', (size_t)(end - line));
            next = stop ? stop + 1 : end;
            size_t len = (size_t)((stop ? stop : end) - line);
            if (len > 4 && memcmp(line, "id: ", 4) == 0)
                id = ft_slice(line + 4, len - 4);
            if (len > 6 && memcmp(line, "data: ", 6) == 0)
                data = ft_slice(line + 6, len - 6);
        }
        if (id.len > 0)
            take_id(c, (const char *)id.ptr, id.len);
        if (id.len > 0 && (!data.ptr || !memmem(data.ptr, data.len, "\"retained\":true", 15)))
            check_id(c);
        if (data.len == 0)
            return;
        payload = data;
    }
    json_t *message = json_loadb((const char *)payload.ptr, payload.len, 0, NULL);
    HOLDS(message, c, "not JSON: %.*s", (int)payload.len, (const char *)payload.ptr);
    const char *op = json_string_value(json_object_get(message, "op"));
    if (strcmp(op, "msg") == 0)
        take_message(c, message);
    else if (strcmp(op, "gap") == 0)
        take_gap(c, message);
    else if (strcmp(op, "ok") == 0)
        take_ok(c, message);
    else
        HOLDS(strcmp(op, "welcome") == 0, c, "an op %s", op);
    json_decref(message);
}

/* ---- asking ---- */

void ft_model_ask(struct ft_model_client *c, uint32_t wanted, const uint64_t *since)
{
    json_t *sub = json_object(), *list = json_array();
    json_object_set_new(sub, "op", json_string("sub"));
    json_object_set_new(sub, "id", json_integer(1));
    for (uint32_t f = 0; f < FILTERS; f++) {
        if (wanted >> f & 1)
            json_array_append_new(list, json_string(ft_model_filters[f]));
    }
    json_object_set_new(sub, "topics", list);
    c->asked = wanted;
    c->active |= wanted;
    c->has_since = since != NULL;
    if (since) {
        memcpy(c->since, since, sizeof(c->since));
        list = json_array();
        for (uint32_t n = 0; n < c->m->names; n++) {
            if (since[n] != UINT64_MAX)
                json_array_append_new(list, json_sprintf("%s.%llu", c->m->streams[n].name,
                                                         (unsigned long long)since[n]));
        }
        json_object_set_new(sub, "since", list);
    }
    char *text = json_dumps(sub, JSON_COMPACT);
    json_decref(sub);
    struct ft_problem problem;
    for (uint32_t k = 0; k < PARTITIONS; k++)
        c->here[k] = (struct ft_model_place){c->node->name[k], c->node->applied[k]};
    c->is_stalled = true; /* until it is known that it is not */
    if (c->frames == FT_FRAMES_EVENTS)
        HOLDS(ft_session_carry_out(&c->fake.session, ft_slice_str(text), &problem) == FT_OK, c,
              "a stream: %s", problem.text);
    else
        ft_fake_client_receive(&c->fake, ft_slice_str(text));
    c->is_stalled = c->fake.session.stall != NULL;
    c->m->stalled += c->is_stalled;
    free(text);
}
