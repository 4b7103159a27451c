/*
 * The table of routes: finds the one of a path, says what it is. Whether a request may come as far as its
 * route is decided in accept.c. The worker's thread.
 */
#include "broker/http/routes.h"

#include "broker/http/answers.h"
#include "broker/http/route_table.h"

static const struct ft_route_row rows[FT_ROUTE_COUNT] = {
#define FT_ROUTE(id, path, method, access, answer) \
    [FT_ROUTE_##id] = {path, FT_METHOD_##method, FT_ACCESS_##access, answer},
#include "broker/http/routes.def"
#undef FT_ROUTE
    [FT_ROUTE_WEBSOCKET] = {"", FT_METHOD_GET, FT_ACCESS_ANYBODY, NULL},
    [FT_ROUTE_NONE] = {"", FT_METHOD_GET, FT_ACCESS_OPEN, NULL},
};

const struct ft_route_row *ft_route_row(enum ft_route route)
{
    return &rows[route];
}

static bool is_at(const char *name, struct ft_slice path)
{
    size_t len = strlen(name);
    bool is_below = name[len - 1] == '/' && path.len > len;
    return (is_below || path.len == len) && memcmp(path.ptr, name, len) == 0;
}

enum ft_route ft_route_find(struct ft_slice path, const struct ft_http_options *options)
{
    if (ft_slice_equal(path, ft_slice_str(options->ws_path)))
        return FT_ROUTE_WEBSOCKET;
    for (int i = 0; i < FT_ROUTE_COUNT; i++) {
        if (i != FT_ROUTE_CONSOLE && rows[i].answer && is_at(rows[i].path, path))
            return (enum ft_route)i;
    }
    return options->console && ft_answer_page_is(path) ? FT_ROUTE_CONSOLE : FT_ROUTE_NONE;
}

const char *ft_route_methods(enum ft_route route)
{
    if (route == FT_ROUTE_WEBSOCKET)
        return "GET, OPTIONS";
    return rows[route].method == FT_METHOD_GET ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
}

void ft_http_route(struct ft_exchange *exchange, const struct ft_http_request *request)
{
    rows[exchange->route].answer(exchange, request);
}
