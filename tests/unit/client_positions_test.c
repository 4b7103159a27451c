/* What a client remembers of positions. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "clients/c/positions.h"

static struct ft_positions positions;

static void expect(size_t n, const char *text)
{
    char out[128];
    ft_positions_print(&positions, n, out, sizeof(out));
    cr_assert_str_eq(out, text);
}

static bool see(const char *pos)
{
    return ft_positions_see(&positions, ft_slice_str(pos));
}

Test(client_positions, the_greatest_of_each_stream_is_kept)
{
    ft_positions_init(&positions);
    cr_assert(see("a.5") && see("b.1") && see("a.7") && see("a.6") && see("b.10"));
    cr_assert_eq(positions.count, 2);
    expect(0, "a.7");
    expect(1, "b.10");
    ft_positions_fini(&positions);
}

Test(client_positions, the_offset_is_behind_the_last_dot)
{
    ft_positions_init(&positions);
    cr_assert(see("node.1.life.42"));
    expect(0, "node.1.life.42");
    cr_assert(see("node.1.life.18446744073709551615"));
    expect(0, "node.1.life.18446744073709551615");
    ft_positions_fini(&positions);
}

Test(client_positions, what_is_no_position_is_left_alone)
{
    static const char *const wrong[] = {
        "", ".", "a", ".5", "a.", "a.x", "a.-1", "a.1 ", "a.18446744073709551616"};
    ft_positions_init(&positions);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_assert_not(see(wrong[i]), "%s", wrong[i]);
    cr_assert_not(ft_positions_see(&positions, ft_slice(NULL, 0)));
    cr_assert_eq(positions.count, 0);
    ft_positions_fini(&positions);
}

Test(client_positions, of_too_many_streams_the_one_without_news_is_forgotten)
{
    char pos[32];
    ft_positions_init(&positions);
    for (int i = 0; i < FT_POSITIONS_MAX; i++) {
        snprintf(pos, sizeof(pos), "s%d.1", i);
        see(pos);
    }
    see("s0.2");
    see("new.1");
    cr_assert_eq(positions.count, FT_POSITIONS_MAX);
    expect(0, "s0.2");
    expect(1, "new.1");
    ft_positions_fini(&positions);
}

Test(client_positions, of_two_sets_the_smaller_ones_are_where_both_go_on_from)
{
    struct ft_positions others;
    ft_positions_init(&positions);
    ft_positions_init(&others);
    cr_assert(see("a.5") && see("b.9"));
    ft_positions_see(&others, ft_slice_str("a.7"));
    ft_positions_see(&others, ft_slice_str("b.8"));
    ft_positions_see(&others, ft_slice_str("c.1"));
    ft_positions_lower_all(&positions, &others);
    cr_assert_eq(positions.count, 3);
    expect(0, "a.5");
    expect(1, "b.8");
    expect(2, "c.1");
    ft_positions_raise_all(&positions, &others);
    expect(0, "a.7");
    expect(1, "b.8");
    ft_positions_fini(&others);
    ft_positions_fini(&positions);
}

Test(client_positions, what_is_covered_was_seen)
{
    struct ft_position_parts pos;
    struct ft_positions others;
    ft_positions_init(&positions);
    ft_positions_init(&others);
    cr_assert(see("a.5"));
    pos = (struct ft_position_parts){ft_slice_str("a"), 5};
    cr_assert(ft_positions_cover(&positions, &pos));
    pos.offset = 6;
    cr_assert_not(ft_positions_cover(&positions, &pos));
    pos = (struct ft_position_parts){ft_slice_str("b"), 0};
    cr_assert_not(ft_positions_cover(&positions, &pos));
    cr_assert(ft_positions_cover_all(&positions, &others));
    ft_positions_see(&others, ft_slice_str("a.4"));
    cr_assert(ft_positions_cover_all(&positions, &others));
    ft_positions_see(&others, ft_slice_str("b.0"));
    cr_assert_not(ft_positions_cover_all(&positions, &others));
    ft_positions_clear(&positions);
    cr_assert_eq(positions.count, 0);
    cr_assert(ft_positions_cover_all(&others, &positions));
    ft_positions_fini(&others);
    ft_positions_fini(&positions);
}
