/*
 * What a JSON number's text is worth, once the scanner has found its grammar right: whether a float64
 * can hold it, and its value where it is an integer. Pure; any thread.
 */
#include "protocol/json_number.h"

/*
 * The 309 digits of 2^1024 - 2^970: half-way between the greatest float64 and the next power of two.
 * A number of this size or more rounds to infinity (ties go to even), a smaller one does not.
 */
static const char overflow_digits[] =
    "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
    "977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273"
    "854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704"
    "342711559699508093042880177904174497792";

/* Compares the digits of a number, leading zeros stripped, with the boundary; both have 309 before
 * the point. The boundary is an integer: digits after it are more, unless they are zeros. */
static bool reaches_overflow(const uint8_t *at, const uint8_t *end)
{
    for (const char *bound = overflow_digits; *bound; bound++) {
        while (at < end && *at == '.')
            at++;
        uint8_t digit = at < end && *at >= '0' && *at <= '9' ? *at++ : '0';
        if (digit != (uint8_t)*bound)
            return digit > (uint8_t)*bound;
    }
    return true;
}

/* Reads the exponent after its e, clamped: no message holds as many digits as the clamp. */
static int64_t read_exponent(const uint8_t *at, const uint8_t *end)
{
    const int64_t clamp = INT64_C(1) << 40;
    bool is_negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    int64_t exponent = 0;
    for (; at < end; at++)
        exponent = exponent < clamp ? exponent * 10 + (*at - '0') : clamp;
    return is_negative ? -exponent : exponent;
}

/* Exactly, and without a float: the size of a number is 0.ddd × 10^size, with the first d not zero. */
bool ft_json_overflows(struct ft_slice number)
{
    const uint8_t *at = number.ptr;
    const uint8_t *end = at + number.len;
    const uint8_t *digits_end = at;
    int64_t before_point = -1; /* digits before the point, once it was seen */
    const uint8_t *first = NULL;
    int64_t digits = 0;
    int64_t first_at = 0;
    for (; digits_end < end && (*digits_end | 0x20) != 'e'; digits_end++) {
        if (*digits_end == '-')
            continue;
        if (*digits_end == '.') {
            before_point = digits;
            continue;
        }
        if (!first && *digits_end != '0') {
            first = digits_end;
            first_at = digits;
        }
        digits++;
    }
    if (!first)
        return false;
    int64_t size = (before_point < 0 ? digits : before_point) - first_at;
    if (digits_end < end)
        size += read_exponent(digits_end + 1, end);
    if (size != 309)
        return size > 309;
    return reaches_overflow(first, digits_end);
}

bool ft_json_integer(struct ft_slice number, bool *is_negative, uint64_t *num)
{
    const uint8_t *at = number.ptr;
    const uint8_t *end = at + number.len;
    bool has_minus = *at == '-';
    uint64_t sum = 0;
    for (at += has_minus; at < end; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    if (has_minus && sum > UINT64_C(1) << 63)
        return false;
    *is_negative = has_minus;
    *num = sum;
    return true;
}
