/*
 * Content-Type, Accept and Accept-Encoding, as far as two encodings, plain text and embedded files need them.
 * Accept never refuses: who asks for what we do not have gets the default and can see what it is. Pure.
 */
#include "broker/http/negotiate.h"

/* Weights of Accept in thousandths. */
#define QUALITY_MAX 1000

/* Cuts what stands before the next `mark`, trimmed, off `*rest`. */
static struct ft_slice cut(struct ft_slice *rest, char mark)
{
    const uint8_t *at = rest->len ? memchr(rest->ptr, mark, rest->len) : NULL;
    struct ft_slice before = ft_slice(rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len);
    *rest = at ? ft_slice(at + 1, rest->len - before.len - 1) : ft_slice(NULL, 0);
    return ft_http_trim(before);
}

/* Cuts the next `;name=value` off a media type's parameters. */
static bool next_parameter(struct ft_slice *rest, struct ft_slice *name, struct ft_slice *value)
{
    if (rest->len == 0)
        return false;
    struct ft_slice pair = cut(rest, ';');
    *name = cut(&pair, '=');
    *value = ft_http_trim(pair);
    if (value->len >= 2 && value->ptr[0] == '"' && value->ptr[value->len - 1] == '"')
        *value = ft_slice(value->ptr + 1, value->len - 2);
    return true;
}

static enum ft_media media_of(struct ft_slice type)
{
    if (ft_http_is(type, FT_TYPE_JSON))
        return FT_MEDIA_JSON;
    if (ft_http_is(type, FT_TYPE_MSGPACK) || ft_http_is(type, "application/x-msgpack") ||
        ft_http_is(type, "application/vnd.msgpack"))
        return FT_MEDIA_MSGPACK;
    return ft_http_is(type, "text/plain") ? FT_MEDIA_TEXT : FT_MEDIA_OTHER;
}

enum ft_media ft_negotiate_media(const struct ft_http_head *head)
{
    uint32_t count;
    struct ft_slice rest = ft_http_field(head, "content-type", &count);
    if (count > 1)
        return FT_MEDIA_SEVERAL;
    struct ft_slice type = cut(&rest, ';'), name, value;
    if (type.len == 0)
        return FT_MEDIA_NONE;
    enum ft_media media = media_of(type);
    if (media != FT_MEDIA_JSON && media != FT_MEDIA_TEXT)
        return media;
    while (next_parameter(&rest, &name, &value)) {
        /* ASCII is UTF-8 too. */
        if (ft_http_is(name, "charset") && !ft_http_is(value, "utf-8") &&
            !ft_http_is(value, "utf8") && !ft_http_is(value, "us-ascii"))
            return FT_MEDIA_CHARSET;
    }
    return media;
}

/* Reads a weight, "0.75", in thousandths; one that is none counts as 0: it is not wanted. */
static int read_quality(struct ft_slice text)
{
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1') ||
        (text.len > 1 && text.ptr[1] != '.'))
        return 0;
    int value = (text.ptr[0] - '0') * QUALITY_MAX, unit = QUALITY_MAX / 10;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return 0;
        value += (text.ptr[i] - '0') * unit;
    }
    return value <= QUALITY_MAX ? value : 0;
}

/* Reads the weight of an element of a list, `name;q=0.5`, in thousandths, and its name. */
static int read_weight(struct ft_slice element, struct ft_slice *name)
{
    struct ft_slice parameter, value;
    int quality = QUALITY_MAX;
    *name = cut(&element, ';');
    while (next_parameter(&element, &parameter, &value)) {
        if (ft_http_is(parameter, "q"))
            quality = read_quality(value);
    }
    return quality;
}

/* Looks at one element of Accept. */
static void weigh(struct ft_slice element, int best[FT_ENCODINGS])
{
    struct ft_slice type;
    int quality = read_weight(element, &type);
    enum ft_media media = media_of(type);
    if (media != FT_MEDIA_JSON && media != FT_MEDIA_MSGPACK)
        return;
    /* Of two that are wanted alike the first counts: it is taken as a thousandth's fraction better. */
    int *mine = &best[media == FT_MEDIA_JSON ? FT_JSON : FT_MSGPACK];
    int other = best[media == FT_MEDIA_JSON ? FT_MSGPACK : FT_JSON];
    int weight = 2 * quality + (quality > 0 && other == 0);
    if (weight > *mine)
        *mine = weight;
}

enum ft_encoding ft_negotiate_encoding(const struct ft_http_head *head, enum ft_encoding otherwise)
{
    int best[FT_ENCODINGS] = {0};
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct ft_slice rest = head->fields[i].value, element;
        if (!ft_http_is(head->fields[i].name, "accept"))
            continue;
        while (ft_http_list_next(&rest, &element))
            weigh(element, best);
    }
    if (best[FT_JSON] == best[FT_MSGPACK])
        return otherwise;
    return best[FT_JSON] > best[FT_MSGPACK] ? FT_JSON : FT_MSGPACK;
}

bool ft_negotiate_gzip(const struct ft_http_head *head)
{
    int gzip = -1, any = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct ft_slice rest = head->fields[i].value, element, name;
        if (!ft_http_is(head->fields[i].name, "accept-encoding"))
            continue;
        while (ft_http_list_next(&rest, &element)) {
            int quality = read_weight(element, &name);
            if (ft_http_is(name, "gzip") || ft_http_is(name, "x-gzip"))
                gzip = quality;
            else if (ft_http_is(name, "*"))
                any = quality;
        }
    }
    return (gzip >= 0 ? gzip : any) > 0;
}

const char *ft_negotiate_type(enum ft_encoding encoding)
{
    return encoding == FT_JSON ? FT_TYPE_JSON : FT_TYPE_MSGPACK;
}
