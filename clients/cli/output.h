/*
 * Standard output for pipes: gathered during a turn, written in one go at its end, and a reader that
 * went away is no error.
 */
#ifndef FT_CLI_OUTPUT_H
#define FT_CLI_OUTPUT_H

#include "protocol/buffer.h"

enum ft_output_state {
    FT_OUTPUT_OPEN,
    FT_OUTPUT_GONE,  /* nobody reads any more (EPIPE) */
    FT_OUTPUT_FAILED /* writing failed; errno was printed */
};

struct ft_output {
    struct ft_buffer bytes; /* append here */
    enum ft_output_state state;
    bool is_pipe; /* its reader can go away while there is nothing to write */
};

void ft_output_init(struct ft_output *output);
void ft_output_fini(struct ft_output *output);

/* Writes once so much is gathered that waiting for the end of the turn would only cost memory. */
void ft_output_relieve(struct ft_output *output);

/* Writes everything that is gathered. Blocks as long as the reader does. */
void ft_output_flush(struct ft_output *output);

/* Looks whether the reader of a pipe went away, without writing anything. */
void ft_output_check(struct ft_output *output);

#endif
