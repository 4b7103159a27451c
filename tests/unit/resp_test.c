/* Where replies of Redis end, and what is in them: the bench's own client. */
#include "clients/cli/bench/resp.h"

#include <criterion/criterion.h>

#define REPLY(text) ft_slice(text, sizeof(text) - 1)

#define BYTES(text)                               \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

static const struct ft_slice replies[] = {
    BYTES("+OK\r\n"),
    BYTES("-ERR no\r\n"),
    BYTES(":12\r\n"),
    BYTES("$-1\r\n"),
    BYTES("$0\r\n\r\n"),
    BYTES("$4\r\n\r\n*3\r\n"),
    BYTES("*0\r\n"),
    BYTES("*-1\r\n"),
    BYTES("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"),
    BYTES("*2\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n$-1\r\n"),
};

#define REPLIES (sizeof(replies) / sizeof(replies[0]))

Test(resp, a_reply_ends_where_it_ends_whatever_follows)
{
    for (size_t i = 0; i < REPLIES; i++)
        for (size_t next = 0; next < REPLIES; next++) {
            uint8_t both[128];
            memcpy(both, replies[i].ptr, replies[i].len);
            memcpy(both + replies[i].len, replies[next].ptr, replies[next].len);
            cr_expect_eq(ft_resp_reply_len(ft_slice(both, replies[i].len + replies[next].len)),
                         replies[i].len, "%zu, then %zu", i, next);
        }
}

Test(resp, of_a_part_of_a_reply_the_end_is_not_known)
{
    for (size_t i = 0; i < REPLIES; i++)
        for (size_t len = 0; len < replies[i].len; len++) {
            uint8_t part[64];
            memcpy(part, replies[i].ptr, len);
            cr_expect_eq(ft_resp_reply_len(ft_slice(part, len)), 0, "%zu of %zu", len, i);
        }
}

Test(resp, items_of_a_message_are_taken_one_by_one)
{
    struct ft_slice rest = ft_resp_items(replies[8]);
    cr_expect(ft_slice_equal(ft_resp_item(&rest), ft_slice_str("message")));
    cr_expect(ft_slice_equal(ft_resp_item(&rest), ft_slice_str("c")));
    cr_expect(ft_slice_equal(ft_resp_item(&rest), ft_slice_str("hi")));
    cr_expect_null(ft_resp_item(&rest).ptr);
    cr_expect_null(ft_resp_items(replies[2]).ptr);
}

Test(resp, a_number_is_read_from_a_number_or_a_text)
{
    cr_expect_eq(ft_resp_number(ft_resp_text(replies[2])), 12);
    cr_expect_eq(ft_resp_number(ft_resp_text(REPLY("$3\r\n345\r\n"))), 345);
    cr_expect_null(ft_resp_text(replies[8]).ptr);
}

Test(resp, a_command_is_written_with_the_lengths_of_its_arguments)
{
    struct ft_buffer out;
    const struct ft_slice args[] = {ft_slice_str("SET"), ft_slice("a\0b", 3), ft_slice_str("")};
    ft_buffer_init(&out, 256);
    ft_resp_write(&out, args, 3);
    cr_expect(ft_slice_equal(ft_buffer_slice(&out),
                             REPLY("*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n")));
    ft_buffer_fini(&out);
}
