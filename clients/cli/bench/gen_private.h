/* What the generator's own files share. */
#ifndef FT_CLI_BENCH_GEN_PRIVATE_H
#define FT_CLI_BENCH_GEN_PRIVATE_H

#include "clients/cli/bench/gen.h"

/* Takes one envelope: a publication by its stamp, anything else by reading it. `frame` is all of it as it
 * came, header included. */
void ft_gen_take_message(struct ft_gen *gen, struct ft_gen_conn *conn, struct ft_slice payload,
                         struct ft_slice frame);

/* Takes the whole events in `bytes` of a stream of events; returns what is left, the start of one. */
struct ft_slice ft_gen_take_events(struct ft_gen *gen, struct ft_gen_conn *conn,
                                   struct ft_slice bytes);

#endif
