/*
 * Reads the head of an HTTP/1.1 request: request line and header fields (RFC 9112); http_value.h takes
 * their values apart. Only the bytes: no socket, no state, no copy. Strict, because what two parsers
 * read in two ways is how requests are smuggled: no bare CR, no bare LF, no folded lines, no space
 * before a colon, no control characters, a Host exactly once, one Content-Length at most.
 */
#ifndef FT_PROTOCOL_HTTP_HEAD_H
#define FT_PROTOCOL_HTTP_HEAD_H

#include "protocol/error.h"
#include "protocol/http_value.h"
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
    struct ft_slice host;   /* whose server is meant: in an absolute target, else in Host; absent in
                             * HTTP/1.0 without either */
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
 * Reads the head that `bytes` begin with; one empty line before it is skipped. Returns
 * FT_HTTP_HEAD_READ; FT_HTTP_HEAD_MORE while the head is not complete and what is there could begin one; or the
 * status that refuses it, with `problem`: 400 (malformed; no Host or several; Content-Length no number,
 * or twice), 411 (Transfer-Encoding), 414 (a target without room for the rest), 417 (an Expect that is
 * not 100-continue), 431 (longer than FT_HTTP_HEAD_MAX, or more fields), 505 (a version that is not
 * 1.x). After a refusal nothing more can be read from the connection; more bytes do not change it.
 * `head` is of use only when it was read. Problems never quote what came: it may be a credential.
 */
int ft_http_head_read(struct ft_slice bytes, struct ft_http_head *head, struct ft_problem *problem);

/* Returns the value of a field (by lower-case name), the first of several; absent (NULL) where there is
 * none. `*count` (may be NULL) is set to how many there are. */
struct ft_slice ft_http_field(const struct ft_http_head *head, const char *name, uint32_t *count);

/* Says whether any field of that name has `token` in its list, in whatever case. */
bool ft_http_list_has(const struct ft_http_head *head, const char *name, const char *token);

#endif
