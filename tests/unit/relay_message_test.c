/* Messages between nodes: against vectors, a twin on msgpack-c, and damage. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "protocol/json_scan.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/relay_twin.h"
#include "tests/unit/support/vectors.h"

#define MESSAGE_MAX 65536
#define MOST        64

/* Reads a whole message entry by entry, as a node does, from memory of exactly its size. */
static enum ft_relay_fault read_all(struct ft_slice message, size_t message_max,
                                    struct ft_relay_head *head, struct ft_relay_entry *entries)
{
    struct ft_slice left;
    enum ft_relay_fault fault = ft_relay_head_read(message, head, &left);
    for (uint32_t i = 0; fault == FT_RELAY_SOUND && i < head->count; i++) {
        struct ft_relay_entry entry;
        fault = ft_relay_entry_read(&left, message_max, &entry);
        if (i < MOST)
            entries[i] = entry;
    }
    return fault == FT_RELAY_SOUND && left.len > 0 ? FT_RELAY_DAMAGED : fault;
}

static const char *const data_kinds[] = {"", "json", "b64", "msgpack", "bytes"};

static void check_entry(const struct ft_relay_entry *entry, const json_t *want, const char *name)
{
    struct ft_slice data = ft_vectors_bytes(want, "data");
    cr_expect(ft_slice_equal(entry->topic, ft_slice_str(ft_vectors_text(want, "topic"))), "%s",
              name);
    cr_expect_str_eq(data_kinds[entry->data.kind], ft_vectors_text(want, "kind"), "%s", name);
    cr_expect(ft_slice_equal(entry->data.bytes, data), "%s", name);
    cr_expect_eq(entry->at_ms, ft_vectors_uint(want, "at"), "%s", name);
    cr_expect_eq(entry->expires_ms, ft_vectors_uint(want, "expires"), "%s", name);
    cr_expect_eq(entry->history, ft_vectors_uint(want, "history"), "%s", name);
    cr_expect_eq(entry->slow, ft_vectors_uint(want, "slow"), "%s", name);
    cr_expect_eq(entry->is_retained, ft_vectors_is(want, "retained"), "%s", name);
    cr_expect_eq(entry->clears_retained, ft_vectors_is(want, "clears"), "%s", name);
    ft_input_free(data);
}

static void check_head(const struct ft_relay_head *head, const json_t *want, const char *name)
{
    bool is_stored = strcmp(ft_vectors_text(want, "kind"), "stored") == 0;
    const char *text = ft_vectors_text(want, is_stored ? "stream" : "origin");
    cr_expect_eq(head->kind, is_stored ? FT_RELAY_STORED : FT_RELAY_EPHEMERAL, "%s", name);
    cr_expect(ft_slice_equal(head->name, ft_slice_str(text)), "%s", name);
    cr_expect_eq(head->count, ft_vectors_uint(want, "count"), "%s", name);
    cr_expect_eq(head->ms, is_stored ? ft_vectors_uint(want, "ms") : 0, "%s", name);
    cr_expect_eq(head->first, is_stored ? ft_vectors_uint(want, "first") : 0, "%s", name);
    if (json_object_get(want, "follows"))
        cr_expect_eq(head->follows, ft_vectors_uint(want, "follows"), "%s", name);
    else
        cr_expect_eq(head->follows, is_stored ? head->first - 1 : 0, "%s", name);
    bool has_base = json_object_get(want, "base") != NULL;
    cr_expect_eq(head->base, has_base ? ft_vectors_uint(want, "base") : 0, "%s", name);
}

Test(relay_message, vectors_say_what_is_read)
{
    json_t *vectors = ft_vectors_load("tests/data/relay_messages.json");
    size_t i;
    json_t *row;
    json_array_foreach(ft_vectors_rows(vectors, "sound"), i, row)
    {
        const char *name = ft_vectors_text(row, "name");
        struct ft_slice message = ft_input_hex(ft_vectors_text(row, "hex"));
        struct ft_relay_head head;
        struct ft_relay_entry entries[MOST];
        cr_assert_eq(read_all(message, MESSAGE_MAX, &head, entries), FT_RELAY_SOUND, "%s", name);
        check_head(&head, json_object_get(row, "head"), name);
        json_t *wanted = ft_vectors_rows(row, "entries");
        cr_assert_eq(head.count, json_array_size(wanted), "%s", name);
        for (uint32_t k = 0; k < head.count; k++)
            check_entry(&entries[k], json_array_get(wanted, k), name);
        cr_expect_eq(ft_relay_message_check(message, MESSAGE_MAX, &head), FT_RELAY_SOUND);
        ft_input_free(message);
    }
    json_decref(vectors);
}

Test(relay_message, vectors_say_what_is_refused_and_why)
{
    static const char *const faults[] = {"sound", "foreign", "version", "damaged", "too large"};
    json_t *vectors = ft_vectors_load("tests/data/relay_messages.json");
    size_t i;
    json_t *row;
    json_array_foreach(ft_vectors_rows(vectors, "refused"), i, row)
    {
        struct ft_slice message = ft_input_hex(ft_vectors_text(row, "hex"));
        struct ft_relay_head head;
        enum ft_relay_fault fault = ft_relay_message_check(message, MESSAGE_MAX, &head);
        cr_expect_str_eq(faults[fault], ft_vectors_text(row, "fault"), "%s",
                         ft_vectors_text(row, "name"));
        ft_input_free(message);
    }
    json_decref(vectors);
}

static const char *const topics[] = {"a", "stocks/ACME/price", "$sys/n1/stats",
                                     "a/topic/that/is/longer/than/31/bytes", "grüße"};

/* What an envelope's reader would leave of a value with white space around it. */
static struct ft_slice trim(struct ft_slice json)
{
    while (json.len > 0 && ft_json_is_space(json.ptr[0]))
        json = ft_slice(json.ptr + 1, json.len - 1);
    while (json.len > 0 && ft_json_is_space(json.ptr[json.len - 1]))
        json.len--;
    return json;
}

/* A random publication; its data lies in `data`. */
static struct ft_relay_entry random_entry(uint64_t *state, struct ft_buffer *data)
{
    static const uint64_t numbers[] = {0, 127, 128, 255, 256, 65535, 65536, UINT32_MAX};
    struct ft_relay_entry entry = {
        .topic = ft_slice_str(topics[ft_input_random(state, 5)]),
        .data = {.kind = (enum ft_data_kind)(1 + ft_input_random(state, 4))},
        .at_ms = ft_input_random(state, FT_INT_MAX + 1),
        .expires_ms = ft_input_random(state, 2) ? 0 : ft_input_random(state, UINT32_MAX),
        .history = (uint32_t)numbers[ft_input_random(state, 8)],
        .slow = (uint8_t)ft_input_random(state, 3),
        .is_retained = ft_input_random(state, 4) == 0,
    };
    entry.clears_retained = !entry.is_retained && ft_input_random(state, 4) == 0;
    ft_buffer_clear(data);
    if (entry.data.kind == FT_DATA_JSON) {
        ft_input_json(state, 3, data);
    } else if (entry.data.kind == FT_DATA_MSGPACK) {
        ft_input_msgpack(state, 3, data);
    } else {
        uint8_t bytes[300];
        /* None that begins a long header: then msgpack-c could not be asked. */
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)ft_input_random(state, 0xDC);
        struct ft_slice some = ft_slice(bytes, ft_input_random(state, sizeof(bytes) + 1));
        char text[FT_BASE64_LEN(sizeof(bytes))];
        if (entry.data.kind == FT_DATA_B64)
            ft_buffer_add(data, text, ft_base64_encode(some, text));
        else
            ft_buffer_add(data, some.ptr, some.len);
    }
    entry.data.bytes = ft_slice(data->len ? data->ptr : (const uint8_t *)"", data->len);
    if (entry.data.kind == FT_DATA_JSON)
        entry.data.bytes = trim(entry.data.bytes);
    return entry;
}

Test(relay_message, what_is_written_is_what_msgpack_c_packs)
{
    uint64_t state = 77;
    struct ft_buffer data;
    struct ft_buffer ours;
    struct ft_buffer theirs;
    ft_buffer_init(&data, 1u << 20);
    ft_buffer_init(&ours, 1u << 20);
    ft_buffer_init(&theirs, 1u << 20);
    for (int round = 0; round < 5000; round++) {
        ft_buffer_clear(&ours);
        ft_buffer_clear(&theirs);
        struct ft_relay_head head = {
            .kind = FT_RELAY_EPHEMERAL,
            .name = ft_slice_str("0123456789abcdef"),
            .count = 1 + (uint32_t)ft_input_random(&state, FT_RELAY_COUNT_MAX),
        };
        ft_relay_head_write(head.name, head.count, &ours);
        ft_twin_pack_head(&head, &theirs);
        size_t before = ours.len;
        struct ft_relay_entry entry = random_entry(&state, &data);
        ft_relay_entry_write(&entry, &ours);
        ft_twin_pack_entry(&entry, &theirs);
        cr_assert(ft_slice_equal(ft_buffer_slice(&ours), ft_buffer_slice(&theirs)));
        cr_assert_leq(ours.len - before, ft_relay_entry_size(entry.topic, entry.data.bytes));
        struct ft_slice left = ft_slice(ours.ptr + before, ours.len - before);
        struct ft_relay_entry back;
        cr_assert_eq(ft_relay_entry_read(&left, MESSAGE_MAX, &back), FT_RELAY_SOUND);
        cr_assert(ft_twin_same_entry(&entry, &back));
        cr_assert_eq(left.len, 0);
    }
    ft_buffer_fini(&data);
    ft_buffer_fini(&ours);
    ft_buffer_fini(&theirs);
}

/* Packs a random message of a few publications. */
static void random_message(uint64_t *state, struct ft_buffer *data, struct ft_buffer *out)
{
    struct ft_relay_head head = {
        .kind = (enum ft_relay_kind)(1 + ft_input_random(state, 2)),
        .ms = ft_input_random(state, FT_INT_MAX),
        .first = 1 + ft_input_random(state, 1000),
        .count = 1 + (uint32_t)ft_input_random(state, 3),
    };
    head.name = ft_slice_str(head.kind == FT_RELAY_STORED ? "0ad2345678" : "0123456789abcdef");
    ft_buffer_clear(out);
    ft_twin_pack_head(&head, out);
    for (uint32_t i = 0; i < head.count; i++) {
        struct ft_relay_entry entry = random_entry(state, data);
        ft_twin_pack_entry(&entry, out);
    }
}

/* Both readers must say the same; returns 1 when msgpack-c could be asked. */
static int compare(struct ft_slice message, size_t message_max, int *sound)
{
    struct ft_slice exact = ft_input_exact(message);
    struct ft_relay_head ours = {0};
    struct ft_relay_head theirs = {0};
    struct ft_relay_entry our[MOST];
    struct ft_relay_entry their[MOST];
    enum ft_relay_fault said;
    enum ft_relay_fault fault = ft_relay_message_check(exact, message_max, &ours);
    bool is_asked = ft_twin_read(exact, message_max, &theirs, their, MOST, &said);
    if (is_asked) {
        if (said == FT_RELAY_DAMAGED)
            cr_assert(fault != FT_RELAY_SOUND && fault != FT_RELAY_TOO_LARGE);
        else
            cr_assert_eq(fault, said);
        if (fault == FT_RELAY_SOUND) {
            cr_assert_eq(read_all(exact, message_max, &ours, our), FT_RELAY_SOUND);
            cr_assert(ft_twin_same_head(&ours, &theirs));
            for (uint32_t i = 0; i < ours.count && i < MOST; i++)
                cr_assert(ft_twin_same_entry(&our[i], &their[i]));
        }
    }
    *sound += fault == FT_RELAY_SOUND;
    ft_input_free(exact);
    return is_asked;
}

Test(relay_message, random_messages_are_read_as_msgpack_c_reads_them)
{
    uint64_t state = 42;
    struct ft_buffer data;
    struct ft_buffer message;
    ft_buffer_init(&data, 1u << 20);
    ft_buffer_init(&message, 1u << 20);
    int asked = 0;
    int sound = 0;
    for (int round = 0; round < 3000; round++) {
        random_message(&state, &data, &message);
        asked += compare(ft_buffer_slice(&message), MESSAGE_MAX, &sound);
    }
    cr_assert_gt(asked, 2000);
    cr_assert_eq(sound, 3000);
    sound = 0;
    for (int round = 0; round < 20000; round++) {
        random_message(&state, &data, &message);
        ft_input_damage(&state, &message);
        asked += compare(ft_buffer_slice(&message), MESSAGE_MAX, &sound);
    }
    cr_assert_gt(asked, 10000);
    cr_assert_gt(sound, 100, "some damage is to data alone");
    cr_assert_lt(sound, 15000);
    ft_buffer_fini(&data);
    ft_buffer_fini(&message);
}

Test(relay_message, a_message_cut_anywhere_is_not_sound)
{
    uint64_t state = 5;
    struct ft_buffer data;
    struct ft_buffer message;
    ft_buffer_init(&data, 1u << 20);
    ft_buffer_init(&message, 1u << 20);
    for (int round = 0; round < 30; round++) {
        random_message(&state, &data, &message);
        for (size_t len = 0; len < message.len; len++) {
            struct ft_slice cut = ft_input_exact(ft_slice(message.ptr, len));
            struct ft_relay_head head;
            enum ft_relay_fault fault = ft_relay_message_check(cut, MESSAGE_MAX, &head);
            cr_assert(fault == FT_RELAY_DAMAGED || fault == FT_RELAY_FOREIGN, "%zu of %zu", len,
                      message.len);
            ft_input_free(cut);
        }
    }
    ft_buffer_fini(&data);
    ft_buffer_fini(&message);
}

Test(relay_message, what_is_too_large_is_told_apart_and_read_over)
{
    struct ft_buffer message;
    ft_buffer_init(&message, 1u << 20);
    struct ft_relay_head head = {
        .kind = FT_RELAY_EPHEMERAL, .name = ft_slice_str("0123456789abcdef"), .count = 2};
    ft_twin_pack_head(&head, &message);
    size_t from = message.len;
    struct ft_relay_entry large = {.topic = ft_slice_str("large"),
                                   .data = {FT_DATA_BYTES, ft_slice_str("eleven char")}};
    struct ft_relay_entry small = {.topic = ft_slice_str("small"),
                                   .data = {FT_DATA_BYTES, ft_slice_str("ten chars.")}};
    ft_twin_pack_entry(&large, &message);
    ft_twin_pack_entry(&small, &message);
    cr_expect_eq(ft_relay_message_check(ft_buffer_slice(&message), 11, &head), FT_RELAY_SOUND);
    cr_expect_eq(ft_relay_message_check(ft_buffer_slice(&message), 10, &head), FT_RELAY_TOO_LARGE);
    struct ft_slice left = ft_slice(message.ptr + from, message.len - from);
    struct ft_relay_entry entry;
    cr_expect_eq(ft_relay_entry_read(&left, 10, &entry), FT_RELAY_TOO_LARGE);
    cr_expect(ft_twin_same_entry(&entry, &large));
    cr_expect_eq(ft_relay_entry_read(&left, 10, &entry), FT_RELAY_SOUND);
    cr_expect(ft_twin_same_entry(&entry, &small));
    cr_expect_eq(left.len, 0);
    ft_buffer_add_byte(&message, 0xC0);
    cr_expect_eq(ft_relay_message_check(ft_buffer_slice(&message), 10, &head), FT_RELAY_DAMAGED);
    ft_buffer_fini(&message);
}

Test(relay_message, what_does_not_fit_the_buffer_leaves_it_failed)
{
    struct ft_relay_entry entry = {.topic = ft_slice_str("a"),
                                   .data = {FT_DATA_JSON, ft_slice_str("1")}};
    struct ft_buffer out;
    ft_buffer_init(&out, 20);
    ft_relay_entry_write(&entry, &out);
    cr_expect(out.failed);
    cr_expect_eq(out.len, 0);
    ft_buffer_fini(&out);
}
