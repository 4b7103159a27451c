/*
 * The middle of the envelope reader: what a pair of the map means, whichever encoding it came in.
 * envelope.c calls one of the two walks, a walk calls ft_pass_take() for each pair.
 *
 *     envelope.c ─▶ ft_walk_json()    ─┐
 *                ─▶ ft_walk_msgpack() ─┴▶ ft_pass_take() ─▶ a field of struct ft_envelope
 */
#ifndef FT_PROTOCOL_ENVELOPE_FIELDS_H
#define FT_PROTOCOL_ENVELOPE_FIELDS_H

#include "protocol/envelope.h"
#include "protocol/scan.h"

/* One envelope on its way through the reader. */
struct ft_pass {
    struct ft_reader *reader;
    struct ft_envelope *env;
    struct ft_problem *problem;
    enum ft_err err; /* the first thing wrong; what comes later is not told */
    uint64_t seen;   /* a bit for each row of envelope_keys.def */
};

/* Read the map at scan->at. False: the syntax is broken and nothing more can be read. */
bool ft_walk_json(struct ft_pass *pass, struct ft_scan *scan);
bool ft_walk_msgpack(struct ft_pass *pass, struct ft_scan *scan);

/* Takes a pair whose value is good. */
void ft_pass_take(struct ft_pass *pass, struct ft_slice name, const struct ft_value *value);

/*
 * Takes a pair whose value, which begins at `from`, the scanner did not accept: says why in the
 * problem. A value that only breaks a rule is stepped over. False: the syntax is broken.
 */
__attribute__((cold)) bool ft_pass_refuse(struct ft_pass *pass, struct ft_scan *scan,
                                          struct ft_slice name, const uint8_t *from);

/* Says that the syntax is broken where the scanner stands. Returns false. */
__attribute__((cold)) bool ft_pass_broken(struct ft_pass *pass, const struct ft_scan *scan);

/* Decodes a string that has escapes into the scratch. */
struct ft_slice ft_pass_decode(struct ft_pass *pass, struct ft_slice text);

/* The text of a string: part of the message, or of the scratch where it had to be decoded. */
static inline struct ft_slice ft_pass_text(struct ft_pass *pass, const struct ft_value *value)
{
    return value->has_escapes ? ft_pass_decode(pass, value->text) : value->text;
}

/* Counts the elements of an array of strings. False, and `item` is the culprit, when one is none. */
bool ft_list_count(enum ft_encoding encoding, struct ft_slice array, uint32_t *count,
                   struct ft_value *item);

/* Says whether the bytes of an unknown `op` are one that this version knows. */
enum ft_op ft_op_of(struct ft_slice name);

#endif
