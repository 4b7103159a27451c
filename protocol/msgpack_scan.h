/*
 * Scans MessagePack in place, strictly: the same for MessagePack as protocol/json_scan.h for JSON.
 * Never believes a count or a length beyond the bytes that are there, allocates nothing, and its work
 * is linear in the bytes.
 *
 * Beyond the format it refuses what JSON cannot carry: ext types, keys that are no strings, NaN and
 * infinities, strings that are not UTF-8, nesting deeper than FT_DEPTH_MAX.
 */
#ifndef FT_PROTOCOL_MSGPACK_SCAN_H
#define FT_PROTOCOL_MSGPACK_SCAN_H

#include "protocol/scan.h"

/*
 * Reads one value that holds no others, or the header of an array or map: `num` is then the number of
 * its elements or pairs, which stand at scan->at, and `raw` the header alone.
 */
bool ft_msgpack_item(struct ft_scan *scan, struct ft_value *value);

/* Reads one value of any kind, containers whole. */
bool ft_msgpack_value(struct ft_scan *scan, struct ft_value *value);

/* Steps over a value that ft_msgpack_value() refused for a rule (scan->is_rule), from its first byte.
 * False when it is not MessagePack after all. */
bool ft_msgpack_step_over(struct ft_scan *scan);

#endif
