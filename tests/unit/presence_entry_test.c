/* What presence is in Redis: written, read, and what else may be found there. */
#include "broker/relay/presence_entry.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>

#define INSTANCE "0123456789abcdef"

static struct ft_present who_is(const char *session, struct ft_slice user)
{
    struct ft_present who = {.user = user};
    memcpy(who.session, session, FT_PRESENT_SESSION_LEN);
    return who;
}

static void assert_goes_through(struct ft_slice topic, struct ft_slice user)
{
    struct ft_buffer out;
    struct ft_slice read_topic;
    struct ft_present who = who_is("a-session-of-16!", user), read;
    ft_buffer_init(&out, FT_ENTRY_MAX); /* which it must fit */
    ft_entry_write(255, topic, &who, INSTANCE, &out);
    cr_assert_not(out.failed);
    cr_assert(ft_entry_read(ft_buffer_slice(&out), &read_topic, &read));
    cr_expect(ft_slice_equal(read_topic, topic));
    cr_expect_arr_eq(read.session, who.session, FT_PRESENT_SESSION_LEN);
    cr_expect_eq(read.user.ptr == NULL, user.ptr == NULL);
    cr_expect(ft_slice_equal(read.user, user));
    for (size_t len = 0; len < out.len; len++) {
        struct ft_slice cut = ft_input_exact(ft_slice(out.ptr, len));
        cr_expect_not(ft_entry_read(cut, &read_topic, &read));
        ft_input_free(cut);
    }
    ft_buffer_fini(&out);
}

Test(presence_entry, it_is_read_as_it_was_written)
{
    char longest[FT_TOPIC_BYTES_MAX];
    memset(longest, 'x', sizeof(longest));
    assert_goes_through(ft_slice_str("room/1"), ft_slice_str("ann"));
    assert_goes_through(ft_slice_str("a room/with blanks"), ft_slice(NULL, 0));
    assert_goes_through(ft_slice_str("/"), ft_slice_str(""));
    assert_goes_through(ft_slice(longest, sizeof(longest)), ft_slice(longest, FT_PRESENT_USER_MAX));
}

Test(presence_entry, a_member_is_the_same_bytes_each_time)
{
    struct ft_buffer out;
    struct ft_present who = who_is("a-session-of-16!", ft_slice_str("ann"));
    ft_buffer_init(&out, FT_MEMBER_MAX);
    ft_member_write(&who, INSTANCE, &out);
    cr_assert(ft_slice_equal(ft_buffer_slice(&out), ft_slice_str("\x93\xb0"
                                                                 "a-session-of-16!"
                                                                 "\xb0" INSTANCE "\xa3"
                                                                 "ann")));
    ft_buffer_fini(&out);
}

Test(presence_entry, what_is_not_a_member_is_not_read)
{
    static const char *const foreign[] = {
        "",
        "ann",
        "\x93\xaf"
        "a-session-of-15"
        "\xb0" INSTANCE "\xc0",
        "\x93\xb0"
        "a-session-of-16!"
        "\xaf"
        "0123456789abcde"
        "\xc0",
        "\x93\xb0"
        "a-session-of-16!"
        "\xb0" INSTANCE "\x07",
        "\x93\xb0"
        "a-session-of-16!"
        "\xb0" INSTANCE "\xa2\xff\xfe",
        "\x93\xb0"
        "a-session-of-16!"
        "\xb0" INSTANCE "\xc0\xc0",
        "\x92\xb0"
        "a-session-of-16!"
        "\xb0" INSTANCE,
        "\x94\xb0"
        "a-session-of-16!"
        "\xb0" INSTANCE "\xc0\xc0",
    };
    for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
        struct ft_present who;
        cr_expect_not(ft_member_read(ft_slice_str(foreign[i]), &who), "%zu", i);
    }
}

Test(presence_entry, damaged_entries_are_refused_or_sound)
{
    uint64_t state = 5;
    for (int i = 0; i < 20000; i++) {
        struct ft_buffer out;
        struct ft_slice topic;
        struct ft_present who = who_is("a-session-of-16!", ft_slice_str("ann")), read;
        ft_buffer_init(&out, (size_t)1 << 16);
        ft_entry_write(7, ft_slice_str("room/1"), &who, INSTANCE, &out);
        ft_input_damage(&state, &out);
        struct ft_slice damaged = ft_input_exact(ft_buffer_slice(&out));
        if (ft_entry_read(damaged, &topic, &read)) {
            cr_assert_eq(ft_topic_check(topic, NULL), FT_OK);
            cr_assert(!read.user.ptr || read.user.len <= FT_PRESENT_USER_MAX);
        }
        ft_input_free(damaged);
        ft_buffer_fini(&out);
    }
}
