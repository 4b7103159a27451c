/* Feeds the HTTP service and takes its responses apart. Decides nothing. */
#include "tests/unit/support/fake_http.h"

#include "broker/base/alloc.h"
#include "broker/http/service.h"

#include <stdio.h>
#include <stdlib.h>

#define SENT_MAX ((size_t)8 << 20)

static char fields[8192];

static enum ft_write_result http_write(void *conn, struct ft_slice bytes)
{
    struct ft_fake_http *http = conn;
    ft_buffer_add(&http->sent, bytes.ptr, bytes.len);
    return FT_WRITE_DONE;
}

static void http_pause(void *conn, bool paused)
{
    ((struct ft_fake_http *)conn)->is_paused = paused;
}

static uint64_t nothing(void *conn)
{
    (void)conn;
    return 0;
}

static const struct ft_ip *http_client(void *conn)
{
    return &((struct ft_fake_http *)conn)->client;
}

static void http_speaks_for(void *conn, const struct ft_ip *client)
{
    ((struct ft_fake_http *)conn)->client = *client;
}

static void http_finish(void *conn, bool lingers)
{
    struct ft_fake_http *http = conn;
    http->is_finished = true;
    http->lingers = lingers;
}

static void http_kill(void *conn)
{
    ((struct ft_fake_http *)conn)->is_killed = true;
}

static const struct ft_conn_ops ops = {
    .write = http_write,
    .pause = http_pause,
    .silence_ms = nothing,
    .taken_bytes = nothing,
    .client = http_client,
    .finish = http_finish,
    .kill = http_kill,
};

static void http_upgrade(void *conn, const struct ft_upgrade *upgrade)
{
    struct ft_fake_http *http = conn;
    http->is_upgraded = true;
    http->upgrade = *upgrade;
}

#define DEFAULT(field, value) ((field) = (field) ? (field) : (value))

void ft_fake_http_init(struct ft_fake_node *node, const struct ft_http_options *options,
                       uint32_t workers)
{
    ft_fake_http_init_cluster(node, options, workers, NULL);
}

void ft_fake_http_init_cluster(struct ft_fake_node *node, const struct ft_http_options *options,
                               uint32_t workers, struct ft_fake_relay *relay)
{
    struct ft_http_options own = *options;
    DEFAULT(own.ws_path, "/ws");
    DEFAULT(own.cookie, "fantail_token");
    DEFAULT(own.body_bytes, 1 << 20);
    DEFAULT(own.header_timeout_s, 10);
    DEFAULT(own.body_timeout_s, 30);
    own.allow_no_origin = true;
    ft_fake_node_init_cluster(node, &(struct ft_journal_options){.keys = 100},
                              &(struct ft_hub_options){.http = ft_http_options_copy(&own),
                                                       .free_http = ft_http_options_free},
                              workers, relay);
    node->gate.door = FT_FAKE_OPEN;
}

void ft_fake_http_open(struct ft_fake_node *node, struct ft_fake_http *http, uint32_t worker)
{
    *http = (struct ft_fake_http){.node = node, .worker = node->hub->workers[worker]};
    ft_buffer_init(&http->sent, SENT_MAX);
    struct ft_http_transport transport = {
        .ops = &ops,
        .conn = http,
        .peer = {.is_local = true},
        .speaks_for = http_speaks_for,
        .upgrade = http_upgrade,
    };
    FT_ASSERT(ft_ip_read(ft_slice_str("127.0.0.1"), &transport.peer.ip));
    http->client = transport.peer.ip;
    ft_fake_node_begin(node, worker);
    http->conn = ft_http_service()->open(NULL, http->worker, &transport);
    (void)ft_fake_node_end(node, worker);
}

void ft_fake_http_close(struct ft_fake_http *http)
{
    uint32_t worker = http->worker->index;
    ft_fake_node_begin(http->node, worker);
    if (http->conn)
        ft_http_service()->gone(http->conn);
    http->conn = NULL;
    if (http->is_upgraded)
        ft_identity_unref(http->upgrade.who);
    (void)ft_fake_node_end(http->node, worker);
    ft_buffer_fini(&http->sent);
}

void ft_fake_http_receive(struct ft_fake_http *http, const char *text)
{
    if (!ft_http_service()->receive(http->conn, ft_slice_str(text)))
        http->conn = NULL;
}

void ft_fake_http_say(struct ft_fake_http *http, const char *text)
{
    ft_fake_node_begin(http->node, http->worker->index);
    ft_fake_http_receive(http, text);
    while (!ft_fake_node_end(http->node, http->worker->index))
        ft_fake_node_begin(http->node, http->worker->index);
    /* What is asked of other workers comes round within as many turns as there are. */
    for (uint32_t i = 0; i <= http->node->hub->worker_count; i++)
        ft_fake_node_settle(http->node);
}

/* Takes a response off `*at`: adds its status and its body to `told`. */
static size_t tell(const char **at, const char *end, char *told, size_t size)
{
    const char *body = strstr(*at, "\r\n\r\n");
    FT_ASSERT(body && strncmp(*at, "HTTP/1.1 ", 9) == 0);
    body += 4;
    int status = atoi(*at + 9);
    size_t len = 0;
    snprintf(fields, sizeof(fields), "%.*s", (int)(body - *at), *at);
    const char *length = strstr(fields, "Content-Length: ");
    if (length)
        len = (size_t)atoi(length + 16);
    FT_ASSERT(body + len <= end);
    *at = body + len;
    bool has_line = len > 0 && body[len - 1] == '\n';
    return (size_t)snprintf(told, size, "%d%s%.*s%s", status, len ? " " : "", (int)len, body,
                            has_line ? "" : "\n");
}

const char *ft_fake_http_told(struct ft_fake_http *http)
{
    static char told[1 << 18];
    size_t n = 0;
    told[0] = fields[0] = '\0';
    ft_buffer_add_byte(&http->sent, 0);
    const char *at = (const char *)http->sent.ptr, *end = at + http->sent.len - 1;
    while (at < end)
        n += tell(&at, end, told + n, sizeof(told) - n);
    ft_buffer_clear(&http->sent);
    return told;
}

const char *ft_fake_http_fields(void)
{
    return fields;
}
