/*
 * Settings that are lists: cutting a text into items, checking each by its type, showing them. It
 * knows no option by name. Runs at start and at a reload, on the main thread.
 */
#include "broker/app/option_list.h"

#include "broker/app/address.h"
#include "broker/app/origin.h"
#include "broker/base/alloc.h"
#include "broker/relay/relay.h"
#include "protocol/proxy_head.h"
#include "protocol/topic.h"
#include "protocol/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Longest item: a filter has 255 bytes, a path to a file is rarely longer. With each byte escaped it
 * fits into FT_OPTION_VALUE_MAX. */
#define ITEM_MAX 500

static const char blanks[] = " \t";

static bool is_address(const char *item)
{
    struct ft_address address;

    return ft_address_parse(item, &address);
}

static bool is_network(const char *item)
{
    struct ft_network network;

    return ft_network_read(ft_slice_str(item), &network);
}

static bool is_filter(const char *item)
{
    return ft_filter_check(ft_slice_str(item), NULL) == FT_OK;
}

static bool is_redis_url(const char *item)
{
    char error[FT_RELAY_ERROR_MAX];

    return ft_redis_url_check(item, error);
}

bool ft_text_is_plain(const char *text)
{
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    return ft_utf8_is_valid(ft_slice_str(text));
}

static const struct kind {
    bool (*is_item)(const char *item);
    bool is_any;         /* an item may hold any byte: escapes, and no end at a blank */
    const char *nothing; /* word for the empty list; NULL: an empty text */
    const char *expects;
} kinds[] = {
    [FT_OPTION_ADDRESSES] = {is_address, false, "none",
                             "different addresses such as 127.0.0.1:8080, 0.0.0.0:8080 or "
                             "[::1]:8080; or none"},
    [FT_OPTION_NETWORKS] = {is_network, false, NULL,
                            "networks such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"},
    [FT_OPTION_ORIGINS] = {ft_origin_is_valid, false, NULL,
                           "origins such as https://example.com, http://localhost:3000, "
                           "https://*.example.com; or *"},
    [FT_OPTION_FILTERS] = {is_filter, true, NULL,
                           "filters such as chat/#, user/%u/+; a comma in one is written \\,"},
    [FT_OPTION_FILES] = {ft_text_is_plain, true, NULL,
                         "paths of files; a comma in one is written \\,"},
    [FT_OPTION_TEXTS] = {ft_text_is_plain, true, NULL, "names; a comma in one is written \\,"},
    [FT_OPTION_URLS] = {is_redis_url, false, NULL,
                        "URLs such as redis://USER:PASSWORD@127.0.0.1:6379/0 or "
                        "unix:///run/redis/redis.sock?db=0 (not rediss: put a tunnel before it)"},
};

static bool is_end(const struct kind *kind, char letter)
{
    return letter == 0 || letter == ',' || (!kind->is_any && strchr(blanks, letter));
}

/*
 * Takes the next item off `*at` into `out`, unescaped and without the blanks around it. Returns 1; 0 at
 * the end; or -1: it is too long, or ends with half an escape.
 */
static int next_item(const struct kind *kind, const char **at, char out[ITEM_MAX + 1])
{
    const char *from = *at + strspn(*at, ", \t");
    size_t len = 0, solid = 0; /* `solid`: up to the last byte that is no loose blank */

    if (*from == 0)
        return 0;
    for (; !is_end(kind, *from); from++) {
        bool is_escaped = kind->is_any && *from == '\\';
        from += is_escaped ? 1 : 0;
        if (*from == 0 || len == ITEM_MAX)
            return -1;
        out[len++] = *from;
        if (is_escaped || !strchr(blanks, *from))
            solid = len;
    }
    out[solid] = 0;
    *at = from;
    return 1;
}

/* Puts something else in the place of the password that a URL may have. */
static void hide_password(const char *url, char *out, size_t size)
{
    const char *user = strstr(url, "://");
    const char *at = user ? strchr(user, '@') : NULL;
    const char *password = at ? memchr(user + 3, ':', (size_t)(at - user - 3)) : NULL;

    if (password)
        snprintf(out, size, "%.*s:" FT_OPTION_HIDDEN "%s", (int)(password - url), url, at);
    else
        snprintf(out, size, "%s", url);
}

static bool has(const struct ft_strings *list, const char *item)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], item) == 0)
            return true;
    return false;
}

/* Two listeners on one address SO_REUSEPORT would not refuse. Port 0 is another one each time. */
static bool is_twin(const struct ft_option *option, const struct ft_strings *list, const char *item)
{
    struct ft_address address;

    return option->type == FT_OPTION_ADDRESSES && ft_address_parse(item, &address) &&
           address.port != 0 && has(list, item);
}

static void append(struct ft_strings *list, const char *item)
{
    list->items = ft_realloc(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = ft_strdup(item);
}

/* Adds what stands in `text`; false leaves `list` with a part of it. */
static bool add_items(const struct ft_option *option, const char *text, struct ft_strings *list)
{
    const struct kind *kind = &kinds[option->type];
    char item[ITEM_MAX + 1];
    int result;

    while ((result = next_item(kind, &text, item)) > 0) {
        if (!kind->is_item(item) || is_twin(option, list, item) || list->count == option->max)
            return false;
        append(list, item);
    }
    return result == 0;
}

bool ft_list_parse(const struct ft_option *option, const char *text, void *field)
{
    const struct kind *kind = &kinds[option->type];
    struct ft_strings *list = field, all = {0};
    bool is_empty = text[strspn(text, ", \t")] == 0;
    bool is_none = kind->nothing && strcmp(text, kind->nothing) == 0;

    if (is_none || is_empty)
        return list->count == 0 && option->min == 0 && (is_none || !kind->nothing);
    ft_list_copy(list, &all);
    if (!add_items(option, text, &all)) {
        ft_list_clear(&all);
        return false;
    }
    ft_list_clear(list);
    *list = all;
    return true;
}

/* Writes an item as next_item() reads it. Also a semicolon is escaped, which behind a blank would begin
 * a comment in a file. Returns how many bytes it takes. */
static size_t show_item(const struct kind *kind, const char *item, char *out, size_t size)
{
    size_t used = 0, last = strlen(item);

    for (size_t i = 0; item[i] && used + 2 < size; i++) {
        bool is_edge = (i == 0 || i + 1 == last) && strchr(blanks, item[i]);
        if (kind->is_any && (strchr(",;\\", item[i]) || is_edge))
            out[used++] = '\\';
        out[used++] = item[i];
    }
    out[used] = 0;
    return used;
}

void ft_list_show(const struct ft_option *option, const void *field, char *out, size_t size)
{
    const struct kind *kind = &kinds[option->type];
    const struct ft_strings *list = field;
    size_t used = 0;

    snprintf(out, size, "%s", list->count == 0 && kind->nothing ? kind->nothing : "");
    for (size_t i = 0; i < list->count && used + sizeof(", ") < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s", i > 0 ? ", " : "");
        char item[ITEM_MAX + sizeof(FT_OPTION_HIDDEN)];
        hide_password(list->items[i], item, sizeof(item));
        used += show_item(kind, option->type == FT_OPTION_URLS ? item : list->items[i], out + used,
                          size - used);
    }
    /* Whoever reads a line cuts the blanks at its end off. */
    if (used > 0 && out[used - 1] == ' ' && used + 1 < size)
        snprintf(out + used, size - used, ",");
}

void ft_list_expects(const struct ft_option *option, char *out, size_t size)
{
    snprintf(out, size, "up to %" PRIu64 " %s", option->max, kinds[option->type].expects);
}

void ft_list_explain(const struct ft_option *option, const char *text, char *out, size_t size)
{
    const struct kind *kind = &kinds[option->type];
    char item[ITEM_MAX + 1], why[FT_RELAY_ERROR_MAX];

    out[0] = 0;
    if (option->type != FT_OPTION_URLS) /* of others, what is expected says it all */
        return;
    for (int n = 1; next_item(kind, &text, item) > 0; n++)
        if (!ft_redis_url_check(item, why)) {
            snprintf(out, size, "; here, of number %d: %s", n, why);
            return;
        }
}

bool ft_list_copy(const struct ft_strings *from, struct ft_strings *to)
{
    bool is_same = from->count == to->count;

    for (size_t i = 0; is_same && i < from->count; i++)
        is_same = strcmp(from->items[i], to->items[i]) == 0;
    if (is_same)
        return false;
    ft_list_clear(to);
    for (size_t i = 0; i < from->count; i++)
        append(to, from->items[i]);
    return true;
}

void ft_list_clear(struct ft_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct ft_strings){0};
}
