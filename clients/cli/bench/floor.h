/*
 * The floor: a bare epoll server that receives the same bytes as the broker and sends the same bytes
 * in the same pattern, and does nothing else. It reads no envelope: it counts bytes until a burst is
 * complete, and then sends frames that the broker once sent, with the stamp patched. What a machine
 * charges for the system calls alone is what the broker is held against.
 *
 * A connection says first who it is, FT_FLOOR_HELLO with 'S' or 'P' and its number among those, and
 * gets FT_FLOOR_READY.
 */
#ifndef FT_CLI_BENCH_FLOOR_H
#define FT_CLI_BENCH_FLOOR_H

#include "clients/cli/bench/server.h"
#include "protocol/slice.h"

#define FT_FLOOR_HELLO     "%c%05u\n"
#define FT_FLOOR_HELLO_LEN 7
#define FT_FLOOR_READY     "."

enum ft_floor_kind {
    FT_FLOOR_FANOUT, /* a burst goes to every subscriber, in one send each */
    FT_FLOOR_PAIRS,  /* each publication of a burst goes to one subscriber, then `ok` back */
    FT_FLOOR_SINK    /* reads all, and answers the barrier with `ok` */
};

struct ft_floor_plan {
    enum ft_floor_kind kind;
    uint32_t subscribers, publishers;
    size_t publication_size; /* of one publication as its publisher sends it */
    uint32_t burst;          /* publications after which to send */
    struct ft_slice msg; /* a whole frame as the broker sent it, with a stamp; lent to the child */
    struct ft_slice ok;  /* the reply's frame; empty: none */
    struct ft_slice barrier; /* FT_FLOOR_SINK: the frame that a publisher ends with */
};

/* Starts a floor, pinned to `core`, listening. */
FT_MUST_USE
enum ft_err ft_floor_start(struct ft_server *server, const struct ft_floor_plan *plan, int core,
                           struct ft_problem *problem);

#endif
