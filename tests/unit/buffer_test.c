/* The growing buffer and its ceiling. */
#include <criterion/criterion.h>

#include "protocol/buffer.h"

static void assert_holds(const struct ft_buffer *buffer, const char *expected)
{
    cr_assert(ft_slice_equal(ft_buffer_slice(buffer), ft_slice_str(expected)), "%.*s",
              (int)buffer->len, (const char *)buffer->ptr);
}

Test(buffer, it_allocates_nothing_before_the_first_write)
{
    struct ft_buffer buffer;
    ft_buffer_init(&buffer, 100);
    cr_assert_null(buffer.ptr);
    cr_assert_eq(ft_buffer_slice(&buffer).len, 0);
    ft_buffer_fini(&buffer);
}

Test(buffer, pieces_stand_one_behind_the_other)
{
    struct ft_buffer buffer;
    ft_buffer_init(&buffer, 100);
    ft_buffer_add_str(&buffer, "one");
    ft_buffer_add_byte(&buffer, ' ');
    ft_buffer_add(&buffer, "two!", 3);
    ft_buffer_add(&buffer, NULL, 0);
    ft_buffer_add_str(&buffer, "");
    assert_holds(&buffer, "one two");
    cr_assert_not(buffer.failed);
    ft_buffer_fini(&buffer);
}

Test(buffer, it_grows_to_its_ceiling_and_not_past_it)
{
    for (size_t max = 1; max < 2000; max = max * 2 + 1) {
        struct ft_buffer buffer;
        ft_buffer_init(&buffer, max);
        for (size_t i = 0; i < max; i++)
            ft_buffer_add_byte(&buffer, (uint8_t)i);
        cr_assert_not(buffer.failed);
        cr_assert_eq(buffer.len, max);
        for (size_t i = 0; i < max; i++)
            cr_assert_eq(buffer.ptr[i], (uint8_t)i);
        ft_buffer_add_byte(&buffer, 0);
        cr_assert(buffer.failed);
        cr_assert_eq(buffer.len, max);
        ft_buffer_fini(&buffer);
    }
}

Test(buffer, a_write_that_does_not_fit_is_dropped_with_all_that_follow)
{
    struct ft_buffer buffer;
    ft_buffer_init(&buffer, 5);
    ft_buffer_add_str(&buffer, "abc");
    ft_buffer_add_str(&buffer, "def");
    ft_buffer_add_byte(&buffer, 'g'); /* would fit, but what stands before it is missing */
    cr_assert(buffer.failed);
    assert_holds(&buffer, "abc");
    ft_buffer_clear(&buffer);
    cr_assert_not(buffer.failed);
    ft_buffer_add_str(&buffer, "defgh");
    assert_holds(&buffer, "defgh");
    ft_buffer_fini(&buffer);
}

Test(buffer, a_reservation_is_room_and_not_content)
{
    struct ft_buffer buffer;
    ft_buffer_init(&buffer, 1000);
    uint8_t *at = ft_buffer_reserve(&buffer, 1000);
    cr_assert_not_null(at);
    cr_assert_eq(buffer.len, 0);
    memcpy(at, "abc", 3);
    buffer.len += 3;
    assert_holds(&buffer, "abc");
    cr_assert_null(ft_buffer_reserve(&buffer, 998));
    cr_assert(buffer.failed);
    ft_buffer_fini(&buffer);
}

Test(buffer, a_size_near_the_largest_does_not_wrap_around)
{
    struct ft_buffer buffer;
    ft_buffer_init(&buffer, 1000);
    ft_buffer_add_str(&buffer, "abc");
    cr_assert_null(ft_buffer_reserve(&buffer, SIZE_MAX));
    cr_assert(buffer.failed);
    ft_buffer_fini(&buffer);
}

Test(buffer, a_ceiling_of_zero_holds_nothing)
{
    struct ft_buffer buffer;
    ft_buffer_init(&buffer, 0);
    cr_assert_not_null(ft_buffer_reserve(&buffer, 0));
    ft_buffer_add_byte(&buffer, 'a');
    cr_assert(buffer.failed);
    ft_buffer_fini(&buffer);
}

Test(buffer, after_its_end_it_can_be_used_again)
{
    struct ft_buffer buffer;
    ft_buffer_init(&buffer, 3);
    ft_buffer_add_str(&buffer, "abcd");
    ft_buffer_fini(&buffer);
    cr_assert_not(buffer.failed);
    ft_buffer_add_str(&buffer, "abc");
    assert_holds(&buffer, "abc");
    ft_buffer_fini(&buffer);
    ft_buffer_fini(&buffer);
}
