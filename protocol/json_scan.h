/*
 * Scans JSON (RFC 8259) in place, strictly: finds where values end, decodes nothing that nobody
 * asked for, never reads past `scan->end`, allocates nothing, and its work is linear in the bytes.
 *
 * The bytes must be valid UTF-8; the caller has checked that. Beyond the grammar it refuses lone
 * surrogates, numbers that overflow a float64, and nesting deeper than FT_DEPTH_MAX.
 */
#ifndef FT_PROTOCOL_JSON_SCAN_H
#define FT_PROTOCOL_JSON_SCAN_H

#include "protocol/scan.h"

static inline bool ft_json_is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static inline void ft_json_skip_space(struct ft_scan *scan)
{
    /* One comparison decides for what comes most: no white space. */
    const uint8_t *at = scan->at;
    const uint8_t *end = scan->end;
    while (at < end && *at <= ' ' && ft_json_is_space(*at))
        at++;
    scan->at = at;
}

/* Reads a string at its opening quote: sets `text` to what stands between the quotes, and
 * `*has_escapes` when that has still to be decoded. */
bool ft_json_string(struct ft_scan *scan, struct ft_slice *text, bool *has_escapes);

/*
 * Writes the UTF-8 that `text`, which ft_json_string() accepted, stands for into `out`, which may be
 * `text` itself, and sets `*len`. False when it is longer than `cap`; text.len is always enough,
 * escapes only ever shrink.
 */
bool ft_json_decode(struct ft_slice text, uint8_t *out, size_t cap, size_t *len);

/* Reads one value of any kind, containers whole. Starts at its first byte: no white space. */
bool ft_json_value(struct ft_scan *scan, struct ft_value *value);

/* One pair of a map, whose key still has to be decoded where it `has_escapes`. */
struct ft_json_pair {
    struct ft_slice key;
    bool has_escapes;
    struct ft_value value;
    const uint8_t *from; /* where the value begins; NULL while it is not reached */
    bool is_value_whole; /* it was read: what is wrong comes after it */
    bool is_last;        /* the map ends with this pair */
};

/*
 * Reads a pair of a map at its key, with the comma or the closing brace after it, and stands at what
 * follows. When it returns false, `from` and `is_value_whole` say how far it came.
 */
bool ft_json_pair(struct ft_scan *scan, struct ft_json_pair *pair);

/* Reads what follows the value of a pair: a comma, or the brace that sets `*is_last`. */
bool ft_json_pair_end(struct ft_scan *scan, bool *is_last);

/*
 * Steps over a value that ft_json_value() refused for a rule (scan->is_rule), from its first byte, by
 * brackets and quotes alone. False when the bytes end first.
 */
bool ft_json_step_over(struct ft_scan *scan);

#endif
