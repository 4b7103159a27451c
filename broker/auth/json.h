/* JSON of strangers for jansson, after our own stricter reader has seen it. */
#ifndef FT_AUTH_JSON_H
#define FT_AUTH_JSON_H

#include <jansson.h>

#include "protocol/slice.h"

/*
 * Returns the object that `text` is, for json_decref(), or NULL: it is not JSON, not UTF-8, holds lone
 * surrogates, a key twice, U+0000 or more than 32 levels, or is no object. Every number is a real.
 */
json_t *ft_auth_json(struct ft_slice text);

/* Returns the string that a value is, absent where it is none. Lent. */
static inline struct ft_slice ft_auth_json_text(const json_t *value)
{
    const char *text = json_string_value(value);
    return text ? ft_slice(text, json_string_length(value)) : ft_slice(NULL, 0);
}

#endif
