/*
 * Plain HTTP on libwebsockets: a request goes to the service (broker/http/), its response goes out
 * as one write. Also the default protocol of the context, and so the place where requests to upgrade
 * are stopped and connections are counted. The worker's thread.
 */
#include "broker/net/private.h"

#include <stdio.h>

/* Ceiling of a response; the largest route's body is far below. */
#define RESPONSE_MAX ((size_t)1024 * 1024)

struct status_text {
    int status;
    const char *text;
};

static const char *status_text(int status)
{
    static const struct status_text texts[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return "Unknown";
}

/* How a response is sent. */
struct delivery {
    const char *headers; /* further header lines */
    bool is_head;        /* the body is measured, not sent */
    bool is_last;        /* the connection closes */
};

/* Sends a response. Returns what the callback has to return. */
static int respond(struct lws *wsi, const struct ft_http_response *response,
                   const struct delivery *how)
{
    struct ft_buffer *out = &ft_net_of(wsi)->out;
    struct ft_slice body = ft_buffer_slice(&response->body);
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                     "%s%s%s%s%s\r\n",
                     response->status, status_text(response->status), response->content_type,
                     body.len, response->allow ? "Allow: " : "",
                     response->allow ? response->allow : "", response->allow ? "\r\n" : "",
                     how->headers, how->is_last ? "Connection: close\r\n" : "");
    ft_buffer_clear(out);
    ft_buffer_add(out, head, (size_t)n);
    if (!how->is_head)
        ft_buffer_add(out, body.ptr, body.len);
    if (lws_write(wsi, out->ptr, out->len, LWS_WRITE_HTTP) < 0 || how->is_last)
        return -1;
    return 0;
}

/* Says whether the client wants, or we need, the connection to end after this response. */
static bool is_last_request(struct lws *wsi)
{
    char text[64];
    const char *version = ft_header(wsi, WSI_TOKEN_HTTP, text, sizeof(text));
    if (!version || strcmp(version, "HTTP/1.1") != 0)
        return true;
    const char *connection = ft_header(wsi, WSI_TOKEN_CONNECTION, text, sizeof(text));
    return connection && strcasestr(connection, "close");
}

static int on_upgrade(struct lws *wsi)
{
    const char *headers = "";
    struct ft_http_response response = {0};
    ft_buffer_init(&response.body, RESPONSE_MAX);
    bool ok = ft_upgrade_check(wsi, &response, &headers);
    const struct ft_arrival *arrival = lws_get_opaque_user_data(wsi);
    if (ok && arrival->is_over_limit) {
        ft_http_refuse(&response, 503,
                       "this node has as many connections as limits.connections allows");
        headers = "Retry-After: 5\r\n";
        ok = false;
    }
    if (ok && ft_net_of(wsi)->is_stopping) {
        ft_http_refuse(&response, 503, "this node is shutting down");
        ok = false;
    }
    int result = ok ? 0 : respond(wsi, &response, &(struct delivery){headers, false, true});
    ft_buffer_fini(&response.body);
    return result;
}

static const char *method_name(int method)
{
    switch (method) {
    case LWSHUMETH_GET:
        return "GET";
    case LWSHUMETH_HEAD:
        return "HEAD";
    case LWSHUMETH_POST:
        return "POST";
    case LWSHUMETH_OPTIONS:
        return "OPTIONS";
    case LWSHUMETH_PUT:
        return "PUT";
    case LWSHUMETH_PATCH:
        return "PATCH";
    case LWSHUMETH_DELETE:
        return "DELETE";
    default:
        return "";
    }
}

/* Fills `response` where HTTP itself is at fault. Returns true when it did: the connection ends,
 * because what follows on it cannot be told from the body. */
static bool refuse_malformed(struct lws *wsi, struct ft_http_response *response)
{
    char text[256];
    const char *version = ft_header(wsi, WSI_TOKEN_HTTP, text, sizeof(text));
    bool is_11 = version && strcmp(version, "HTTP/1.1") == 0;
    const char *host = ft_header(wsi, WSI_TOKEN_HOST, text, sizeof(text));
    const char *length = ft_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof(text));
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        ft_http_refuse(response, 411, "a body needs a Content-Length, chunks are not taken");
    else if (!host || (is_11 && !*host))
        ft_http_refuse(response, 400, "the request needs one Host header");
    else if (!length || strspn(length, "0123456789") != strlen(length))
        ft_http_refuse(response, 400, "Content-Length has to be one number");
    return response->status != 0;
}

static int on_request(struct ft_net *net, struct lws *wsi)
{
    char *uri;
    int uri_len;
    int method = lws_http_get_uri_and_method(wsi, &uri, &uri_len);
    if (method < 0)
        return -1;
    struct ft_http_request request = {
        .method = ft_slice_str(method_name(method)),
        .path = ft_slice(uri, (size_t)uri_len),
    };
    struct ft_http_response response = {0};
    struct delivery how = {"", method == LWSHUMETH_HEAD, is_last_request(wsi)};
    ft_buffer_init(&response.body, RESPONSE_MAX);
    if (refuse_malformed(wsi, &response)) {
        how.is_last = true;
    } else if (ft_slice_equal(request.path, ft_slice_str(net->loops->options.ws_path))) {
        ft_http_refuse(&response, method == LWSHUMETH_GET ? 426 : 405,
                       "this path speaks WebSocket");
        response.allow = "GET";
        how.headers = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    } else {
        net->loops->options.http->handle(net->worker, &request, &response);
    }
    int result = respond(wsi, &response, &how);
    ft_buffer_fini(&response.body);
    ft_arrival_answered(wsi);
    return result == 0 && lws_http_transaction_completed(wsi) ? -1 : result;
}

int ft_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    (void)user, (void)in, (void)len;
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        ft_net_enter(ft_net_of(wsi));
        return on_upgrade(wsi);
    case LWS_CALLBACK_HTTP:
        ft_net_enter(ft_net_of(wsi));
        return on_request(ft_net_of(wsi), wsi);
    case LWS_CALLBACK_WSI_DESTROY:
        atomic_fetch_sub(&ft_net_of(wsi)->loops->connections, 1);
        ft_arrival_free(lws_get_opaque_user_data(wsi));
        return 0;
    default:
        return 0;
    }
}
