/*
 * A client of Redis that does no more than the bench needs: RESP2 over TCP, commands written by hand, replies
 * told apart by their lengths. It stands beside the broker, so it takes no library's time.
 */
#ifndef FT_CLI_BENCH_RESP_H
#define FT_CLI_BENCH_RESP_H

#include "protocol/buffer.h"
#include "protocol/error.h"

#include <netinet/in.h>

struct ft_resp {
    int fd; /* 0: not open */
    uint8_t *rx_;
    size_t at_, end_;
};

/* Connects. A zeroed one may be closed. */
FT_MUST_USE
enum ft_err ft_resp_open(struct ft_resp *resp, const struct sockaddr_in *address,
                         struct ft_problem *problem);
void ft_resp_close(struct ft_resp *resp);

/* Adds a command of so many arguments, its name included. */
void ft_resp_write(struct ft_buffer *out, const struct ft_slice *args, uint32_t count);

/* Sends all bytes. */
FT_MUST_USE
enum ft_err ft_resp_send(struct ft_resp *resp, struct ft_slice bytes, struct ft_problem *problem);

/*
 * Takes the next whole reply (or message of a channel), as it came: it is valid until the next call. Waits up to
 * `timeout_ms` for it (0: takes what is there); without one, `*reply` is absent. An error is a reply.
 */
FT_MUST_USE
enum ft_err ft_resp_next(struct ft_resp *resp, int timeout_ms, struct ft_slice *reply,
                         struct ft_problem *problem);

/* Sends a command of words with a blank between them, and takes its reply; one that is an error fails. */
FT_MUST_USE
enum ft_err ft_resp_ask(struct ft_resp *resp, const char *words, struct ft_slice *reply,
                        struct ft_problem *problem);

/* The same, of a command that was written with ft_resp_write(). */
FT_MUST_USE
enum ft_err ft_resp_ask_bytes(struct ft_resp *resp, struct ft_slice command, struct ft_slice *reply,
                              struct ft_problem *problem);

/* Returns how long the reply at the start of `bytes` is; 0: its end is not there. */
size_t ft_resp_reply_len(struct ft_slice bytes);

/* Returns the contents of a reply that is one string or number; absent, if it is another. */
struct ft_slice ft_resp_text(struct ft_slice reply);

/* Takes the first string or number off what is behind the head of an array, or off its rest. */
struct ft_slice ft_resp_item(struct ft_slice *rest);

/* Returns what is behind the head of an array. */
struct ft_slice ft_resp_items(struct ft_slice reply);

/* Returns the number in a text of digits. */
uint64_t ft_resp_number(struct ft_slice text);

#endif
