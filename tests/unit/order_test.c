/* Orders between nodes: how they travel, and waiting for the other nodes. */
#include "broker/hub/control.h"
#include "protocol/msgpack_out.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct ft_slice read_filters[FT_ORDER_FILTERS_MAX];

static enum ft_err read_order(const struct ft_buffer *bytes, struct ft_order *order)
{
    return ft_order_read(ft_buffer_slice(bytes), order, read_filters, NULL);
}

/* ---- as they travel ---- */

Test(order, comes_back_as_it_was_written)
{
    struct ft_slice filters[] = {ft_slice_str("a/+"), ft_slice_str("ü/#")};
    struct ft_order orders[] = {
        {.kind = FT_ORDER_DISCONNECT, .user = ft_slice_str("")},
        {.kind = FT_ORDER_DISCONNECT, .session = ft_slice_str("k3f9x2m0ab")},
        {.kind = FT_ORDER_UNSUBSCRIBE,
         .user = ft_slice_str("ann"),
         .filters = filters,
         .filter_count = 2},
    };
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        struct ft_buffer bytes;
        struct ft_order read;
        ft_buffer_init(&bytes, FT_ORDER_BYTES_MAX);
        ft_order_write(&orders[i], &bytes);
        cr_assert_eq(read_order(&bytes, &read), FT_OK);
        cr_assert_eq(read.kind, orders[i].kind);
        cr_assert_eq(!read.user.ptr, !orders[i].user.ptr);
        cr_assert(ft_slice_equal(read.user, orders[i].user));
        cr_assert_eq(!read.session.ptr, !orders[i].session.ptr);
        cr_assert(ft_slice_equal(read.session, orders[i].session));
        cr_assert_eq(read.filter_count, orders[i].filter_count);
        for (uint32_t k = 0; k < read.filter_count; k++)
            cr_assert(ft_slice_equal(read.filters[k], filters[k]));
        ft_buffer_fini(&bytes);
    }
}

Test(order, the_largest_one_fits)
{
    static char text[FT_ORDER_FILTERS_MAX][256];
    static struct ft_slice filters[FT_ORDER_FILTERS_MAX];
    struct ft_buffer bytes;
    struct ft_order read;
    for (int i = 0; i < FT_ORDER_FILTERS_MAX; i++) {
        snprintf(text[i], sizeof(text[i]), "%0255d", i);
        filters[i] = ft_slice_str(text[i]);
    }
    ft_buffer_init(&bytes, FT_ORDER_BYTES_MAX);
    ft_order_write(&(struct ft_order){.kind = FT_ORDER_UNSUBSCRIBE,
                                      .user = ft_slice_str("x"),
                                      .filters = filters,
                                      .filter_count = FT_ORDER_FILTERS_MAX},
                   &bytes);
    cr_assert_not(bytes.failed);
    cr_assert_eq(read_order(&bytes, &read), FT_OK);
    cr_assert_eq(read.filter_count, FT_ORDER_FILTERS_MAX);
    ft_buffer_fini(&bytes);
}

#define BYTES(text) ft_slice(text, sizeof(text) - 1)

Test(order, what_a_later_version_adds_is_skipped)
{
    struct ft_order read;
    cr_assert_eq(
        ft_order_read(BYTES("\x96\x00\xa1u\xc0\x90\x81\xa1x\x01\xc0"), &read, read_filters, NULL),
        FT_OK);
    cr_assert(ft_slice_equal(read.user, ft_slice_str("u")));
}

Test(order, what_is_foreign_or_damaged_is_not_taken)
{
    const struct {
        const char *what;
        struct ft_slice bytes;
    } cases[] = {
        {"nothing", BYTES("")},
        {"no array", BYTES("\x84\x00\xa1u\xc0\x90")},
        {"too few", BYTES("\x93\x00\xa1u\xc0")},
        {"a kind that is not known", BYTES("\x94\x02\xa1u\xc0\x90")},
        {"a kind below zero", BYTES("\x94\xff\xa1u\xc0\x90")},
        {"nobody", BYTES("\x94\x00\xc0\xc0\x90")},
        {"a user and a session", BYTES("\x94\x00\xa1u\xa1s\x90")},
        {"a number for a user", BYTES("\x94\x00\x05\xc0\x90")},
        {"bytes for a user", BYTES("\x94\x00\xc4\x01u\xc0\x90")},
        {"a user that is not UTF-8", BYTES("\x94\x00\xa1\xff\xc0\x90")},
        {"no filters", BYTES("\x94\x01\xa1u\xc0\x90")},
        {"a bad filter", BYTES("\x94\x01\xa1u\xc0\x91\xa3"
                               "a#b")},
        {"a number for a filter", BYTES("\x94\x01\xa1u\xc0\x91\x07")},
        {"filters that are a map", BYTES("\x94\x01\xa1u\xc0\x81\xa1"
                                         "a\x01")},
        {"more filters than are taken", BYTES("\x94\x01\xa1u\xc0\xdc\x04\x01")},
        {"filters that are not there", BYTES("\x94\x01\xa1u\xc0\xdd\xff\xff\xff\xff")},
        {"something behind it", BYTES("\x94\x00\xa1u\xc0\x90\xc0")},
        {"cut off in what is skipped", BYTES("\x95\x00\xa1u\xc0\x90\xa5x")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ft_order read;
        struct ft_problem problem;
        cr_expect_neq(ft_order_read(cases[i].bytes, &read, read_filters, &problem), FT_OK, "%s",
                      cases[i].what);
    }
}

Test(order, every_byte_may_be_missing)
{
    struct ft_slice whole = BYTES("\x94\x01\xa3"
                                  "ann\xc0\x92\xa1"
                                  "a\xa3"
                                  "b/#");
    struct ft_order read;
    cr_assert_eq(ft_order_read(whole, &read, read_filters, NULL), FT_OK);
    for (size_t len = 0; len < whole.len; len++) {
        uint8_t *cut = malloc(len + 1); /* so that a sanitizer sees its end */
        memcpy(cut + 1, whole.ptr, len);
        cr_expect_neq(ft_order_read(ft_slice(cut + 1, len), &read, read_filters, NULL), FT_OK);
        free(cut);
    }
}

/* ---- waiting for others ---- */

static struct ft_fake_node node;
static struct ft_fake_relay relay;
static struct ft_fake_client client;
static struct ft_order_outcome told;
static struct ft_problem told_problem;
static unsigned told_times;

static void begin(void)
{
    ft_fake_relay_init(&relay, &(struct ft_partitions){.count = 4, .hash_levels = 2});
    ft_fake_node_init_cluster(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0},
                              2, &relay);
    client.who = ft_identity_new(
        &(struct ft_identity_spec){.user = ft_slice_str("ann"), .may_everything = true});
    ft_fake_client_open(&node, &client, 1, FT_FRAMES_JSON);
}

static void end(void)
{
    ft_fake_node_fini(&node);
    ft_fake_relay_fini(&relay);
}

static void done(struct ft_question *question)
{
    told = *ft_control_outcome(question);
    told_problem = *ft_control_problem(question);
    told_times++;
}

static const struct ft_order ann = {.kind = FT_ORDER_DISCONNECT,
                                    .user = {(const uint8_t *)"ann", 3}};

static struct ft_question *give(void)
{
    struct ft_worker *worker = ft_fake_node_begin(&node, 0);
    struct ft_question *question = ft_control(worker, &ann, done, NULL);
    (void)ft_fake_node_end(&node, 0);
    return question;
}

static void turns(void)
{
    for (int i = 0; i < 4; i++) {
        ft_fake_node_begin(&node, 0);
        (void)ft_fake_node_end(&node, 0);
        ft_fake_node_begin(&node, 1);
        (void)ft_fake_node_end(&node, 1);
    }
}

Test(order_cluster, is_carried_out_here_at_once_and_answered_when_the_others_have)
{
    begin();
    give();
    turns();
    cr_assert_str_eq(ft_fake_client_told(&client), "close(4403)");
    cr_assert_eq(told_times, 0);
    struct ft_relay_ask *ask = ft_fake_relay_asked(&relay);
    struct ft_order sent;
    cr_assert_eq(ask->kind, FT_ASK_ORDER);
    cr_assert_eq(read_order(&ask->body, &sent), FT_OK);
    cr_assert(ft_slice_equal(sent.user, ft_slice_str("ann")));
    ask->outcome = (struct ft_order_outcome){.sessions = 5, .subscriptions = 7, .nodes = 2};
    ft_fake_relay_answer(&node, ask);
    turns();
    cr_assert_eq(told_times, 1);
    cr_assert_eq(told.sessions, 6);
    cr_assert_eq(told.subscriptions, 7);
    cr_assert_eq(told.nodes, 3);
    cr_assert_eq(told_problem.err, FT_OK);
    end();
}

Test(order_cluster, who_did_not_answer_is_told_beside_what_is_known)
{
    begin();
    give();
    struct ft_relay_ask *ask = ft_fake_relay_asked(&relay); /* before the workers are done */
    (void)ft_problem_set(&ask->problem, FT_ERR_TIMEOUT, "node \"n2\" has not answered");
    ask->outcome.nodes = 1;
    ft_fake_relay_answer(&node, ask);
    turns();
    cr_assert_eq(told_times, 1);
    cr_assert_eq(told.sessions, 1);
    cr_assert_eq(told.nodes, 2);
    cr_assert_eq(told_problem.err, FT_ERR_TIMEOUT);
    cr_assert_str_eq(told_problem.text, "node \"n2\" has not answered");
    end();
}

Test(order_cluster, who_gave_it_may_go_at_any_time)
{
    begin();
    ft_question_abandon(give());
    turns();
    ft_fake_relay_answer(&node, ft_fake_relay_asked(&relay));
    turns();
    struct ft_question *question = give();
    turns();
    ft_question_abandon(question); /* the workers are done with it, the others are not */
    ft_fake_relay_answer(&node, ft_fake_relay_asked(&relay));
    turns();
    cr_assert_eq(told_times, 0);
    give(); /* and the node */
    end();
    cr_assert_eq(told_times, 0);
}

/* ---- for others ---- */

static struct ft_relay_ask *foreign(struct ft_slice order)
{
    struct ft_relay_ask *ask = ft_relay_ask_new(0, FT_ASK_CARRIED, NULL);
    ft_buffer_add(&ask->body, order.ptr, order.len);
    ask->token = 99;
    ft_control_foreign(node.hub, ask);
    turns();
    return ft_fake_relay_asked(&relay);
}

Test(order_cluster, one_of_another_node_is_carried_out_here_alone)
{
    begin();
    struct ft_relay_ask *ask = foreign(BYTES("\x94\x00\xa3"
                                             "ann\xc0\x90"));
    cr_assert_eq(ask->kind, FT_ASK_CARRIED);
    cr_assert_eq(ask->token, 99);
    cr_assert_eq(ask->outcome.sessions, 1);
    cr_assert_null(ft_fake_relay_asked(&relay), "it is not passed on");
    cr_assert_str_eq(ft_fake_client_told(&client), "close(4403)");
    ft_fake_relay_answer(&node, ask); /* the relay has stopped, and gives back whatever it gets */
    turns();
    end();
}

Test(order_cluster, one_of_another_node_goes_with_the_node)
{
    begin();
    struct ft_relay_ask *ask = ft_relay_ask_new(0, FT_ASK_CARRIED, NULL);
    ft_order_write(&ann, &ask->body);
    ft_control_foreign(node.hub, ask);
    ft_fake_node_begin(&node, 0);
    (void)ft_fake_node_end(&node, 0);
    end(); /* no leaks */
}
