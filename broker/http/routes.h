/* The HTTP routes (SPEC.md section 7). */
#ifndef FT_HTTP_ROUTES_H
#define FT_HTTP_ROUTES_H

#include "broker/hub/ports.h"

/* Returns the service that broker/app/ gives to broker/net/. */
const struct ft_http_service *ft_http_routes(void);

#endif
