/*
 * Writes small documents in either encoding. Does not check what it is told: the caller announces as
 * many elements as it writes, gives valid UTF-8 and finite numbers; nesting past FT_WRITER_DEPTH_MAX
 * aborts. Not shared between threads.
 */
#include "protocol/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/msgpack_out.h"
#include "protocol/number.h"
#include "protocol/plain_run.h"

void ft_writer_init(struct ft_writer *writer, enum ft_encoding encoding, struct ft_buffer *out)
{
    *writer = (struct ft_writer){.out = out, .encoding = encoding};
}

static bool is_json(const struct ft_writer *writer)
{
    return writer->encoding == FT_JSON;
}

/* Puts the comma between two elements of a JSON array; a map's comma stands before its keys. */
static void begin_value(struct ft_writer *writer)
{
    if (!is_json(writer) || writer->depth_ == 0)
        return;
    int top = writer->depth_ - 1;
    if (!writer->is_map_[top] && writer->left_[top] < writer->all_[top])
        ft_buffer_add_byte(writer->out, ',');
}

/* Counts a value that is complete, and closes every container that is complete with it. */
static void end_value(struct ft_writer *writer)
{
    while (writer->depth_ > 0) {
        int top = writer->depth_ - 1;
        if (--writer->left_[top] > 0)
            return;
        if (is_json(writer))
            ft_buffer_add_byte(writer->out, writer->is_map_[top] ? '}' : ']');
        writer->depth_--;
    }
}

static void open_container(struct ft_writer *writer, bool is_map, uint32_t n)
{
    begin_value(writer);
    if (is_json(writer)) {
        ft_buffer_add_byte(writer->out, is_map ? '{' : '[');
    } else {
        msgpack_packer packer = ft_msgpack_out(writer->out);
        if (is_map)
            msgpack_pack_map(&packer, n);
        else
            msgpack_pack_array(&packer, n);
    }
    if (n == 0) {
        if (is_json(writer))
            ft_buffer_add_byte(writer->out, is_map ? '}' : ']');
        end_value(writer);
        return;
    }
    if (writer->depth_ == FT_WRITER_DEPTH_MAX)
        abort();
    writer->left_[writer->depth_] = n;
    writer->all_[writer->depth_] = n;
    writer->is_map_[writer->depth_] = is_map;
    writer->depth_++;
}

void ft_write_map(struct ft_writer *writer, uint32_t pairs)
{
    open_container(writer, true, pairs);
}

void ft_write_array(struct ft_writer *writer, uint32_t items)
{
    open_container(writer, false, items);
}

void ft_write_key(struct ft_writer *writer, const char *key)
{
    if (!is_json(writer)) {
        ft_msgpack_out_str(writer->out, ft_slice_str(key));
        return;
    }
    int top = writer->depth_ - 1;
    if (writer->left_[top] < writer->all_[top])
        ft_buffer_add_byte(writer->out, ',');
    ft_buffer_add_byte(writer->out, '"'); /* keys are ours: nothing in them wants an escape */
    ft_buffer_add_str(writer->out, key);
    ft_buffer_add(writer->out, "\":", 2);
}

void ft_write_str(struct ft_writer *writer, struct ft_slice text)
{
    begin_value(writer);
    if (is_json(writer))
        ft_json_add_quoted(writer->out, text);
    else
        ft_msgpack_out_str(writer->out, text);
    end_value(writer);
}

void ft_write_uint(struct ft_writer *writer, uint64_t value)
{
    begin_value(writer);
    if (is_json(writer)) {
        char text[FT_UINT_TEXT_MAX];
        ft_buffer_add(writer->out, text, ft_uint_print(value, text));
    } else {
        msgpack_packer packer = ft_msgpack_out(writer->out);
        msgpack_pack_uint64(&packer, value);
    }
    end_value(writer);
}

void ft_write_int(struct ft_writer *writer, int64_t value)
{
    if (value >= 0) {
        ft_write_uint(writer, (uint64_t)value);
        return;
    }
    begin_value(writer);
    if (is_json(writer)) {
        char text[24];
        int n = snprintf(text, sizeof(text), "%" PRId64, value);
        ft_buffer_add(writer->out, text, (size_t)n);
    } else {
        msgpack_packer packer = ft_msgpack_out(writer->out);
        msgpack_pack_int64(&packer, value);
    }
    end_value(writer);
}

void ft_write_double(struct ft_writer *writer, double value)
{
    begin_value(writer);
    if (is_json(writer)) {
        char text[FT_DOUBLE_TEXT_MAX];
        ft_buffer_add(writer->out, text, ft_double_print(value, text));
    } else {
        msgpack_packer packer = ft_msgpack_out(writer->out);
        msgpack_pack_double(&packer, value);
    }
    end_value(writer);
}

void ft_write_bool(struct ft_writer *writer, bool value)
{
    begin_value(writer);
    if (is_json(writer))
        ft_buffer_add_str(writer->out, value ? "true" : "false");
    else
        ft_buffer_add_byte(writer->out, value ? 0xC3 : 0xC2);
    end_value(writer);
}

void ft_write_null(struct ft_writer *writer)
{
    begin_value(writer);
    if (is_json(writer))
        ft_buffer_add_str(writer->out, "null");
    else
        ft_buffer_add_byte(writer->out, 0xC0);
    end_value(writer);
}

void ft_write_id(struct ft_writer *writer, struct ft_id id)
{
    if (id.kind == FT_ID_INT)
        ft_write_uint(writer, id.num);
    else if (id.kind == FT_ID_STR)
        ft_write_str(writer, id.str);
    else
        ft_write_null(writer);
}

void ft_write_raw(struct ft_writer *writer, struct ft_slice encoded)
{
    begin_value(writer);
    ft_buffer_add(writer->out, encoded.ptr, encoded.len);
    end_value(writer);
}

/* Adds the escape of a byte that may not stand in a JSON string as it is. */
static void add_escape(struct ft_buffer *out, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char named[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *at = byte ? strchr(named, byte) : NULL;
    if (at) {
        ft_buffer_add(out, (char[]){'\\', letters[at - named]}, 2);
        return;
    }
    ft_buffer_add(out, (char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]}, 6);
}

void ft_json_add_quoted(struct ft_buffer *out, struct ft_slice text)
{
    ft_buffer_add_byte(out, '"');
    const uint8_t *at = text.ptr;
    const uint8_t *end = text.len ? text.ptr + text.len : text.ptr;
    while (at < end) {
        const uint8_t *stop = ft_plain_run(at, end);
        ft_buffer_add(out, at, (size_t)(stop - at));
        if (stop < end)
            add_escape(out, *stop++);
        at = stop;
    }
    ft_buffer_add_byte(out, '"');
}
