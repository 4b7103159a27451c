/* The table of who is present, by itself and against a plain array. */
#include "broker/core/presence.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX = 4096 };

static struct ft_presence *table;

static void setup(void)
{
    table = ft_presence_new(7, MAX);
}

static void teardown(void)
{
    ft_presence_free(table);
}

TestSuite(presence, .init = setup, .fini = teardown, .timeout = 30);

static struct ft_present who_is(unsigned session, const char *user, uint64_t since_ms)
{
    char text[FT_PRESENT_SESSION_LEN + 8];
    struct ft_present who = {.since_ms = since_ms};
    snprintf(text, sizeof(text), "session-%08u", session);
    memcpy(who.session, text, FT_PRESENT_SESSION_LEN);
    if (user)
        who.user = ft_slice_str(user);
    return who;
}

static struct ft_presence_client *join(const char *topic, unsigned session, const char *user)
{
    struct ft_present who = who_is(session, user, 1000 + session);
    return ft_presence_join(table, ft_slice_str(topic), &who);
}

static void leave(const char *topic, unsigned session)
{
    struct ft_present who = who_is(session, NULL, 0);
    struct ft_presence_client *client = ft_presence_find(table, ft_slice_str(topic), who.session);
    cr_assert_not_null(client);
    ft_presence_leave(table, client);
}

/* Lists a topic as "1 2 3": the `since` of each, less 1000. */
static const char *listed(const char *topic)
{
    static char text[256];
    const struct ft_presence_client *client;
    uint32_t count = ft_presence_count(table, ft_slice_str(topic), &client);
    size_t at = 0;
    text[0] = 0;
    for (; client; client = ft_presence_next(client), count--)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d", at ? " " : "",
                               (int)(client->who.since_ms - 1000));
    cr_assert_eq(count, 0);
    return text;
}

Test(presence, clients_stand_in_the_order_in_which_they_came)
{
    cr_expect_not_null(join("a", 3, "ann"));
    cr_expect_not_null(join("a", 1, NULL));
    cr_expect_not_null(join("b", 1, NULL));
    cr_expect_not_null(join("a", 2, ""));
    cr_expect_str_eq(listed("a"), "3 1 2");
    cr_expect_str_eq(listed("b"), "1");
    cr_expect_str_eq(listed("c"), "");
    leave("a", 1);
    cr_expect_str_eq(listed("a"), "3 2");
    cr_expect_str_eq(listed("b"), "1");
    cr_expect_not_null(join("a", 1, NULL));
    cr_expect_str_eq(listed("a"), "3 2 1");
}

Test(presence, who_is_there_already_stays_as_he_is)
{
    struct ft_present again = who_is(1, "bob", 5000);
    cr_expect_not_null(join("a", 1, "ann"));
    cr_expect_null(ft_presence_join(table, ft_slice_str("a"), &again));
    const struct ft_presence_client *client;
    cr_expect_eq(ft_presence_count(table, ft_slice_str("a"), &client), 1);
    cr_expect(ft_slice_equal(client->who.user, ft_slice_str("ann")));
    cr_expect_eq(client->who.since_ms, 1001);
    cr_expect(ft_slice_equal(ft_presence_topic(client), ft_slice_str("a")));
}

Test(presence, a_topic_goes_with_its_last_client)
{
    join("a", 1, NULL);
    join("a", 2, NULL);
    join("b", 1, NULL);
    cr_expect_eq(ft_presence_topics(table), 2);
    leave("a", 1);
    cr_expect_eq(ft_presence_topics(table), 2);
    leave("a", 2);
    cr_expect_eq(ft_presence_topics(table), 1);
    cr_expect_eq(ft_presence_clients(table), 1);
}

Test(presence, a_full_table_takes_nobody_more)
{
    struct ft_presence *small = ft_presence_new(7, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct ft_present who = who_is(i, NULL, 0);
        cr_expect_not_null(ft_presence_join(small, ft_slice_str("a"), &who));
    }
    struct ft_present third = who_is(3, NULL, 0);
    cr_expect_null(ft_presence_join(small, ft_slice_str("b"), &third));
    cr_expect_eq(ft_presence_topics(small), 1);
    ft_presence_leave(small, ft_presence_turn(small));
    cr_expect_not_null(ft_presence_join(small, ft_slice_str("b"), &third));
    ft_presence_free(small);
}

Test(presence, a_round_meets_everybody_once_whoever_comes_and_goes)
{
    for (unsigned i = 0; i < 10; i++)
        join(i % 2 ? "a" : "b", i, NULL);
    for (unsigned i = 0; i < 10; i++) {
        struct ft_presence_client *client = ft_presence_turn(table);
        cr_expect_eq(client->who.since_ms, 1000 + i);
        cr_expect_eq(client->mark, 0);
        client->mark = 1;
        if (i == 4) {
            leave("b", 2); /* was met already */
            leave("a", 5); /* is the next one */
            join("c", 20, NULL)->mark = 1;
            i++;
        }
    }
    for (uint32_t i = 0; i < ft_presence_clients(table); i++)
        cr_expect_eq(ft_presence_turn(table)->mark, 1);
    cr_expect_eq(ft_presence_clients(table), 9);
}

Test(presence, an_empty_table_has_nobody_to_turn_to)
{
    cr_expect_null(ft_presence_turn(table));
    cr_expect_eq(ft_presence_clients(table), 0);
}

/* ---- against an array ---- */

struct row {
    char topic[8];
    unsigned session;
};

static size_t find_row(const struct row *rows, size_t count, const struct row *row)
{
    size_t i = 0;
    while (i < count && (rows[i].session != row->session || strcmp(rows[i].topic, row->topic) != 0))
        i++;
    return i;
}

static void compare(const struct row *rows, size_t count, const char *topic)
{
    const struct ft_presence_client *client;
    uint32_t n = ft_presence_count(table, ft_slice_str(topic), &client), seen = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].topic, topic) != 0)
            continue;
        struct ft_present who = who_is(rows[i].session, NULL, 0);
        cr_assert_not_null(client);
        cr_assert_arr_eq(client->who.session, who.session, FT_PRESENT_SESSION_LEN);
        client = ft_presence_next(client);
        seen++;
    }
    cr_assert_null(client);
    cr_assert_eq(seen, n);
}

Test(presence, it_is_what_an_array_is)
{
    static struct row rows[MAX];
    size_t count = 0;
    uint64_t state = 99;
    for (unsigned step = 0; step < 30000; step++) {
        /* Fills for a while, and empties for a while. */
        bool fills = step / 5000 % 2 == 0;
        struct row row = {.session = (unsigned)ft_input_random(&state, 40)};
        snprintf(row.topic, sizeof(row.topic), "t/%u", (unsigned)ft_input_random(&state, 50));
        size_t at = find_row(rows, count, &row);
        if (ft_input_random(&state, 10) < (fills ? 8 : 2)) {
            bool is_new = join(row.topic, row.session, "u") != NULL;
            cr_assert_eq(is_new, at == count);
            if (is_new)
                rows[count++] = row;
        } else if (at < count) {
            leave(row.topic, row.session);
            memmove(&rows[at], &rows[at + 1], (--count - at) * sizeof(*rows));
        }
        cr_assert_eq(ft_presence_clients(table), count);
        if (step % 50 == 0)
            compare(rows, count, row.topic);
    }
}

/* ---- what is told ---- */

Test(presence, events_have_a_topic_unless_that_would_be_none)
{
    char text[FT_TOPIC_BYTES_MAX], name[FT_TOPIC_BYTES_MAX + 1];
    cr_expect(ft_slice_equal(ft_presence_event_topic(ft_slice_str("a/b"), text),
                             ft_slice_str("$presence/a/b")));
    memset(name, 'x', sizeof(name));
    cr_expect_eq(ft_presence_event_topic(ft_slice(name, 245), text).len, 255);
    cr_expect_null(ft_presence_event_topic(ft_slice(name, 246), text).ptr);
    cr_expect_null(ft_presence_event_topic(ft_slice(name, 255), text).ptr);
    memset(name, '/', 31);
    cr_expect_not_null(ft_presence_event_topic(ft_slice(name, 30), text).ptr);
    cr_expect_null(ft_presence_event_topic(ft_slice(name, 31), text).ptr);
}

Test(presence, it_is_told_in_json)
{
    struct ft_buffer out;
    struct ft_writer w;
    struct ft_present ann = who_is(1, "ann", 17), nobody = who_is(2, NULL, 18);
    ft_buffer_init(&out, 1000);
    ft_writer_init(&w, FT_JSON, &out);
    ft_write_array(&w, 3);
    ft_presence_write_event(&w, true, &ann);
    ft_presence_write_event(&w, false, &nobody);
    ft_presence_write_client(&w, &nobody);
    ft_buffer_add_byte(&out, 0);
    cr_expect_str_eq((char *)out.ptr,
                     "[{\"event\":\"join\",\"session\":\"session-00000001\",\"user\":\"ann\"},"
                     "{\"event\":\"leave\",\"session\":\"session-00000002\",\"user\":null},"
                     "{\"session\":\"session-00000002\",\"user\":null,\"since\":18}]");
    ft_buffer_fini(&out);
}

Test(presence, a_client_is_read_as_it_was_written)
{
    char long_user[FT_PRESENT_USER_MAX + 1];
    memset(long_user, 'u', sizeof(long_user) - 1);
    long_user[sizeof(long_user) - 1] = 0;
    const char *users[] = {NULL, "", "ann", long_user};
    for (unsigned i = 0; i < 4; i++) {
        struct ft_buffer out;
        struct ft_writer w;
        struct ft_present written = who_is(i, users[i], i ? 1763700000000 : 0), read;
        ft_buffer_init(&out, 1000);
        ft_writer_init(&w, FT_MSGPACK, &out);
        ft_presence_write_client(&w, &written);
        for (size_t len = 0; len < out.len; len++) {
            struct ft_slice cut = ft_input_exact(ft_slice(out.ptr, len));
            struct ft_scan scan = ft_scan_of(cut);
            cr_expect_not(ft_presence_read_client(&scan, &read));
            ft_input_free(cut);
        }
        struct ft_scan scan = ft_scan_of(ft_buffer_slice(&out));
        cr_assert(ft_presence_read_client(&scan, &read));
        cr_expect_arr_eq(read.session, written.session, FT_PRESENT_SESSION_LEN);
        cr_expect_eq(read.since_ms, written.since_ms);
        cr_expect_eq(read.user.ptr == NULL, users[i] == NULL);
        cr_expect(ft_slice_equal(read.user, written.user));
        cr_expect_eq(scan.at, scan.end);
        ft_buffer_fini(&out);
    }
}
