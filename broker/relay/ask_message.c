/*
 * What nodes ask and answer, as it travels. Knows nothing of what is in an order, or told of a session. Pure: any
 * thread.
 */
#include "broker/relay/ask_message.h"

#include "protocol/msgpack_out.h"
#include "protocol/msgpack_scan.h"

#define ASK_VERSION 1

static const char *const words[] = {"order", "done", "who", "these"};

void ft_ask_message_write(const struct ft_ask_message *message, struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, ft_ask_message_asks(message) ? 5 : 6);
    msgpack_pack_uint64(&packer, ASK_VERSION);
    ft_msgpack_out_str(out, ft_slice_str(words[message->word]));
    msgpack_pack_uint64(&packer, message->id);
    ft_msgpack_out_str(out, message->instance);
    if (!ft_ask_message_asks(message))
        msgpack_pack_uint64(&packer, message->sessions);
    if (message->word == FT_ASK_WORD_DONE)
        msgpack_pack_uint64(&packer, message->subscriptions);
    else
        ft_buffer_add(out, message->body.ptr, message->body.len);
}

static bool is_instance(struct ft_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
            return false;
    }
    return text.len == FT_INSTANCE_LEN;
}

static bool read_uint(struct ft_scan *scan, uint64_t *number)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_UINT || value.num > FT_INT_MAX)
        return false;
    *number = value.num;
    return true;
}

static bool read_body(struct ft_scan *scan, struct ft_ask_message *message)
{
    struct ft_value value;
    if (!ft_msgpack_value(scan, &value))
        return false;
    message->body = value.raw;
    return true;
}

/* Reads what is behind version and word; returns how many elements there are then, 0 where it is broken. */
static uint64_t read_rest(struct ft_scan *scan, struct ft_ask_message *message)
{
    struct ft_value value;
    if (!read_uint(scan, &message->id) || !ft_msgpack_item(scan, &value) ||
        value.kind != FT_VALUE_STR || !is_instance(value.text))
        return 0;
    message->instance = value.text;
    if (ft_ask_message_asks(message))
        return read_body(scan, message) ? 5 : 0;
    if (!read_uint(scan, &message->sessions))
        return 0;
    bool is_read = message->word == FT_ASK_WORD_DONE ? read_uint(scan, &message->subscriptions)
                                                     : read_body(scan, message);
    return is_read ? 6 : 0;
}

static bool find_word(struct ft_slice text, enum ft_ask_word *word)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!ft_slice_equal(text, ft_slice_str(words[i])))
            continue;
        *word = (enum ft_ask_word)i;
        return true;
    }
    return false;
}

enum ft_relay_fault ft_ask_message_read(struct ft_slice bytes, struct ft_ask_message *message)
{
    struct ft_scan scan = ft_scan_of(bytes);
    struct ft_value head, version, word, skipped;
    *message = (struct ft_ask_message){0};
    if (!ft_msgpack_item(&scan, &head) || head.kind != FT_VALUE_ARRAY || head.num < 2 ||
        !ft_msgpack_item(&scan, &version) || version.kind != FT_VALUE_UINT ||
        !ft_msgpack_item(&scan, &word) || word.kind != FT_VALUE_STR)
        return FT_RELAY_FOREIGN;
    if (version.num != ASK_VERSION || !find_word(word.text, &message->word))
        return FT_RELAY_VERSION_;
    uint64_t items = read_rest(&scan, message);
    if (items == 0 || head.num < items)
        return FT_RELAY_DAMAGED;
    for (; items < head.num; items++) {
        if (!ft_msgpack_value(&scan, &skipped))
            return FT_RELAY_DAMAGED;
    }
    return scan.at == scan.end ? FT_RELAY_SOUND : FT_RELAY_DAMAGED;
}
