/* One HTTP/1.1 connection: what its files share. Everybody else knows struct ft_http_service (hub/ports.h)
 * and exchange.h. */
#ifndef FT_HTTP_CONN_H
#define FT_HTTP_CONN_H

#include "broker/http/exchange.h"
#include "broker/http/options.h"
#include "broker/http/routes.h"
#include "broker/hub/quota.h"
#include "broker/hub/worker.h"

/* What the peer owes us; each has its time. */
enum ft_http_wait {
    FT_HTTP_WAIT_NONE,
    FT_HTTP_WAIT_HEAD,
    FT_HTTP_WAIT_BODY,
    FT_HTTP_WAIT_WRITE,  /* to take what is sent */
    FT_HTTP_WAIT_REQUEST /* another one, if it likes */
};

struct ft_http_conn {
    struct ft_worker *worker;
    struct ft_http_transport transport;
    struct ft_flush flush;
    struct ft_alarm alarm; /* a request or a reader is too slow */
    struct ft_buffer in;   /* the beginning of a request, and what waits for its turn behind it */
    struct ft_buffer out;  /* responses */
    struct ft_exchange *first, **end; /* in the order of the requests */
    struct ft_exchange *reading;      /* its body is being read; the last one */
    uint64_t needed;                  /* bytes of `in` until that is complete */
    uint64_t to_skip;                 /* of the body of a request that was refused */
    size_t ready_bytes;               /* of bodies that are done and wait to be sent */
    uint32_t waiting;                 /* exchanges */
    uint32_t held;     /* of them, because the journal is full: no request is read then */
    bool is_last;      /* no request more is read */
    bool is_cut_short; /* what the peer still sends is not read */
    bool has_asked;    /* a request was read */
    enum ft_http_wait wait;
    bool is_paused, is_blocked;
    bool is_upgraded;
    struct ft_quota_share
        *address;              /* with a place among its connections; NULL: a proxy's, or none */
    struct ft_problem refusal; /* why every request is refused; FT_OK: they are not */
    struct ft_session *stream; /* it is a stream of events */
};

/* conn.c: moves the responses that are done to `out`, in order, as far as the first that is not. Returns false
 * after the last one of the connection. */
bool ft_http_conn_collect(struct ft_http_conn *http);

/* Takes the place that the connection goes on with: the one that was taken for its client, else its own. */
struct ft_quota_share *ft_http_conn_take_address(struct ft_http_conn *http,
                                                 const struct ft_http_places *places);

/* stream.c */
void ft_http_stream_gone(struct ft_http_conn *http);

/* exchange.c: moves a response behind those that wait to be sent, and frees the exchange. */
void ft_exchange_send(struct ft_exchange *exchange, struct ft_buffer *out);
void ft_exchange_free(struct ft_exchange *exchange);

/* Adds the Date line (RFC 9110 section 6.6.1), which is made once a second. */
void ft_http_add_date(struct ft_buffer *out, uint64_t now_ms);

#endif
