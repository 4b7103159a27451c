/* The connection against a peer that is played byte by byte over a real socket. Some of what is
 * tested here is not promised by libwebsockets: raw writes above all. */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <libwebsockets.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clients/c/transport.h"
#include "protocol/buffer.h"
#include "protocol/ws_frame.h"

/* What came from the transport. */
static struct {
    int opened, ended, writable;
    struct ft_buffer message;
    int messages;
    bool is_text;
    struct ft_transport_end end;
} seen;

static struct ft_transport *transport;

static void on_open(void *context)
{
    (void)context;
    seen.opened++;
}

static void on_message(void *context, struct ft_slice message, bool is_text)
{
    (void)context;
    ft_buffer_clear(&seen.message);
    ft_buffer_add(&seen.message, message.ptr, message.len);
    seen.is_text = is_text;
    seen.messages++;
}

static void on_writable(void *context)
{
    (void)context;
    seen.writable++;
}

static void on_end(void *context, const struct ft_transport_end *end)
{
    (void)context;
    seen.end = *end;
    seen.ended++;
}

static const struct ft_transport_events events = {on_open, on_message, on_writable, on_end};

/* The peer: accepts one connection and answers its upgrade with `reply`, or properly. */
struct peer {
    int listener, fd;
    const char *reply;
    pthread_t thread;
};

static void accept_key(const char *request, char out[64])
{
    static const char header[] = "Sec-WebSocket-Key: ";
    const char *at = strstr(request, header);
    char text[128];
    unsigned char hash[20];
    if (!at)
        abort();
    snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", at + strlen(header));
    lws_SHA1((unsigned char *)text, strlen(text), hash);
    lws_b64_encode_string((char *)hash, sizeof(hash), out, 64);
}

static void *serve(void *context)
{
    struct peer *peer = context;
    char request[4096] = "";
    size_t len = 0;
    peer->fd = accept(peer->listener, NULL, NULL);
    while (!strstr(request, "\r\n\r\n")) {
        ssize_t n = read(peer->fd, request + len, sizeof(request) - 1 - len);
        if (n <= 0)
            abort();
        len += (size_t)n;
        request[len] = '\0';
    }
    char reply[512];
    char key[64];
    accept_key(request, key);
    snprintf(reply, sizeof(reply),
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: fantail.v1.json\r\n\r\n",
             key);
    const char *text = peer->reply ? peer->reply : reply;
    if (write(peer->fd, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
    return NULL;
}

static uint16_t listen_on(int *listener)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    *listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(*listener, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(*listener, 1), 0);
    cr_assert_eq(getsockname(*listener, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void make_transport(uint16_t port, size_t message_bytes)
{
    char text[64];
    struct ft_transport_options options = {.message_bytes = message_bytes};
    alarm(60); /* a hang ends this test's process */
    snprintf(text, sizeof(text), "ws://127.0.0.1:%u/ws", port);
    cr_assert_eq(ft_url_read(text, &options.url, NULL), FT_OK);
    ft_buffer_init(&seen.message, 1 << 24);
    cr_assert_eq(ft_transport_new(&options, &events, NULL, &transport, NULL), FT_OK);
}

static void start(struct peer *peer, const char *reply)
{
    *peer = (struct peer){.reply = reply};
    make_transport(listen_on(&peer->listener), 1 << 20);
    cr_assert_eq(pthread_create(&peer->thread, NULL, serve, peer), 0);
    ft_transport_connect(transport, NULL);
    while (!seen.opened && !seen.ended)
        ft_transport_run(transport, 1000);
    pthread_join(peer->thread, NULL);
}

static void finish(struct peer *peer)
{
    ft_transport_free(transport);
    ft_buffer_fini(&seen.message);
    close(peer->fd);
    close(peer->listener);
}

static void put(struct peer *peer, const void *bytes, size_t n)
{
    cr_assert_eq(write(peer->fd, bytes, n), (ssize_t)n);
}

static void put_frame(struct peer *peer, uint8_t first, const char *payload, size_t len)
{
    uint8_t header[FT_WS_SERVER_HEADER_MAX];
    size_t size = ft_ws_server_header(FT_WS_TEXT, len, header);
    header[0] = first;
    put(peer, header, size);
    put(peer, payload, len);
}

/* Reads what has arrived at the peer, without waiting. */
static size_t drain(struct peer *peer, uint8_t *out, size_t room)
{
    ssize_t n = recv(peer->fd, out, room, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

Test(client_transport, raw_writes_send_the_bytes_as_they_are_from_memory_that_cannot_change)
{
    enum { BYTES = 24 << 20 }; /* more than a socket takes at once, so that tails are kept */
    struct peer peer;
    start(&peer, NULL);
    uint8_t *sent = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *got = malloc(BYTES + 1);
    for (size_t i = 0; i < BYTES; i++)
        sent[i] = (uint8_t)(i * 31 >> 3);
    cr_assert_eq(mprotect(sent, BYTES, PROT_READ), 0);

    size_t written = 0, arrived = 0, stops = 0;
    while (arrived < BYTES) {
        if (written < BYTES && ft_transport_is_writable(transport)) {
            size_t n = BYTES - written < 300000 ? BYTES - written : 300000;
            ft_transport_write(transport, ft_slice(sent + written, n));
            written += n;
            stops += !ft_transport_is_writable(transport);
        }
        if (written == BYTES || !ft_transport_is_writable(transport))
            arrived += drain(&peer, got + arrived, BYTES + 1 - arrived);
        ft_transport_run(transport, 0);
    }
    cr_assert_eq(arrived, BYTES);
    cr_assert_eq(memcmp(got, sent, BYTES), 0);
    cr_assert_gt(stops, 0, "the socket took everything: nothing was tested");
    cr_assert_gt(seen.writable, 0);
    free(got);
    munmap(sent, BYTES);
    finish(&peer);
}

Test(client_transport, fragments_and_long_messages_come_whole)
{
    struct peer peer;
    start(&peer, NULL);
    put_frame(&peer, FT_WS_TEXT, "one ", 4);
    put_frame(&peer, FT_WS_CONTINUATION, "two ", 4);
    put_frame(&peer, 0x80 | FT_WS_CONTINUATION, "three", 5);
    while (seen.messages < 1)
        ft_transport_run(transport, 1000);
    cr_assert(ft_slice_equal(ft_buffer_slice(&seen.message), ft_slice_str("one two three")));
    cr_assert(seen.is_text);

    char *text = malloc(200000);
    memset(text, 'x', 200000);
    put_frame(&peer, 0x80 | FT_WS_BINARY, text, 200000); /* more than one read takes */
    while (seen.messages < 2)
        ft_transport_run(transport, 1000);
    cr_assert(ft_slice_equal(ft_buffer_slice(&seen.message), ft_slice(text, 200000)));
    cr_assert_not(seen.is_text);
    free(text);
    finish(&peer);
}

Test(client_transport, a_message_past_the_limit_ends_the_connection)
{
    struct peer peer;
    start(&peer, NULL);
    char *text = calloc(1, 300000);
    for (int i = 0; i < 4 && !seen.ended; i++) { /* 1,200,000 bytes in four fragments */
        put_frame(&peer, i ? FT_WS_CONTINUATION : FT_WS_BINARY, text, 300000);
        for (int turn = 0; turn < 20 && !seen.ended; turn++)
            ft_transport_run(transport, 5);
    }
    while (!seen.ended)
        ft_transport_run(transport, 1000);
    cr_assert(seen.end.was_open);
    cr_assert(strstr(seen.end.reason, "1048576"), "%s", seen.end.reason);
    cr_assert_eq(seen.messages, 0);
    free(text);
    finish(&peer);
}

Test(client_transport, a_close_brings_its_code_and_reason)
{
    struct peer peer;
    start(&peer, NULL);
    uint8_t frame[FT_WS_CONTROL_MAX + 2];
    put(&peer, frame, ft_ws_close_frame(4403, "go away", frame));
    while (!seen.ended)
        ft_transport_run(transport, 1000);
    cr_assert_eq(seen.end.close_code, 4403);
    cr_assert_str_eq(seen.end.reason, "go away");
    cr_assert_eq(seen.ended, 1);
    finish(&peer);
}

Test(client_transport, what_came_before_a_break_is_read)
{
    struct peer peer;
    start(&peer, NULL);
    ft_transport_write(transport, ft_slice_str("never read: the kernel answers with a reset"));
    uint8_t last[12 + 2 + FT_WS_CONTROL_MAX] =
        "\x81\x0alast words"; /* in one piece: lws reads once from a dead socket */
    size_t len = 12 + ft_ws_close_frame(1001, "shutting down", last + 12);
    put(&peer, last, len);
    struct pollfd arrived = {.fd = peer.fd, .events = POLLIN};
    poll(&arrived, 1, -1);
    close(peer.fd);
    while (ft_transport_is_writable(transport))
        ; /* until the reset has arrived */
    cr_assert_eq(seen.ended, 0);
    while (!seen.ended)
        ft_transport_run(transport, 1000);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(seen.end.close_code, 1001);
    peer.fd = dup(peer.listener);
    finish(&peer);
}

Test(client_transport, a_refused_upgrade_brings_its_status)
{
    struct peer peer;
    start(&peer, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    cr_assert_eq(seen.opened, 0);
    cr_assert_eq(seen.ended, 1);
    cr_assert_eq(seen.end.http_status, 503);
    cr_assert_not(seen.end.was_open);
    finish(&peer);
}

Test(client_transport, where_nobody_listens_every_attempt_ends_once)
{
    int listener;
    uint16_t port = listen_on(&listener);
    close(listener);
    make_transport(port, 1 << 20);
    for (int attempt = 1; attempt <= 3; attempt++) {
        ft_transport_connect(transport, NULL);
        while (seen.ended < attempt)
            ft_transport_run(transport, 1000);
        cr_assert_eq(seen.ended, attempt);
        cr_assert_neq(seen.end.reason[0], '\0');
    }
    ft_transport_free(transport);
    ft_buffer_fini(&seen.message);
}

enum { BROKEN_ATTEMPTS = 1000 };

/* Takes connections and breaks them: at once, with the request half read or read whole, with a reset or
 * with an end that a reset follows. */
static void *break_off(void *context)
{
    static const size_t to_read[] = {0, 1, 4096};
    int listener = *(int *)context;
    struct linger at_once = {.l_onoff = 1};
    char bytes[4096];
    for (int i = 0; i < BROKEN_ATTEMPTS; i++) {
        int fd = accept(listener, NULL, NULL);
        size_t n = to_read[i % 3];
        if (fd < 0 || (n > 0 && read(fd, bytes, n) < 0))
            abort();
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        if (i / 3 % 2)
            shutdown(fd, SHUT_RDWR);
        close(fd);
    }
    return NULL;
}

Test(client_transport, a_connection_that_breaks_before_its_upgrade_ends_every_attempt_once)
{
    int listener;
    pthread_t thread;
    make_transport(listen_on(&listener), 1 << 20);
    cr_assert_eq(pthread_create(&thread, NULL, break_off, &listener), 0);
    for (int attempt = 1; attempt <= BROKEN_ATTEMPTS; attempt++) {
        ft_transport_connect(transport, NULL);
        for (int i = 0; i < attempt % 50 * 1000; i++)
            ft_transport_is_writable(transport); /* the reset arrives earlier or later */
        while (seen.ended < attempt)
            ft_transport_run(transport, 1000);
        cr_assert_eq(seen.ended, attempt);
        cr_assert_not(seen.end.was_open);
        cr_assert_neq(seen.end.reason[0], '\0');
    }
    pthread_join(thread, NULL);
    close(listener);
    ft_transport_free(transport);
    ft_buffer_fini(&seen.message);
}

Test(client_transport, dropping_ends_a_connection_with_the_given_reason)
{
    struct peer peer;
    start(&peer, NULL);
    ft_transport_drop(transport, "enough");
    cr_assert_eq(seen.ended, 1);
    cr_assert_str_eq(seen.end.reason, "enough");
    cr_assert_not(ft_transport_is_writable(transport));
    ft_transport_drop(transport, "again");
    ft_transport_run(transport, 0);
    cr_assert_eq(seen.ended, 1);
    finish(&peer);
}

static void *wake(void *context)
{
    ft_transport_wake(context);
    return NULL;
}

Test(client_transport, another_thread_ends_a_wait_without_a_bound)
{
    struct peer peer;
    pthread_t thread;
    start(&peer, NULL);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(pthread_create(&thread, NULL, wake, transport), 0);
        ft_transport_run(transport, -1);
        pthread_join(thread, NULL);
    }
    finish(&peer);
}

Test(client_transport, silence_is_told_by_the_kernel_pings_included)
{
    struct peer peer;
    start(&peer, NULL);
    uint64_t before = 0;
    while ((before = ft_transport_silence_ms(transport)) < 60)
        ft_transport_run(transport, 20);
    put(&peer, "\x89\x01x", 3);
    uint8_t pong[16];
    size_t len = 0;
    while (len == 0) {
        ft_transport_run(transport, 20);
        len = drain(&peer, pong, sizeof(pong));
    }
    cr_assert_lt(ft_transport_silence_ms(transport), before);
    cr_assert_eq(pong[0], 0x8A, "the ping was answered below us");
    finish(&peer);
}
