/* Exchanges: what routes do with them, and how a response is laid out. The worker's thread. */
#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/http/conn.h"
#include "broker/http/negotiate.h"
#include "protocol/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct status_text {
    int status;
    const char *line;
};

static const char *status_line(int status)
{
#define LINE(status, text)                          \
    {                                               \
        status, "HTTP/1.1 " #status " " text "\r\n" \
    }
    static const struct status_text lines[] = {
        LINE(200, "OK"),
        LINE(204, "No Content"),
        LINE(304, "Not Modified"),
        LINE(400, "Bad Request"),
        LINE(401, "Unauthorized"),
        LINE(403, "Forbidden"),
        LINE(404, "Not Found"),
        LINE(405, "Method Not Allowed"),
        LINE(408, "Request Timeout"),
        LINE(409, "Conflict"),
        LINE(411, "Length Required"),
        LINE(413, "Content Too Large"),
        LINE(414, "URI Too Long"),
        LINE(415, "Unsupported Media Type"),
        LINE(417, "Expectation Failed"),
        LINE(426, "Upgrade Required"),
        LINE(429, "Too Many Requests"),
        LINE(431, "Request Header Fields Too Large"),
        LINE(500, "Internal Server Error"),
        LINE(503, "Service Unavailable"),
        LINE(504, "Gateway Timeout"),
        LINE(505, "HTTP Version Not Supported"),
    };
#undef LINE
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i].status == status)
            return lines[i].line;
    }
    FT_ASSERT(!"a status of the table");
    return "";
}

void ft_http_add_date(struct ft_buffer *out, uint64_t now_ms)
{
    static _Thread_local struct {
        time_t second;
        char line[48];
    } date;
    time_t now = (time_t)(now_ms / 1000);
    if (date.second != now) {
        struct tm parts;
        gmtime_r(&now, &parts);
        strftime(date.line, sizeof(date.line), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
        date.second = now;
    }
    ft_buffer_add_str(out, date.line);
}

static void add_length(struct ft_buffer *out, size_t len)
{
    char digits[24], *at = digits + sizeof(digits);
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + len % 10);
    while (len /= 10);
    ft_buffer_add_str(out, "Content-Length: ");
    ft_buffer_add(out, at, (size_t)(digits + sizeof(digits) - at));
}

void ft_exchange_send(struct ft_exchange *x, struct ft_buffer *out)
{
    struct ft_http_response *response = &x->response;
    ft_count_http(&x->asker.worker->metrics, (enum ft_route)x->route, response->status,
                  ft_clock_mono_us() - x->begun_us);
    ft_buffer_add_str(out, status_line(response->status));
    ft_http_add_date(out, x->asker.worker->now_ms);
    if (response->content_type) {
        ft_buffer_add_str(out, "Content-Type: ");
        ft_buffer_add_str(out, response->content_type);
        ft_buffer_add_str(out, "\r\n");
    }
    if (response->status != 204 && response->status != 304 && !response->is_endless)
        add_length(out, ft_http_response_bytes(response));
    ft_buffer_add_str(out, "Cache-Control: ");
    ft_buffer_add_str(out, response->cache ? response->cache : "no-store");
    ft_buffer_add_str(out, "\r\nX-Content-Type-Options: nosniff\r\n");
    ft_buffer_add(out, response->headers.ptr, response->headers.len);
    bool is_upgrade =
        response->status == 426; /* which wants the same field: RFC 9110 section 7.8 */
    if (x->is_last || is_upgrade)
        ft_buffer_add_str(out, !is_upgrade  ? "Connection: close\r\n"
                               : x->is_last ? "Connection: upgrade, close\r\n"
                                            : "Connection: upgrade\r\n");
    ft_buffer_add_str(out, "\r\n");
    if (!x->is_head) {
        ft_buffer_add(out, response->body.ptr, response->body.len);
        ft_buffer_add(out, response->file.ptr, response->file.len);
    }
}

void ft_exchange_free(struct ft_exchange *x)
{
    if (x->free_state)
        x->free_state(x);
    ft_asker_fini(&x->asker);
    if (x->is_held)
        x->conn->held--;
    ft_buffer_fini(&x->response.headers);
    ft_buffer_fini(&x->response.body);
    free(x);
}

const struct ft_peer *ft_exchange_peer(const struct ft_exchange *x)
{
    return &x->conn->transport.peer;
}

void ft_exchange_speaks_for(const struct ft_exchange *x, const struct ft_ip *client)
{
    x->conn->transport.speaks_for(x->conn->transport.conn, client);
}

const struct ft_http_options *ft_exchange_options(const struct ft_exchange *x)
{
    return ft_http_options_of(x->asker.worker);
}

void ft_exchange_header(struct ft_exchange *x, const char *name, const char *value)
{
    struct ft_buffer *headers = &x->response.headers;
    ft_buffer_add_str(headers, name);
    ft_buffer_add_str(headers, ": ");
    ft_buffer_add_str(headers, value);
    ft_buffer_add_str(headers, "\r\n");
}

static void refuse(struct ft_exchange *x, enum ft_encoding encoding, int status,
                   const char *message)
{
    struct ft_buffer *body = &x->response.body;
    struct ft_writer w;
    ft_buffer_clear(body);
    ft_writer_init(&w, encoding, body);
    ft_write_map(&w, 1);
    ft_write_key(&w, "error");
    ft_write_map(&w, 2);
    ft_write_key(&w, "code");
    ft_write_uint(&w, (uint64_t)status);
    ft_write_key(&w, "message");
    ft_write_str(&w, ft_slice_str(message));
    if (encoding == FT_JSON)
        ft_buffer_add_str(body, "\n");
    x->response.status = status;
    x->response.content_type = ft_negotiate_type(encoding);
    ft_exchange_done(x);
}

static enum ft_encoding encoding_for(const struct ft_http_request *request)
{
    return request ? ft_negotiate_encoding(request->head, FT_JSON) : FT_JSON;
}

void ft_exchange_refuse(struct ft_exchange *x, const struct ft_http_request *request, int status,
                        const char *message)
{
    refuse(x, encoding_for(request), status, message);
}

void ft_exchange_problem(struct ft_exchange *x, const struct ft_http_request *request,
                         const struct ft_problem *problem)
{
    ft_exchange_fail(x, encoding_for(request), problem);
}

void ft_exchange_fail(struct ft_exchange *x, enum ft_encoding encoding,
                      const struct ft_problem *problem)
{
    if (problem->retry_ms > 0) {
        char seconds[16]; /* whole ones: RFC 9110 section 10.2.3 */
        snprintf(seconds, sizeof(seconds), "%u", (problem->retry_ms + 999) / 1000);
        ft_exchange_header(x, "Retry-After", seconds);
    }
    refuse(x, encoding, ft_err_wire(problem->err), problem->text);
}
