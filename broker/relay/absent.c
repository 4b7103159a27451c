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
W struct ft_outgoing *ft_outgoing_new(struct ft_relay *relay)
{
    (void)relay;
    return NULL;
}
W void ft_outgoing_free(struct ft_outgoing *outgoing)
{
    (void)outgoing;
}
W void ft_outgoing_stop(struct ft_outgoing *outgoing)
{
    (void)outgoing;
}
W void ft_outgoing_prepare(struct ft_outgoing *outgoing, struct ft_relay_batch *batch)
{
    (void)outgoing;
    (void)batch;
}
W void ft_outgoing_take(struct ft_outgoing *outgoing, struct ft_relay_batch *batch)
{
    (void)outgoing;
    batch->letter.drop(&batch->letter);
}
W void ft_outgoing_up(struct ft_outgoing *outgoing, struct ft_server *server)
{
    (void)outgoing;
    (void)server;
}
W void ft_outgoing_down(struct ft_outgoing *outgoing, struct ft_server *server)
{
    (void)outgoing;
    (void)server;
}
W void ft_outgoing_tick(struct ft_outgoing *outgoing)
{
    (void)outgoing;
}
W size_t ft_outgoing_room(const struct ft_outgoing *outgoing, size_t *most)
{
    (void)outgoing;
    *most = 0;
    return 0;
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
W struct ft_presences *ft_presences_new(struct ft_relay *relay)
{
    (void)relay;
    return NULL;
}
W void ft_presences_free(struct ft_presences *presences)
{
    (void)presences;
}
W void ft_presences_take(struct ft_presences *presences, struct ft_relay_presence *change)
{
    (void)presences;
    (void)change;
}
W void ft_presences_ask(struct ft_presences *presences, struct ft_relay_ask *ask)
{
    (void)presences;
    (void)ask;
}
W void ft_presences_up(struct ft_presences *presences, struct ft_server *server)
{
    (void)presences;
    (void)server;
}
W void ft_presences_down(struct ft_presences *presences, struct ft_server *server)
{
    (void)presences;
    (void)server;
}
W void ft_presences_tick(struct ft_presences *presences)
{
    (void)presences;
}
