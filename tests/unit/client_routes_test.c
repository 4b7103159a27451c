/* Which handlers a delivery goes to, against trying every filter of every route. */
#include <criterion/criterion.h>

#include "clients/c/routes.h"
#include "protocol/topic.h"

static void add(struct ft_routes *routes, struct ft_route *route, const char *a, const char *b)
{
    struct ft_slice filters[2] = {ft_slice_str(a), ft_slice_str(b ? b : a)};
    ft_routes_add(routes, route, filters, b ? 2 : 1);
}

static size_t match(struct ft_routes *routes, const char *topic, struct ft_route ***found)
{
    return ft_routes_match(routes, ft_slice_str(topic), found);
}

Test(client_routes, a_delivery_goes_to_every_route_with_a_matching_filter)
{
    struct ft_routes *routes = ft_routes_new();
    struct ft_route exact, wild, other;
    struct ft_route **found;
    add(routes, &exact, "a/b", NULL);
    add(routes, &wild, "a/#", NULL);
    add(routes, &other, "c", NULL);
    cr_assert_eq(match(routes, "a/b", &found), 2);
    cr_assert_eq(found[0], &exact);
    cr_assert_eq(found[1], &wild);
    cr_assert_eq(match(routes, "x", &found), 0);
    ft_routes_remove(routes, &exact);
    ft_routes_remove(routes, &wild);
    ft_routes_remove(routes, &other);
    ft_routes_free(routes);
}

Test(client_routes, a_route_is_found_once_however_many_of_its_filters_match)
{
    struct ft_routes *routes = ft_routes_new();
    struct ft_route route;
    struct ft_route **found;
    add(routes, &route, "a/+", "a/b");
    cr_assert_eq(match(routes, "a/b", &found), 1);
    cr_assert_eq(match(routes, "a/b", &found), 1, "and again the next time");
    ft_routes_remove(routes, &route);
    ft_routes_free(routes);
}

Test(client_routes, the_oldest_route_comes_first_whatever_kind_its_filter_is)
{
    struct ft_routes *routes = ft_routes_new();
    struct ft_route a, b, c;
    struct ft_route **found;
    add(routes, &a, "#", NULL);
    add(routes, &b, "t", NULL);
    add(routes, &c, "+", NULL);
    cr_assert_eq(match(routes, "t", &found), 3);
    cr_assert(found[0] == &a && found[1] == &b && found[2] == &c);
    ft_routes_remove(routes, &a);
    ft_routes_remove(routes, &b);
    ft_routes_remove(routes, &c);
    ft_routes_free(routes);
}

Test(client_routes, a_shared_filter_stays_until_its_last_route_goes)
{
    struct ft_routes *routes = ft_routes_new();
    struct ft_route a, b;
    struct ft_route **found;
    add(routes, &a, "s/#", "s/#");
    add(routes, &b, "s/#", NULL);
    cr_assert_eq(a.filter_count, 1, "a doubled filter counts once");
    cr_assert_eq(ft_routes_filter_count(routes), 1);
    cr_assert_not(ft_route_is_sole(&a, 0));
    ft_routes_remove(routes, &a);
    cr_assert(ft_route_is_sole(&b, 0));
    cr_assert_eq(match(routes, "s/1", &found), 1);
    cr_assert_eq(found[0], &b);
    ft_routes_remove(routes, &b);
    cr_assert_eq(ft_routes_filter_count(routes), 0);
    cr_assert_eq(match(routes, "s/1", &found), 0);
    ft_routes_free(routes);
}

static uint64_t seed = 88172645463325252ULL;

static unsigned draw(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % n);
}

/* Few words and few levels, so that filters meet topics often. */
static void draw_text(char *out, bool is_filter)
{
    static const char *const words[] = {"a", "b", "", "cc", "+", "+"};
    unsigned levels = 1 + draw(3);
    out[0] = '\0';
    for (unsigned i = 0; i < levels; i++) {
        if (i > 0)
            strcat(out, "/");
        strcat(out, words[draw(is_filter ? 6 : 4)]);
    }
    if (is_filter && draw(4) == 0)
        strcat(out, "/#");
    if (out[0] == '\0')
        strcpy(out, "a");
}

struct twin {
    struct ft_route route;
    bool is_in;
    char filters[2][32];
};

static bool is_expected(const struct twin *twin, const char *topic)
{
    for (int i = 0; twin->is_in && i < 2; i++)
        if (ft_filter_matches(ft_slice_str(twin->filters[i]), ft_slice_str(topic)))
            return true;
    return false;
}

Test(client_routes, random_routes_match_as_if_each_were_tried)
{
    static struct twin twins[40];
    struct ft_routes *routes = ft_routes_new();
    for (int turn = 0; turn < 20000; turn++) {
        struct twin *twin = &twins[draw(40)];
        if (twin->is_in) {
            ft_routes_remove(routes, &twin->route);
        } else {
            draw_text(twin->filters[0], true);
            draw_text(twin->filters[1], true);
            add(routes, &twin->route, twin->filters[0], twin->filters[1]);
        }
        twin->is_in = !twin->is_in;

        char topic[32];
        draw_text(topic, false);
        struct ft_route **found;
        size_t count = match(routes, topic, &found);
        size_t expected = 0;
        for (int i = 0; i < 40; i++)
            expected += is_expected(&twins[i], topic);
        cr_assert_eq(count, expected, "topic %s", topic);
        for (size_t i = 0; i < count; i++)
            cr_assert(is_expected((struct twin *)(void *)found[i], topic));
    }
    for (int i = 0; i < 40; i++)
        if (twins[i].is_in)
            ft_routes_remove(routes, &twins[i].route);
    ft_routes_free(routes);
}
