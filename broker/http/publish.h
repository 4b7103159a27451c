/* What POST /v1/publish and POST /v1/topics/ share: a publication on its way to its answer. */
#ifndef FT_HTTP_PUBLISH_H
#define FT_HTTP_PUBLISH_H

#include "broker/http/exchange.h"

/* Publishes what `envelope` says (its id is set here) and answers when it is numbered; or refuses. */
void ft_http_publish(struct ft_exchange *exchange, const struct ft_http_request *request,
                     struct ft_envelope *envelope);

#endif
