/* Tables for the terminal. */
#include <criterion/criterion.h>

#include "clients/cli/table.h"

static struct ft_table table;

static void expect(const char *text)
{
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    ft_table_print(&table, &out);
    cr_assert(ft_slice_equal(ft_buffer_slice(&out), ft_slice_str(text)), "%.*s instead of %s",
              (int)out.len, out.ptr ? (const char *)out.ptr : "", text);
    ft_buffer_fini(&out);
    ft_table_fini(&table);
}

Test(cli_table, columns_are_as_wide_as_their_widest_cell)
{
    static const char *const cells[] = {"A", "LONGER", "END", "wide", "é", "z"};
    ft_table_init(&table, 3);
    for (size_t i = 0; i < 6; i++)
        ft_table_add(&table, cells[i]);
    expect("A     LONGER  END\nwide  é       z\n");
}

Test(cli_table, nobody_steers_the_terminal)
{
    static const char *const cells[] = {"\x1b[2J", "a\nb", "\x7f",  "\xc2\x9b",
                                        "\xff",    "",     "fine x"};
    for (size_t i = 0; i < 7; i++) {
        struct ft_buffer out;
        ft_buffer_init(&out, 4096);
        ft_table_init(&table, 1);
        ft_table_add(&table, cells[i]);
        ft_table_print(&table, &out);
        cr_assert_eq(out.ptr[0] == '"', i < 6, "%zu", i);
        for (size_t k = 0; k + 1 < out.len; k++)
            cr_assert(out.ptr[k] >= ' ' && out.ptr[k] < 0x7F, "%zu", i);
        cr_assert_eq(out.ptr[out.len - 1], '\n');
        ft_buffer_fini(&out);
        ft_table_fini(&table);
    }
}
