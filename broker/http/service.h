/* The HTTP service, for broker/app/ to hand to the loops. */
#ifndef FT_HTTP_SERVICE_H
#define FT_HTTP_SERVICE_H

#include "broker/hub/ports.h"

const struct ft_http_service *ft_http_service(void);

#endif
