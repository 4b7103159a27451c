/* The plain run of a JSON string, eight bytes at a time in ordinary registers: every machine. */
#ifndef FT_PROTOCOL_PLAIN_RUN_SWAR_H
#define FT_PROTOCOL_PLAIN_RUN_SWAR_H

#include "protocol/slice.h"

static inline bool ft_is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte != '"' && byte != '\\';
}

/*
 * Says whether one of eight bytes is not plain. `x - 0x01…` borrows into the top bit of a byte that
 * was zero, `& ~x` drops bytes that had it set anyway (Mycroft's test). A borrow can run on into
 * higher bytes, so this says that there is one, not always where: the byte loop finds it.
 */
static inline bool ft_word_has_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    uint64_t found = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) |
                     ((word - ones * 0x20) & ~word);
    return (found & (ones * 0x80)) != 0;
}

static inline const uint8_t *ft_plain_run_swar(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        if (ft_word_has_special(word))
            break;
    }
    while (at < end && ft_is_plain(*at))
        at++;
    return at;
}

#endif
