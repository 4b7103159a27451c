/* What several routes share. The worker's thread. */
#include "broker/http/answers.h"

#include "broker/http/negotiate.h"
#include "protocol/quote.h"

#include <stdio.h>

void ft_answer_begin(struct ft_exchange *exchange, enum ft_encoding encoding,
                     struct ft_writer *writer)
{
    exchange->response.status = 200;
    exchange->response.content_type = ft_negotiate_type(encoding);
    ft_writer_init(writer, encoding, &exchange->response.body);
}

void ft_answer_end(struct ft_exchange *exchange)
{
    /* A terminal's prompt stands on a line of its own. */
    if (exchange->response.content_type == ft_negotiate_type(FT_JSON))
        ft_buffer_add_byte(&exchange->response.body, '\n');
    ft_exchange_done(exchange);
}

static void refuse_type(struct ft_exchange *exchange, const struct ft_http_request *request)
{
    char text[FT_QUOTE_MAX + 80], quoted[FT_QUOTE_MAX];
    struct ft_slice type = ft_http_field(request->head, "content-type", NULL);
    if (type.ptr)
        snprintf(text, sizeof(text),
                 "Content-Type is %s, but has to be " FT_TYPE_JSON " or " FT_TYPE_MSGPACK,
                 ft_quote(type, quoted));
    else
        snprintf(text, sizeof(text),
                 "the request needs a Content-Type: " FT_TYPE_JSON " or " FT_TYPE_MSGPACK);
    ft_exchange_refuse(exchange, request, 415, text);
}

bool ft_answer_body_encoding(struct ft_exchange *exchange, const struct ft_http_request *request,
                             enum ft_encoding *encoding)
{
    switch (ft_negotiate_media(request->head)) {
    case FT_MEDIA_JSON:
        *encoding = FT_JSON;
        return true;
    case FT_MEDIA_MSGPACK:
        *encoding = FT_MSGPACK;
        return true;
    case FT_MEDIA_SEVERAL:
        ft_exchange_refuse(exchange, request, 400, "the request has more than one Content-Type");
        return false;
    case FT_MEDIA_CHARSET:
        ft_exchange_refuse(exchange, request, 415, "JSON is UTF-8, and no other charset");
        return false;
    default:
        refuse_type(exchange, request);
        return false;
    }
}
