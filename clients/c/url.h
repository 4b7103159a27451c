/* A broker's address as people write it: ws://host[:port][/path][?query], or wss://. */
#ifndef FT_CLIENT_URL_H
#define FT_CLIENT_URL_H

#include "protocol/error.h"

#include <stdbool.h>
#include <stdint.h>

#define FT_URL_DEFAULT  "ws://127.0.0.1:8080/ws"
#define FT_URL_HOST_MAX 254  /* a DNS name (RFC 1035: 253), NUL included */
#define FT_URL_PATH_MAX 2048 /* path and query, NUL included: a token of some size fits */

struct ft_url {
    bool is_tls;
    uint16_t port;
    char host[FT_URL_HOST_MAX];           /* an IPv6 address without its brackets */
    char host_port[FT_URL_HOST_MAX + 10]; /* as the Host header has it */
    char path[FT_URL_PATH_MAX];           /* with the query; "/ws" where the text had none */
};

/* Takes `text` apart. FT_ERR_BAD_FIELD says what is wrong with it. */
FT_MUST_USE
enum ft_err ft_url_read(const char *text, struct ft_url *url, struct ft_problem *problem);

#endif
