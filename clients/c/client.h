/*
 * What a client is made of. Private to client.c (its life), publish.c (what goes out) and receive.c
 * (what comes in); everything else in this folder knows its own part alone.
 */
#ifndef FT_CLIENT_CLIENT_H
#define FT_CLIENT_CLIENT_H

#include <stdatomic.h>

#include "clients/c/frame.h"
#include "clients/c/history.h"
#include "clients/c/pending.h"
#include "clients/c/positions.h"
#include "clients/c/presence.h"
#include "clients/c/servers.h"
#include "clients/c/subscriptions.h"
#include "clients/c/transport.h"
#include "protocol/envelope.h"

/* What a broker takes before it has said anything else: its default. */
#define FT_MESSAGE_LIMIT 65536

/* Longest session id and reason that are kept, NUL included; longer ones are cut. */
#define FT_SESSION_MAX 80
#define FT_REASON_MAX  FT_END_REASON_MAX

struct fantail {
    struct fantail_options options; /* its strings are our own, or NULL */
    enum ft_encoding encoding;
    enum fantail_state state;
    const char *url;           /* of the connection, or of the last one; lent from the servers */
    struct ft_problem problem; /* of the last call that failed */

    struct ft_servers servers;
    struct ft_transport *transport;
    struct ft_framer framer;
    struct ft_pending pending;
    struct ft_subscriptions subscriptions;
    struct ft_histories histories;
    struct ft_client_presences presences;
    struct ft_positions named; /* the positions of the envelope that is being handled */
    struct ft_buffer control;  /* frames that go ahead of publications */
    struct ft_buffer repeats;  /* frames of publications that are sent again */
    struct ft_buffer envelope; /* the one being written */
    struct ft_buffer data;     /* of a publication, in its other encoding */
    struct ft_buffer decoded;  /* of a delivery: lent to handlers, which may publish */
    uint8_t *scratch;          /* the reader's */
    size_t ended;              /* filters that the broker has ended, of one message */
    struct ft_slice message;   /* the one that is being handled; lent */
    size_t scratch_room;

    /* this connection */
    bool is_begun;        /* CONNECTING: the attempt is under way */
    bool is_pinged;       /* OPEN: a ping waits for its answer */
    bool is_close_sent;   /* OPEN: our close frame is out */
    bool is_leaving;      /* OPEN: the broker said bye; publications wait for the next one */
    uint64_t opened_ms;   /* OPEN: since when */
    uint64_t heard_ms;    /* when the broker last said anything */
    uint64_t deadline_ms; /* of the attempt, of the ping's answer, or of the close */
    uint64_t ping_ms;     /* the broker's own interval */
    size_t message_limit; /* largest envelope that it takes */
    char session[FT_SESSION_MAX];

    /* the next one */
    uint64_t attempt_ms; /* WAITING: when */
    unsigned failures;   /* in a row */
    bool was_open;       /* there was a welcome, once */
    bool has_reconnect;  /* the broker named a time in its bye */
    uint64_t reconnect_ms, retry_ms;
    int bye_code;
    char bye_reason[FT_REASON_MAX];

    bool is_closing;
    uint64_t close_by_ms; /* is_closing: when waiting for answers ends */
    atomic_bool is_stopped;
};

/* receive.c: handles one message of the broker. */
void ft_client_receive(void *client, struct ft_slice message, bool is_text);

/* client.c: the welcome came. */
void ft_client_welcomed(struct fantail *f);

/* client.c: tells the application of an error that belongs to no request. */
void ft_client_report(struct fantail *f, const struct fantail_result *result);

/* token.c: the token to connect with, lent; NULL: none. */
const char *ft_client_token(struct fantail *f);

/* token.c: the broker says that the token has expired. True: a fresh one is on its way. */
bool ft_client_renew(struct fantail *f);

/* token.c: says whether this answers the request that renewed. */
bool ft_client_is_renewal(const struct ft_envelope *env);

/* publish.c: frames what f->envelope holds, ahead of publications, and empties it. */
void ft_client_send_control(struct fantail *f);

/* publish.c: ends publications that have lost their connection, or all. */
void ft_client_end_lost(struct fantail *f);
void ft_client_end_all(struct fantail *f);

#endif
