/*
 * Questions to other nodes: where they come from and where they end. Between the two one side at a time owns
 * each, hub or relay. Any thread.
 */
#include "broker/hub/relay.h"

#include "broker/base/alloc.h"

#include <stddef.h>
#include <stdlib.h>

_Static_assert(offsetof(struct ft_relay_ask, letter) == 0, "a letter is its question");

/* Of a body, and of an answer: an order with all its filters, a topic with ten thousand clients. */
#define ASK_BYTES_MAX ((size_t)16 * 1024 * 1024)

static void drop(struct ft_letter *letter)
{
    ft_relay_ask_free(ft_relay_ask_of(letter));
}

struct ft_relay_ask *ft_relay_ask_new(uint32_t worker, enum ft_ask_kind kind,
                                      void (*open)(struct ft_letter *letter,
                                                   struct ft_worker *worker))
{
    struct ft_relay_ask *ask = ft_alloc_zero(sizeof(*ask));
    ask->letter = (struct ft_letter){.open = open, .drop = drop};
    ask->worker = worker;
    ask->kind = kind;
    ft_buffer_init(&ask->body, ASK_BYTES_MAX);
    ft_buffer_init(&ask->answer, ASK_BYTES_MAX);
    ft_buffer_init(&ask->missing, ASK_BYTES_MAX);
    return ask;
}

void ft_relay_ask_free(struct ft_relay_ask *ask)
{
    ft_buffer_fini(&ask->body);
    ft_buffer_fini(&ask->answer);
    ft_buffer_fini(&ask->missing);
    free(ask);
}
