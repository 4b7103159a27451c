/* The queue of publications: order, one end each, and what a broken connection leaves. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "clients/c/pending.h"

static struct ft_pending pending;

static void start(size_t max_bytes, uint32_t max_count)
{
    ft_pending_init(&pending, max_bytes, max_count);
}

static void push(const char *frame, bool is_keyed)
{
    static int users;
    ft_pending_push(&pending, ft_slice_str(frame), is_keyed, NULL, &users);
}

static void expect_unsent(const char *text)
{
    struct ft_slice unsent = ft_pending_unsent(&pending, 1 << 20);
    cr_assert(ft_slice_equal(unsent, ft_slice_str(text)), "%.*s instead of %s", (int)unsent.len,
              unsent.ptr ? (const char *)unsent.ptr : "", text);
}

static void send_all(void)
{
    ft_pending_sent(&pending, ft_pending_unsent(&pending, 1 << 20).len);
}

Test(client_pending, frames_leave_whole_and_in_order)
{
    start(1000, 100);
    push("aaa", false);
    push("bbbb", false);
    push("c", false);
    cr_assert_eq(ft_pending_unsent(&pending, 2).len, 3, "one at least");
    cr_assert_eq(ft_pending_unsent(&pending, 6).len, 3, "never half of one");
    cr_assert_eq(ft_pending_unsent(&pending, 7).len, 7);
    ft_pending_sent(&pending, 7);
    expect_unsent("c");
    send_all();
    cr_assert_null(ft_pending_unsent(&pending, 100).ptr);
    ft_pending_fini(&pending);
}

Test(client_pending, each_ends_once_in_whatever_order_answers_come)
{
    struct ft_pending_item item;
    start(1000, 100);
    for (int i = 0; i < 5; i++)
        push("xx", false);
    cr_assert_not(ft_pending_take(&pending, 0, &item), "not sent: nobody can have answered it");
    send_all();
    cr_assert(ft_pending_take(&pending, 3, &item));
    cr_assert_not(ft_pending_take(&pending, 3, &item));
    cr_assert(ft_pending_take(&pending, 0, &item));
    cr_assert(ft_pending_take(&pending, 1, &item));
    cr_assert_not(ft_pending_take(&pending, 5, &item), "never made");
    cr_assert_not(ft_pending_take(&pending, UINT64_MAX, &item));
    cr_assert_eq(pending.count, 2);
    push("yy", false);
    expect_unsent("yy");
    ft_pending_fini(&pending);
}

Test(client_pending, a_break_loses_what_was_sent_and_keeps_the_rest)
{
    struct ft_pending_item item;
    start(1000, 100);
    push("sent", false);
    push("KEYED", true);
    push("answered", false);
    send_all();
    push("waiting", false);
    cr_assert(ft_pending_take(&pending, 2, &item));

    ft_pending_break(&pending);
    expect_unsent("KEYEDwaiting");
    cr_assert(ft_pending_take_lost(&pending, &item));
    cr_assert_not(ft_pending_take_lost(&pending, &item));
    cr_assert_eq(pending.count, 2);
    send_all();
    cr_assert(ft_pending_take(&pending, 1, &item), "the ids are as before");
    cr_assert(ft_pending_take(&pending, 3, &item));
    cr_assert_eq(pending.count, 0);
    push("new", false);
    expect_unsent("new");
    ft_pending_fini(&pending);
}

/* What is due again at this time. */
static void expect_repeats(uint64_t now_ms, const char *text)
{
    struct ft_buffer frames;
    ft_buffer_init(&frames, 1000);
    pending.now_ms = now_ms;
    ft_pending_repeats(&pending, 1000, &frames);
    cr_assert(ft_slice_equal(ft_buffer_slice(&frames), ft_slice_str(text)), "%.*s instead of %s",
              (int)frames.len, frames.ptr ? (const char *)frames.ptr : "", text);
    ft_buffer_fini(&frames);
}

Test(client_pending, what_has_a_key_and_was_refused_for_now_is_due_again_in_its_time)
{
    struct ft_pending_item item;
    start(1000, 100);
    pending.now_ms = 1000;
    push("A", true);
    push("plain", false);
    push("B", true);
    push("C", true);
    send_all();
    push("new", true);
    cr_assert_eq(ft_pending_due_ms(&pending), 0);
    cr_assert_not(ft_pending_repeat(&pending, 1, 500, false), "it has no key");
    cr_assert_not(ft_pending_repeat(&pending, 4, 500, false), "it was not sent");
    cr_assert_not(ft_pending_repeat(&pending, 5, 500, false), "there is none");
    cr_assert(ft_pending_repeat(&pending, 2, 800, true));
    cr_assert(ft_pending_repeat(&pending, 0, 500, false));
    cr_assert_not(ft_pending_repeat(&pending, 0, 500, false), "it waits already");
    cr_assert(ft_pending_repeat(&pending, 3, 500, false));
    cr_assert_eq(ft_pending_due_ms(&pending), 1500);
    expect_repeats(1499, "");
    expect_repeats(1500, "AC");
    expect_repeats(1500, "");
    cr_assert_eq(ft_pending_due_ms(&pending), 1800);
    cr_assert(ft_pending_take(&pending, 2, &item), "an answer came nevertheless");
    cr_assert_eq(ft_pending_due_ms(&pending), 0);
    expect_repeats(1800, "");
    expect_unsent("new");
    cr_assert_eq(pending.count, 4);
    ft_pending_fini(&pending);
}

Test(client_pending, repeats_leave_in_bounded_pieces)
{
    struct ft_buffer frames;
    ft_buffer_init(&frames, 1000);
    start(1000, 100);
    pending.now_ms = 1;
    for (int i = 0; i < 3; i++)
        push("frame", true);
    send_all();
    for (uint64_t id = 0; id < 3; id++)
        cr_assert(ft_pending_repeat(&pending, id, 0, false));
    ft_pending_repeats(&pending, 12, &frames);
    cr_assert_eq(frames.len, 10);
    ft_buffer_clear(&frames);
    ft_pending_repeats(&pending, 1, &frames);
    cr_assert_eq(frames.len, 5, "one at least");
    cr_assert_eq(ft_pending_due_ms(&pending), 0);
    ft_buffer_fini(&frames);
    ft_pending_fini(&pending);
}

Test(client_pending, a_key_is_not_trusted_longer_than_the_broker_remembers_it)
{
    struct ft_pending_item item;
    start(1000, 100);
    pending.now_ms = 1000;
    push("unsure", true);
    push("refused", true);
    send_all();
    pending.now_ms = 2000;
    cr_assert(ft_pending_repeat(&pending, 0, 100, true));
    cr_assert(ft_pending_repeat(&pending, 1, 100, false));
    expect_repeats(2100, "unsurerefused");
    pending.now_ms = 1000 + FT_PENDING_KEY_MS - 1;
    cr_assert(ft_pending_repeat(&pending, 0, 100, false));
    cr_assert(ft_pending_repeat(&pending, 1, 100, false));
    expect_repeats(pending.now_ms + 100, "refused");
    cr_assert(ft_pending_take_lost(&pending, &item), "it waited too long");
    cr_assert(ft_pending_is_unsure(&item));
    cr_assert_not(ft_pending_take_lost(&pending, &item));
    cr_assert(ft_pending_repeat(&pending, 1, 100, false), "it was never taken, however old");
    cr_assert_not(ft_pending_repeat(&pending, 0, 100, false));
    ft_pending_fini(&pending);
}

Test(client_pending, a_break_that_was_too_long_ends_what_may_have_arrived_before_it)
{
    struct ft_pending_item item;
    start(1000, 100);
    pending.now_ms = 1000;
    push("old", true);
    push("waits", true);
    send_all();
    cr_assert(ft_pending_repeat(&pending, 1, 500, false));
    pending.now_ms = 90000;
    push("young", true);
    send_all();
    push("unsent", true);
    ft_pending_break(&pending);
    cr_assert_eq(ft_pending_due_ms(&pending), 0, "the next connection begins with it");
    pending.now_ms = 1000 + FT_PENDING_KEY_MS;
    ft_pending_expire(&pending);
    expect_unsent("waitsyoungunsent");
    cr_assert(ft_pending_take_lost(&pending, &item));
    cr_assert_not(ft_pending_take_lost(&pending, &item));
    cr_assert_eq(pending.count, 3);
    send_all();
    for (uint64_t id = 1; id <= 3; id++)
        cr_assert(ft_pending_take(&pending, id, &item));
    cr_assert_eq(pending.count, 0);
    ft_pending_fini(&pending);
}

Test(client_pending, it_is_bounded_in_number_and_in_bytes)
{
    start(10, 3);
    cr_assert(ft_pending_has_room(&pending, 10));
    cr_assert_not(ft_pending_has_room(&pending, 11));
    push("1", false);
    push("2", false);
    push("3", false);
    cr_assert_not(ft_pending_has_room(&pending, 1));
    struct ft_pending_item item;
    send_all();
    cr_assert(ft_pending_take(&pending, 0, &item));
    cr_assert(ft_pending_has_room(&pending, 8));
    cr_assert_not(ft_pending_has_room(&pending, 9));
    ft_pending_fini(&pending);
}

Test(client_pending, a_client_that_ends_takes_everything_out)
{
    struct ft_pending_item item;
    start(1000, 100);
    push("a", false);
    push("b", true);
    send_all();
    push("c", false);
    for (int i = 0; i < 3; i++)
        cr_assert(ft_pending_take_any(&pending, &item));
    cr_assert_not(ft_pending_take_any(&pending, &item));
    cr_assert_eq(pending.count, 0);
    ft_pending_fini(&pending);
}

/* Takes what is due again: whole frames. */
static void repeat_some(size_t max)
{
    struct ft_buffer frames;
    ft_buffer_init(&frames, 1 << 16);
    ft_pending_repeats(&pending, max, &frames);
    cr_assert_eq(frames.len % 12, 0);
    for (size_t i = 0; i < frames.len; i += 12)
        cr_assert(frames.ptr[i] == '[' && frames.ptr[i + 11] == ']');
    ft_buffer_fini(&frames);
}

/* A plain twin: an array of what became of each, and the bytes that a peer would get. */
Test(client_pending, random_use_sends_every_frame_and_ends_every_one_once)
{
    enum { ALL = 20000 };
    static uint8_t ends[ALL];
    uint64_t seed = 88172645463325252ULL;
    uint64_t made = 0;
    struct ft_pending_item item;
    start(1 << 16, 300);
    while (made < ALL || pending.count > 0) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        char frame[16];
        switch (seed % 8) {
        case 0:
        case 1:
        case 2:
            if (made == ALL || !ft_pending_has_room(&pending, 12))
                break;
            snprintf(frame, sizeof(frame), "[%010llu]", (unsigned long long)made);
            ft_pending_push(&pending, ft_slice_str(frame), seed >> 60 & 1, NULL, &ends[made++]);
            break;
        case 3:
        case 4: {
            struct ft_slice unsent = ft_pending_unsent(&pending, seed >> 8 & 255);
            for (size_t i = 0; i < unsent.len; i += 12)
                cr_assert(unsent.ptr[i] == '[' && unsent.ptr[i + 11] == ']');
            ft_pending_sent(&pending, unsent.len);
            break;
        }
        case 5:
        case 6: {
            uint64_t span = pending.next - pending.base_;
            if (span && ft_pending_take(&pending, pending.base_ + (seed >> 8) % span, &item))
                ++*(uint8_t *)item.user;
            break;
        }
        default:
            pending.now_ms = made + 1;
            if (pending.next > pending.base_)
                ft_pending_repeat(&pending,
                                  pending.base_ + (seed >> 8) % (pending.next - pending.base_),
                                  (uint32_t)(seed >> 40 & 15), true);
            repeat_some(seed >> 8 & 255);
            if ((seed >> 8) % 50 != 0)
                break;
            ft_pending_break(&pending);
            while (ft_pending_take_lost(&pending, &item))
                ++*(uint8_t *)item.user;
        }
    }
    for (int i = 0; i < ALL; i++)
        cr_assert_eq(ends[i], 1, "publication %d ended %u times", i, ends[i]);
    ft_pending_fini(&pending);
}
