/* Listening addresses as text: 127.0.0.1:8080, 0.0.0.0:0, [::1]:8080. Numbers only, no look-ups. */
#ifndef FT_APP_ADDRESS_H
#define FT_APP_ADDRESS_H

#include "protocol/error.h"

#include <stdbool.h>
#include <stdint.h>

struct ft_address {
    char host[46]; /* without brackets; INET6_ADDRSTRLEN */
    uint16_t port; /* 0: the system chooses */
    bool is_ipv6;
};

/* Splits `text`. False: it is not an address with a port. */
FT_MUST_USE
bool ft_address_parse(const char *text, struct ft_address *address);

/* Says whether only this machine reaches it: 127.0.0.0/8 or ::1. */
bool ft_address_is_loopback(const struct ft_address *address);

#endif
