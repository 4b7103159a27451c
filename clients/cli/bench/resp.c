/*
 * Speaks RESP2 on one blocking socket: writes commands, finds where replies end. Knows no command. Runs on the
 * bench's only thread.
 */
#include "clients/cli/bench/resp.h"

#include "broker/base/alloc.h"
#include "protocol/quote.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_BYTES    1048576
#define COMMAND_MAX 65536
#define WORDS_MAX   16
#define REPLY_MS    10000

enum ft_err ft_resp_open(struct ft_resp *resp, const struct sockaddr_in *address,
                         struct ft_problem *problem)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *resp = (struct ft_resp){.fd = fd < 0 ? 0 : fd};
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        ft_resp_close(resp);
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot connect to Redis: %s",
                              strerror(errno));
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    resp->rx_ = ft_alloc(RX_BYTES);
    return FT_OK;
}

void ft_resp_close(struct ft_resp *resp)
{
    if (resp->fd > 0)
        close(resp->fd);
    free(resp->rx_);
    *resp = (struct ft_resp){.fd = 0};
}

void ft_resp_write(struct ft_buffer *out, const struct ft_slice *args, uint32_t count)
{
    char head[32];
    snprintf(head, sizeof(head), "*%u\r\n", count);
    ft_buffer_add_str(out, head);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(head, sizeof(head), "$%zu\r\n", args[i].len);
        ft_buffer_add_str(out, head);
        ft_buffer_add(out, args[i].ptr, args[i].len);
        ft_buffer_add_str(out, "\r\n");
    }
}

enum ft_err ft_resp_send(struct ft_resp *resp, struct ft_slice bytes, struct ft_problem *problem)
{
    while (bytes.len > 0) {
        ssize_t n = send(resp->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot send to Redis: %s",
                                  strerror(errno));
        bytes.ptr += n;
        bytes.len -= (size_t)n;
    }
    return FT_OK;
}

uint64_t ft_resp_number(struct ft_slice text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    return number;
}

/* Returns the length of the first line, its end included; 0: that is not there. */
static size_t line_len(struct ft_slice bytes)
{
    const uint8_t *end = bytes.len > 0 ? memchr(bytes.ptr, '\n', bytes.len) : NULL;
    return end == NULL ? 0 : (size_t)(end - bytes.ptr) + 1;
}

/* The number in the first line, behind its sign: 0 where that is negative (nothing follows). */
static uint64_t line_number(struct ft_slice bytes, size_t line)
{
    return ft_resp_number(ft_slice(bytes.ptr + 1, line - 1));
}

size_t ft_resp_reply_len(struct ft_slice bytes)
{
    uint64_t due = 1; /* items whose end is to be found */
    size_t at = 0;
    for (; due > 0; due--) {
        struct ft_slice rest = ft_slice(bytes.ptr + at, bytes.len - at);
        size_t line = line_len(rest);
        if (line == 0)
            return 0;
        at += line;
        if (rest.ptr[0] == '*')
            due += line_number(rest, line);
        else if (rest.ptr[0] == '$' && rest.ptr[1] != '-')
            at += line_number(rest, line) + 2;
        if (at > bytes.len)
            return 0;
    }
    return at;
}

static enum ft_err receive(struct ft_resp *resp, struct ft_problem *problem)
{
    memmove(resp->rx_, resp->rx_ + resp->at_, resp->end_ - resp->at_);
    resp->end_ -= resp->at_;
    resp->at_ = 0;
    ssize_t n = recv(resp->fd, resp->rx_ + resp->end_, RX_BYTES - resp->end_, 0);
    if (n <= 0)
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "Redis closed the connection: %s",
                              n == 0 ? "end of file" : strerror(errno));
    resp->end_ += (size_t)n;
    return FT_OK;
}

enum ft_err ft_resp_next(struct ft_resp *resp, int timeout_ms, struct ft_slice *reply,
                         struct ft_problem *problem)
{
    size_t len;
    *reply = ft_slice(NULL, 0);
    while ((len = ft_resp_reply_len(ft_slice(resp->rx_ + resp->at_, resp->end_ - resp->at_))) ==
           0) {
        struct pollfd readable = {.fd = resp->fd, .events = POLLIN};
        if (poll(&readable, 1, timeout_ms) == 0)
            return FT_OK;
        enum ft_err err = receive(resp, problem);
        if (err != FT_OK)
            return err;
    }
    *reply = ft_slice(resp->rx_ + resp->at_, len);
    resp->at_ += len;
    return FT_OK;
}

enum ft_err ft_resp_ask_bytes(struct ft_resp *resp, struct ft_slice command, struct ft_slice *reply,
                              struct ft_problem *problem)
{
    char quoted[FT_QUOTE_MAX];
    enum ft_err err = ft_resp_send(resp, command, problem);
    if (err == FT_OK)
        err = ft_resp_next(resp, REPLY_MS, reply, problem);
    if (err != FT_OK)
        return err;
    if (reply->ptr == NULL)
        return ft_problem_set(problem, FT_ERR_TIMEOUT, "Redis does not answer");
    if (reply->ptr[0] == '-')
        return ft_problem_set(problem, FT_ERR_INTERNAL, "Redis answers %s",
                              ft_quote(*reply, quoted));
    return FT_OK;
}

enum ft_err ft_resp_ask(struct ft_resp *resp, const char *words, struct ft_slice *reply,
                        struct ft_problem *problem)
{
    struct ft_slice args[WORDS_MAX];
    struct ft_buffer command;
    uint32_t count = 0;
    while (*words != '\0') {
        FT_ASSERT(count < WORDS_MAX);
        size_t len = strcspn(words, " ");
        args[count++] = ft_slice(words, len);
        words += len;
        words += *words == ' ';
    }
    ft_buffer_init(&command, COMMAND_MAX);
    ft_resp_write(&command, args, count);
    enum ft_err err = ft_resp_ask_bytes(resp, ft_buffer_slice(&command), reply, problem);
    ft_buffer_fini(&command);
    return err;
}

struct ft_slice ft_resp_item(struct ft_slice *rest)
{
    size_t len = ft_resp_reply_len(*rest);
    if (len == 0)
        return ft_slice(NULL, 0);
    struct ft_slice text = ft_resp_text(ft_slice(rest->ptr, len));
    rest->ptr += len;
    rest->len -= len;
    return text;
}

struct ft_slice ft_resp_items(struct ft_slice reply)
{
    size_t line = reply.len > 0 && reply.ptr[0] == '*' ? line_len(reply) : 0;
    return line == 0 ? ft_slice(NULL, 0) : ft_slice(reply.ptr + line, reply.len - line);
}

struct ft_slice ft_resp_text(struct ft_slice reply)
{
    size_t line = line_len(reply);
    if (line < 3 || reply.ptr[0] == '*')
        return ft_slice(NULL, 0);
    if (reply.ptr[0] == '$')
        return ft_slice(reply.ptr + line, line_number(reply, line));
    return ft_slice(reply.ptr + 1, line - 3);
}
