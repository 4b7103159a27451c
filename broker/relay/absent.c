/*
 * Stands in for files of the relay that are not there yet, so that it links.
 */
#include "broker/relay/private.h"
#define W __attribute__((weak))
W struct ft_part *ft_part_new(struct ft_relay *relay, uint32_t number)
{
    (void)relay;
    (void)number;
    return NULL;
}
W void ft_part_free(struct ft_part *part)
{
    (void)part;
}
W void ft_part_up(struct ft_part *part)
{
    (void)part;
}
W void ft_part_down(struct ft_part *part)
{
    (void)part;
}
W void ft_part_tick(struct ft_part *part)
{
    (void)part;
}
W void ft_part_message(struct ft_part *part, struct ft_slice payload)
{
    (void)part;
    (void)payload;
}
W bool ft_part_is_joined(const struct ft_part *part)
{
    (void)part;
    return false;
}
W void ft_part_beat(struct ft_part *part, struct ft_slice stream, uint64_t head, uint64_t ms)
{
    (void)part;
    (void)stream;
    (void)head;
    (void)ms;
}
W void ft_part_resume(struct ft_part *part)
{
    (void)part;
}
W void ft_part_figures(const struct ft_part *part, struct ft_part_figures *figures)
{
    (void)part;
    *figures = (struct ft_part_figures){0};
}
W void ft_part_seen(const struct ft_part *part, char stream[FT_STREAM_NAME_LEN + 1], uint64_t *head)
{
    (void)part;
    stream[0] = '\0';
    *head = 0;
}
W struct ft_inlet *ft_inlet_new(struct ft_relay *relay)
{
    (void)relay;
    return NULL;
}
W void ft_inlet_free(struct ft_inlet *inlet)
{
    (void)inlet;
}
W void ft_inlet_up(struct ft_inlet *inlet, struct ft_server *server)
{
    (void)inlet;
    (void)server;
}
W void ft_inlet_down(struct ft_inlet *inlet, struct ft_server *server)
{
    (void)inlet;
    (void)server;
}
W void ft_inlet_tick(struct ft_inlet *inlet)
{
    (void)inlet;
}
W bool ft_inlet_message(struct ft_inlet *inlet, struct ft_server *server, struct ft_slice channel,
                        struct ft_slice payload)
{
    (void)inlet;
    (void)server;
    (void)channel;
    (void)payload;
    return false;
}
