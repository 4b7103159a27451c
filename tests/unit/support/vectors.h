/* The vectors of protocol/vectors/, read with jansson. A test that cannot read them aborts. */
#ifndef FT_TESTS_VECTORS_H
#define FT_TESTS_VECTORS_H

#include <jansson.h>

#include "protocol/slice.h"

/* Reads a file of vectors; json_decref() frees it. */
json_t *ft_vectors_load(const char *path);

/* Lends the array of that name, which must hold at least one row. */
json_t *ft_vectors_rows(const json_t *vectors, const char *section);

/* Copies the row's text `key`, or the bytes of its `key`_hex, into an allocation of exactly their
 * size; ft_input_free() frees it. */
struct ft_slice ft_vectors_bytes(const json_t *row, const char *key);

/* Lend a key's value, which must be there; `is` wants true or false. */
const char *ft_vectors_text(const json_t *row, const char *key);
uint64_t ft_vectors_uint(const json_t *row, const char *key);
bool ft_vectors_is(const json_t *row, const char *key);

#endif
