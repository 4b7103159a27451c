/* The table of routes as accept.c sees it. */
#ifndef FT_HTTP_ROUTE_TABLE_H
#define FT_HTTP_ROUTE_TABLE_H

#include "broker/http/routes.h"
#include "broker/hub/metrics.h"

enum ft_method { FT_METHOD_GET, FT_METHOD_POST };
enum ft_access { FT_ACCESS_OPEN, FT_ACCESS_ANYBODY, FT_ACCESS_ADMIN, FT_ACCESS_METRICS };

struct ft_route_row {
    const char *path;
    enum ft_method method;
    enum ft_access access;
    void (*answer)(struct ft_exchange *exchange, const struct ft_http_request *request);
};

/* Finds the route of a path, as it was sent. */
enum ft_route ft_route_find(struct ft_slice path, const struct ft_http_options *options);

const struct ft_route_row *ft_route_row(enum ft_route route);

/* Returns the methods of a route, as in Allow. */
const char *ft_route_methods(enum ft_route route);

#endif
