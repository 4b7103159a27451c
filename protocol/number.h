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

#endif
