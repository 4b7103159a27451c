/*
 * Lists, names, percent-encoding, queries and cookies, as HTTP and browsers write them. Cuts and compares;
 * what a value means is its reader's business. Pure; any thread.
 */
#include "protocol/http_value.h"

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

struct ft_slice ft_http_trim(struct ft_slice text)
{
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    return text;
}

/* Cuts the first `len` bytes off, and the separator behind them. */
static struct ft_slice cut(struct ft_slice *rest, size_t len)
{
    struct ft_slice part = ft_slice(rest->ptr, len);
    size_t skipped = len < rest->len ? len + 1 : len;
    rest->ptr += skipped;
    rest->len -= skipped;
    return part;
}

static struct ft_slice cut_at(struct ft_slice *rest, char separator)
{
    const uint8_t *mark = memchr(rest->ptr, separator, rest->len);
    return cut(rest, mark ? (size_t)(mark - rest->ptr) : rest->len);
}

bool ft_http_list_next(struct ft_slice *rest, struct ft_slice *element)
{
    while (rest->len > 0) {
        struct ft_slice found = ft_http_trim(cut_at(rest, ','));
        if (found.len > 0) {
            *element = found;
            return true;
        }
    }
    return false;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool ft_http_is(struct ft_slice text, const char *other)
{
    for (size_t i = 0; i < text.len; i++)
        if (other[i] == '\0' || lower(text.ptr[i]) != lower((uint8_t)other[i]))
            return false;
    return other[text.len] == '\0';
}

bool ft_http_is_same(struct ft_slice text, struct ft_slice other)
{
    if (text.len != other.len)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (lower(text.ptr[i]) != lower(other.ptr[i]))
            return false;
    return true;
}

/* The value of a hexadecimal digit; 16 when it is none. */
static unsigned digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10u : 16;
}

bool ft_percent_decode(struct ft_slice text, bool is_query, uint8_t *out, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '+' && is_query)
            c = ' ';
        if (c == '%') {
            unsigned high = text.len - i > 2 ? digit_of(text.ptr[i + 1]) : 16;
            unsigned low = text.len - i > 2 ? digit_of(text.ptr[i + 2]) : 16;
            if (high > 15 || low > 15)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        out[n++] = c;
    }
    *len = n;
    return true;
}

/* Cuts a pair at its first '='. False: it has none. */
static bool split_pair(struct ft_slice pair, struct ft_slice *name, struct ft_slice *value)
{
    const uint8_t *mark = pair.len > 0 ? memchr(pair.ptr, '=', pair.len) : NULL;
    *value = pair;
    *name = cut(value, mark ? (size_t)(mark - pair.ptr) : pair.len);
    return mark != NULL;
}

bool ft_query_next(struct ft_slice *query, struct ft_slice *name, struct ft_slice *value)
{
    while (query->len > 0) {
        struct ft_slice pair = cut_at(query, '&');
        if (pair.len > 0) {
            split_pair(pair, name, value);
            return true;
        }
    }
    return false;
}

bool ft_cookie_next(struct ft_slice *cookies, struct ft_slice *name, struct ft_slice *value)
{
    while (cookies->len > 0) {
        struct ft_slice key, text;
        if (!split_pair(ft_http_trim(cut_at(cookies, ';')), &key, &text))
            continue;
        *name = ft_http_trim(key);
        *value = ft_http_trim(text);
        if (value->len >= 2 && value->ptr[0] == '"' && value->ptr[value->len - 1] == '"')
            *value = ft_slice(value->ptr + 1, value->len - 2);
        return true;
    }
    return false;
}
