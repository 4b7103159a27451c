/* The list of nodes, and the gauges of the relay. */
#include "protocol/transcode.h"
#include "tests/unit/support/ask_case.h"

/* ---- nodes ---- */

/* Returns the answer as JSON. */
static const char *nodes(void)
{
    static struct ft_buffer text;
    struct ft_data data = {.kind = FT_DATA_MSGPACK, .bytes = ft_buffer_slice(&answered->answer)};
    enum ft_data_kind kind;
    ft_buffer_fini(&text);
    ft_buffer_init(&text, 1 << 20);
    cr_assert_eq(answered->problem.err, FT_OK, "%s", answered->problem.text);
    cr_assert_eq(ft_transcode(data, FT_JSON, &text, &kind), FT_OK);
    ft_buffer_add_byte(&text, '\0');
    return (const char *)text.ptr;
}

#define SELF_AND(partitions)                                                                          \
    "{\"nodes\":[{\"name\":\"n1\",\"instance\":\"" US "\",\"version\":\"9.9\",\"started\":"           \
    "1000000,\"uptime_s\":5,\"connections\":0,\"seen_ms\":0,\"self\":true,\"partitions\":" partitions \
    "}"

Test(roll, nodes_are_listed_by_name_with_how_far_they_are_behind)
{
    begin(1);
    parts[3].figures =
        (struct ft_part_figures){.is_joined = true, .head = 5, .lag = 4, .stream = "s"};
    ask(FT_ASK_NODES);
    reply_nodes(0, "n2", 1000000000);
    cr_assert_eq(answers, 1);
    cr_assert_str_eq(
        nodes(),
        SELF_AND(
            "[{\"partition\":3,\"lag\":4}]") ",{\"name\":\"n2\",\"instance\":\"" THEM
                                             "\",\"version\":\"9.8\",\"started\":"
                                             "1004000,\"uptime_s\":1,\"connections\":17,\"seen_ms\":500,\"self\":false,"
                                             "\"partitions\":[{\"partition\":1,\"lag\":20},{\"partition\":2,\"lag\":null}]"
                                             "}]}");
    end();
}

Test(roll, a_node_that_is_gone_is_dropped_and_after_an_hour_forgotten)
{
    begin(1);
    ask(FT_ASK_NODES);
    reply_nodes(0, "n0", 1000000500 - FT_NODE_AGE_MAX_MS - 1);
    cr_assert_str_eq(nodes(), SELF_AND("[]") "]}");
    cr_assert_eq(servers[0].count, 2);
    ask(FT_ASK_NODES);
    reply_nodes(0, "n0", 1000000500 - 3600001);
    cr_assert_str_eq(nodes(), SELF_AND("[]") "]}");
    cr_assert_eq(servers[0].count, 5);
    cr_assert_str_eq(servers[0].sent[4].text, "HDEL p:nodes n0");
    reply_number(0, 1);
    end();
}

Test(roll, what_somebody_else_wrote_there_is_counted_and_ignored)
{
    begin(1);
    struct ft_buffer good, cut;
    write_node(&good, "n2", THEM, 1000000000, 1, 1);
    for (size_t len = 0; len < good.len; len++) { /* every byte may be missing */
        struct ft_roll roll = {0};
        uint64_t age_ms;
        ft_buffer_init(&cut, 4096);
        ft_buffer_add(&cut, good.ptr, len);
        cr_expect_not(
            ft_roll_add(&roll, ft_slice_str("n2"), ft_buffer_slice(&cut), 1000000500, &age_ms));
        cr_expect_eq(roll.count, 0);
        ft_buffer_fini(&cut);
        ft_roll_fini(&roll);
    }
    ask(FT_ASK_NODES);
    redisReply strings[] = {string_of("n3", 2), string_of(good.ptr, good.len), /* another's name */
                            string_of("x", 1), string_of("junk", 4)};
    reply_time(0);
    reply_strings(0, strings, 4);
    cr_assert_str_eq(nodes(), SELF_AND("[]") "]}");
    cr_assert_eq(rejected(FT_REJECTED_DAMAGED), 2);
    ft_buffer_fini(&good);
    end();
}

Test(roll, of_two_servers_the_newer_word_counts_and_partitions_are_those_of_both)
{
    struct ft_roll roll = {0};
    struct ft_buffer value;
    uint64_t age_ms;
    for (uint64_t i = 0; i < 3; i++) {
        write_node(&value, "n2", THEM, i == 1 ? 1000000400 : 1000000100, 100, 100);
        cr_assert(
            ft_roll_add(&roll, ft_slice_str("n2"), ft_buffer_slice(&value), 1000000500, &age_ms));
        ft_buffer_fini(&value);
    }
    cr_assert_eq(roll.count, 1);
    cr_assert_eq(roll.nodes[0].info.seen_ms, 100);
    cr_assert_eq(roll.nodes[0].info.lag_count, 2);
    ft_roll_fini(&roll);
}

/* Between the two Redis was started again. */
Test(roll, what_a_life_of_redis_leaves_out_is_no_lag)
{
    const uint64_t base = UINT64_C(1) << 33;
    cr_expect_eq(ft_relay_lag(7, base + 3, base), 3);
    cr_expect_eq(ft_relay_lag(base + 1, base + 3, base), 2);
    cr_expect_eq(ft_relay_lag(base + 3, base + 3, base), 0);
    cr_expect_eq(ft_relay_lag(base + 9, base + 3, base), 0);

    struct ft_buffer value, truth;
    struct ft_roll roll = {0};
    uint64_t age_ms;
    write_node(&value, "n2", THEM, 1000000400, 1, 7);
    const uint8_t *info = memchr(value.ptr, 0x97, value.len); /* what the node says itself */
    cr_assert(info);
    ft_buffer_init(&truth, 4096);
    msgpack_packer packer = ft_msgpack_out(&truth);
    msgpack_pack_array(&packer, 2);
    msgpack_pack_uint64(&packer, 1000000400);
    msgpack_pack_array(&packer, 1);
    msgpack_pack_array(&packer, 5);
    msgpack_pack_uint64(&packer, 1);
    ft_msgpack_out_str(&truth, ft_slice_str("stream0001"));
    msgpack_pack_uint64(&packer, base + 3);
    msgpack_pack_uint64(&packer, 1000000300);
    msgpack_pack_uint64(&packer, base);
    ft_buffer_add(&truth, info, value.len - (size_t)(info - value.ptr));
    cr_assert(ft_roll_add(&roll, ft_slice_str("n2"), ft_buffer_slice(&truth), 1000000500, &age_ms));
    cr_expect_eq(roll.nodes[0].lags[0].partition, 1);
    cr_expect_eq(roll.nodes[0].lags[0].lag, 3);
    ft_roll_fini(&roll);
    ft_buffer_fini(&truth);
    ft_buffer_fini(&value);
}

Test(roll, a_node_says_of_itself_what_others_list)
{
    begin(2);
    parts[1].figures =
        (struct ft_part_figures){.is_joined = true, .head = 8, .stream = "stream0001"};
    parts[2].figures =
        (struct ft_part_figures){.is_joined = true, .head = 9, .stream = "stream0002"};
    struct ft_buffer value;
    ft_buffer_init(&value, 4096);
    msgpack_packer packer = ft_msgpack_out(&value); /* what the beat script puts before it */
    msgpack_pack_array(&packer, 2);
    msgpack_pack_uint64(&packer, 1000000000);
    msgpack_pack_array(&packer, 1);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_uint64(&packer, 1);
    ft_msgpack_out_str(&value, ft_slice_str("stream0001"));
    msgpack_pack_uint64(&packer, 11);
    ft_asks_describe(relay.asks, &servers[1], &value);
    struct ft_roll roll = {0};
    uint64_t age_ms;
    cr_assert(ft_roll_add(&roll, ft_slice_str("n1"), ft_buffer_slice(&value), 1000000500, &age_ms));
    cr_assert_eq(age_ms, 500);
    cr_assert_eq(roll.count, 1);
    cr_assert(ft_slice_equal(roll.nodes[0].info.version, ft_slice_str("9.9")));
    cr_assert_eq(roll.nodes[0].info.started_ms, 1000000);
    cr_assert_eq(roll.nodes[0].info.lag_count, 1, "of this server's partitions alone");
    cr_assert_eq(roll.nodes[0].lags[0].partition, 1);
    cr_assert_eq(roll.nodes[0].lags[0].lag, 3);
    ft_roll_fini(&roll);
    ft_buffer_fini(&value);
    end();
}

/* ---- gauges ---- */

Test(roll, gauges_are_looked_up)
{
    begin(2);
    parts[1].figures = (struct ft_part_figures){.is_joined = true, .head = 9, .lag = 2};
    parts[3].figures = (struct ft_part_figures){.is_joined = true, .head = 5, .lag = 4};
    ft_relay_gauges(&relay);
    cr_assert_eq(relay.figures.relay_up[0], 1);
    cr_assert_eq(relay.figures.relay_servers[0], 2);
    cr_assert_eq(relay.figures.relay_unsent[0], 20);
    cr_assert_eq(relay.figures.relay_queue[0], 70);
    cr_assert_eq(relay.figures.relay_partitions_joined[0], 2);
    cr_assert_eq(relay.figures.relay_lag[0], 6);
    cr_assert_eq(relay.figures.relay_partition_lag[3], 4);
    cr_assert_eq(relay.figures.relay_partition_lag[0], UINT64_MAX);
    servers[1].state = FT_SERVER_AWAY;
    ft_relay_gauges(&relay);
    cr_assert_eq(relay.figures.relay_up[0], 0);
    cr_assert_eq(relay.figures.relay_servers_up[0], 1);
    cr_assert_eq(relay.figures.relay_unsent[0], 10);
    end();
}
