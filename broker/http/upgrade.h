/* What may become a WebSocket (RFC 6455 section 4.2.1; SPEC.md section 2). */
#ifndef FT_HTTP_UPGRADE_H
#define FT_HTTP_UPGRADE_H

#include "broker/http/routes.h"

/* Why a request may not become one. */
struct ft_upgrade_refusal {
    int status;
    const char *message, *headers; /* static; further header lines, "" for none */
};

/* Says whether a request asks for a WebSocket, whether rightly or not. */
bool ft_upgrade_is_asked(const struct ft_http_head *head);

/* Checks a GET of the WebSocket's path. True: `upgrade` is filled; false: `refusal`. */
bool ft_upgrade_check(const struct ft_http_head *head, struct ft_http_upgrade *upgrade,
                      struct ft_upgrade_refusal *refusal);

#endif
