/* What a request's body is, and in which encoding its answer goes (RFC 9110 sections 8.3, 12.5.1, 12.5.3). */
#ifndef FT_HTTP_NEGOTIATE_H
#define FT_HTTP_NEGOTIATE_H

#include "protocol/encoding.h"
#include "protocol/http_head.h"

#define FT_TYPE_JSON    "application/json"
#define FT_TYPE_MSGPACK "application/msgpack"

enum ft_media {
    FT_MEDIA_NONE, /* no Content-Type */
    FT_MEDIA_JSON,
    FT_MEDIA_MSGPACK, /* also by its older names, application/x-msgpack and application/vnd.msgpack */
    FT_MEDIA_TEXT,    /* text/plain */
    FT_MEDIA_OTHER,
    FT_MEDIA_CHARSET, /* JSON or text, but in another charset than UTF-8 */
    FT_MEDIA_SEVERAL  /* more than one Content-Type */
};

/* Says what the Content-Type of a request names. */
enum ft_media ft_negotiate_media(const struct ft_http_head *head);

/* Returns the encoding that Accept prefers; `otherwise` where it names neither JSON nor MessagePack, or
 * both alike. */
enum ft_encoding ft_negotiate_encoding(const struct ft_http_head *head, enum ft_encoding otherwise);

/* Returns the Content-Type of an encoding. */
const char *ft_negotiate_type(enum ft_encoding encoding);
/* Says whether the answer may be compressed by gzip: Accept-Encoding takes it (RFC 9110 section 12.5.3). */
bool ft_negotiate_gzip(const struct ft_http_head *head);

#endif
