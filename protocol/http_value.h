/*
 * What the values of HTTP fields and targets are made of: lists, names in any case, percent-encoding,
 * queries and cookies. Only the bytes; what is cut off points into them.
 */
#ifndef FT_PROTOCOL_HTTP_VALUE_H
#define FT_PROTOCOL_HTTP_VALUE_H

#include "protocol/slice.h"

/* Returns the text without the spaces and tabs around it. */
struct ft_slice ft_http_trim(struct ft_slice text);

/*
 * Walks a comma-separated list (RFC 9110 section 5.6.1): cuts the next element that is not empty off
 * `*rest`. A comma separates in quotes too: the lists that matter are of tokens, and a quote that is
 * never closed must not hide what other parsers see. False: there is none.
 */
bool ft_http_list_next(struct ft_slice *rest, struct ft_slice *element);

/* Compares without regard to case (ASCII). */
bool ft_http_is(struct ft_slice text, const char *other);
bool ft_http_is_same(struct ft_slice text, struct ft_slice other);

/*
 * Decodes %XX into `out`, which has room for text.len bytes (and may be where the text is), and sets
 * `*len`. In a query '+' is a space. False: a '%' without two hexadecimal digits.
 */
bool ft_percent_decode(struct ft_slice text, bool is_query, uint8_t *out, size_t *len);

/* Cuts the next `name=value` off `*query`, both still encoded; the value is empty where there is no '='.
 * False: there is none. */
bool ft_query_next(struct ft_slice *query, struct ft_slice *name, struct ft_slice *value);

/* Cuts the next `name=value` off a Cookie field's value (RFC 6265 section 4.2.1), a value's quotes
 * removed; what has no '=' is skipped. False: there is none. */
bool ft_cookie_next(struct ft_slice *cookies, struct ft_slice *name, struct ft_slice *value);

#endif
