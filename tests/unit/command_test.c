/* Commands in Redis' protocol, and the scripts that are embedded. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/relay/command.h"
#include "tests/unit/support/input.h"

Test(command, is_an_array_of_lengths_and_bytes)
{
    struct ft_buffer command;
    ft_buffer_init(&command, 1024);
    ft_command_begin(&command, 5);
    ft_command_str(&command, "SET");
    ft_command_arg(&command, ft_slice("a\0b\r\n", 5));
    ft_command_uint(&command, UINT64_MAX);
    ft_command_arg(&command, ft_slice(NULL, 0));
    ft_command_open(&command, 3);
    ft_buffer_add(&command, "x y", 3);
    ft_command_close(&command);
    static const char wanted[] =
        "*5\r\n$3\r\nSET\r\n$5\r\na\0b\r\n\r\n$20\r\n18446744073709551615\r\n"
        "$0\r\n\r\n$3\r\nx y\r\n";
    cr_expect(ft_slice_equal(ft_buffer_slice(&command), ft_slice(wanted, sizeof(wanted) - 1)));
    ft_buffer_fini(&command);
}

Test(command, that_does_not_fit_leaves_its_buffer_failed)
{
    struct ft_buffer command;
    ft_buffer_init(&command, 8);
    ft_command_begin(&command, 1);
    cr_expect_not(command.failed);
    ft_command_str(&command, "PING");
    cr_expect(command.failed);
    ft_buffer_fini(&command);
}

Test(command, the_scripts_are_the_files_byte_for_byte)
{
    static const char *const names[FT_SCRIPTS] = {
        [FT_SCRIPT_REAP] = "reap", [FT_SCRIPT_PUBLISH] = "publish",   [FT_SCRIPT_JOIN] = "join",
        [FT_SCRIPT_BEAT] = "beat", [FT_SCRIPT_REGISTER] = "register", [FT_SCRIPT_LEAVE] = "leave",
    };
    for (int i = 0; i < FT_SCRIPTS; i++) {
        char path[64];
        cr_assert(names[i], "script %d has a file", i);
        snprintf(path, sizeof(path), "broker/relay/scripts/%s.lua", names[i]);
        struct ft_slice file = ft_input_file(path);
        cr_expect(ft_slice_equal(ft_script_text((enum ft_script)i), file), "%s", path);
        cr_expect_eq(strlen(ft_script_sha((enum ft_script)i)), 40);
        for (int k = 0; k < i; k++)
            cr_expect_str_neq(ft_script_sha((enum ft_script)i), ft_script_sha((enum ft_script)k));
        ft_input_free(file);
    }
}
