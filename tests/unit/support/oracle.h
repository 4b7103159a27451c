/*
 * What msgpack-c thinks of MessagePack, under our rules: the second opinion of unit tests and fuzz
 * targets. Slow and obvious on purpose.
 */
#ifndef FT_TESTS_ORACLE_H
#define FT_TESTS_ORACLE_H

#include "protocol/slice.h"

enum ft_opinion {
    FT_OPINION_GOOD,
    FT_OPINION_BAD,
    FT_OPINION_NONE /* asking would let msgpack-c reserve what a header claims: too much */
};

/* Says whether `bytes` are one whole value that SPEC.md allows as `data`. */
enum ft_opinion ft_oracle_msgpack(struct ft_slice bytes);

/* Says whether two whole values mean the same, whatever forms they are packed in: numbers of one kind
 * by value, a float never an integer, maps in the order that they have. */
bool ft_oracle_is_same(struct ft_slice a, struct ft_slice b);

#endif
