/*
 * What the operator decided about HTTP. A snapshot, immutable: it travels with the hub's options
 * (hub/worker.h), each worker takes up a new one at the beginning of a turn, and the old one goes
 * when the last worker has. So a pointer to it, and all that it points to, lives to the end of the
 * turn; ask for it again in the next.
 */
#ifndef FT_HTTP_OPTIONS_H
#define FT_HTTP_OPTIONS_H

#include "broker/hub/worker.h"
#include "protocol/proxy_head.h"

struct ft_http_options {
    const char *ws_path;       /* http.path; never changes */
    const char *cookie;        /* auth.cookie: the one that may hold a token */
    size_t body_bytes;         /* http.body: longer ones are refused with 413 */
    uint32_t header_timeout_s; /* http.header_timeout: for a whole head */
    uint32_t body_timeout_s;   /* http.body_timeout: for a whole body, from its head on */

    /* http.origins: "*", "https://a.example", "http://a.example:8080"; a host may be *.a.example, which
     * is any host below a.example. In lower case, without the port where it is the scheme's own. */
    char *const *origins;
    size_t origin_count;
    bool allow_no_origin; /* http.allow_no_origin: requests without an Origin are taken */

    const struct ft_network *trusted; /* http.trusted_proxies */
    size_t trusted_count;
    bool metrics_admin; /* http.metrics_admin: /metrics wants an admin */
    bool console;       /* http.console: pages for people are served, too */
};

/* Copies everything. Goes into struct ft_hub_options with ft_http_options_free(), which the hub calls. */
struct ft_http_options *ft_http_options_copy(const struct ft_http_options *options);
void ft_http_options_free(void *options); /* NULL is allowed */

/* Lends what holds for a worker's turn. The worker's thread. */
static inline const struct ft_http_options *ft_http_options_of(const struct ft_worker *worker)
{
    return worker->options->http;
}

enum ft_origin {
    FT_ORIGIN_FOREIGN, /* not in the list; the request's own host is the caller's to compare */
    FT_ORIGIN_ANYBODY, /* let in by "*" alone: no credentials for it */
    FT_ORIGIN_LISTED   /* named, or below a named host */
};

/* Looks an Origin field's value up in the list (RFC 6454 section 6.1; cases of letters do not count).
 * "null" is found by "*" alone. */
enum ft_origin ft_http_origin_find(const struct ft_http_options *options, struct ft_slice origin);

#endif
