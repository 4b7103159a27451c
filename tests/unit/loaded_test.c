/* What was read from Redis as a partition is joined: what of it is wanted, and in which order. */
#include "broker/relay/loaded.h"
#include "broker/relay/log_entry.h"
#include "tests/unit/support/fake_stream.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <hiredis/hiredis.h>

#define STREAM "0aanewnews"
#define BEFORE "0aapastpas"

static struct ft_loaded *loaded;

static void begin(uint64_t head, uint64_t had)
{
    struct ft_load_plan plan = {.stream = STREAM, .head = head, .ms = 1000, .had = had};
    plan.is_warm = true;
    loaded = ft_loaded_new(&plan);
}

enum way { LOG, LAST, HISTORY };

/* Adds a message of so many publications, the first one being `first`. */
static bool add(enum way way, const char *stream, uint64_t ms, uint64_t first, uint32_t count)
{
    struct ft_buffer out;
    bool goes_on = true;
    ft_buffer_init(&out, 4096);
    ft_fake_head(stream, ms, first, count, &out);
    for (uint32_t i = 0; i < count; i++)
        ft_fake_entry(0, (uint32_t)first + i, 0, false, &out);
    struct ft_slice exact = ft_input_exact(ft_buffer_slice(&out));
    if (way == LOG)
        goes_on = ft_loaded_add_log(loaded, exact);
    else if (way == LAST)
        ft_loaded_add_last(loaded, exact);
    else
        ft_loaded_add_history(loaded, exact);
    ft_input_free(exact);
    ft_buffer_fini(&out);
    return goes_on;
}

/* Adds one of the log that follows an offset further back. */
static bool add_after(uint64_t first, uint32_t count, uint64_t follows)
{
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    ft_fake_head_after(STREAM, 1000, first, count, follows, &out);
    bool goes_on = ft_loaded_add_log(loaded, ft_buffer_slice(&out));
    ft_buffer_fini(&out);
    return goes_on;
}

static uint64_t first_of(struct ft_slice message)
{
    struct ft_relay_head head;
    struct ft_slice entries;
    cr_assert_eq(ft_relay_head_read(message, &head, &entries), FT_RELAY_SOUND);
    return head.first;
}

static void expect_kept(uint64_t first, bool is_last)
{
    struct ft_slice message;
    bool was_last;
    cr_assert(ft_loaded_kept(loaded, &message, &was_last));
    cr_assert_eq(first_of(message), first);
    cr_assert_eq(was_last, is_last);
    ft_loaded_kept_done(loaded);
}

static void expect_log(uint64_t first)
{
    struct ft_slice message;
    cr_assert(ft_loaded_log(loaded, &message));
    cr_assert_eq(first_of(message), first);
    ft_loaded_log_done(loaded);
}

static void expect_end(uint64_t from)
{
    struct ft_slice message;
    bool is_last;
    cr_assert_not(ft_loaded_kept(loaded, &message, &is_last));
    cr_assert_not(ft_loaded_log(loaded, &message));
    cr_assert_eq(ft_loaded_from(loaded), from);
    ft_loaded_free(loaded);
}

Test(loaded, the_log_comes_oldest_first_and_ends_at_a_hole)
{
    begin(10, 0);
    cr_assert(add(LOG, STREAM, 9, 9, 2));
    cr_assert(add(LOG, STREAM, 8, 6, 3));
    cr_assert_not(add(LOG, STREAM, 7, 3, 2), "5 is missing");
    ft_loaded_seal(loaded);
    expect_log(6);
    expect_log(9);
    expect_end(5);
}

Test(loaded, a_log_that_does_not_reach_the_head_is_of_no_use)
{
    begin(10, 0);
    cr_assert_not(add(LOG, STREAM, 9, 9, 1));
    cr_assert_not(add(LOG, BEFORE, 9, 10, 1));
    ft_loaded_seal(loaded);
    expect_end(10);
}

Test(loaded, the_log_is_read_back_to_what_the_journal_has)
{
    begin(10, 7);
    cr_assert(add(LOG, STREAM, 9, 9, 2));
    cr_assert_not(add(LOG, STREAM, 8, 6, 3), "that was enough");
    ft_loaded_seal(loaded);
    expect_log(6);
    expect_log(9);
    expect_end(7);
}

Test(loaded, what_topics_keep_is_in_order_once_and_not_what_the_log_has)
{
    begin(10, 0);
    cr_assert(add(LOG, STREAM, 90, 9, 2));
    add(HISTORY, STREAM, 40, 4, 1);
    add(LAST, STREAM, 90, 9, 1);
    add(HISTORY, STREAM, 30, 3, 1);
    add(LAST, STREAM, 40, 4, 1);
    add(HISTORY, STREAM, 40, 4, 1);
    add(LAST, STREAM, 99, 11, 1);
    add(LAST, BEFORE, 20, 700, 1);
    add(HISTORY, BEFORE, 10, 650, 1);
    ft_loaded_add_last(loaded, ft_slice("hello", 5));
    ft_loaded_seal(loaded);
    expect_kept(650, false);
    expect_kept(700, true);
    expect_kept(3, false);
    expect_kept(4, true);
    expect_log(9);
    expect_end(8);
}

/* ---- entries as Redis answers them ---- */

static redisReply text(const char *bytes)
{
    return (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)bytes, .len = strlen(bytes)};
}

static bool read_entry(const char *id, const char *field, struct ft_log_entry *entry)
{
    redisReply parts[] = {text(id), {0}}, fields[] = {text(field), text("message")};
    redisReply *parts_at[] = {&parts[0], &parts[1]}, *fields_at[] = {&fields[0], &fields[1]};
    parts[1] = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = fields_at};
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = parts_at};
    return ft_log_entry_read(&reply, entry);
}

Test(log_entry, is_an_id_and_a_message)
{
    struct ft_log_entry entry;
    cr_assert(read_entry("1763700000000-17", "m", &entry));
    cr_assert_eq(entry.ms, UINT64_C(1763700000000));
    cr_assert_eq(entry.last, 17);
    cr_assert(ft_slice_equal(entry.message, ft_slice_str("message")));
    cr_assert(read_entry("1-2", "x", &entry));
    cr_assert_eq(entry.message.len, 0, "not the field that is ours");
}

Test(log_entry, is_nothing_else)
{
    struct ft_log_entry entry;
    const char *const bad[] = {
        "", "-", "1-", "-1", "1", "a-1", "1-b", "1-2-3", "1--2", " 1-2", "12345678901234567890-1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(read_entry(bad[i], "m", &entry), "%s", bad[i]);
    redisReply nil = {.type = REDIS_REPLY_NIL};
    cr_assert_not(ft_log_entry_read(&nil, &entry));
}

Test(loaded, the_log_goes_on_behind_what_was_skipped)
{
    begin(1001, 0);
    cr_assert(add_after(1000, 2, 20));
    cr_assert(add(LOG, STREAM, 900, 20, 1));
    ft_loaded_seal(loaded);
    expect_log(20);
    expect_log(1000);
    expect_end(19);
}

Test(loaded, what_does_not_follow_what_the_journal_has_is_where_the_log_begins)
{
    begin(1001, 21);
    cr_assert_not(add_after(1000, 2, 20));
    ft_loaded_seal(loaded);
    expect_log(1000);
    expect_end(999);
}
