/*
 * The HTTP API (SPEC.md sections 2 and 7): a table of routes, routes.def, and what holds for every request
 * before its route sees it. conn.c reads requests off a connection and asks twice about each:
 *
 *     head complete ─▶ ft_http_accept_head()    may it go on? says so before any of the body is read
 *     body complete ─▶ ft_http_route()          the route answers, at once or later
 */
#ifndef FT_HTTP_ROUTES_H
#define FT_HTTP_ROUTES_H

#include "broker/http/exchange.h"
#include "broker/http/options.h"
#include "protocol/ws_accept.h"

enum ft_http_verdict {
    FT_HTTP_READ_BODY, /* read the body (it may be empty), then call ft_http_route() */
    FT_HTTP_ANSWERED,  /* the exchange is done, without the body */
    FT_HTTP_UPGRADE    /* answer 101 and become a WebSocket */
};

/* What a connection that stays takes of the quotas: a reference and one of FT_QUOTA_CONNECTIONS each. */
struct ft_http_places {
    struct ft_quota_share *address; /* NULL: no limit, or the HTTP connection's own place goes on */
    struct ft_quota_share *user;    /* NULL: no limit */
};

/* What the answer 101 has to say, and the new session to be told. */
struct ft_http_upgrade {
    enum ft_encoding encoding;
    const char *subprotocol; /* to be selected, static; NULL: none */
    char accept[FT_WS_ACCEPT_LEN + 1];
    struct ft_http_places places; /* the caller's from here on */
};

/*
 * Judges a request by its head: origin, credentials, rates, path, method, whether it may be an upgrade, the
 * size of the body. `request->body` is not looked at. `exchange->asker` is zero but for its worker; it is begun
 * here, and the caller ends it (ft_asker_fini()) whatever the verdict. Sets `exchange->route`, an enum ft_route (hub/metrics.h). `upgrade` is
 * filled for FT_HTTP_UPGRADE only.
 */
enum ft_http_verdict ft_http_accept_head(struct ft_exchange *exchange,
                                         const struct ft_http_request *request,
                                         struct ft_http_upgrade *upgrade);

/* Has the route of an accepted request answer it. */
void ft_http_route(struct ft_exchange *exchange, const struct ft_http_request *request);

/*
 * Takes the places of a connection that stays, for who asks: a WebSocket (called from ft_http_accept_head()),
 * an event stream. A connection takes a place of its address when it is accepted; one that came through a
 * trusted proxy, which carries the requests of many, takes it for its client here.
 */
FT_MUST_USE enum ft_err ft_http_admit(struct ft_exchange *exchange,
                                      const struct ft_http_request *request,
                                      struct ft_http_places *places, struct ft_problem *problem);

/* Says whether an address is one whose X-Forwarded-For counts. */
bool ft_http_is_trusted(const struct ft_http_options *options, const struct ft_ip *ip);

#endif
