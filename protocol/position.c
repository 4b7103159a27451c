/* Takes positions apart. Does not know which streams there are. Pure. */
#include "protocol/position.h"

#include "protocol/quote.h"

/* Reads decimal digits, all of `text`; false: something else is there, a leading zero, or it does not
 * fit 64 bits. */
static bool read_decimal(struct ft_slice text, uint64_t *value)
{
    uint64_t sum = 0;
    if (text.len > 1 && text.ptr[0] == '0')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)text.ptr[i] - '0';
        if (digit > 9 || sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return text.len > 0;
}

enum ft_err ft_position_read(struct ft_slice text, struct ft_position_parts *parts,
                             struct ft_problem *problem)
{
    size_t dot = text.len;
    while (dot > 0 && text.ptr[dot - 1] != '.')
        dot--;
    char quoted[FT_QUOTE_MAX];
    uint64_t offset;
    if (dot <= 1 || dot - 1 > FT_STREAM_BYTES_MAX ||
        !read_decimal(ft_slice(text.ptr + dot, text.len - dot), &offset))
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "position %s must be <stream>.<offset>, as pos of a msg or an ok is",
                              ft_quote(text, quoted));
    *parts = (struct ft_position_parts){ft_slice(text.ptr, dot - 1), offset};
    return FT_OK;
}
