/*
 * An HTTP connection without a socket, on a node without sockets: the broker's own service, fed with text.
 *
 *     ft_fake_http_open(&node, &http, 0);
 *     ft_fake_http_say(&http, "GET /healthz HTTP/1.1\r\n…");     a turn of its worker, run to its end
 *     ft_fake_http_told(&http)                                   what it was sent
 */
#ifndef FT_TESTS_FAKE_HTTP_H
#define FT_TESTS_FAKE_HTTP_H

#include "broker/http/options.h"
#include "tests/unit/support/fake_node.h"

struct ft_fake_http {
    struct ft_http_conn *conn; /* NULL: it is gone */
    struct ft_fake_node *node;
    struct ft_worker *worker;
    struct ft_buffer sent;
    struct ft_ip client; /* whom the connection is for */
    struct ft_upgrade upgrade;
    bool is_paused, is_finished, is_killed, is_upgraded;
    bool lingers; /* what it is sent after the end is thrown away, not answered with a reset */
};

/* Begins a node of `workers` whose HTTP goes by these options; what is zero there gets a value that suits
 * tests. */
void ft_fake_http_init(struct ft_fake_node *node, const struct ft_http_options *options,
                       uint32_t workers);

/* The same for a node of a cluster, whose relay outlives it (fake_relay.h). */
void ft_fake_http_init_cluster(struct ft_fake_node *node, const struct ft_http_options *options,
                               uint32_t workers, struct ft_fake_relay *relay);

/* Opens a connection from loopback, in a turn of its own. */
void ft_fake_http_open(struct ft_fake_node *node, struct ft_fake_http *http, uint32_t worker);
void ft_fake_http_close(struct ft_fake_http *http);

/* Hands it bytes, within a turn; or in one of their own. */
void ft_fake_http_receive(struct ft_fake_http *http, const char *text);
void ft_fake_http_say(struct ft_fake_http *http, const char *text);

/* Says what was sent since the last call: "200 {…}\n" for each response, status and body, and all header
 * lines of the last one. Lent until the next call. */
const char *ft_fake_http_told(struct ft_fake_http *http);
const char *ft_fake_http_fields(void);

#endif
