/*
 * Where a request carries its credentials (SPEC.md section 2): four places, and the first that is present
 * counts, also where it turns out bad. Finds them; whether they are good is for the gate to say (hub/gate.h).
 */
#ifndef FT_HTTP_CREDENTIALS_H
#define FT_HTTP_CREDENTIALS_H

#include "broker/hub/gate.h"
#include "protocol/http_head.h"

/* The subprotocol that carries a token, for browsers. */
#define FT_SUBPROTOCOL_BEARER "fantail.bearer."

/* Which places are looked at besides the header and the query. */
struct ft_credentials_places {
    const char *cookie; /* its name; NULL: cookies do not count */
    bool subprotocols;
};

struct ft_credentials {
    enum ft_token_place place;
    struct ft_slice text; /* absent: there are none. Points into the head, or into `decoded` */
};

/*
 * Finds the credentials of a request. `decoded` has room for the query. FT_ERR_BAD_REQUEST: one
 * place holds several; they are not shown in the problem.
 */
FT_MUST_USE enum ft_err ft_credentials_find(const struct ft_http_head *head,
                                            const struct ft_credentials_places *places,
                                            uint8_t *decoded, struct ft_credentials *found,
                                            struct ft_problem *problem);

/* Says whether a subprotocol is one that carries a token. */
bool ft_credentials_is_bearer(struct ft_slice subprotocol);

#endif
