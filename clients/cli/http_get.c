/*
 * A GET on libwebsockets' client, in a context of its own that lives as long as the call. Does not know what the
 * body says. The main thread.
 */
#include "clients/cli/http_get.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/alloc.h"
#include "protocol/quote.h"

enum {
    STEP_S = 10,        /* to connect, and then between two signs of life */
    BODY_MAX = 16 << 20 /* of a list of nodes: a hundred bytes for each partition of each */
};

struct exchange {
    const struct ft_http_get *get;
    struct ft_http_answer *answer;
    char authorization[8200]; /* "Bearer " and the longest token that a broker takes */
    int status;
    bool is_over;
};

/* What lws said last, for an error that brings no text of its own. */
static char last_line[200];

static void keep_line(int level, const char *line)
{
    (void)level;
    snprintf(last_line, sizeof(last_line), "%.*s", (int)strcspn(line, "\n"), line);
}

/* Ends it without an answer; the first reason is the cause. */
static void fail(struct exchange *x, const char *text)
{
    if (!x->is_over && x->answer->reason[0] == '\0') {
        char quoted[FT_QUOTE_MAX];
        ft_quote(ft_slice_str(text), quoted);
        snprintf(x->answer->reason, sizeof(x->answer->reason), "%.*s", (int)strlen(quoted) - 2,
                 quoted + 1);
    }
    x->is_over = true;
}

static int add_header(struct lws *wsi, enum lws_token_indexes token, const char *value,
                      unsigned char **at, size_t room)
{
    return lws_add_http_header_by_token(wsi, token, (const unsigned char *)value,
                                        (int)strlen(value), at, *at + room);
}

static int add_headers(const struct exchange *x, struct lws *wsi, unsigned char **at, size_t room)
{
    if (add_header(wsi, WSI_TOKEN_HTTP_ACCEPT, "application/json", at, room))
        return -1;
    return x->authorization[0]
               ? add_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, x->authorization, at, room - 64)
               : 0;
}

/* Lets lws read some of the body, which it then hands over. */
static int read_some(struct lws *wsi)
{
    char room[LWS_PRE + 4096];
    char *at = room + LWS_PRE;
    int n = sizeof(room) - LWS_PRE;
    return lws_http_client_read(wsi, &at, &n) < 0 ? -1 : 0;
}

static void on_error(struct exchange *x, const char *text)
{
    if (text && x->get->url->is_tls && strstr(text, "SSL"))
        text = "TLS failed: the broker's certificate is not trusted, or it speaks no TLS";
    fail(x, text ? text : last_line);
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    (void)user;
    struct lws_context *lws = lws_get_context(wsi);
    struct exchange *x = lws ? lws_context_user(lws) : NULL;
    if (!x || x->is_over)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_headers(x, wsi, in, len);
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
        x->status = (int)lws_http_client_http_response(wsi);
        break;
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
        return read_some(wsi);
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
        ft_buffer_add(&x->answer->body, in, len);
        break;
    case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
        x->answer->status = x->status;
        x->is_over = true;
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        on_error(x, in);
        break;
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
    case LWS_CALLBACK_WSI_DESTROY:
        fail(x, "the connection broke before the answer was whole");
        break;
    default:
        break;
    }
    return 0;
}

/* Puts the path where the URL has that of the WebSocket; its query stays, for a token may be in it, behind the
 * path's own. */
static void make_path(const struct ft_http_get *get, char *out, size_t size)
{
    const char *path = get->url->path;
    size_t len = strcspn(path, "?");
    size_t prefix = len >= 3 && memcmp(path + len - 3, "/ws", 3) == 0 ? len - 3 : 0;
    bool has_both = path[len] == '?' && strchr(get->path, '?');
    snprintf(out, size, "%.*s%s%s%s", (int)prefix, path, get->path, has_both ? "&" : "",
             path + len + has_both);
}

static void connect_and_wait(struct exchange *x, struct lws_context *lws)
{
    static const lws_retry_bo_t no_timers = {0};
    char path[FT_URL_PATH_MAX + FT_HTTP_GET_PATH_MAX];
    make_path(x->get, path, sizeof(path));
    int flags = x->get->url->is_tls ? LCCSCF_USE_SSL : 0;
    if (flags && x->get->is_insecure)
        flags |= LCCSCF_ALLOW_SELFSIGNED | LCCSCF_ALLOW_INSECURE | LCCSCF_ALLOW_EXPIRED |
                 LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;
    struct lws_client_connect_info info = {
        .context = lws,
        .address = x->get->url->host,
        .port = x->get->url->port,
        .path = path,
        .host = x->get->url->host_port,
        .method = "GET",
        .protocol = "fantail-http",
        .ssl_connection = flags,
        .alpn = "http/1.1",
        .retry_and_idle_policy = &no_timers,
    };
    if (!lws_client_connect_via_info(&info))
        fail(x, last_line);
    while (!x->is_over && lws_service(lws, 0) >= 0)
        ;
    x->is_over = true;
}

/* Says what is wrong with a token, or NULL. */
static const char *check_token(const char *token, size_t room)
{
    if (strlen(token) + sizeof("Bearer ") > room)
        return "the token is longer than a broker takes";
    for (const char *c = token; *c; c++)
        if (*c <= ' ' || *c >= 0x7F)
            return "the token holds a space, a control character or what is not ASCII";
    return NULL;
}

static void exchange_all(struct exchange *x)
{
    static const struct lws_protocols protocols[] = {
        {.name = "fantail-http", .callback = on_lws},
        {0},
    };
    lws_set_log_level(LLL_ERR, keep_line);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .user = x,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .timeout_secs = STEP_S,
        .connect_timeout_secs = STEP_S,
        .fd_limit_per_thread = 16,
        .pt_serv_buf_size = 16384, /* the request, with the longest token */
        .options = x->get->url->is_tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .client_ssl_ca_filepath = x->get->ca_file,
    };
    struct lws_context *lws = lws_create_context(&info);
    if (!lws) {
        fail(x, last_line);
        return;
    }
    connect_and_wait(x, lws);
    lws_context_destroy(lws);
}

void ft_http_get(const struct ft_http_get *get, struct ft_http_answer *answer)
{
    struct exchange x = {.get = get, .answer = answer};
    *answer = (struct ft_http_answer){0};
    ft_buffer_init(&answer->body, BODY_MAX);
    last_line[0] = '\0';
    const char *token = get->token ? get->token : "";
    const char *wrong = check_token(token, sizeof(x.authorization));
    if (wrong) {
        fail(&x, wrong);
        return;
    }
    if (token[0] != '\0')
        snprintf(x.authorization, sizeof(x.authorization), "Bearer %s", token);
    exchange_all(&x);
    if (answer->body.failed)
        answer->status = 0;
    if (answer->status == 0 && answer->reason[0] == '\0')
        snprintf(answer->reason, sizeof(answer->reason), "the answer is not whole");
}
