/*
 * Redis' protocol as it is sent: "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n". Only lengths and order are looked after here;
 * a buffer that is full says so itself. Any thread.
 */
#include "broker/relay/command.h"

#include "protocol/number.h"

/* Adds "<mark><number>\r\n". */
static void add_count(struct ft_buffer *command, char mark, uint64_t count)
{
    char text[1 + FT_UINT_TEXT_MAX + 2];
    text[0] = mark;
    size_t len = 1 + ft_uint_print(count, text + 1);
    text[len++] = '\r';
    text[len++] = '\n';
    ft_buffer_add(command, text, len);
}

void ft_command_begin(struct ft_buffer *command, uint32_t args)
{
    add_count(command, '*', args);
}

void ft_command_open(struct ft_buffer *command, size_t len)
{
    add_count(command, '$', len);
}

void ft_command_close(struct ft_buffer *command)
{
    ft_buffer_add(command, "\r\n", 2);
}

void ft_command_arg(struct ft_buffer *command, struct ft_slice arg)
{
    ft_command_open(command, arg.len);
    ft_buffer_add(command, arg.ptr, arg.len);
    ft_command_close(command);
}

void ft_command_str(struct ft_buffer *command, const char *arg)
{
    ft_command_arg(command, ft_slice_str(arg));
}

void ft_command_uint(struct ft_buffer *command, uint64_t arg)
{
    char text[FT_UINT_TEXT_MAX];
    ft_command_arg(command, ft_slice(text, ft_uint_print(arg, text)));
}
