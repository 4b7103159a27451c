/*
 * The table of HTTP routes, and the answers to what is not in it. Reads and writes no socket: a
 * request comes in as slices, a response leaves as a buffer. The worker's thread.
 */
#include "broker/http/routes.h"

#include "protocol/quote.h"

#include <stdio.h>

typedef void (*route_fn)(struct ft_worker *worker, const struct ft_http_request *request,
                         struct ft_http_response *response);

struct route {
    const char *path;
    const char *allow; /* methods, as in the Allow header; HEAD is GET without its body */
    route_fn answer;
};

/* GET /healthz: the process lives and this worker's loop turns. */
static void answer_health(struct ft_worker *worker, const struct ft_http_request *request,
                          struct ft_http_response *response)
{
    (void)worker, (void)request;
    response->status = 200;
    response->content_type = "application/json";
    ft_buffer_add_str(&response->body, "{\"status\":\"ok\"}\n");
}

static const struct route routes[] = {
    {"/healthz", "GET, HEAD", answer_health},
};

/* Says whether `method` is one of the names in `allow`. */
static bool is_allowed(const char *allow, struct ft_slice method)
{
    for (const char *name = allow; *name;) {
        size_t len = strcspn(name, ",");
        if (method.len == len && memcmp(name, method.ptr, len) == 0)
            return true;
        name += len;
        name += strspn(name, ", ");
    }
    return false;
}

static void handle(struct ft_worker *worker, const struct ft_http_request *request,
                   struct ft_http_response *response)
{
    char quoted[FT_QUOTE_MAX], text[FT_QUOTE_MAX + 64];
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!ft_slice_equal(request->path, ft_slice_str(routes[i].path)))
            continue;
        if (is_allowed(routes[i].allow, request->method)) {
            routes[i].answer(worker, request, response);
            return;
        }
        snprintf(text, sizeof(text), "method %s is not for this path, but %s",
                 ft_quote(request->method, quoted), routes[i].allow);
        ft_http_refuse(response, 405, text);
        response->allow = routes[i].allow;
        return;
    }
    snprintf(text, sizeof(text), "there is nothing at %s", ft_quote(request->path, quoted));
    ft_http_refuse(response, 404, text);
}

const struct ft_http_service *ft_http_routes(void)
{
    static const struct ft_http_service service = {.handle = handle};
    return &service;
}
