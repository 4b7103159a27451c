/*
 * Commands that ask a broker one question over HTTP and print what it answers: as a table for people, or with
 * --json as it came. The main thread.
 */
#ifndef FT_CLI_ASK_H
#define FT_CLI_ASK_H

#include <jansson.h>

#include "clients/cli/link.h"
#include "clients/cli/table.h"

struct ft_ask {
    const struct ft_link_options *link;
    const char *path; /* such as "/v1/nodes"; a query may be behind it */
    const char *what; /* what the answer is: "list of nodes" */
    const char *key;  /* of the array that makes it one: "nodes" */
    bool is_json;     /* print it as it came, one line */

    /* Adds rows for people; `top` is the answer. May say on standard error what is worth saying, and returns
     * the exit code. */
    enum ft_exit (*print)(const json_t *top, struct ft_buffer *out);
};

/* Asks those that were named in turn, until one is there. Returns the exit code. */
int ft_ask(const struct ft_ask *ask);

/* Adds a cell: a number that is not negative; a text, "?" where there is none. */
void ft_ask_add_count(struct ft_table *table, uint64_t count);
void ft_ask_add_text(struct ft_table *table, const json_t *value);

/* Returns a number that is not negative; 0 where there is none. */
uint64_t ft_ask_count(const json_t *value);

#endif
