/* Compares origins, writes CORS headers. Keeps no state; any thread. */
#include "broker/http/cors.h"

static bool has_prefix(struct ft_slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && ft_http_is(ft_slice(text.ptr, len), prefix);
}

static struct ft_slice skip(struct ft_slice text, size_t n)
{
    return ft_slice(text.ptr + n, text.len - n);
}

/* Takes the port off where it is the scheme's own, so that "a.example" and "a.example:443" are one. */
static struct ft_slice without_port(struct ft_slice authority, const char *port)
{
    size_t len = strlen(port);
    if (authority.len > len && memcmp(authority.ptr + authority.len - len, port, len) == 0)
        authority.len -= len;
    return authority;
}

/*
 * The page's host is the one that it asks. Its scheme may be https where ours is not: then TLS ended in front
 * of us. Not the other way round, or whoever can alter plain HTTP to that host could ask.
 */
static bool is_same(const struct ft_http_head *head, struct ft_slice origin, bool is_tls)
{
    bool is_https = has_prefix(origin, "https://");
    if (!is_https && (is_tls || !has_prefix(origin, "http://")))
        return false;
    const char *port = is_https ? ":443" : ":80";
    struct ft_slice theirs = without_port(skip(origin, is_https ? 8 : 7), port);
    return theirs.len > 0 && ft_http_is_same(theirs, without_port(head->host, port));
}

enum ft_cors ft_cors_judge(const struct ft_http_head *head, bool is_tls,
                           const struct ft_http_options *options)
{
    uint32_t count;
    struct ft_slice origin = ft_http_field(head, "origin", &count);
    if (count == 0)
        return FT_CORS_NONE;
    if (count > 1)
        return FT_CORS_SEVERAL;
    if (is_same(head, origin, is_tls))
        return FT_CORS_SAME;
    switch (ft_http_origin_find(options, origin)) {
    case FT_ORIGIN_LISTED:
        return FT_CORS_LISTED;
    case FT_ORIGIN_ANYBODY:
        return FT_CORS_ANYBODY;
    default:
        return FT_CORS_FOREIGN;
    }
}

void ft_cors_add(struct ft_buffer *headers, const struct ft_http_head *head, enum ft_cors origin)
{
    if (origin != FT_CORS_SAME && origin != FT_CORS_LISTED && origin != FT_CORS_ANYBODY)
        return;
    struct ft_slice value = ft_http_field(head, "origin", NULL);
    ft_buffer_add_str(headers, "Access-Control-Allow-Origin: ");
    ft_buffer_add(headers, value.ptr, value.len);
    ft_buffer_add_str(headers, "\r\nVary: Origin\r\n"
                               "Access-Control-Expose-Headers: Retry-After, WWW-Authenticate\r\n");
    if (origin == FT_CORS_LISTED)
        ft_buffer_add_str(headers, "Access-Control-Allow-Credentials: true\r\n");
}

bool ft_cors_is_preflight(const struct ft_http_head *head)
{
    uint32_t origins, methods;
    (void)ft_http_field(head, "origin", &origins);
    (void)ft_http_field(head, "access-control-request-method", &methods);
    return origins > 0 && methods > 0;
}

void ft_cors_add_preflight(struct ft_buffer *headers, const char *methods)
{
    ft_buffer_add_str(headers, "Access-Control-Allow-Methods: ");
    ft_buffer_add_str(headers, methods);
    ft_buffer_add_str(headers,
                      "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID"
                      "\r\nAccess-Control-Max-Age: 600\r\n");
}
