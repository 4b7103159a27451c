/* What one address and one user may take, as sessions feel it: rates, subscriptions, connections. */
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>

static const struct ft_fake_token ann = {.user = "ann", .sub = "#", .pub = "#"};
static const struct ft_fake_token bob = {.user = "bob", .sub = "#", .pub = "#"};
static const uint8_t address[16] = {
    [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 7};

static struct ft_fake_node node;
static struct ft_fake_client first, second, neighbour;

/* Opens a session from the one address. */
static void open_held(struct ft_fake_client *client, const struct ft_fake_token *token)
{
    struct ft_problem problem;
    struct ft_worker *worker = ft_fake_node_begin(&node, 0);
    client->who = ft_fake_identity(token);
    client->address =
        ft_quota_share(node.quotas, FT_QUOTA_ADDRESS, ft_slice(address, sizeof(address)));
    cr_assert_eq(ft_quota_take(client->address, FT_QUOTA_CONNECTIONS, 1, &problem), FT_OK);
    cr_assert_eq(ft_admit_user(worker, client->who, &client->user, &problem), FT_OK);
    ft_fake_client_open(&node, client, 0, FT_FRAMES_JSON);
}

static void limit(const struct ft_quota_limits *limits)
{
    ft_quotas_configure(node.quotas, limits);
}

/* Somewhat more than what is limited, so that shares are there at all. */
static const struct ft_quota_limits loose = {
    .held = {{100, 100}, {100, 100}},
    .rates = {{1000, 1000, 1000}, {1000, 1000, 1000}},
};

static void setup(void)
{
    ft_fake_node_init(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0}, 1);
    limit(&loose);
    open_held(&first, &ann);
    open_held(&second, &ann);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
}

TestSuite(session_quota, .init = setup, .fini = teardown);

static void assert_told(struct ft_fake_client *client, const char *said, const char *expected)
{
    ft_fake_client_say(client, said);
    cr_assert_str_eq(ft_fake_client_told(client), expected, "after %s", said);
}

#define PUB "{\"op\":\"pub\",\"id\":1,\"topic\":\"a\",\"data\":1}"

static void assert_rate_is_felt(void)
{
    assert_told(&first, "[" PUB "," PUB "]", "ok@1 ok@2");
    ft_fake_client_say(&second, PUB);
    const char *sent = ft_fake_client_sent(&second);
    cr_assert(strstr(sent, "{\"op\":\"error\",\"id\":1,\"code\":429,\"message\":\""), "%s", sent);
    cr_assert(strstr(sent, ",\"retry\":500}"), "%s", sent);
    ft_fake_client_forget(&second);
    ft_fake_node_pass(&node, 500);
    assert_told(&second, PUB, "ok@3");
    assert_told(&first, PUB, "error(429)");
}

Test(session_quota, sessions_of_one_user_share_a_rate)
{
    struct ft_quota_limits limits = loose;
    limits.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES] = 2;
    limit(&limits);
    assert_rate_is_felt();
}

Test(session_quota, sessions_of_one_address_share_a_rate)
{
    struct ft_quota_limits limits = loose;
    limits.rates[FT_QUOTA_ADDRESS][FT_QUOTA_PUBLISHES] = 2;
    limit(&limits);
    assert_rate_is_felt();
}

Test(session_quota, what_one_user_is_refused_does_not_count_for_the_others_of_an_address)
{
    struct ft_quota_limits limits = loose;
    limits.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES] = 1;
    limits.rates[FT_QUOTA_ADDRESS][FT_QUOTA_PUBLISHES] = 2;
    limit(&limits);
    open_held(&neighbour, &bob);
    assert_told(&first, "[" PUB "," PUB "," PUB "]", "ok@1 error(429) error(429)");
    assert_told(&neighbour, PUB, "ok@2");
}

static void publish_refused(struct ft_fake_client *client, int times)
{
    ft_fake_node_begin(&node, 0);
    for (int i = 0; i < times; i++)
        ft_fake_client_receive(client, ft_slice_str("{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}"));
    ft_fake_node_settle(&node);
}

Test(session_quota, who_goes_on_too_fast_is_closed)
{
    struct ft_quota_limits limits = loose;
    limits.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES] = 1;
    limit(&limits);
    assert_told(&first, PUB, "ok@1");
    publish_refused(&first, 100);
    cr_assert_not(first.session.is_ending, "a hundred times it is told");
    ft_fake_client_forget(&first);
    publish_refused(&first, 5);
    cr_assert_str_eq(ft_fake_client_told(&first), "close(4429)");
}

Test(session_quota, refusals_of_long_ago_do_not_count)
{
    struct ft_quota_limits limits = loose;
    limits.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES] = 1;
    limit(&limits);
    for (int i = 0; i < 5; i++) {
        publish_refused(&first, 101); /* one of them passes, after a pause */
        ft_fake_node_pass(&node, 10000);
    }
    cr_assert_not(first.session.is_ending);
}

Test(session_quota, subscriptions_of_all_sessions_count_together)
{
    struct ft_quota_limits limits = loose;
    limits.held[FT_QUOTA_USER][FT_QUOTA_SUBSCRIPTIONS] = 3;
    limit(&limits);
    assert_told(&first, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\",\"b\"]}", "ok@0");
    assert_told(&first, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"]}",
                "ok@0"); /* it has that one */
    assert_told(&second, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\",\"b\"]}", "error(429)");
    cr_assert_eq(second.session.subscription_count, 0, "all or nothing");
    assert_told(&second, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"]}", "ok@0");
    assert_told(&first, "{\"op\":\"unsub\",\"id\":1,\"topics\":[\"b\"]}", "ok");
    assert_told(&second, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"b\"]}", "ok@0");
}

Test(session_quota, a_subscription_refused_by_the_user_is_given_back_to_the_address)
{
    struct ft_quota_limits limits = loose;
    limits.held[FT_QUOTA_ADDRESS][FT_QUOTA_SUBSCRIPTIONS] = 2;
    limits.held[FT_QUOTA_USER][FT_QUOTA_SUBSCRIPTIONS] = 1;
    limit(&limits);
    assert_told(&first, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"]}", "ok@0");
    for (int i = 0; i < 3; i++)
        assert_told(&first, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"b\"]}", "error(429)");
    limits.held[FT_QUOTA_USER][FT_QUOTA_SUBSCRIPTIONS] = 2;
    limit(&limits);
    assert_told(&first, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"b\"]}", "ok@0");
}

Test(session_quota, a_session_that_goes_gives_back_what_it_held)
{
    struct ft_quota_limits limits = loose;
    limits.held[FT_QUOTA_USER][FT_QUOTA_CONNECTIONS] = 2;
    limits.held[FT_QUOTA_USER][FT_QUOTA_SUBSCRIPTIONS] = 1;
    limit(&limits);
    assert_told(&first, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"]}", "ok@0");
    struct ft_identity *who = ft_fake_identity(&ann);
    struct ft_quota_share *share = NULL;
    struct ft_problem problem;
    cr_assert_eq(ft_admit_user(node.hub->workers[0], who, &share, &problem), FT_ERR_TOO_MANY);
    cr_assert_null(share);
    ft_identity_unref(who);
    ft_fake_client_close(&first);
    first = (struct ft_fake_client){0};
    open_held(&first, &ann);
    assert_told(&first, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"]}", "ok@0");
}

Test(session_quota, checking_tokens_counts_as_requests)
{
    struct ft_quota_limits limits = loose;
    limits.rates[FT_QUOTA_ADDRESS][FT_QUOTA_REQUESTS] = 2;
    limit(&limits);
    for (int i = 0; i < 2; i++)
        assert_told(&first, "{\"op\":\"auth\",\"id\":1,\"token\":\"x\"}", "error(401)");
    assert_told(&first, "{\"op\":\"auth\",\"id\":1,\"token\":\"x\"}", "error(429)");
    cr_assert_eq(node.gate.checks, 2);
}
