/* Entries of a log: what Redis says is looked at before it is believed. */
#include "broker/relay/log_entry.h"

#include <hiredis/hiredis.h>

static bool is_string(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING;
}

/* Reads digits up to `end`. */
static bool read_digits(const char *at, const char *end, uint64_t *value)
{
    if (at == end || end - at > 19)
        return false;
    uint64_t n = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        n = n * 10 + (uint64_t)(*at - '0');
    }
    *value = n;
    return true;
}

static bool read_id(const redisReply *reply, struct ft_log_entry *entry)
{
    const char *end = reply->str + reply->len;
    const char *dash = memchr(reply->str, '-', (size_t)reply->len);
    return dash && read_digits(reply->str, dash, &entry->ms) &&
           read_digits(dash + 1, end, &entry->last);
}

bool ft_log_entry_read(const struct redisReply *reply, struct ft_log_entry *entry)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_string(reply->element[0]) ||
        !read_id(reply->element[0], entry))
        return false;
    entry->message = ft_slice("", 0);
    const redisReply *fields = reply->element[1];
    if (fields->type != REDIS_REPLY_ARRAY)
        return true;
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const redisReply *name = fields->element[i], *value = fields->element[i + 1];
        if (is_string(name) && is_string(value) && name->len == 1 && name->str[0] == 'm')
            entry->message = ft_slice(value->str, (size_t)value->len);
    }
    return true;
}
