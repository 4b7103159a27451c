/*
 * Foreign bytes made fit to be shown. What it writes goes into JSON, MessagePack and logs, so it is
 * valid UTF-8 without control characters, whatever came in. Pure; any thread.
 */
#include "protocol/quote.h"

#include "protocol/utf8.h"

static const char ellipsis[] = "…";

/* Says whether the character of `n` bytes at `at` may be shown as it is: not a control character
 * (C0, DEL, and C1, which is C2 80 to C2 9F), not the quote, not the escape. */
static bool is_plain(const uint8_t *at, size_t n)
{
    if (n == 1)
        return at[0] >= 0x20 && at[0] != 0x7F && at[0] != '"' && at[0] != '\\';
    return n != 0 && !(at[0] == 0xC2 && at[1] < 0xA0);
}

/* Writes one character, or one byte as \xNN, and returns how many bytes that took in `out`. */
static size_t put(const uint8_t *at, size_t n, bool plain, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    if (plain) {
        memcpy(out, at, n);
        return n;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[at[0] >> 4];
    out[3] = digits[at[0] & 15];
    return 4;
}

const char *ft_quote(struct ft_slice bytes, char out[FT_QUOTE_MAX])
{
    const size_t end = FT_QUOTE_MAX - 2; /* where the closing quote and the NUL still fit */
    size_t used = 1;
    size_t cut = 1; /* the last place at which the ellipsis still fits */
    out[0] = '"';
    for (size_t at = 0; at < bytes.len;) {
        const uint8_t *from = bytes.ptr + at;
        size_t n = ft_utf8_char_size(ft_slice(from, bytes.len - at));
        bool plain = is_plain(from, n);
        size_t takes = plain ? n : 4;
        if (used + takes > end) {
            memcpy(out + cut, ellipsis, sizeof(ellipsis) - 1);
            used = cut + sizeof(ellipsis) - 1;
            break;
        }
        used += put(from, n, plain, out + used);
        if (used + sizeof(ellipsis) - 1 <= end)
            cut = used;
        at += plain ? n : 1;
    }
    out[used] = '"';
    out[used + 1] = '\0';
    return out;
}
