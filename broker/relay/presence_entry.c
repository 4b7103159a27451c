/* Members and entries of presence in Redis: written, and read strictly. Any thread. */
#include "broker/relay/presence_entry.h"

#include "protocol/msgpack_scan.h"
#include "protocol/number.h"

void ft_member_write(const struct ft_present *who, const char *instance, struct ft_buffer *out)
{
    struct ft_writer w;
    ft_writer_init(&w, FT_MSGPACK, out);
    ft_write_array(&w, 3);
    ft_write_str(&w, ft_slice(who->session, FT_PRESENT_SESSION_LEN));
    ft_write_str(&w, ft_slice(instance, FT_INSTANCE_LEN));
    if (who->user.ptr)
        ft_write_str(&w, who->user);
    else
        ft_write_null(&w);
}

/* Reads a text of exactly so many bytes. */
static bool read_name(struct ft_scan *scan, size_t len, struct ft_value *value)
{
    return ft_msgpack_item(scan, value) && value->kind == FT_VALUE_STR && value->text.len == len;
}

bool ft_member_read(struct ft_slice member, struct ft_present *who)
{
    struct ft_scan scan = ft_scan_of(member);
    struct ft_value session, instance, user;
    if (!ft_msgpack_item(&scan, &user) || user.kind != FT_VALUE_ARRAY || user.num != 3)
        return false;
    if (!read_name(&scan, FT_PRESENT_SESSION_LEN, &session) ||
        !read_name(&scan, FT_INSTANCE_LEN, &instance) || !ft_msgpack_item(&scan, &user))
        return false;
    bool has_user = user.kind == FT_VALUE_STR;
    if ((!has_user && user.kind != FT_VALUE_NULL) || scan.at != scan.end ||
        (has_user && user.text.len > FT_PRESENT_USER_MAX))
        return false;
    *who = (struct ft_present){.user = has_user ? user.text : ft_slice(NULL, 0)};
    memcpy(who->session, session.text.ptr, FT_PRESENT_SESSION_LEN);
    return true;
}

void ft_entry_write(uint32_t partition, struct ft_slice topic, const struct ft_present *who,
                    const char *instance, struct ft_buffer *out)
{
    char digits[FT_UINT_TEXT_MAX];
    ft_buffer_add(out, digits, ft_uint_print(partition, digits));
    ft_buffer_add_byte(out, ' ');
    ft_buffer_add(out, topic.ptr, topic.len);
    ft_buffer_add_byte(out, 0);
    ft_member_write(who, instance, out);
}

bool ft_entry_read(struct ft_slice entry, struct ft_slice *topic, struct ft_present *who)
{
    const uint8_t *end = entry.ptr + entry.len;
    const uint8_t *space = entry.len > 0 ? memchr(entry.ptr, ' ', entry.len) : NULL;
    const uint8_t *nul = space ? memchr(space, 0, (size_t)(end - space)) : NULL;
    if (!nul)
        return false;
    *topic = ft_slice(space + 1, (size_t)(nul - space - 1));
    return ft_topic_check(*topic, NULL) == FT_OK &&
           ft_member_read(ft_slice(nul + 1, (size_t)(end - nul - 1)), who);
}
