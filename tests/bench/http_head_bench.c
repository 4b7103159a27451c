/*
 * Times the reader of HTTP heads alone: a publish by curl, an upgrade and a request by a browser, on one
 * thread, without I/O. Prints nanoseconds per head, the best of several rounds. Beside them how long the
 * search for the empty line alone takes in the browser's head.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/http_head.h"

#define ROUNDS 20
#define TIMES  20000

static const char curl[] = "POST /v1/topics/market/eur HTTP/1.1\r\n"
                           "Host: 127.0.0.1:8080\r\n"
                           "User-Agent: curl/7.88.1\r\n"
                           "Accept: */*\r\n"
                           "Content-Length: 128\r\n"
                           "Content-Type: application/json\r\n"
                           "\r\n";

static const char upgrade[] = "GET /ws HTTP/1.1\r\n"
                              "Host: 127.0.0.1:8080\r\n"
                              "Connection: Upgrade\r\n"
                              "Upgrade: websocket\r\n"
                              "Origin: http://127.0.0.1:8080\r\n"
                              "Sec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Protocol: fantail.v1.json\r\n"
                              "\r\n";

static const char browser[] =
    "GET /v1/events?topic=market%2F%23 HTTP/1.1\r\n"
    "Host: fantail.example\r\n"
    "Connection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"118\", \"Not=A?Brand\";v=\"99\"\r\n"
    "Accept: text/event-stream\r\n"
    "Cache-Control: no-store\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/118.0.0.0 Safari/537.36\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: cors\r\n"
    "Sec-Fetch-Dest: empty\r\n"
    "Referer: https://fantail.example/\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef\r\n"
    "Last-Event-ID: k3f9x2m0ab.17\r\n"
    "\r\n";

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "http_head_bench: %s\n", what);
    exit(1);
}

static void read_head(struct ft_slice bytes)
{
    static struct ft_http_head head;
    if (ft_http_head_read(bytes, &head, NULL) != FT_HTTP_HEAD_READ || head.size != bytes.len)
        fail("the head was read wrongly");
}

static void find_end(struct ft_slice bytes)
{
    const uint8_t *end = memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4);
    if (!end || end + 4 != bytes.ptr + bytes.len)
        fail("the head has no end");
}

static double time_reads(void (*read)(struct ft_slice), struct ft_slice bytes)
{
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (int i = 0; i < TIMES; i++)
            read(bytes);
        uint64_t took = now_ns() - from;
        best = took < best ? took : best;
    }
    return (double)best / TIMES;
}

int main(void)
{
    struct ft_slice heads[] = {ft_slice_str(curl), ft_slice_str(upgrade), ft_slice_str(browser)};
    printf("curl_ns=%.0f upgrade_ns=%.0f browser_ns=%.0f find_end_ns=%.0f curl_bytes=%zu "
           "upgrade_bytes=%zu browser_bytes=%zu\n",
           time_reads(read_head, heads[0]), time_reads(read_head, heads[1]),
           time_reads(read_head, heads[2]), time_reads(find_end, heads[2]), heads[0].len,
           heads[1].len, heads[2].len);
    return 0;
}
