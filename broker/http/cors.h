/*
 * Which web pages may ask (SPEC.md section 2). A browser says in Origin whose page a request comes from (RFC
 * 6454; Fetch, "CORS protocol"); the broker refuses those that it does not know, because WebSockets, plain
 * forms and a user's cookies reach it from every page otherwise.
 */
#ifndef FT_HTTP_CORS_H
#define FT_HTTP_CORS_H

#include "broker/http/options.h"
#include "protocol/buffer.h"
#include "protocol/http_head.h"

enum ft_cors {
    FT_CORS_NONE,    /* no Origin: not a browser, or its own page's plain GET */
    FT_CORS_SAME,    /* the page comes from the host that it asks */
    FT_CORS_LISTED,  /* the operator named it */
    FT_CORS_ANYBODY, /* let in by "*" alone: its cookies do not count */
    FT_CORS_FOREIGN, /* it may not ask */
    FT_CORS_SEVERAL  /* more than one Origin */
};

/* Judges a request's Origin. */
enum ft_cors ft_cors_judge(const struct ft_http_head *head, bool is_tls,
                           const struct ft_http_options *options);

/* Adds the header lines that let the page read the answer; none where it did not ask from elsewhere. */
void ft_cors_add(struct ft_buffer *headers, const struct ft_http_head *head, enum ft_cors origin);

/* Says whether a request (OPTIONS) asks in advance; and adds what it wants to know. */
bool ft_cors_is_preflight(const struct ft_http_head *head);
void ft_cors_add_preflight(struct ft_buffer *headers, const char *methods);

#endif
