/*
 * Orders and their answers, as they travel. Knows nothing of what is in an order. Pure: any thread.
 */
#include "broker/relay/ask_message.h"

#include "protocol/msgpack_out.h"
#include "protocol/msgpack_scan.h"

#define ASK_VERSION 1

static void write_head(uint32_t items, const char *word, uint64_t id, struct ft_slice instance,
                       struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, items);
    msgpack_pack_uint64(&packer, ASK_VERSION);
    ft_msgpack_out_str(out, ft_slice_str(word));
    msgpack_pack_uint64(&packer, id);
    ft_msgpack_out_str(out, instance);
}

void ft_ask_order_write(uint64_t id, struct ft_slice instance, struct ft_slice order,
                        struct ft_buffer *out)
{
    write_head(5, "order", id, instance, out);
    ft_buffer_add(out, order.ptr, order.len);
}

void ft_ask_done_write(uint64_t id, struct ft_slice instance,
                       const struct ft_order_outcome *outcome, struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    write_head(6, "done", id, instance, out);
    msgpack_pack_uint64(&packer, outcome->sessions);
    msgpack_pack_uint64(&packer, outcome->subscriptions);
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

/* Reads what is behind version and word; returns how many elements there are then, 0 where it is broken. */
static uint64_t read_rest(struct ft_scan *scan, struct ft_ask_message *message)
{
    struct ft_value value;
    if (!read_uint(scan, &message->id) || !ft_msgpack_item(scan, &value) ||
        value.kind != FT_VALUE_STR || !is_instance(value.text))
        return 0;
    message->instance = value.text;
    if (message->is_order) {
        bool is_read = ft_msgpack_value(scan, &value);
        message->order = value.raw;
        return is_read ? 5 : 0;
    }
    bool is_read = read_uint(scan, &message->sessions) && read_uint(scan, &message->subscriptions);
    return is_read ? 6 : 0;
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
    message->is_order = ft_slice_equal(word.text, ft_slice_str("order"));
    bool is_done = ft_slice_equal(word.text, ft_slice_str("done"));
    if (version.num != ASK_VERSION || (!message->is_order && !is_done))
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
