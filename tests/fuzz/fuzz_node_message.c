/*
 * What nodes say to each other beside publications: `O` an order of an operator, `W` a question who is connected,
 * `S` sessions that answer it, `M` a message that carries one of these, `N` what is kept of a node, behind its
 * name and a line break, `P` an entry of who is present. Whatever is taken is sound, and is the same once it was
 * written and read again.
 */
#include "broker/hub/control.h"
#include "broker/hub/session.h"
#include "broker/hub/session_info.h"
#include "broker/relay/ask.h"
#include "broker/relay/ask_message.h"
#include "broker/relay/presence_entry.h"
#include "protocol/msgpack_scan.h"
#include "protocol/topic.h"
#include "protocol/utf8.h"
#include "tests/fuzz/check.h"

/* roll.c also tells of partitions, which are not there. */
bool ft_part_is_joined(const struct ft_part *part)
{
    (void)part;
    return false;
}

void ft_part_figures(const struct ft_part *part, struct ft_part_figures *figures)
{
    (void)part;
    *figures = (struct ft_part_figures){0};
}

static bool is_within(struct ft_slice part, struct ft_slice whole)
{
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static void check_order(struct ft_slice bytes)
{
    static struct ft_slice filters[FT_ORDER_FILTERS_MAX], again[FT_ORDER_FILTERS_MAX];
    struct ft_order order, read;
    struct ft_problem problem = {.text = ""};
    enum ft_err err = ft_order_read(bytes, &order, filters, &problem);
    CHECK((err == FT_OK) == (problem.text[0] == '\0'));
    CHECK(ft_utf8_is_valid(ft_slice_str(problem.text)));
    if (err)
        return;
    struct ft_slice whom = order.user.ptr ? order.user : order.session;
    CHECK(!order.user.ptr != !order.session.ptr);
    CHECK(is_within(whom, bytes) && ft_utf8_is_valid(whom));
    struct ft_buffer out;
    ft_buffer_init(&out, FT_ORDER_BYTES_MAX + 16);
    ft_order_write(&order, &out);
    CHECK(!out.failed);
    CHECK(ft_order_read(ft_buffer_slice(&out), &read, again, NULL) == FT_OK);
    CHECK(read.kind == order.kind && read.filter_count == order.filter_count);
    CHECK(ft_slice_equal(read.user.ptr ? read.user : read.session, whom));
    for (uint32_t i = 0; i < order.filter_count; i++) {
        CHECK(ft_slice_equal(filters[i], again[i]));
        CHECK(order.kind != FT_ORDER_UNSUBSCRIBE || ft_filter_check(filters[i], NULL) == FT_OK);
    }
    ft_buffer_fini(&out);
}

static bool is_same(struct ft_slice a, struct ft_slice b)
{
    return !a.ptr == !b.ptr && ft_slice_equal(a, b);
}

static void check_query(struct ft_slice bytes)
{
    struct ft_session_query query, read;
    if (!ft_session_query_read(bytes, &query))
        return;
    CHECK(query.limit > 0 && query.limit <= FT_SESSIONS_LISTED_MAX);
    CHECK(query.session.len <= FT_SESSION_ID_LEN);
    struct ft_buffer out;
    ft_buffer_init(&out, bytes.len + 64);
    ft_session_query_write(&query, &out);
    CHECK(!out.failed && ft_session_query_read(ft_buffer_slice(&out), &read));
    CHECK(read.limit == query.limit && is_same(read.user, query.user));
    CHECK(is_same(read.session, query.session) && is_same(read.node, query.node));
    ft_buffer_fini(&out);
}

/* What is told of a session can be written down for people, and is the same for the next node. */
static void check_session(const struct ft_session_info *info)
{
    struct ft_session_info read;
    struct ft_buffer out;
    struct ft_writer w;
    ft_buffer_init(&out, 1 << 14);
    ft_session_info_write(info, &out);
    struct ft_scan scan = ft_scan_of(ft_buffer_slice(&out));
    CHECK(!out.failed && ft_session_info_read(&scan, &read) && scan.at == scan.end);
    CHECK(is_same(read.session, info->session) && is_same(read.node, info->node));
    CHECK(is_same(read.user, info->user) && is_same(read.address, info->address));
    CHECK(read.frames == info->frames && read.frames < FT_FRAMES_KINDS);
    CHECK(read.since_ms == info->since_ms && read.subscriptions == info->subscriptions);
    CHECK(read.outbox_bytes == info->outbox_bytes && read.is_parked == info->is_parked);
    CHECK(read.is_stalled == info->is_stalled && read.topic_count == info->topic_count);
    for (uint32_t i = 0; i < read.topic_count; i++)
        CHECK(is_same(read.topics[i], info->topics[i]));
    ft_buffer_clear(&out);
    ft_writer_init(&w, FT_JSON, &out);
    ft_session_info_tell(info, &w);
    CHECK(!out.failed && ft_data_check(FT_JSON, ft_buffer_slice(&out), NULL) == FT_OK);
    ft_buffer_fini(&out);
}

static void check_sessions(struct ft_slice bytes)
{
    struct ft_scan scan = ft_scan_of(bytes);
    struct ft_session_info info;
    struct ft_value head;
    if (!ft_session_infos_are_sound(bytes))
        return;
    CHECK(ft_msgpack_item(&scan, &head) && head.num <= FT_SESSIONS_LISTED_MAX);
    for (uint64_t i = 0; i < head.num; i++) {
        CHECK(ft_session_info_read(&scan, &info));
        check_session(&info);
    }
    CHECK(scan.at == scan.end);
}

static void check_body(const struct ft_ask_message *message)
{
    if (message->word == FT_ASK_WORD_ORDER)
        check_order(message->body);
    else if (message->word == FT_ASK_WORD_WHO)
        check_query(message->body);
    else if (message->word == FT_ASK_WORD_THESE)
        check_sessions(message->body);
}

static void check_message(struct ft_slice bytes)
{
    struct ft_ask_message message, read;
    if (ft_ask_message_read(bytes, &message) != FT_RELAY_SOUND)
        return;
    CHECK(message.instance.len == FT_INSTANCE_LEN && is_within(message.instance, bytes));
    struct ft_buffer out;
    ft_buffer_init(&out, bytes.len + 64);
    ft_ask_message_write(&message, &out);
    CHECK(!out.failed && ft_ask_message_read(ft_buffer_slice(&out), &read) == FT_RELAY_SOUND);
    CHECK(read.word == message.word && read.id == message.id);
    CHECK(read.sessions == message.sessions && read.subscriptions == message.subscriptions);
    if (message.word != FT_ASK_WORD_DONE) {
        CHECK(is_within(message.body, bytes) && ft_slice_equal(read.body, message.body));
        check_body(&message);
    }
    ft_buffer_fini(&out);
}

/* It is a node, or was one: a sound part of the answer to who is there. */
static void check_node(struct ft_slice bytes)
{
    const uint8_t *split = bytes.len ? memchr(bytes.ptr, '\n', bytes.len) : NULL;
    size_t name_len = split ? (size_t)(split - bytes.ptr) : 0;
    struct ft_slice value = ft_slice(bytes.ptr + name_len, bytes.len - name_len);
    struct ft_roll roll = {0};
    uint64_t age_ms = 0;
    if (split)
        value = ft_slice(split + 1, value.len - 1);
    for (int i = 0; i < 2; i++) { /* as another server would say it, too */
        bool is_sound =
            ft_roll_add(&roll, ft_slice(bytes.ptr, name_len), value, 1763700000000, &age_ms);
        CHECK(roll.count == (is_sound && age_ms <= FT_NODE_AGE_MAX_MS));
    }
    for (uint32_t i = 0; i < roll.count; i++) {
        struct ft_roll_node *node = &roll.nodes[i];
        struct ft_buffer out;
        struct ft_writer w;
        CHECK(node->info.lag_count <= FT_PARTITIONS_MAX && node->info.seen_ms == age_ms);
        node->info.lags = node->lags;
        ft_buffer_init(&out, 1 << 16);
        ft_writer_init(&w, FT_MSGPACK, &out);
        ft_node_write(&w, &node->info, 1763700000000);
        CHECK(!out.failed && ft_data_check(FT_MSGPACK, ft_buffer_slice(&out), NULL) == FT_OK);
        ft_buffer_fini(&out);
    }
    ft_roll_fini(&roll);
}

static void check_told(const struct ft_present *who, enum ft_encoding encoding)
{
    struct ft_buffer out;
    struct ft_writer w;
    ft_buffer_init(&out, 1 << 12);
    ft_writer_init(&w, encoding, &out);
    ft_write_array(&w, 2);
    ft_presence_write_event(&w, false, who);
    ft_presence_write_client(&w, who);
    CHECK(!out.failed && ft_data_check(encoding, ft_buffer_slice(&out), NULL) == FT_OK);
    ft_buffer_fini(&out);
}

static void check_present(struct ft_slice bytes)
{
    struct ft_slice topic, topic_again;
    struct ft_present who, again;
    if (!ft_entry_read(bytes, &topic, &who))
        return;
    CHECK(is_within(topic, bytes) && ft_topic_check(topic, NULL) == FT_OK);
    CHECK(!who.user.ptr || (is_within(who.user, bytes) && ft_utf8_is_valid(who.user)));
    check_told(&who, FT_JSON);
    check_told(&who, FT_MSGPACK);
    struct ft_buffer out;
    ft_buffer_init(&out, FT_ENTRY_MAX);
    ft_entry_write(1, topic, &who, "0123456789abcdef", &out);
    CHECK(!out.failed && ft_entry_read(ft_buffer_slice(&out), &topic_again, &again));
    CHECK(ft_slice_equal(topic, topic_again) && ft_slice_equal(who.user, again.user));
    CHECK(memcmp(who.session, again.session, sizeof(who.session)) == 0);
    ft_buffer_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ft_slice rest = ft_slice(bytes + 1, len > 0 ? len - 1 : 0);
    if (len == 0)
        return 0;
    if (bytes[0] == 'O')
        check_order(rest);
    else if (bytes[0] == 'W')
        check_query(rest);
    else if (bytes[0] == 'S')
        check_sessions(rest);
    else if (bytes[0] == 'M')
        check_message(rest);
    else if (bytes[0] == 'N')
        check_node(rest);
    else if (bytes[0] == 'P')
        check_present(rest);
    return 0;
}
