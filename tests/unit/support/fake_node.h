/*
 * A node without sockets: journal, hub, a clock that stands still until it is moved, and clients whose
 * connections are memory. One thread; the test decides whose turn it is.
 *
 *     ft_fake_node_init(&node, &journal, &options, 1);
 *     ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
 *     ft_fake_client_say(&client, "{\"op\":\"sub\",…}");      a turn of the client's worker
 *     ft_fake_client_sent(&client)                            what it got, a line for each frame
 */
#ifndef FT_TESTS_FAKE_NODE_H
#define FT_TESTS_FAKE_NODE_H

#include "broker/hub/worker.h"
#include "protocol/buffer.h"
#include "tests/unit/support/fake_gate.h"

#define FT_FAKE_STREAM  "teststream"
#define FT_FAKE_WALL_MS UINT64_C(1763700000000)

struct ft_fake_node {
    struct ft_journal *journal;
    struct ft_hub *hub;
    struct ft_fake_gate gate;
    struct ft_quotas *quotas;  /* without limits, until a test configures them */
    uint64_t wall_ms, mono_ms; /* of the next turn; a worker keeps those of its turn */
    _Atomic uint32_t wakes;    /* several threads may have turns, each of a worker of its own */
    uint32_t hurry_ms;
};

struct ft_fake_client {
    struct ft_session session;
    struct ft_fake_node *node;
    struct ft_identity *who; /* taken as it opens; NULL: one that may do everything */
    struct ft_quota_share *address,
        *user; /* the same; NULL: none. One connection of each was taken */
    struct ft_buffer
        sent; /* payloads, a line each; "close CODE", "ping"; of an event stream all bytes */
    /* Where it is set, frames go there and not into `sent`; of an event stream each event's lines. */
    void (*on_frame)(struct ft_fake_client *client, uint8_t opcode, struct ft_slice payload);
    uint32_t takes; /* writes until the socket is full: 1 takes one, and says so */
    uint32_t writes;
    uint64_t silence_ms, taken_bytes;
    bool is_paused, is_finished, is_killed, is_dead; /* dead: the next write fails */
};

/* What a socket that is never full takes. */
#define FT_FAKE_ALL UINT32_MAX

/* Makes the node. What is zero in the options gets a value that suits tests; `journal->stream` always
 * does. */
void ft_fake_node_init(struct ft_fake_node *node, const struct ft_journal_options *journal,
                       const struct ft_hub_options *options, uint32_t workers);

/* The same for a node of a cluster, whose relay outlives it (fake_relay.h). */
struct ft_fake_relay;
void ft_fake_node_init_cluster(struct ft_fake_node *node, const struct ft_journal_options *journal,
                               const struct ft_hub_options *options, uint32_t workers,
                               struct ft_fake_relay *relay);

/* Closes every connection that is left, and frees the node. */
void ft_fake_node_fini(struct ft_fake_node *node);

/* Begins a turn of a worker; ends it, once, and says whether everything is done. */
struct ft_worker *ft_fake_node_begin(struct ft_fake_node *node, uint32_t worker);
bool ft_fake_node_end(struct ft_fake_node *node, uint32_t worker);

/* Runs turns of all workers until nothing is left to do. */
void ft_fake_node_settle(struct ft_fake_node *node);

/* Lets time pass in steps of 10 ms, with a turn of all workers each, and their ticks. */
void ft_fake_node_pass(struct ft_fake_node *node, uint64_t ms);

/* Opens a connection in a turn of its own, and forgets the `welcome`. `client` is zero, but for
 * `on_frame`, `who` and shares. */
void ft_fake_client_open(struct ft_fake_node *node, struct ft_fake_client *client, uint32_t worker,
                         enum ft_frames frames);

/* Closes the connection, in a turn of its worker, and frees what was sent. */
void ft_fake_client_close(struct ft_fake_client *client);

/* Hands the session a whole message, within a turn. */
void ft_fake_client_receive(struct ft_fake_client *client, struct ft_slice message);

/* The same for a text, in a turn of its own that is run to its end. */
void ft_fake_client_say(struct ft_fake_client *client, const char *text);

/* The socket takes so many writes from now on; says so to the session, within a turn. */
void ft_fake_client_unblock(struct ft_fake_client *client, uint32_t takes);

/* Lends what was sent as a string. */
const char *ft_fake_client_sent(const struct ft_fake_client *client);

/*
 * Says in a few words what was sent to a JSON client, and forgets it. Lent until the next call.
 *
 *     a/b=7@12        a msg with data 7 at offset 12; 7*@12 a retained one; 7 an ephemeral one
 *     ok@12           a reply with a position; ok+@12 recovered; ok-@12 not recovered
 *     gap@12  gap(3)@12      with the number of those that are lost, where it was said
 *     error(400)  close(4508)  ping
 */
const char *ft_fake_client_told(struct ft_fake_client *client);
void ft_fake_client_forget(struct ft_fake_client *client);

#endif
