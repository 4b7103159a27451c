/*
 * Times what every message of a WebSocket client passes first: finding and unmasking a small frame that
 * is whole, and the mask alone on 128 bytes and on 64 KiB. One thread, no I/O; the best of several
 * rounds. Beside them the same 64 KiB copied, which is what memory allows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/ws_frame.h"
#include "protocol/ws_reader.h"

#define ROUNDS 20
#define FRAMES 512

static uint8_t bytes[65536 + 16], other[65536];
static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "ws_reader_bench: %s\n", what);
    exit(1);
}

/* Fills the buffer with masked frames of `payload` bytes and returns how many bytes they are. */
static size_t put_frames(size_t payload)
{
    size_t at = 0;
    for (size_t i = 0; i < FRAMES; i++) {
        at += ft_ws_client_header(FT_WS_TEXT, payload, mask, bytes + at);
        memset(bytes + at, 'x', payload);
        at += payload;
    }
    return at;
}

/* Reads a buffer of frames, as it comes from a socket. The mask that every pass takes off or puts on is
 * of no account: content does not matter here. */
static double time_frames(size_t payload)
{
    size_t size = put_frames(payload);
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (int times = 0; times < 100; times++) {
            struct ft_ws_reader reader = {0};
            uint8_t *at = bytes;
            size_t len = size, count = 0;
            struct ft_ws_item item;
            while (ft_ws_read(&reader, &at, &len, &item) == FT_WS_GOT_PIECE)
                count += item.is_last && item.bytes.len == payload;
            if (count != FRAMES)
                fail("the frames were read wrongly");
        }
        uint64_t took = now_ns() - from;
        best = took < best ? took : best;
    }
    return (double)best / (100 * FRAMES);
}

static void mask_once(size_t n)
{
    ft_ws_mask(bytes + 6, n, mask, 0);
}

static void copy_once(size_t n)
{
    memcpy(other, bytes, n);
    __asm__ volatile("" : : "r"(other) : "memory");
}

static double time_bytes(void (*work)(size_t), size_t n)
{
    uint64_t best = UINT64_MAX;
    int times = (int)(10000000 / n);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (int i = 0; i < times; i++)
            work(n);
        uint64_t took = now_ns() - from;
        best = took < best ? took : best;
    }
    return (double)best / times;
}

int main(void)
{
    printf("frame_0_ns=%.1f frame_32_ns=%.1f frame_118_ns=%.1f mask_128_ns=%.1f mask_64k_ns=%.0f "
           "copy_64k_ns=%.0f\n",
           time_frames(0), time_frames(32), time_frames(118), time_bytes(mask_once, 128),
           time_bytes(mask_once, 65536), time_bytes(copy_once, 65536));
    return 0;
}
