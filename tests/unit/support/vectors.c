/* Reading of vectors. Aborts on what is missing, so that no test passes for lack of rows. */
#include "tests/unit/support/vectors.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/support/input.h"

static void give_up(const char *what, const char *name) __attribute__((noreturn));

static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "vectors: %s %s\n", what, name);
    abort();
}

json_t *ft_vectors_load(const char *path)
{
    json_error_t error;
    json_t *vectors = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!vectors)
        give_up(error.text, path);
    return vectors;
}

static json_t *value_of(const json_t *row, const char *key)
{
    json_t *value = json_object_get(row, key);
    if (!value)
        give_up("no key", key);
    return value;
}

json_t *ft_vectors_rows(const json_t *vectors, const char *section)
{
    json_t *rows = value_of(vectors, section);
    if (json_array_size(rows) == 0)
        give_up("no rows in", section);
    return rows;
}

struct ft_slice ft_vectors_bytes(const json_t *row, const char *key)
{
    char hex_key[64];
    snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
    json_t *text = json_object_get(row, key);
    if (!text)
        return ft_input_hex(ft_vectors_text(row, hex_key));
    return ft_input_exact(ft_slice(json_string_value(text), json_string_length(text)));
}

const char *ft_vectors_text(const json_t *row, const char *key)
{
    const char *text = json_string_value(value_of(row, key));
    if (!text)
        give_up("not a string:", key);
    return text;
}

uint64_t ft_vectors_uint(const json_t *row, const char *key)
{
    const json_t *value = value_of(row, key);
    if (!json_is_integer(value))
        give_up("not an integer:", key);
    return (uint64_t)json_integer_value(value);
}

bool ft_vectors_is(const json_t *row, const char *key)
{
    const json_t *value = value_of(row, key);
    if (!json_is_boolean(value))
        give_up("neither true nor false:", key);
    return json_is_true(value);
}
