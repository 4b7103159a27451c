/* The plain run of a JSON string, sixteen bytes at a time: every x86-64 has SSE2. */
#ifndef FT_PROTOCOL_PLAIN_RUN_SSE2_H
#define FT_PROTOCOL_PLAIN_RUN_SSE2_H

#include <emmintrin.h>

#include "protocol/plain_run_swar.h"

static inline const uint8_t *ft_plain_run_sse2(const uint8_t *at, const uint8_t *end)
{
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1F);
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        /* min(b, 0x1F) == b is the unsigned b <= 0x1F, which SSE2 has no comparison for. */
        __m128i special = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
            _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);
        if (mask)
            return at + __builtin_ctz(mask);
    }
    return ft_plain_run_swar(at, end);
}

#endif
