/*
 * Input for the tests of decoders: files, hexadecimal text, and random documents, whole and damaged.
 * Random is always the same random: a test names its seed.
 */
#ifndef FT_TESTS_INPUT_H
#define FT_TESTS_INPUT_H

#include "protocol/buffer.h"

/* Reads a whole file into memory that the caller frees; aborts with a message when it cannot. */
struct ft_slice ft_input_file(const char *path);

/* Copies bytes into an allocation of exactly their size, so that a read past them is seen. */
struct ft_slice ft_input_exact(struct ft_slice bytes);

/* Decodes "82-a2 6f" (dashes and blanks are skipped) into an allocation of exactly that size, which
 * the caller frees. */
struct ft_slice ft_input_hex(const char *hex);

/* Frees what one of the above returned. */
void ft_input_free(struct ft_slice bytes);

/* The next number below `limit` of the sequence that `*state` (never 0) stands in. */
uint64_t ft_input_random(uint64_t *state, uint64_t limit);

/* Appends a random value, at most `depth` deep, that is valid by all our rules. */
void ft_input_json(uint64_t *state, unsigned depth, struct ft_buffer *out);
void ft_input_msgpack(uint64_t *state, unsigned depth, struct ft_buffer *out);

/* Damages a document in place by a few random edits: bits, bytes, cuts, repeats. */
void ft_input_damage(uint64_t *state, struct ft_buffer *document);

#endif
