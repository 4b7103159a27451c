/* Publishes on their way to Redis, the relay's side: a server that the test speaks for, and a hub that asks. */
#include "broker/base/clock.h"
#include "broker/relay/private.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <stdio.h>

#define STREAM "s0123456ab"

struct sent {
    struct ft_buffer command;
    ft_reply_fn fn;
    void *context;
};

static struct {
    bool is_away;
    size_t unsent;
    struct sent sent[64]; /* not answered */
    uint32_t count, resets;
} server;

static struct ft_fake_relay hub_side;
static struct ft_fake_node node;
static struct ft_fake_client a;
static struct ft_relay relay;
static struct ft_publication *announced;
static uint64_t born_ms;
static char followed[FT_STREAM_NAME_LEN + 1] = STREAM;

/* ---- the server, and what else the relay has ---- */

bool ft_server_send(struct ft_server *to, struct ft_slice command, ft_reply_fn fn, void *context)
{
    (void)to;
    if (server.is_away)
        return false;
    cr_assert_lt(server.count, 64);
    struct sent *sent = &server.sent[server.count++];
    ft_buffer_init(&sent->command, (size_t)1 << 24);
    ft_buffer_add(&sent->command, command.ptr, command.len);
    sent->fn = fn;
    sent->context = context;
    return true;
}

size_t ft_server_unsent(const struct ft_server *to)
{
    (void)to;
    return server.unsent;
}

void ft_server_reset(struct ft_server *to, const char *why)
{
    (void)to, (void)why;
    server.resets++;
}

void ft_part_note_born(struct ft_part *part, uint64_t ms)
{
    (void)part;
    born_ms = ms;
}

const char *ft_server_life(const struct ft_server *of)
{
    (void)of;
    return "LIFE";
}

void ft_part_seen(const struct ft_part *part, char stream[FT_STREAM_NAME_LEN + 1], uint64_t *head)
{
    (void)part;
    memcpy(stream, followed, FT_STREAM_NAME_LEN + 1);
    *head = 41;
}

bool ft_relay_append(struct ft_relay *of, struct ft_publication *publication)
{
    (void)of;
    announced = publication;
    return ft_journal_append(relay.writer, &publication, 1, 1);
}

/* Answers what was sent first, with text in Redis' protocol; NULL: the connection was lost. */
static void answer(const char *text)
{
    cr_assert_gt(server.count, 0);
    struct sent sent = server.sent[0];
    memmove(server.sent, server.sent + 1, --server.count * sizeof(sent));
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    if (text) {
        cr_assert_eq(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
        cr_assert_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
        cr_assert_not_null(reply);
    }
    sent.fn(sent.context, reply);
    if (reply)
        freeReplyObject(reply);
    redisReaderFree(reader);
    ft_buffer_fini(&sent.command);
}

static void drop_sent(void)
{
    for (uint32_t i = 0; i < server.count; i++)
        ft_buffer_fini(&server.sent[i].command);
    server.count = 0;
}

/* Says what a command is, its arguments with blanks between them and bytes that are not text left out. */
static const char *command(uint32_t i)
{
    static char text[8192];
    cr_assert_lt(i, server.count);
    size_t n = 0;
    const uint8_t *p = server.sent[i].command.ptr, *end = p + server.sent[i].command.len;
    unsigned long args = strtoul((const char *)p + 1, NULL, 10);
    p = (const uint8_t *)memchr(p, '\n', (size_t)(end - p)) + 1;
    for (; p < end; args--) {
        unsigned long len = strtoul((const char *)p + 1, NULL, 10);
        p = (const uint8_t *)memchr(p, '\n', (size_t)(end - p)) + 1;
        for (unsigned long at = 0; at < len; at++) {
            if (p[at] >= ' ' && p[at] < 127)
                text[n++] = (char)p[at];
        }
        text[n++] = ' ';
        p += len + 2;
    }
    cr_assert_eq(args, 0, "as many arguments as were announced");
    text[n] = '\0';
    return text;
}

/* ---- a node ---- */

static void setup(void)
{
    struct ft_partitions partitions = {.count = 1, .hash_levels = 2};
    struct ft_policies *rules = ft_policies_new();
    (void)ft_policies_add(rules, ft_slice_str("eph/#"), &(struct ft_policy){.ephemeral = true});
    (void)ft_policies_add(rules, ft_slice_str("kept"), &(struct ft_policy){.history = 3});
    ft_fake_relay_init(&hub_side, &partitions);
    ft_fake_node_init_cluster(&node, &(struct ft_journal_options){0},
                              &(struct ft_hub_options){.policies = rules}, 1, &hub_side);
    ft_fake_client_open(&node, &a, 0, FT_FRAMES_JSON);

    relay.options = (struct ft_relay_options){
        .partitions = partitions,
        .deadline_ms = 2000,
        .queue_bytes = 4096,
        .length = 1000,
        .age_s = 300,
        .size_bytes = 20000,
        .retained = 20,
        .kept_topics = 30,
    };
    memcpy(relay.instance, "abcdefghijklmnop", FT_INSTANCE_LEN);
    static char prefix[] = "fan";
    relay.prefix = relay.channel_prefix = prefix;
    relay.hub = node.hub;
    relay.server_count = 1;
    relay.now_ms = ft_clock_mono_ms();
    relay.wall_ms = FT_FAKE_WALL_MS;
    relay.writer = ft_journal_writer_new(node.journal);
    relay.outgoing = ft_outgoing_new(&relay);
    ft_outgoing_up(relay.outgoing, NULL);
}

static void teardown(void)
{
    drop_sent();
    ft_outgoing_stop(relay.outgoing);
    ft_outgoing_free(relay.outgoing);
    ft_journal_writer_free(relay.writer);
    ft_fake_node_fini(&node);
    ft_fake_relay_fini(&hub_side);
}

TestSuite(relay_outgoing, .init = setup, .fini = teardown);

/* Brings what the hub has handed over to the relay. */
static void hand_over(void)
{
    struct ft_relay_batch *batch;
    while ((batch = ft_fake_relay_take(&hub_side))) {
        ft_outgoing_prepare(relay.outgoing, batch);
        ft_outgoing_take(relay.outgoing, batch);
    }
}

static void say(const char *text)
{
    ft_fake_client_say(&a, text);
    hand_over();
}

static void publish(void)
{
    say("{\"op\":\"pub\",\"id\":1,\"topic\":\"t\",\"data\":7}");
}

static const char *told(void)
{
    ft_fake_node_settle(&node);
    return ft_fake_client_told(&a);
}

/* What was sent, as it came, and forgets it. */
static void expect_sent(const char *pattern)
{
    ft_fake_node_settle(&node);
    const char *sent = ft_fake_client_sent(&a);
    cr_assert_not_null(strstr(sent, pattern), "%s", sent);
    ft_fake_client_forget(&a);
}

static uint64_t outcomes(enum ft_outcome_label outcome)
{
    return relay.figures.relay_publishes[outcome];
}

static size_t room(void)
{
    size_t most;
    return ft_outgoing_room(relay.outgoing, &most);
}

static void pass(uint64_t ms)
{
    relay.now_ms += ms;
    ft_outgoing_tick(relay.outgoing);
}

/* ---- what is sent ---- */

Test(relay_outgoing, plain_ones_are_one_part)
{
    say("[{\"op\":\"pub\",\"id\":1,\"topic\":\"t\",\"data\":7},"
        "{\"op\":\"pub\",\"id\":2,\"topic\":\"u\",\"data\":8}]");
    cr_assert_eq(server.count, 1);
    char *text = strdup(command(0)), expected[256];
    snprintf(expected, sizeof(expected),
             "EVALSHA %s 5 fan:{0}:meta fan:{0}:log fan:{0}:last fan:{0}:lastz fan:{0}:topics "
             "fan:{0} ",
             ft_script_sha(FT_SCRIPT_PUBLISH));
    cr_assert_eq(strncmp(text, expected, strlen(expected)), 0, "%s", text);
    const char *rest = text + strlen(expected) + FT_STREAM_NAME_LEN;
    cr_assert_eq(strncmp(rest, " " STREAM " 41 1000 300000 20000 20 30 LIFE p 2 ", 46), 0, "%s",
                 rest);
    free(text);
    answer("*5\r\n$10\r\n" STREAM "\r\n:1763700000000\r\n:1\r\n:0\r\n:42\r\n");
    expect_sent("{\"op\":\"ok\",\"id\":1,\"pos\":\"" STREAM ".42\"}\n"
                "{\"op\":\"ok\",\"id\":2,\"pos\":\"" STREAM ".43\"}\n");
    cr_assert_eq(outcomes(FT_OUTCOME_ACCEPTED), 2);
    cr_assert_eq(room(), 4096);
}

Test(relay_outgoing, others_are_parts_of_their_own_and_answered_one_by_one)
{
    say("[{\"op\":\"pub\",\"id\":1,\"topic\":\"t\",\"data\":1},"
        "{\"op\":\"pub\",\"id\":2,\"topic\":\"t\",\"data\":2,\"key\":\"k\",\"ttl\":1},"
        "{\"op\":\"pub\",\"id\":3,\"topic\":\"kept\",\"data\":3,\"retain\":true},"
        "{\"op\":\"pub\",\"id\":4,\"topic\":\"t\",\"data\":null,\"retain\":true},"
        "{\"op\":\"pub\",\"id\":5,\"topic\":\"t\",\"data\":5}]");
    const char *text = command(0);
    cr_assert_not_null(strstr(text, " p 1 "), "%s", text);
    cr_assert_not_null(strstr(text, " s - t k 0 1100 "), "%s", text);
    cr_assert_not_null(strstr(text, " s r kept  3 0 "), "%s", text);
    cr_assert_not_null(strstr(text, " s c t  0 0 "), "%s", text);
    answer("*9\r\n$10\r\n" STREAM "\r\n:1763700000000\r\n:1\r\n:0\r\n:42\r\n$13\r\n" STREAM
           ".17\r\n:43\r\n:44\r\n:45\r\n");
    expect_sent("{\"op\":\"ok\",\"id\":1,\"pos\":\"" STREAM ".42\"}\n"
                "{\"op\":\"ok\",\"id\":2,\"duplicate\":true,\"pos\":\"" STREAM ".17\"}\n"
                "{\"op\":\"ok\",\"id\":3,\"pos\":\"" STREAM ".43\"}\n"
                "{\"op\":\"ok\",\"id\":4,\"pos\":\"" STREAM ".44\"}\n"
                "{\"op\":\"ok\",\"id\":5,\"pos\":\"" STREAM ".45\"}\n");
    cr_assert_eq(outcomes(FT_OUTCOME_DUPLICATE), 1);
    cr_assert_eq(outcomes(FT_OUTCOME_ACCEPTED), 4);
}

/* Says what the last command tells Redis that was seen. */
static void expect_seen(const char *seen)
{
    publish();
    cr_assert_not_null(strstr(command(0), seen), "%s", command(0));
}

static void expect_acknowledged(const char *stream, uint64_t expected)
{
    uint64_t head;
    cr_assert_str_eq(ft_outgoing_acknowledged(relay.outgoing, 0, &head), stream);
    cr_assert_eq(head, expected);
}

Test(relay_outgoing, what_redis_has_acknowledged_it_must_not_give_away_again)
{
    expect_seen(" " STREAM " 41 1000 ");
    answer("*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n:42\r\n");
    expect_seen(" " STREAM " 42 1000 ");
    expect_acknowledged(STREAM, 42);
    answer("*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n:40\r\n");
    expect_seen(" " STREAM " 42 1000 ");
    answer("*5\r\n$10\r\ns9876543zz\r\n:1\r\n:1\r\n:0\r\n:1\r\n");
    expect_seen(" s9876543zz 1 1000 ");
    answer("*5\r\n$10\r\ns9876543zz\r\n:1\r\n:1\r\n:0\r\n:2\r\n");
    expect_acknowledged("s9876543zz", 2);
    cr_assert_eq(born_ms, 1);
    memcpy(followed, "s111111111", FT_STREAM_NAME_LEN); /* it has gone on, and knows better */
    expect_seen(" s111111111 41 1000 ");
}

Test(relay_outgoing, the_name_for_a_new_stream_is_another_each_time)
{
    publish();
    publish();
    char *first = strdup(command(0));
    cr_assert_str_neq(first, command(1));
    free(first);
}

Test(relay_outgoing, while_the_socket_takes_nothing_batches_wait_and_are_refused_in_time)
{
    server.unsent = (size_t)1 << 20;
    publish();
    cr_assert_eq(server.count, 0);
    cr_assert_lt(room(), 4096);
    pass(1500);
    cr_assert_str_eq(told(), "");
    pass(1000);
    expect_sent("{\"op\":\"error\",\"id\":1,\"code\":503,\"message\":\"Redis does not keep up: "
                "nothing was published\",\"retry\":1000}\n");
    cr_assert_eq(outcomes(FT_OUTCOME_REFUSED), 1);
    cr_assert_eq(room(), 4096);

    relay.now_ms = ft_clock_mono_ms();
    publish();
    server.unsent = 0;
    pass(100);
    cr_assert_eq(server.count, 1, "sent when there is room again");
}

Test(relay_outgoing, what_waits_while_the_server_is_away_goes_in_order_when_it_is_back)
{
    server.is_away = true;
    ft_outgoing_down(relay.outgoing, NULL);
    for (int i = 1; i <= 3; i++) {
        char text[100];
        snprintf(text, sizeof(text), "{\"op\":\"pub\",\"id\":%d,\"topic\":\"t\",\"data\":\"<%d>\"}",
                 i, i);
        say(text);
    }
    server.is_away = false;
    ft_outgoing_up(relay.outgoing, NULL);
    cr_assert_eq(server.count, 3);
    cr_assert_not_null(strstr(command(0), "<1>"));
    cr_assert_not_null(strstr(command(2), "<3>"));
}

Test(relay_outgoing, a_server_that_stays_away_is_503)
{
    server.is_away = true;
    ft_outgoing_down(relay.outgoing, NULL);
    publish();
    pass(3000);
    expect_sent("\"code\":503,\"message\":\"Redis cannot be reached: nothing was published\"");
}

Test(relay_outgoing, no_answer_in_time_is_504_and_one_that_comes_later_is_nothing)
{
    publish();
    pass(3000);
    expect_sent("{\"op\":\"error\",\"id\":1,\"code\":504,\"message\":\"Redis has not answered in "
                "time: it may have been published; with a key it can be repeated safely\","
                "\"retry\":1000}\n");
    cr_assert_eq(outcomes(FT_OUTCOME_UNANSWERED), 1);
    answer("*5\r\n$10\r\n" STREAM "\r\n:1763700000000\r\n:1\r\n:0\r\n:42\r\n");
    cr_assert_str_eq(told(), "");
    cr_assert_eq(outcomes(FT_OUTCOME_ACCEPTED), 0);
}

Test(relay_outgoing, a_connection_lost_before_the_answer_is_504_at_once)
{
    publish();
    answer(NULL);
    expect_sent("\"code\":504,\"message\":\"the connection to Redis was lost before it answered: ");
}

Test(relay_outgoing, what_redis_refuses_is_503_and_says_why)
{
    publish();
    answer("-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    expect_sent("\"code\":503,\"message\":\"Redis said ");
    publish();
    answer("-BUSY Redis is busy running a script.\r\n");
    expect_sent("BUSY Redis is busy");
    cr_assert_eq(outcomes(FT_OUTCOME_REFUSED), 2);
    cr_assert_eq(server.resets, 0);
}

Test(relay_outgoing, positions_are_those_of_the_life_that_took_them)
{
    char life[FT_STREAM_NAME_LEN + 1], wanted[128];
    ft_stream_name_life(STREAM, 40, life);
    say("[{\"op\":\"pub\",\"id\":1,\"topic\":\"t\",\"data\":7},"
        "{\"op\":\"pub\",\"id\":2,\"topic\":\"t\",\"data\":7,\"key\":\"k\"}]");
    answer("*6\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:40\r\n:42\r\n$16\r\n" STREAM ".41.40\r\n");
    snprintf(wanted, sizeof(wanted),
             "{\"op\":\"ok\",\"id\":1,\"pos\":\"%s.2\"}\n"
             "{\"op\":\"ok\",\"id\":2,\"duplicate\":true,\"pos\":\"%s.1\"}\n",
             life, life);
    expect_sent(wanted);
}

Test(relay_outgoing, an_answer_without_sense_is_504_and_the_server_is_left)
{
    static const char *const answers[] = {
        ":1\r\n",
        "*0\r\n",
        "*4\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n$1\r\nx\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n:-5\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n:9000000000000000000\r\n",
        "*5\r\n$3\r\nabc\r\n:1\r\n:1\r\n:0\r\n:5\r\n",
        "*5\r\n$-1\r\n:1\r\n:1\r\n:0\r\n:5\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n:-1\r\n:0\r\n:5\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n$1\r\n1\r\n:0\r\n:5\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:5\r\n:5\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:-1\r\n:5\r\n",
        "*6\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n:5\r\n:6\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n$14\r\n" STREAM ".5.5\r\n",
        "*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n$60\r\n"
        "012345678901234567890123456789012345678901234567890123456789\r\n",
    };
    for (uint32_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        publish();
        answer(answers[i]);
        expect_sent("\"code\":504,\"message\":\"Redis gave an answer that makes no sense: ");
        cr_assert_eq(server.resets, i + 1);
    }
}

Test(relay_outgoing, scripts_that_were_not_known_are_sent_again_in_their_order)
{
    say("{\"op\":\"pub\",\"id\":1,\"topic\":\"t\",\"data\":\"<1>\"}");
    say("{\"op\":\"pub\",\"id\":2,\"topic\":\"t\",\"data\":\"<2>\"}");
    answer("-NOSCRIPT No matching script. Please use EVAL.\r\n");
    say("{\"op\":\"pub\",\"id\":3,\"topic\":\"t\",\"data\":\"<3>\"}");
    cr_assert_eq(server.count, 1, "nothing overtakes what is to be sent again");
    answer("-NOSCRIPT No matching script. Please use EVAL.\r\n");
    cr_assert_eq(server.count, 3);
    cr_assert_not_null(strstr(command(0), "<1>"));
    cr_assert_not_null(strstr(command(1), "<2>"));
    cr_assert_not_null(strstr(command(2), "<3>"));
    for (int i = 0; i < 3; i++)
        answer("*5\r\n$10\r\n" STREAM "\r\n:1\r\n:1\r\n:0\r\n:5\r\n");
    cr_assert_str_eq(told(), "ok@5 ok@5 ok@5");
}

/* ---- what is ephemeral ---- */

Test(relay_outgoing, an_ephemeral_one_is_published_and_forgotten)
{
    say("{\"op\":\"pub\",\"topic\":\"eph/x\",\"data\":7}");
    cr_assert_eq(server.count, 1);
    const char *text = command(0);
    cr_assert_eq(strncmp(text, "PUBLISH fan:{0} ", 16), 0, "%s", text);
    cr_assert_not_null(strstr(text, "abcdefghijklmnop"), "it says who publishes it");
    answer(":2\r\n");
    cr_assert_eq(outcomes(FT_OUTCOME_EPHEMERAL), 1);
}

Test(relay_outgoing, an_ephemeral_one_does_not_wait_for_a_server_that_is_away)
{
    server.unsent = (size_t)1 << 20;
    say("{\"op\":\"pub\",\"topic\":\"eph/x\",\"data\":7}");
    cr_assert_eq(outcomes(FT_OUTCOME_DROPPED), 0);
    server.is_away = true;
    ft_outgoing_down(relay.outgoing, NULL);
    cr_assert_eq(outcomes(FT_OUTCOME_DROPPED), 1);
    say("{\"op\":\"pub\",\"topic\":\"eph/x\",\"data\":7}");
    cr_assert_eq(outcomes(FT_OUTCOME_DROPPED), 2);
}

Test(relay_outgoing, ephemeral_ones_take_a_part_of_the_memory_and_not_that_of_the_others)
{
    server.unsent = (size_t)1 << 20;
    for (int i = 0; i < 20; i++)
        say("{\"op\":\"pub\",\"topic\":\"eph/x\",\"data\":7}");
    cr_assert_gt(outcomes(FT_OUTCOME_DROPPED), 0);
    cr_assert_eq(room(), 4096);
    server.unsent = 0;
    pass(100);
    cr_assert_eq(outcomes(FT_OUTCOME_DROPPED) + outcomes(FT_OUTCOME_EPHEMERAL), 20);
    while (server.count > 0)
        answer(":1\r\n");
    say("{\"op\":\"pub\",\"topic\":\"eph/x\",\"data\":7}");
    cr_assert_eq(server.count, 1, "there is room again");
}

Test(relay_outgoing, an_ephemeral_one_that_is_larger_than_that_part_goes_where_it_is_alone)
{
    char text[2100];
    snprintf(text, sizeof(text), "{\"op\":\"pub\",\"topic\":\"eph/x\",\"data\":\"%02000d\"}", 7);
    say(text);
    cr_assert_eq(outcomes(FT_OUTCOME_DROPPED), 0);
    cr_assert_eq(server.count, 1);
    server.unsent = (size_t)1 << 20;
    say(text);
    say(text);
    cr_assert_eq(outcomes(FT_OUTCOME_DROPPED), 1, "two are too much");
}

Test(relay_outgoing, the_brokers_own_are_journaled_and_published)
{
    ft_relay_announce(&relay, ft_slice_str("$presence/x"), ft_slice_str("{\"n\":1}"));
    cr_assert_eq(ft_journal_head(node.journal), 1);
    cr_assert(announced->is_ephemeral);
    cr_assert_not_null(strstr(command(0), "$presence/x"));
}

/* ---- the end ---- */

Test(relay_outgoing, what_is_left_is_given_back_at_the_end)
{
    say("{\"op\":\"pub\",\"id\":1,\"topic\":\"t\",\"data\":1}");
    server.unsent = (size_t)1 << 20;
    say("{\"op\":\"pub\",\"id\":2,\"topic\":\"t\",\"data\":1}");
    say("{\"op\":\"pub\",\"topic\":\"eph/x\",\"data\":7}");
    ft_outgoing_stop(relay.outgoing);
    cr_assert_str_eq(told(), "error(503) error(504)");
}
