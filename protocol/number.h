/*
 * Doubles as JSON text and back, exactly and whatever locale the process has set.
 */
#ifndef FT_PROTOCOL_NUMBER_H
#define FT_PROTOCOL_NUMBER_H

#include "protocol/slice.h"

/* Room for any printed double: sign, 17 digits, point, "e-308", NUL, rounded up. */
#define FT_DOUBLE_TEXT_MAX 32

/*
 * Writes the shortest of 15, 16 or 17 significant digits that reads back as the same finite `value`,
 * with a NUL, and returns the length without it. It always has a point or an exponent ("5.0"), so
 * that a float stays one when the text is read again.
 */
size_t ft_double_print(double value, char out[FT_DOUBLE_TEXT_MAX]);

/* Reads a JSON number that does not overflow (protocol/json_scan.h has checked both). */
double ft_double_read(struct ft_slice text);

/* Room for the digits of any unsigned integer of 64 bits. */
#define FT_UINT_TEXT_MAX 20

/* Writes `value` in decimal, without a NUL, and returns the number of digits. */
static inline size_t ft_uint_print(uint64_t value, void *out)
{
    uint8_t digits[FT_UINT_TEXT_MAX];
    size_t begin = sizeof(digits);
    do {
        digits[--begin] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(out, digits + begin, sizeof(digits) - begin);
    return sizeof(digits) - begin;
}

#endif
