/*
 * Commands in Redis' protocol (RESP2, arrays of bulk strings), written piece by piece, and the scripts that
 * run inside Redis. Pure but for the scripts' texts, which are embedded (scripts/).
 */
#ifndef FT_RELAY_COMMAND_H
#define FT_RELAY_COMMAND_H

#include "protocol/buffer.h"

/* Begins a command of `args` arguments, its name included; so many ft_command_… follow. */
void ft_command_begin(struct ft_buffer *command, uint32_t args);
void ft_command_arg(struct ft_buffer *command, struct ft_slice arg);
void ft_command_str(struct ft_buffer *command, const char *arg);
void ft_command_uint(struct ft_buffer *command, uint64_t arg);

/* Begins an argument of `len` bytes, which the caller adds to the buffer by himself; then ends it. */
void ft_command_open(struct ft_buffer *command, size_t len);
void ft_command_close(struct ft_buffer *command);

/* The scripts, one for each file in scripts/: FT_SCRIPT_PUBLISH is scripts/publish.lua, at whose head its keys,
 * arguments and answers are described. */
enum ft_script {
    FT_SCRIPT_PUBLISH, /* numbers, stores and publishes the publications of one partition */
    FT_SCRIPT_JOIN,    /* makes sure that a partition has a stream, and tells name and head */
    FT_SCRIPT_BEAT, /* renews the node's lease and tells the heads of partitions, by its own channel */
    FT_SCRIPT_REGISTER, /* takes the node's name, and compares the cluster's settings */
    FT_SCRIPT_LEAVE,    /* gives the node's name back */
    FT_SCRIPT_REAP,     /* removes who was present on nodes that are gone */
    FT_SCRIPTS
};

/* Returns the script's text, and its SHA-1 in hexadecimal: the argument of EVALSHA. */
struct ft_slice ft_script_text(enum ft_script script);
const char *ft_script_sha(enum ft_script script);

#endif
