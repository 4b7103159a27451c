/*
 * What the text of a JSON number is worth. The text has passed the scanner (protocol/json_scan.h).
 */
#ifndef FT_PROTOCOL_JSON_NUMBER_H
#define FT_PROTOCOL_JSON_NUMBER_H

#include "protocol/slice.h"

/*
 * Says whether the text of a JSON number is an integer of 64 bits: sets `*num` to its magnitude and
 * `*is_negative` where a minus stands before it. A negative one has a magnitude of at most 2^63.
 */
bool ft_json_integer(struct ft_slice number, bool *is_negative, uint64_t *num);

/* Says whether a number overflows a float64. For those that are long enough to. */
bool ft_json_overflows(struct ft_slice number) __attribute__((cold));

#endif
