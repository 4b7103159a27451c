/*
 * The connection on libwebsockets' own poll loop. Knows nothing of envelopes, of when to reconnect,
 * or of keeping alive: lws's timers for that are off. The thread that made it runs it.
 */
#include "clients/c/transport.h"

#include <errno.h>
#include <libwebsockets.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/base/alloc.h"
#include "protocol/buffer.h"
#include "protocol/quote.h"

enum {
    RX_BYTES = 64 * 1024,   /* one recv; measured: larger is not faster */
    TX_BYTES = 1024 * 1024, /* one send; less would cut our writes and copy their tails */
    LAST_WORDS_S = 1,       /* to read what came before a connection broke */
    HANDSHAKE_S = 10,       /* from the first packet to the upgrade */
    DESCRIPTORS = 16        /* ours are three: the socket, the wake-up, lws's own */
};

struct ft_transport {
    struct ft_transport_options options;
    struct ft_transport_events events;
    void *context;
    struct lws_context *lws;
    struct lws_protocols protocols[2];
    struct lws *wsi; /* the connection, from the first step on */
    struct ft_transport_end end;
    struct ft_buffer whole;                         /* a message that came in pieces */
    char authorization[8 + FT_TRANSPORT_TOKEN_MAX]; /* "Bearer " and a token */
    lws_sorted_usec_list_t timer;
    int wake_fd;
    int depth; /* inside how many of lws's callbacks for this connection we are */
    bool is_connecting, is_open, is_dropped, is_writable, is_broken;
};

/* What lws said last on this thread, for a connection error that brings no text of its own. Its log
 * is the process's, so this cannot belong to one transport. */
static _Thread_local char last_line[FT_END_REASON_MAX];

static void keep_line(int level, const char *line)
{
    (void)level;
    snprintf(last_line, sizeof(last_line), "%.*s", (int)strcspn(line, "\n"), line);
}

/* Keeps why the connection ends; the first reason is the cause. */
static void set_reason(struct ft_transport *t, const char *text)
{
    if (t->end.reason[0] == '\0')
        snprintf(t->end.reason, sizeof(t->end.reason), "%s", text);
}

/* The same with bytes that are not ours: made fit to be shown, without the quotes around. */
static void set_foreign_reason(struct ft_transport *t, struct ft_slice text)
{
    char quoted[FT_QUOTE_MAX];
    ft_quote(text, quoted);
    quoted[strlen(quoted) - 1] = '\0';
    set_reason(t, quoted + 1);
}

/* The connection is gone: says so once. */
static void ended(struct ft_transport *t)
{
    if (!t->is_connecting && !t->is_open)
        return;
    struct ft_transport_end end = t->end;
    end.was_open = t->is_open;
    if (end.reason[0] == '\0')
        snprintf(end.reason, sizeof(end.reason), "%s",
                 t->is_open ? "the connection was lost" : "the host cannot be resolved or reached");
    t->wsi = NULL;
    t->is_connecting = t->is_open = t->is_writable = false;
    ft_buffer_fini(&t->whole);
    t->events.on_end(t->context, &end);
}

/* libwebsockets keeps the body, which says more, to itself. */
static const char *status_text(int status)
{
    return status == 401   ? ": the token is missing, bad or expired"
           : status == 429 ? ": too many connections"
           : status == 503 ? ": it is full or stopping"
                           : "";
}

static void on_error(struct ft_transport *t, struct lws *wsi, const void *text, size_t len)
{
    t->end.http_status = (int)lws_http_client_http_response(wsi);
    if (t->end.http_status == 101 || t->end.http_status < 0)
        t->end.http_status = 0;
    if (t->end.http_status >= 300) {
        char status[96];
        snprintf(status, sizeof(status), "the broker answered with HTTP status %d%s",
                 t->end.http_status, status_text(t->end.http_status));
        set_reason(t, status);
    } else if (text && len > 0 && t->options.url.is_tls && strstr(text, "SSL")) {
        set_reason(t, "TLS failed: the broker's certificate is not trusted, or it speaks no TLS");
    } else if (text && len > 0) {
        set_foreign_reason(t, ft_slice(text, strnlen(text, len)));
    } else {
        set_foreign_reason(t, ft_slice_str(last_line));
    }
    ended(t);
}

static void on_peer_close(struct ft_transport *t, const uint8_t *payload, size_t len)
{
    if (len < 2) {
        t->end.close_code = 1005; /* RFC 6455 section 7.1.5: none was given */
        return;
    }
    t->end.close_code = (uint16_t)(payload[0] << 8 | payload[1]);
    if (len > 2)
        set_foreign_reason(t, ft_slice(payload + 2, len - 2));
}

/* Puts the pieces of a message together; hands it up once it is whole. */
static void on_piece(struct ft_transport *t, struct lws *wsi, const void *piece, size_t len)
{
    bool is_last = lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;
    bool is_text = !lws_frame_is_binary(wsi);
    if (is_last && t->whole.len == 0 && len <= t->options.message_bytes) {
        t->events.on_message(t->context, ft_slice(piece, len), is_text);
        return;
    }
    ft_buffer_add(&t->whole, piece, len);
    if (t->whole.failed) {
        char reason[96];
        snprintf(reason, sizeof(reason), "the broker sent a message of more than %zu bytes",
                 t->options.message_bytes);
        ft_transport_drop(t, reason);
    } else if (is_last) {
        t->events.on_message(t->context, ft_buffer_slice(&t->whole), is_text);
        ft_buffer_clear(&t->whole);
    }
}

/* Adds the credentials to the upgrade request. */
static int add_headers(struct ft_transport *t, struct lws *wsi, unsigned char **at, size_t room)
{
    if (t->authorization[0] == '\0')
        return 0;
    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
                                        (const unsigned char *)t->authorization,
                                        (int)strlen(t->authorization), at, *at + room);
}

static int on_socket(struct ft_transport *t, struct lws *wsi, enum lws_callback_reasons reason,
                     void *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_headers(t, wsi, in, len);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        t->wsi = wsi;
        t->is_connecting = false;
        t->is_open = t->is_writable = true;
        t->events.on_open(t->context);
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        if (!t->is_dropped)
            on_piece(t, wsi, in, len);
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        if (t->is_open && !t->is_broken && !lws_partial_buffered(wsi)) {
            t->is_writable = true;
            t->events.on_writable(t->context);
        }
        break;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        on_peer_close(t, in, len);
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        on_error(t, wsi, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        ended(t);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        /* The one word that lws has for a connection that broke while the request was written. */
        if (t->is_connecting && wsi == t->wsi) {
            set_reason(t, "the connection broke before the broker answered");
            ended(t);
        }
        return 0;
    default:
        return 0;
    }
    return t->is_dropped ? -1 : 0;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    (void)user;
    struct lws_context *lws = lws_get_context(wsi);
    struct ft_transport *t = lws ? lws_context_user(lws) : NULL;
    if (!t)
        return 0;
    if (reason == LWS_CALLBACK_RAW_RX_FILE) {
        uint64_t wakes;
        return read(t->wake_fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN ? -1 : 0;
    }
    t->depth++;
    int result = on_socket(t, wsi, reason, in, len);
    t->depth--;
    return result;
}

/* Gives lws the descriptor that wakes it. lws closes what it adopts, so it gets one of its own. */
static bool adopt_wake_fd(struct ft_transport *t)
{
    t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (t->wake_fd < 0)
        return false;
    lws_sock_file_fd_type fd = {.filefd = dup(t->wake_fd)};
    struct lws_vhost *vhost = lws_get_vhost_by_name(t->lws, "default");
    return fd.filefd >= 0 && vhost &&
           lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, fd, t->protocols[0].name,
                                      NULL);
}

enum ft_err ft_transport_new(const struct ft_transport_options *options,
                             const struct ft_transport_events *events, void *context,
                             struct ft_transport **transport, struct ft_problem *problem)
{
    static const lws_retry_bo_t no_timers = {0};
    if (options->ca_file && access(options->ca_file, R_OK) != 0) {
        char quoted[FT_QUOTE_MAX]; /* lws would only log it, and trust nobody */
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE,
                              "the file of authorities %s cannot be read: %s",
                              ft_quote(ft_slice_str(options->ca_file), quoted), strerror(errno));
    }
    struct ft_transport *t = ft_alloc_zero(sizeof(*t));
    t->options = *options;
    t->events = *events;
    t->context = context;
    t->wake_fd = -1;
    ft_buffer_init(&t->whole, options->message_bytes);
    t->protocols[0] = (struct lws_protocols){
        .name = options->encoding == FT_JSON ? FT_SUBPROTOCOL_JSON : FT_SUBPROTOCOL_MSGPACK,
        .callback = on_lws,
        .rx_buffer_size = RX_BYTES,
        .tx_packet_size = TX_BYTES,
    };

    lws_set_log_level(LLL_ERR, keep_line);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = t->protocols,
        .user = t,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .retry_and_idle_policy = &no_timers,
        .timeout_secs = HANDSHAKE_S,
        .connect_timeout_secs = HANDSHAKE_S,
        .fd_limit_per_thread = DESCRIPTORS,
        .pt_serv_buf_size = RX_BYTES,
        .vhost_name = "default",
        .options =
            options->url.is_tls || options->has_tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .client_ssl_ca_filepath = options->ca_file,
    };
    t->lws = lws_create_context(&info);
    if (!t->lws || !adopt_wake_fd(t)) {
        char cause[FT_QUOTE_MAX];
        ft_problem_set(problem, FT_ERR_UNAVAILABLE, "libwebsockets could not start: %s",
                       ft_quote(ft_slice_str(last_line), cause));
        ft_transport_free(t);
        return FT_ERR_UNAVAILABLE;
    }
    *transport = t;
    return FT_OK;
}

void ft_transport_free(struct ft_transport *t)
{
    if (!t)
        return;
    t->is_connecting = t->is_open = false; /* so that nothing is said any more */
    if (t->lws)
        lws_context_destroy(t->lws);
    if (t->wake_fd >= 0)
        close(t->wake_fd);
    ft_buffer_fini(&t->whole);
    free(t);
}

/* Says what is wrong with a token, or NULL. A line break would begin another header. */
static const char *check_token(const char *token)
{
    if (strlen(token) > FT_TRANSPORT_TOKEN_MAX)
        return "the token is longer than the 8,192 bytes that a broker takes";
    for (const char *c = token; *c; c++)
        if (*c <= ' ' || *c >= 0x7F)
            return "the token holds a space, a control character or what is not ASCII";
    return NULL;
}

/* What libwebsockets is told about TLS. */
static int tls_flags(const struct ft_transport_options *options)
{
    if (!options->url.is_tls)
        return 0;
    return options->is_insecure ? LCCSCF_USE_SSL | LCCSCF_ALLOW_SELFSIGNED | LCCSCF_ALLOW_INSECURE |
                                      LCCSCF_ALLOW_EXPIRED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK
                                : LCCSCF_USE_SSL;
}

void ft_transport_aim(struct ft_transport *t, const struct ft_url *url)
{
    t->options.url = *url;
}

void ft_transport_connect(struct ft_transport *t, const char *token)
{
    static const lws_retry_bo_t no_timers = {0};
    FT_ASSERT(!t->is_connecting && !t->is_open);
    t->end = (struct ft_transport_end){0};
    t->is_connecting = true;
    t->is_dropped = t->is_broken = false;
    last_line[0] = '\0';
    t->authorization[0] = '\0';
    const char *wrong = token ? check_token(token) : NULL;
    if (wrong) {
        set_reason(t, wrong);
        ended(t);
        return;
    }
    if (token && token[0] != '\0')
        snprintf(t->authorization, sizeof(t->authorization), "Bearer %s", token);

    struct lws_client_connect_info info = {
        .context = t->lws,
        .address = t->options.url.host,
        .port = t->options.url.port,
        .path = t->options.url.path,
        .host = t->options.url.host_port,
        .protocol = t->protocols[0].name,
        .ssl_connection = tls_flags(&t->options),
        .alpn = "http/1.1", /* raw writes are HTTP/1's; lws would offer h2 too */
        .retry_and_idle_policy = &no_timers,
        .pwsi = &t->wsi,
    };
    if (!lws_client_connect_via_info(&info)) {
        t->wsi = NULL;
        ended(t);
    }
}

/* Says whether the peer is gone altogether: a write would fail, and lws would then throw away what it
 * said last, answers and close frame. One poll() for 256 KiB written. */
static bool has_hung_up(struct ft_transport *t)
{
    struct pollfd fd = {.fd = lws_get_socket_fd(t->wsi)};
    return poll(&fd, 1, 0) > 0 && fd.revents & (POLLERR | POLLHUP);
}

bool ft_transport_is_writable(struct ft_transport *t)
{
    if (!t->is_open || !t->is_writable || t->is_dropped)
        return false;
    if (!has_hung_up(t))
        return true;
    t->is_broken = true;
    t->is_writable = false;
    lws_set_timeout(t->wsi, PENDING_TIMEOUT_USER_OK, LAST_WORDS_S);
    return false;
}

void ft_transport_write(struct ft_transport *t, struct ft_slice frames)
{
    FT_ASSERT(t->is_open && t->is_writable);
    /* LWS_WRITE_RAW neither changes the bytes nor writes before them (see the test of this). */
    int n = lws_write(t->wsi, (unsigned char *)(uintptr_t)frames.ptr, frames.len, LWS_WRITE_RAW);
    if (n < 0) {
        ft_transport_drop(t, "the connection was lost while writing");
        return;
    }
    if (!lws_partial_buffered(t->wsi))
        return;
    t->is_writable = false;
    lws_callback_on_writable(t->wsi);
}

void ft_transport_drop(struct ft_transport *t, const char *reason)
{
    if (t->is_dropped || (!t->is_connecting && !t->is_open))
        return;
    t->is_dropped = true;
    set_reason(t, reason);
    if (t->depth > 0)
        return; /* the callback that we are in says so to lws */
    if (t->wsi)
        lws_set_timeout(t->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    ended(t);
}

uint64_t ft_transport_silence_ms(struct ft_transport *t)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (!t->is_open ||
        getsockopt(lws_get_socket_fd(t->wsi), IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return UINT64_MAX;
    return info.tcpi_last_data_recv;
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
    (void)timer; /* only to end the wait */
}

void ft_transport_run(struct ft_transport *t, int timeout_ms)
{
    /* lws_service() ignores its timeout unless it is negative, which means: do not wait. */
    if (timeout_ms > 0)
        lws_sul_schedule(t->lws, 0, &t->timer, on_timer, (lws_usec_t)timeout_ms * 1000);
    lws_service(t->lws, timeout_ms == 0 ? -1 : 0);
    lws_sul_schedule(t->lws, 0, &t->timer, on_timer, LWS_SET_TIMER_USEC_CANCEL);
}

void ft_transport_wake(struct ft_transport *t)
{
    int saved = errno;
    uint64_t one = 1;
    /* A full counter means that a wake-up is under way already. */
    if (write(t->wake_fd, &one, sizeof(one)) < 0)
        errno = saved;
}
