/*
 * Decides whether a request may become a WebSocket (RFC 6455 section 4.2.1; SPEC.md section 2). On
 * its own libwebsockets upgrades nearly anything: any version, POST, HTTP/1.0, two Host headers, short
 * keys, requests with a body; and it drops the socket without a word where only unknown subprotocols
 * are offered. So everything is checked here, before. The worker's thread.
 */
#include "broker/net/private.h"
#include "protocol/base64.h"
#include "protocol/quote.h"

#include <stdio.h>
#include <strings.h>

/* libwebsockets looks for the subprotocol in a buffer of its own, and drops the connection without a
 * word where the list does not fit. */
#define OFFERED_MAX 126

const char *ft_header(struct lws *wsi, enum lws_token_indexes token, char *out, int size)
{
    if (lws_hdr_fragment_length(wsi, token, 1) > 0)
        return NULL;
    int len = lws_hdr_total_length(wsi, token);
    if (len == 0)
        return "";
    if (len >= size || lws_hdr_copy(wsi, out, size, token) < 0)
        return NULL;
    /* White space around a value is not part of it (RFC 9110 section 5.5). */
    while (len > 0 && (out[len - 1] == ' ' || out[len - 1] == '\t'))
        out[--len] = '\0';
    return out + strspn(out, " \t");
}

/* Walks a comma-separated list of tokens: returns the next one, cut out of `*rest`, or NULL. */
static char *next_token(char **rest)
{
    char *token;
    while ((token = strsep(rest, ","))) {
        token += strspn(token, " \t");
        size_t len = strcspn(token, " \t");
        if (len == 0)
            continue;
        token[len] = '\0';
        return token;
    }
    return NULL;
}

static bool list_has(char *list, const char *wanted)
{
    char *token;
    while ((token = next_token(&list))) {
        if (strcasecmp(token, wanted) == 0)
            return true;
    }
    return false;
}

static bool is_key(const char *key)
{
    size_t len;
    return ft_base64_decode(ft_slice_str(key), NULL, &len) && len == 16;
}

/* Says whether a subprotocol that we speak is offered, or none at all. */
static bool offers_ours(char *offered)
{
    bool any = false;
    char *token;
    while ((token = next_token(&offered))) {
        any = true;
        if (strcmp(token, FT_SUBPROTOCOL_JSON) == 0 || strcmp(token, FT_SUBPROTOCOL_MSGPACK) == 0)
            return true;
    }
    return !any;
}

static bool has_body(struct lws *wsi)
{
    char length[24];
    const char *text = ft_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof(length));
    return lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 || !text ||
           (*text && strcmp(text, "0") != 0);
}

static bool refuse(struct ft_http_response *response, int status, const char *message)
{
    ft_http_refuse(response, status, message);
    return false;
}

/* The request line and what belongs to HTTP itself. */
static bool check_http(struct lws *wsi, struct ft_http_response *response)
{
    char text[256], *uri;
    int uri_len;
    if (lws_http_get_uri_and_method(wsi, &uri, &uri_len) != LWSHUMETH_GET)
        return refuse(response, 405, "an upgrade to WebSocket is a GET request");
    const char *path = ft_net_of(wsi)->loops->options.ws_path;
    if ((size_t)uri_len != strlen(path) || memcmp(uri, path, (size_t)uri_len) != 0) {
        char quoted[FT_QUOTE_MAX];
        snprintf(text, sizeof(text), "there is no WebSocket at %s, but at %s",
                 ft_quote(ft_slice(uri, (size_t)uri_len), quoted), path);
        return refuse(response, 404, text);
    }
    const char *version = ft_header(wsi, WSI_TOKEN_HTTP, text, sizeof(text));
    if (!version || strcmp(version, "HTTP/1.1") != 0)
        return refuse(response, 400, "an upgrade to WebSocket needs HTTP/1.1");
    const char *host = ft_header(wsi, WSI_TOKEN_HOST, text, sizeof(text));
    if (!host || !*host)
        return refuse(response, 400, "the request needs one Host header");
    if (has_body(wsi))
        return refuse(response, 400, "a request to upgrade has no body");
    return true;
}

bool ft_upgrade_check(struct lws *wsi, struct ft_http_response *response, const char **headers)
{
    char text[1024];
    *headers = "";
    if (!check_http(wsi, response))
        return false;

    const char *upgrade = ft_header(wsi, WSI_TOKEN_UPGRADE, text, sizeof(text));
    if (!upgrade || !list_has(text, "websocket")) {
        *headers = "Upgrade: websocket\r\n";
        return refuse(response, 426, "this path speaks WebSocket: Upgrade has to be websocket");
    }
    const char *connection = ft_header(wsi, WSI_TOKEN_CONNECTION, text, sizeof(text));
    if (!connection || !*connection || !list_has(text, "upgrade"))
        return refuse(response, 400, "Connection has to name upgrade");
    const char *version = ft_header(wsi, WSI_TOKEN_VERSION, text, sizeof(text));
    if (!version || strcmp(version, "13") != 0) {
        *headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        return refuse(response, 426, "Sec-WebSocket-Version has to be 13");
    }
    const char *key = ft_header(wsi, WSI_TOKEN_KEY, text, sizeof(text));
    if (!key || !is_key(key))
        return refuse(response, 400, "Sec-WebSocket-Key has to be 16 bytes in base64, once");
    text[0] = '\0';
    int offered = lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL);
    if (offered > OFFERED_MAX ||
        (offered > 0 && lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_PROTOCOL) < 0))
        return refuse(response, 400, "Sec-WebSocket-Protocol is too long: 126 bytes at most");
    if (!offers_ours(text))
        return refuse(response, 400,
                      "Sec-WebSocket-Protocol offers neither " FT_SUBPROTOCOL_JSON
                      " nor " FT_SUBPROTOCOL_MSGPACK);
    return true;
}
