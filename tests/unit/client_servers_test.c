/* Several servers: whose turn it is. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "clients/c/servers.h"

static struct ft_servers servers;

static void start(size_t n)
{
    static char texts[FT_SERVERS_MAX][32];
    const char *urls[FT_SERVERS_MAX];
    for (size_t i = 0; i < n; i++) {
        snprintf(texts[i], sizeof(texts[i]), "ws://host%zu", i);
        urls[i] = texts[i];
    }
    cr_assert_eq(ft_servers_init(&servers, urls, n, NULL), FT_OK);
    cr_assert_eq(servers.count, n);
}

static size_t turn(void)
{
    return (size_t)(ft_servers_now(&servers) - servers.items_);
}

Test(client_servers, one_is_tried_again_and_again)
{
    start(1);
    for (int i = 0; i < 3; i++)
        cr_assert(ft_servers_failed(&servers, (uint64_t)i), "each time is a round");
    ft_servers_opened(&servers);
    cr_assert(ft_servers_failed(&servers, 7));
    cr_assert_str_eq(ft_servers_now(&servers)->url.host, "host0");
    ft_servers_fini(&servers);
}

Test(client_servers, the_first_attempts_go_through_the_list)
{
    start(3);
    for (size_t i = 0; i < 9; i++) {
        cr_assert_eq(turn(), i % 3);
        cr_assert_eq(ft_servers_failed(&servers, i * 31), i % 3 == 2);
    }
    ft_servers_fini(&servers);
}

Test(client_servers, a_lost_one_is_followed_by_any_other_and_comes_last_itself)
{
    bool was_next[5] = {0};
    for (uint64_t random = 0; random < 50; random++) {
        start(5);
        while (turn() != 2)
            ft_servers_failed(&servers, 0);
        ft_servers_opened(&servers);
        unsigned seen = 0;
        cr_assert_not(ft_servers_failed(&servers, random));
        was_next[turn()] = true;
        for (int i = 0; i < 4; i++) {
            cr_assert_neq(turn(), 2);
            cr_assert_not(seen & 1u << turn(), "each once");
            seen |= 1u << turn();
            cr_assert_not(ft_servers_failed(&servers, random));
        }
        cr_assert_eq(turn(), 2);
        cr_assert(ft_servers_failed(&servers, random), "the round is over");
        ft_servers_fini(&servers);
    }
    cr_assert(was_next[0] && was_next[1] && was_next[3] && was_next[4] && !was_next[2]);
}

Test(client_servers, without_any_there_is_the_usual_one)
{
    cr_assert_eq(ft_servers_init(&servers, NULL, 0, NULL), FT_OK);
    cr_assert_str_eq(ft_servers_now(&servers)->text, FT_URL_DEFAULT);
    cr_assert_not(ft_servers_have_tls(&servers));
    ft_servers_fini(&servers);
}

Test(client_servers, a_bad_one_is_refused_and_one_with_tls_noticed)
{
    struct ft_problem problem;
    const char *urls[FT_SERVERS_MAX + 1] = {"ws://a", "wss://b", "http://c"};
    cr_assert_eq(ft_servers_init(&servers, urls, 3, &problem), FT_ERR_BAD_FIELD);
    cr_assert(strstr(problem.text, "http://c"));
    ft_servers_fini(&servers);
    cr_assert_eq(ft_servers_init(&servers, urls, 2, NULL), FT_OK);
    cr_assert(ft_servers_have_tls(&servers));
    ft_servers_fini(&servers);
    cr_assert_eq(ft_servers_init(&servers, urls, FT_SERVERS_MAX + 1, &problem), FT_ERR_BAD_FIELD);
    ft_servers_fini(&servers);
}
