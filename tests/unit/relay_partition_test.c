/* A partition's side of Redis and of the journal: a server that the test speaks for, and a node that waits. */
#include "broker/base/clock.h"
#include "broker/relay/load.h"
#include "broker/relay/private.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <stdio.h>

#define STREAM "0aaabcdefg"

static struct {
    ft_reply_fn fn; /* of the command that is not answered */
    void *context;
    char text[8192];
} server;

static struct {
    const char *stream;
    uint64_t head;
} acknowledged;

static struct ft_fake_relay hub_side;
static struct ft_fake_node node;
static struct ft_relay relay;

/* ---- the server, and what else the relay has ---- */

enum ft_server_state ft_server_state(const struct ft_server *of)
{
    (void)of;
    return FT_SERVER_UP;
}

bool ft_server_send(struct ft_server *to, struct ft_slice command, ft_reply_fn fn, void *context)
{
    (void)to;
    cr_assert_lt(command.len, sizeof(server.text));
    memcpy(server.text, command.ptr, command.len);
    server.text[command.len] = '\0';
    cr_assert_null(server.fn, "one at a time");
    server.fn = fn;
    server.context = context;
    return true;
}

void ft_server_subscribe(struct ft_server *to, struct ft_slice channel, ft_reply_fn confirmed,
                         void *context)
{
    (void)ft_server_send(to, channel, confirmed, context);
}

uint32_t ft_server_floods(const struct ft_server *of)
{
    (void)of;
    return 0;
}

void ft_server_unsubscribe(struct ft_server *to, struct ft_slice channel)
{
    (void)to, (void)channel;
}

const char *ft_outgoing_acknowledged(const struct ft_outgoing *outgoing, uint32_t partition,
                                     uint64_t *head)
{
    (void)outgoing, (void)partition;
    *head = acknowledged.head;
    return acknowledged.stream;
}

const char *ft_server_life(const struct ft_server *of)
{
    (void)of;
    return "LIFE";
}

bool ft_relay_has_room(const struct ft_relay *of)
{
    (void)of;
    return true;
}

bool ft_relay_flush(struct ft_relay *of)
{
    (void)of;
    return true;
}

bool ft_relay_append(struct ft_relay *of, struct ft_publication *publication)
{
    (void)of;
    bool is_taken =
        ft_journal_append(relay.writer, &publication, 1, (uint32_t)(relay.now_ms / 1000));
    cr_assert(is_taken);
    return true;
}

/* Answers what waits, in Redis' protocol. */
static void answer_bytes(struct ft_slice bytes)
{
    ft_reply_fn fn = server.fn;
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    cr_assert_not_null(fn);
    cr_assert_eq(redisReaderFeed(reader, (const char *)bytes.ptr, bytes.len), REDIS_OK);
    cr_assert_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    server.fn = NULL;
    fn(server.context, reply);
    freeReplyObject(reply);
    redisReaderFree(reader);
}

static void answer(const char *text)
{
    answer_bytes(ft_slice_str(text));
}

static void setup(void)
{
    acknowledged.stream = "";
    acknowledged.head = 0;
    server.fn = NULL;
    struct ft_partitions partitions = {.count = 1, .hash_levels = 2};
    ft_fake_relay_init(&hub_side, &partitions);
    ft_fake_node_init_cluster(&node, &(struct ft_journal_options){.age_s = 300},
                              &(struct ft_hub_options){0}, 1, &hub_side);
    relay.options = (struct ft_relay_options){
        .partitions = partitions, .message_bytes = 1000, .journal_bytes = 1 << 20, .age_s = 300};
    memcpy(relay.instance, "abcdefghijklmnop", FT_INSTANCE_LEN);
    static char prefix[] = "fan";
    relay.prefix = relay.channel_prefix = prefix;
    relay.hub = node.hub;
    relay.server_count = 1;
    relay.now_ms = 1000000;
    relay.wall_ms = FT_FAKE_WALL_MS;
    relay.journal = node.journal;
    relay.writer = ft_journal_writer_new(node.journal);
    ft_interest_init(&relay.interest, &partitions);
    relay.parts[0] = ft_part_new(&relay, 0);
}

static void teardown(void)
{
    ft_part_free(relay.parts[0]);
    ft_interest_fini(&relay.interest);
    ft_journal_writer_free(relay.writer);
    ft_fake_node_fini(&node);
    ft_fake_relay_fini(&hub_side);
}

TestSuite(relay_partition, .init = setup, .fini = teardown);

/* The partition is joined, with a stream that is empty. */
static void join(void)
{
    (void)ft_interest_want(&relay.interest, 0);
    ft_part_up(relay.parts[0]);
    answer("*3\r\n$9\r\nsubscribe\r\n$5\r\nfan:0\r\n:1\r\n");
    answer("*5\r\n$10\r\n" STREAM "\r\n:0\r\n:1000\r\n:77\r\n$0\r\n\r\n");
    answer("*2\r\n$1\r\n0\r\n*0\r\n"); /* last values … */
    answer("*2\r\n$1\r\n0\r\n*0\r\n"); /* … and topics with a history */
    cr_assert(ft_part_is_joined(relay.parts[0]));
}

/* Writes a message of one publication. `at_ms` is what its node's clock said; `follows` is written where it is not
 * the offset before. */
static void write_message(uint64_t ms, uint64_t first, uint64_t follows,
                          const struct ft_relay_entry *entry, struct ft_buffer *message)
{
    bool is_plain = follows + 1 == first;
    uint64_t numbers[] = {ms, first, follows};
    uint8_t head[64], *at = head;
    *at++ = is_plain ? 0x96 : 0x97, *at++ = 1, *at++ = FT_RELAY_STORED;
    *at++ = 0xA0 + FT_STREAM_NAME_LEN;
    memcpy(at, STREAM, FT_STREAM_NAME_LEN);
    at += FT_STREAM_NAME_LEN;
    for (int i = 0; i < (is_plain ? 2 : 3); i++) {
        if (i == 2)
            *at++ = 1; /* the count, before what it follows */
        *at++ = 0xCF;
        for (int shift = 56; shift >= 0; shift -= 8)
            *at++ = (uint8_t)(numbers[i] >> shift);
    }
    if (is_plain)
        *at++ = 1;
    ft_buffer_init(message, 4096);
    ft_buffer_add(message, head, (size_t)(at - head));
    ft_relay_entry_write(entry, message);
}

/* One that comes by the channel. */
static void receive_data(uint64_t ms, uint64_t first, uint64_t at_ms, const char *data)
{
    struct ft_buffer message;
    struct ft_relay_entry entry = {
        .topic = ft_slice_str("t"),
        .data = {FT_DATA_JSON, ft_slice_str(data)},
        .at_ms = at_ms,
    };
    write_message(ms, first, first - 1, &entry, &message);
    ft_part_message(relay.parts[0], ft_buffer_slice(&message));
    ft_buffer_fini(&message);
}

static void receive(uint64_t ms, uint64_t first, uint64_t at_ms)
{
    receive_data(ms, first, at_ms, "7");
}

static const struct ft_publication *newest(void)
{
    return ft_journal_peek(node.journal, ft_journal_head(node.journal));
}

Test(relay_partition, at_is_by_the_clock_of_redis_whatever_those_of_nodes_say)
{
    join();
    receive(5000, 1, 9000);
    cr_expect_eq(newest()->at_ms, 5000);
    receive(5001, 2, 1);
    cr_expect_eq(newest()->at_ms, 5001);
}

/* With clocks ten minutes apart the journal would else drop at once what it should keep for five. */
Test(relay_partition, what_comes_now_is_kept_from_now_on_whatever_other_clocks_say)
{
    join();
    receive(FT_FAKE_WALL_MS - 600000, 1, FT_FAKE_WALL_MS - 600000);
    cr_expect_eq(newest()->accepted_s, relay.now_ms / 1000);
}

Test(relay_partition, another_message_at_a_place_that_is_taken_is_told_even_within_a_millisecond)
{
    join();
    receive_data(5000, 1, 5000, "\"forged\"");
    receive_data(5000, 1, 5000, "\"forged\"");
    ft_part_heard(relay.parts[0]);
    ft_part_beat(relay.parts[0], ft_slice_str(STREAM), 1, 5000, 0);
    cr_expect_neq(newest()->entry, FT_ENTRY_GAP, "the same one twice is nothing");

    receive_data(5001, 2, 5001, "\"forged\"");
    receive_data(5001, 2, 5001, "\"actual\"");
    ft_part_heard(relay.parts[0]);
    ft_part_beat(relay.parts[0], ft_slice_str(STREAM), 2, 5001, 0);
    cr_expect_eq(newest()->entry, FT_ENTRY_GAP);
}

Test(relay_partition, offsets_that_are_left_out_are_no_publications)
{
    const uint64_t first = (UINT64_C(1) << 33) + 1;
    struct ft_relay_entry entry = {.topic = ft_slice_str("t"),
                                   .data = {FT_DATA_JSON, ft_slice_str("7")}};
    struct ft_buffer message, range;
    char text[100];
    join();
    write_message(5000, first, 0, &entry, &message);
    ft_part_message(relay.parts[0], ft_buffer_slice(&message));
    ft_buffer_init(&range, 4096);
    ft_buffer_add_str(&range, "*1\r\n*2\r\n$15\r\n5000-8589934593\r\n*2\r\n$1\r\nm\r\n");
    snprintf(text, sizeof(text), "$%zu\r\n", message.len);
    ft_buffer_add_str(&range, text);
    ft_buffer_add(&range, message.ptr, message.len);
    ft_buffer_add_str(&range, "\r\n");
    answer_bytes(ft_buffer_slice(&range));
    cr_expect_eq(newest()->seq, first);
    cr_expect_eq(atomic_load(relay.figures.relay_healed), 1);
    ft_buffer_fini(&range);
    ft_buffer_fini(&message);
}

Test(relay_partition, what_a_life_of_redis_leaves_out_is_no_lag)
{
    const uint64_t base = UINT64_C(1) << 33;
    struct ft_part_figures figures;
    join();
    receive(5000, 1, 5000);
    ft_part_heard(relay.parts[0]);
    ft_part_beat(relay.parts[0], ft_slice_str(STREAM), base + 2, 6000, base);
    ft_part_figures(relay.parts[0], &figures);
    cr_expect_eq(figures.head, 1);
    cr_expect_eq(figures.lag, 2);
}

/* As where a user of Redis may use some channels only. */
Test(relay_partition, a_subscription_that_redis_refuses_is_tried_again_after_a_second)
{
    (void)ft_interest_want(&relay.interest, 0);
    ft_part_tick(relay.parts[0]);
    ft_part_up(relay.parts[0]);
    for (int tries = 0; tries < 3; tries++) {
        answer("-NOPERM this user has no permissions to access one of the channels\r\n");
        for (int ticks = 0; ticks < 9; ticks++) {
            cr_assert_null(server.fn, "not at once");
            relay.now_ms += 100;
            ft_part_tick(relay.parts[0]);
        }
        relay.now_ms += 100;
        ft_part_tick(relay.parts[0]);
    }
    ft_part_down(relay.parts[0]);
    server.fn(server.context, NULL);
    server.fn = NULL;
    ft_part_up(relay.parts[0]);
    cr_assert_not_null(server.fn, "a server that is back may be another one");
}

Test(relay_partition, joining_again_wakes_who_waits_although_nothing_has_come)
{
    join();
    node.wakes = 0;
    ft_part_down(relay.parts[0]);
    ft_interest_unwant(&relay.interest, 0);
    ft_part_tick(relay.parts[0]);
    relay.now_ms += 40000;
    ft_part_tick(relay.parts[0]);
    cr_assert_not(ft_interest_is_joined(&relay.interest, 0), "it is left");

    (void)ft_interest_want(&relay.interest, 0);
    atomic_store(&node.hub->workers[0]->is_asleep, true);
    uint64_t head = ft_journal_head(node.journal);
    ft_part_up(relay.parts[0]);
    answer("*3\r\n$9\r\nsubscribe\r\n$5\r\nfan:0\r\n:1\r\n");
    answer("*5\r\n$10\r\n" STREAM "\r\n:0\r\n:1000\r\n:77\r\n$0\r\n\r\n");
    cr_assert(ft_interest_is_joined(&relay.interest, 0));
    cr_expect_eq(ft_journal_head(node.journal), head);
    cr_expect_gt(node.wakes, 0);
}

/* What the script is told behind the life of Redis: when the latest stream began, and what was seen. */
static void expect_told(const char *expected)
{
    const char *told = strstr(server.text, "\r\n$4\r\nLIFE\r\n");
    cr_assert_not_null(told);
    cr_assert_str_eq(told + strlen("\r\n$4\r\nLIFE\r\n"), expected);
}

Test(relay_partition, redis_is_told_what_it_acknowledged_where_nobody_listens)
{
    ft_part_up(relay.parts[0]);
    cr_assert_null(server.fn, "there was nothing");
    acknowledged.stream = "0hhhhhhhhh";
    acknowledged.head = 7;
    ft_part_note_born(relay.parts[0], 5);
    ft_part_up(relay.parts[0]);
    expect_told("$1\r\n5\r\n$0\r\n\r\n$1\r\n0\r\n$10\r\n0hhhhhhhhh\r\n$1\r\n7\r\n");
    answer("-OOM command not allowed\r\n");

    ft_part_tick(relay.parts[0]);
    cr_assert_null(server.fn, "it is too early to repeat that");
    relay.now_ms += 1000;
    ft_part_tick(relay.parts[0]);
    answer("*5\r\n$10\r\n" STREAM "\r\n:0\r\n:1\r\n:6\r\n$0\r\n\r\n");
    relay.now_ms += 2000;
    ft_part_tick(relay.parts[0]);
    cr_assert_null(server.fn, "it was taken");
}

Test(relay_partition, who_joins_tells_what_came_and_what_was_acknowledged)
{
    join();
    receive(5000, 1, 1);
    acknowledged.stream = STREAM;
    acknowledged.head = 3;
    ft_part_down(relay.parts[0]);
    ft_part_up(relay.parts[0]);
    answer("*3\r\n$9\r\nsubscribe\r\n$5\r\nfan:0\r\n:1\r\n");
    expect_told("$2\r\n77\r\n$10\r\n" STREAM "\r\n$1\r\n1\r\n$10\r\n" STREAM "\r\n$1\r\n3\r\n");
    answer("*5\r\n$10\r\n" STREAM "\r\n:1\r\n:5000\r\n:77\r\n$0\r\n\r\n");
}
