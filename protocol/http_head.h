/*
 * Reads the head of an HTTP/1.1 request: request line and header fields (RFC 9112), and what their values
 * are made of. Only the bytes: no socket, no state, no copy. Strict, because what two parsers read in two
 * ways is how requests are smuggled: no bare CR, no bare LF, no folded lines, no space before a colon, no
 * control characters, a Host exactly once, one Content-Length at most.
 */
#ifndef FT_PROTOCOL_HTTP_HEAD_H
#define FT_PROTOCOL_HTTP_HEAD_H

#include "protocol/error.h"
#include "protocol/slice.h"

/* Longest request line and header fields together, and most fields. Tokens and cookies are what is long. */
#define FT_HTTP_HEAD_MAX   16384
#define FT_HTTP_FIELDS_MAX 64

struct ft_http_field {
    struct ft_slice name, value; /* the value without the white space around it */
};

/* Slices point into the bytes that were read. */
struct ft_http_head {
    struct ft_slice method; /* a token, as sent: "GET" */
    struct ft_slice target; /* as sent: "/v1/events?topic=a%2Fb" */
    struct ft_slice path;   /* of the target, still percent-encoded: "/v1/events" */
    struct ft_slice query;  /* of the target, without '?'; empty where there is none */
    uint8_t minor;          /* HTTP/1.0 or 1.1 */
    uint32_t field_count;
    struct ft_http_field fields[FT_HTTP_FIELDS_MAX];
    uint32_t size;        /* of the head, the empty line included */
    uint64_t body_bytes;  /* Content-Length, or 0 */
    bool has_body_length; /* Content-Length was there */
    bool is_last; /* the connection ends after the response: HTTP/1.0, or Connection: close */
    bool expects_continue;
};

/* What ft_http_head_read() found. Anything else is the HTTP status to refuse with. */
#define FT_HTTP_HEAD_READ 0
#define FT_HTTP_HEAD_MORE 1

/*
 * Reads the head that `bytes` begin with; one empty line before it is skipped. Returns FT_HTTP_HEAD_READ;
 * FT_HTTP_HEAD_MORE when the head is not complete; or the status that refuses it, with `problem`: 400
 * (malformed; no or several Hosts; Content-Length no number, or twice), 411 (Transfer-Encoding), 414 (a
 * target without room for the rest), 431 (longer than FT_HTTP_HEAD_MAX, or more fields), 505 (a version
 * that is not 1.x), 417 (an Expect that is not 100-continue). After a refusal nothing more can be read from
 * the connection.
 */
int ft_http_head_read(struct ft_slice bytes, struct ft_http_head *head, struct ft_problem *problem);

/* Returns the value of a field (by lower-case name), the first of several; absent (NULL) where there is
 * none. `*count` (may be NULL) is set to how many there are. */
struct ft_slice ft_http_field(const struct ft_http_head *head, const char *name, uint32_t *count);

/* Walks a comma-separated list (RFC 9110 section 5.6.1): cuts the next element that is not empty off
 * `*rest`. False: there is none. */
bool ft_http_list_next(struct ft_slice *rest, struct ft_slice *element);

/* Says whether any field of that name has `token` in its list, in whatever case. */
bool ft_http_list_has(const struct ft_http_head *head, const char *name, const char *token);

/* Compares without regard to case (ASCII). */
bool ft_http_is(struct ft_slice text, const char *other);

/*
 * Decodes %XX into `out`, which has room for text.len bytes, and sets `*len`. In a query '+' is a space.
 * False: a '%' without two hexadecimal digits.
 */
bool ft_percent_decode(struct ft_slice text, bool is_query, uint8_t *out, size_t *len);

/* Cuts the next `name=value` off `*query`, both still encoded; the value is empty where there is no '='.
 * False: there is none. */
bool ft_query_next(struct ft_slice *query, struct ft_slice *name, struct ft_slice *value);

/* Cuts the next `name=value` off a Cookie field's value (RFC 6265 section 4.2.1), a value's quotes
 * removed. False: there is none. */
bool ft_cookie_next(struct ft_slice *cookies, struct ft_slice *name, struct ft_slice *value);

#endif
