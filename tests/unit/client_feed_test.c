/* How far subscriptions have come, above all where the broker holds publications back. */
#include <criterion/criterion.h>

#include "clients/c/feed.h"

static struct ft_feed *feed;

static void advance(const char *text, uint64_t at_ms, uint64_t now_ms)
{
    struct ft_pos pos;
    cr_assert(ft_pos_read(ft_slice_str(text), &pos));
    ft_feed_advance(feed, &pos, at_ms, now_ms);
}

static void expect(const char *text)
{
    char out[FT_POSITION_MAX] = "";
    if (feed->at.count > 0)
        ft_positions_print(&feed->at, 0, out, sizeof(out));
    cr_assert_str_eq(out, text);
}

Test(client_feed, each_delivery_moves_it_on)
{
    feed = ft_feed_new(0, NULL);
    expect("");
    advance("n.5", 0, 0);
    expect("n.5");
    advance("n.4", 0, 0);
    expect("n.5");
    ft_feed_unref(feed);
}

Test(client_feed, what_may_still_be_held_back_is_no_position_yet)
{
    feed = ft_feed_new(500, NULL);
    advance("n.5", 10000, 0);
    advance("n.7", 11499, 1499);
    expect("");
    advance("n.8", 11500,
            1500); /* what came before n.5 was due half a second after it, and is here */
    expect("n.5");
    advance("n.9", 12999, 2999);
    expect("n.5");
    advance("n.20", 13000, 3000);
    expect("n.8");
    ft_feed_unref(feed);
}

Test(client_feed, a_replay_of_a_minute_within_a_moment_proves_nothing)
{
    feed = ft_feed_new(500, NULL);
    advance("n.5", 10000, 0);
    advance("n.6", 70000, 1);
    expect("");
    advance("n.7", 70001, 1500);
    expect("n.5");
    ft_feed_unref(feed);
}

Test(client_feed, silence_on_the_wire_proves_nothing)
{
    feed = ft_feed_new(500, NULL);
    advance("n.5", 10000, 0);
    advance("n.6", 10001, 60000);
    expect("");
    ft_feed_unref(feed);
}

Test(client_feed, a_break_takes_back_what_is_not_proved)
{
    feed = ft_feed_new(500, NULL);
    advance("n.5", 10000, 0);
    ft_feed_break(feed);
    advance("n.4", 10000, 5000);
    advance("n.6", 20000, 7000);
    expect("n.4");
    ft_feed_unref(feed);
}

Test(client_feed, a_restart_forgets_the_old_stream)
{
    struct ft_positions at;
    ft_positions_init(&at);
    ft_positions_see(&at, ft_slice_str("new.3"));
    feed = ft_feed_new(0, NULL);
    advance("old.900", 0, 0);
    ft_feed_restart(feed, &at);
    cr_assert_eq(feed->at.count, 1);
    expect("new.3");
    ft_positions_fini(&at);
    ft_feed_unref(feed);
}

Test(client_feed, the_last_share_frees_it)
{
    feed = ft_feed_new(0, NULL);
    struct ft_feed *share = ft_feed_ref(feed);
    ft_feed_unref(feed);
    advance("n.1", 0, 0); /* the sanitizer objects where it is gone, or stays */
    expect("n.1");
    ft_feed_unref(share);
    ft_feed_unref(NULL);
}
