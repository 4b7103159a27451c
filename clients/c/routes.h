/*
 * Which handlers a delivery goes to. The broker sends each publication once however many filters
 * match; here it is spread over every route that has a matching filter.
 *
 * Filters are shared: the same filter of several routes is one entry with several routes, so that
 * the broker hears of a filter when its first route comes and when its last one goes. Exact filters
 * are found by hash, wildcards by trying each.
 */
#ifndef FT_CLIENT_ROUTES_H
#define FT_CLIENT_ROUTES_H

#include "protocol/slice.h"

struct ft_routes;
struct ft_route_filter;

/* One subscription's filters; embedded by who owns it. Private but for reading. */
struct ft_route {
    struct ft_route_filter **filters_;
    size_t filter_count;
    uint64_t number_; /* routes match in the order in which they were added */
    uint64_t turn_;   /* the last match that found this route, so that it is found once */
};

struct ft_routes *ft_routes_new(void);

/* Frees the table. Every route must have been removed. */
void ft_routes_free(struct ft_routes *routes);

/* Adds a route with `n` valid filters (at least one; doubles count once). */
void ft_routes_add(struct ft_routes *routes, struct ft_route *route, const struct ft_slice *filters,
                   size_t n);

/* Removes a route, and the filters that no other route has. */
void ft_routes_remove(struct ft_routes *routes, struct ft_route *route);

/* Takes a filter off a route, if it is one of its own, and out of the table where no other has it. */
void ft_routes_drop(struct ft_routes *routes, struct ft_route *route, struct ft_slice filter);

/*
 * Sets `*found` to the routes that match the topic, oldest first, and returns their number. The list
 * is lent until the next call on `routes` that adds or matches.
 */
size_t ft_routes_match(struct ft_routes *routes, struct ft_slice topic, struct ft_route ***found);

/* Lends the i-th filter of a route, i below route->filter_count. */
struct ft_slice ft_route_filter(const struct ft_route *route, size_t i);

/* Says whether no other route has the i-th filter of this one. */
bool ft_route_is_sole(const struct ft_route *route, size_t i);

/* Filters of all routes, doubles counted once. */
size_t ft_routes_filter_count(const struct ft_routes *routes);

#endif
