/*
 * What the files of one server share, and what relay.c calls of them.
 *
 *     server.c     its life: connections, losing them, coming back; what other files send
 *     greeting.c   from a connection to UP: AUTH, SELECT, INFO, scripts, own channels, the node's name
 *     beat.c       beats, and their echo
 *     link.c       one connection; url.c, info.c
 */
#ifndef FT_RELAY_SERVER_PRIVATE_H
#define FT_RELAY_SERVER_PRIVATE_H

#include "broker/relay/info.h"
#include "broker/relay/link.h"
#include "broker/relay/private.h"

/* Room for a lease: an instance and two numbers, register.lua knows it as well; and for the name of a channel or key
 * of the node. */
#define FT_LEASE_MAX    64
#define FT_NODE_KEY_MAX 512

/* How long a lease is good without a beat: those who were present on a dead node have left within 30 s of its
 * death, and being sure of that takes some seconds more (presence_reap.c). */
#define FT_LEASE_MS 20000

/* Ticks: without a greeting; without an answer to anything; between two beats. */
#define FT_SILENCE_TICKS (3000 / FT_RELAY_TICK_MS)
#define FT_BEAT_TICKS    (1000 / FT_RELAY_TICK_MS)

/* Why a server is not UP. All but the first are for somebody to see to. */
enum ft_trouble {
    FT_TROUBLE_AWAY,       /* it is not reached, or does not answer as it should */
    FT_TROUBLE_UNSUITABLE, /* it cannot carry a cluster */
    FT_TROUBLE_SETTINGS,   /* the cluster has others */
    FT_TROUBLE_NAME        /* a live node has the name */
};

/* One of the two connections while it is being greeted. */
struct ft_greeter {
    struct ft_server *server;
    struct ft_link **link;
    const struct ft_step *steps;
    uint32_t at;
    bool is_done;
};

/* A lease that another instance has. */
struct ft_held {
    char lease[FT_LEASE_MAX]; /* as last seen; empty: none */
    uint32_t ticks;           /* for so long */
    bool is_renewed;          /* somebody lives on it */
};

struct ft_beat {
    uint64_t number;
    bool is_out, is_answered, is_heard;
    uint32_t ticks;                /* since it went out */
    struct ft_buffer answer, echo; /* the same bytes, by either connection */
};

struct ft_server {
    struct ft_relay *relay;
    uint32_t index;
    struct ft_redis_url url;
    char *node_channel, *all_channel; /* `<prefix>:node:<instance>`, `<prefix>:all` */
    char *lease_key, *nodes_key, *settings_key, *settings;
    enum ft_server_state state;
    struct ft_link *commands, *pubsub; /* NULL while it is AWAY */
    struct ft_buffer command;          /* in the making */
    uv_timer_t retry;
    uint32_t failures; /* since a beat was heard */
    uint32_t ups;      /* how often it was UP */
    uint32_t floods;   /* how often it sent too much at once */
    uint32_t loading;  /* scripts, since one was missing */

    bool is_leaving; /* the node stops */

    bool is_doomed; /* what is below is the reason; done at the end of the turn */
    enum ft_trouble trouble;
    char why[FT_LINK_WHY_MAX];

    struct ft_greeter greeters[2];
    uint32_t greeting_ticks;
    struct ft_redis_info info;
    bool is_known; /* was logged, of this life: */
    char known_run[FT_INFO_VALUE_MAX];
    bool is_registering;
    struct ft_held held;
    uint64_t leases; /* written */

    struct ft_beat beat;
    uint32_t beat_ticks; /* since the last one was sent */

    bool is_logged_up; /* as last logged … */
    char logged_why[FT_LINK_WHY_MAX];
    uint64_t logged_ms[2]; /* … when the last line came, and the one before */
    uint64_t away_since_ms, up_since_ms;
};

/* ---- server.c ---- */

/* `channel_prefix` and the rest of `relay` are there. */
struct ft_server *ft_server_new(struct ft_relay *relay, uint32_t index, const char *url);
void ft_server_free(struct ft_server *server); /* its loop has run empty */

void ft_server_start(struct ft_server *server);
void ft_server_tick(struct ft_server *server);

/* Ends what is doomed. To be called at the end of a turn, before ft_server_flush(). */
void ft_server_end_turn(struct ft_server *server);
void ft_server_flush(struct ft_server *server);
void ft_server_pause(struct ft_server *server, bool is_paused); /* Pub/Sub */

/* Gives the node's name back; the answer is one of those that ft_server_in_flight() counts. */
void ft_server_leave(struct ft_server *server);
void ft_server_close(struct ft_server *server); /* for good */

/* Has both connections given up at the end of the turn. */
void ft_server_doom(struct ft_server *server, enum ft_trouble trouble, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The greeting is over. */
void ft_server_greeted(struct ft_server *server);

/* Begins a script in server->command: EVALSHA, so many keys and other arguments follow. */
void ft_server_script(struct ft_server *server, enum ft_script script, uint32_t keys,
                      uint32_t args);

/* Loads all scripts, unless that is on its way. */
void ft_server_load_scripts(struct ft_server *server);

/* Adds the lease to server->command. */
void ft_server_add_lease(struct ft_server *server);

/* ---- greeting.c ---- */

void ft_greeting_begin(struct ft_server *server);
void ft_greeting_opened(struct ft_server *server, struct ft_link *link);
void ft_greeting_tick(struct ft_server *server);

/* ---- beat.c ---- */

void ft_beat_init(struct ft_server *server);
void ft_beat_fini(struct ft_server *server);
void ft_beat_begin(struct ft_server *server);
void ft_beat_tick(struct ft_server *server);

/* Returns true where a message on the node's own channel was an echo. */
bool ft_beat_message(struct ft_server *server, struct ft_slice payload);

#endif
