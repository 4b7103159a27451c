/*
 * What the routes of routes.def do, a file for one or two of them. Each answers the exchange, at once
 * (ft_exchange_done(), ft_exchange_refuse()) or later; the request dies when it returns. The worker's thread.
 */
#ifndef FT_HTTP_ANSWERS_H
#define FT_HTTP_ANSWERS_H

#include "broker/http/exchange.h"
#include "protocol/writer.h"

#define FT_ROUTE(id, path, method, access, answer) \
    void answer(struct ft_exchange *exchange, const struct ft_http_request *request);
#include "broker/http/routes.def"
#undef FT_ROUTE

/* Begins an answer, 200, with a document that is written with `writer`; ft_answer_end() ends it, and the
 * exchange is done. */
void ft_answer_begin(struct ft_exchange *exchange, enum ft_encoding encoding,
                     struct ft_writer *writer);
void ft_answer_end(struct ft_exchange *exchange);

/* Says what a body of envelopes is read as. False: it was refused with 415 or 400. */
bool ft_answer_body_encoding(struct ft_exchange *exchange, const struct ft_http_request *request,
                             enum ft_encoding *encoding);

/* pages.c: says whether a path is of the console, or of an example. */
bool ft_answer_page_is(struct ft_slice path);

/* topics.c: says what is wrong with a request to a topic before its body has come. False: it was refused. */
bool ft_answer_topic_check(struct ft_exchange *exchange, const struct ft_http_request *request);

#endif
