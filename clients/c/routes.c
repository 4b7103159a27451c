/*
 * The table of filters and their routes. Knows nothing of handlers or of the broker, and frees no
 * route: those are their owner's. Pure; the client's thread.
 */
#include "clients/c/routes.h"

#include <stdlib.h>

/* uthash calls this when memory is out; ours aborts before. */
#define uthash_malloc(n) ft_alloc(n)
#include <uthash.h>

#include "broker/base/alloc.h"
#include "protocol/topic.h"

struct ft_route_filter {
    struct ft_route **routes;
    size_t count, room;
    size_t wild_at; /* its place among the wildcards, if it is one */
    bool is_exact;
    UT_hash_handle hh;
    size_t len;
    uint8_t text[];
};

struct ft_routes {
    struct ft_route_filter *by_text; /* all of them */
    struct ft_route_filter **wild;
    size_t wild_count, wild_room;
    struct ft_route **found;
    size_t found_count, found_room;
    uint64_t turn, last_number;
};

struct ft_routes *ft_routes_new(void)
{
    return ft_alloc_zero(sizeof(struct ft_routes));
}

void ft_routes_free(struct ft_routes *routes)
{
    if (!routes)
        return;
    FT_ASSERT(HASH_COUNT(routes->by_text) == 0);
    free(routes->wild);
    free(routes->found);
    free(routes);
}

/* Appends to a growing array of pointers. */
static void *grown(void *items, size_t count, size_t *room)
{
    if (count < *room)
        return items;
    *room = *room ? *room * 2 : 4;
    return ft_realloc(items, *room * sizeof(void *));
}

static struct ft_route_filter *find(const struct ft_routes *routes, struct ft_slice text)
{
    struct ft_route_filter *filter;
    HASH_FIND(hh, routes->by_text, text.ptr, text.len, filter);
    return filter;
}

static struct ft_route_filter *add_filter(struct ft_routes *routes, struct ft_slice text)
{
    struct ft_route_filter *filter = ft_alloc_zero(sizeof(*filter) + text.len);
    filter->len = text.len;
    memcpy(filter->text, text.ptr, text.len);
    filter->is_exact = ft_filter_is_exact(text);
    HASH_ADD_KEYPTR(hh, routes->by_text, filter->text, filter->len, filter);
    if (filter->is_exact)
        return filter;
    routes->wild = grown(routes->wild, routes->wild_count, &routes->wild_room);
    filter->wild_at = routes->wild_count;
    routes->wild[routes->wild_count++] = filter;
    return filter;
}

static void free_filter(struct ft_routes *routes, struct ft_route_filter *filter)
{
    if (!filter->is_exact) {
        struct ft_route_filter *last = routes->wild[--routes->wild_count];
        routes->wild[filter->wild_at] = last;
        last->wild_at = filter->wild_at;
    }
    HASH_DEL(routes->by_text, filter);
    free(filter->routes);
    free(filter);
}

static bool has_filter(const struct ft_route *route, const struct ft_route_filter *filter)
{
    for (size_t i = 0; i < route->filter_count; i++)
        if (route->filters_[i] == filter)
            return true;
    return false;
}

void ft_routes_add(struct ft_routes *routes, struct ft_route *route, const struct ft_slice *filters,
                   size_t n)
{
    *route = (struct ft_route){.number_ = ++routes->last_number};
    route->filters_ = ft_alloc(n * sizeof(struct ft_route_filter *));
    for (size_t i = 0; i < n; i++) {
        struct ft_route_filter *filter = find(routes, filters[i]);
        if (!filter)
            filter = add_filter(routes, filters[i]);
        if (has_filter(route, filter))
            continue;
        filter->routes = grown(filter->routes, filter->count, &filter->room);
        filter->routes[filter->count++] = route;
        route->filters_[route->filter_count++] = filter;
    }
}

static void drop_route(struct ft_route_filter *filter, const struct ft_route *route)
{
    for (size_t i = 0; i < filter->count; i++) {
        if (filter->routes[i] != route)
            continue;
        filter->routes[i] = filter->routes[--filter->count];
        return;
    }
}

void ft_routes_remove(struct ft_routes *routes, struct ft_route *route)
{
    for (size_t i = 0; i < route->filter_count; i++) {
        struct ft_route_filter *filter = route->filters_[i];
        drop_route(filter, route);
        if (filter->count == 0)
            free_filter(routes, filter);
    }
    free(route->filters_);
    route->filters_ = NULL;
    route->filter_count = 0;
}

void ft_routes_drop(struct ft_routes *routes, struct ft_route *route, struct ft_slice text)
{
    struct ft_route_filter *filter = find(routes, text);
    for (size_t i = 0; filter && i < route->filter_count; i++) {
        if (route->filters_[i] != filter)
            continue;
        drop_route(filter, route);
        memmove(&route->filters_[i], &route->filters_[i + 1],
                (route->filter_count - i - 1) * sizeof(filter));
        route->filter_count--;
        if (filter->count == 0)
            free_filter(routes, filter);
        return;
    }
}

static void collect(struct ft_routes *routes, const struct ft_route_filter *filter)
{
    for (size_t i = 0; i < filter->count; i++) {
        struct ft_route *route = filter->routes[i];
        if (route->turn_ == routes->turn)
            continue;
        route->turn_ = routes->turn;
        routes->found = grown(routes->found, routes->found_count, &routes->found_room);
        routes->found[routes->found_count++] = route;
    }
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = (*(struct ft_route *const *)a)->number_;
    uint64_t right = (*(struct ft_route *const *)b)->number_;
    return left < right ? -1 : left > right;
}

size_t ft_routes_match(struct ft_routes *routes, struct ft_slice topic, struct ft_route ***found)
{
    routes->turn++;
    routes->found_count = 0;
    const struct ft_route_filter *exact = find(routes, topic);
    if (exact)
        collect(routes, exact);
    for (size_t i = 0; i < routes->wild_count; i++) {
        const struct ft_route_filter *filter = routes->wild[i];
        if (ft_filter_matches(ft_slice(filter->text, filter->len), topic))
            collect(routes, filter);
    }
    if (routes->found_count > 1)
        qsort(routes->found, routes->found_count, sizeof(struct ft_route *), by_number);
    *found = routes->found;
    return routes->found_count;
}

struct ft_slice ft_route_filter(const struct ft_route *route, size_t i)
{
    return ft_slice(route->filters_[i]->text, route->filters_[i]->len);
}

bool ft_route_is_sole(const struct ft_route *route, size_t i)
{
    return route->filters_[i]->count == 1;
}

size_t ft_routes_filter_count(const struct ft_routes *routes)
{
    return HASH_COUNT(routes->by_text);
}
