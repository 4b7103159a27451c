/* The parameters of a request's query, decoded one after the other, and what their values mean. */
#ifndef FT_HTTP_QUERY_H
#define FT_HTTP_QUERY_H

#include "protocol/error.h"
#include "protocol/http_head.h"

/* Where a walk stands; begin with ft_query_begin(). The decoded texts live as long as it does. */
struct ft_query {
    struct ft_slice rest_, raw_;
    size_t used_;
    uint8_t text_[FT_HTTP_HEAD_MAX];
};

void ft_query_begin(struct ft_query *query, const struct ft_http_head *head);

/* Decodes the next parameter. Returns FT_ERR_NOT_FOUND after the last, FT_ERR_BAD_REQUEST with `problem` for
 * one that cannot be decoded, or is not UTF-8. */
enum ft_err ft_query_read(struct ft_query *query, struct ft_slice *name, struct ft_slice *value,
                          struct ft_problem *problem);

/* Hands each parameter of a request to `take`, up to the first that it does not take; returns what it said of that, or
 * what is wrong with one. `query` holds the texts, for as long as it is there. */
enum ft_err ft_query_walk(struct ft_query *query, const struct ft_http_head *head,
                          enum ft_err (*take)(void *context, struct ft_slice name,
                                              struct ft_slice value, struct ft_problem *problem),
                          void *context, struct ft_problem *problem);

/*
 * Makes a '+' of each '+' that is a whole level of the value that was read last, and was decoded to a space as
 * a form's is. People type filters as they are, and hardly anybody has a level that is one space.
 */
void ft_query_keep_wildcards(struct ft_query *query, struct ft_slice filter);

/* Reads a value of the parameter `name`, as a number of 0 … 2^53 - 1, or as 1, 0, true or false. */
enum ft_err ft_query_uint(const char *name, struct ft_slice value, uint64_t *out,
                          struct ft_problem *problem);
enum ft_err ft_query_bool(const char *name, struct ft_slice value, bool *out,
                          struct ft_problem *problem);

/* Reads the parameter `limit`, a number of 1 … `most`. */
enum ft_err ft_query_limit(struct ft_slice value, uint32_t most, uint64_t *out,
                           struct ft_problem *problem);

/* Says that a parameter stands there twice, unless it does not. */
enum ft_err ft_query_once(const char *name, bool is_there, struct ft_problem *problem);

#endif
