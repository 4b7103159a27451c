/* One GET at a broker's HTTP interface, for commands that ask something and end. */
#ifndef FT_CLI_HTTP_GET_H
#define FT_CLI_HTTP_GET_H

#include "clients/c/url.h"
#include "protocol/buffer.h"

/* Room for a path and its query, with its NUL. */
#define FT_HTTP_GET_PATH_MAX 4096

struct ft_http_get {
    const struct ft_url *url; /* of the WebSocket */
    const char *path;         /* such as "/v1/nodes?a=b"; goes where the URL has "/ws" at its end */
    const char *token;        /* goes as bearer; NULL or "": none */
    const char *ca_file;      /* NULL: the system's authorities */
    bool is_insecure;         /* take any certificate */
};

struct ft_http_answer {
    int status;            /* 0: there was no answer, or none that is whole */
    char reason[200];      /* status 0: why */
    struct ft_buffer body; /* the caller ends it with ft_buffer_fini() */
};

/* Asks, and waits for the whole answer, 10 s for each step at most. */
void ft_http_get(const struct ft_http_get *get, struct ft_http_answer *answer);

#endif
