/*
 * UTF-8 validation. On the path of every text message, most of which is ASCII: that goes 32 bytes
 * at a time; everything else character by character. Does not decode. Pure; any thread.
 */
#include "protocol/utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t load64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline bool is_tail(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

/* Table 3-7 of the Unicode standard: the first byte says how many follow and, for four of them, a
 * narrower range for the second, which is what excludes overlong forms, surrogates and the rest. */
static inline size_t char_size(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    if (first < 0xC2)
        return 0;
    if (first < 0xE0)
        return left >= 2 && is_tail(at[1]) ? 2 : 0;
    if (first < 0xF0) {
        if (left < 3 || !is_tail(at[1]) || !is_tail(at[2]))
            return 0;
        bool is_overlong = first == 0xE0 && at[1] < 0xA0;
        bool is_surrogate = first == 0xED && at[1] > 0x9F;
        return is_overlong || is_surrogate ? 0 : 3;
    }
    if (first > 0xF4 || left < 4 || !is_tail(at[1]) || !is_tail(at[2]) || !is_tail(at[3]))
        return 0;
    bool is_overlong = first == 0xF0 && at[1] < 0x90;
    bool is_beyond = first == 0xF4 && at[1] > 0x8F;
    return is_overlong || is_beyond ? 0 : 4;
}

/* Returns where the ASCII at the front of at[0…left) ends. */
static inline size_t ascii_run(const uint8_t *at, size_t left)
{
    size_t i = 0;
    for (; left - i >= 32; i += 32) {
        uint64_t all =
            load64(at + i) | load64(at + i + 8) | load64(at + i + 16) | load64(at + i + 24);
        if (all & HIGH_BITS)
            break;
    }
    for (; left - i >= 8; i += 8)
        if (load64(at + i) & HIGH_BITS)
            break;
    while (i < left && at[i] < 0x80)
        i++;
    return i;
}

bool ft_utf8_is_valid(struct ft_slice text)
{
    const uint8_t *at = text.ptr;
    size_t left = text.len;
    while (left > 0) {
        size_t n = ascii_run(at, left);
        at += n;
        left -= n;
        /* Text in other scripts rarely changes back for long: stay here while it lasts. */
        while (left > 0 && *at >= 0x80) {
            n = char_size(at, left);
            if (n == 0)
                return false;
            at += n;
            left -= n;
        }
    }
    return true;
}

size_t ft_utf8_char_size(struct ft_slice text)
{
    return text.len == 0 ? 0 : char_size(text.ptr, text.len);
}

size_t ft_utf8_cut(struct ft_slice text, size_t max)
{
    if (text.len <= max)
        return text.len;
    size_t n = max;
    while (n > 0 && is_tail(text.ptr[n]))
        n--;
    return n;
}
