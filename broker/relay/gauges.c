/* Figures of the relay that are looked up, where counters are counted as things happen. The relay's thread. */
#include "broker/relay/private.h"

static void add_servers(struct ft_relay *relay)
{
    struct ft_relay_figures *figures = &relay->figures;
    uint64_t up = 0, commands = 0, unsent = 0;
    for (uint32_t i = 0; i < relay->server_count; i++) {
        up += ft_server_state(relay->servers[i]) == FT_SERVER_UP;
        commands += ft_server_in_flight(relay->servers[i]);
        unsent += ft_server_unsent(relay->servers[i]);
    }
    ft_gauge(figures->relay_up, relay->server_count > 0 && up == relay->server_count);
    ft_gauge(figures->relay_servers, relay->server_count);
    ft_gauge(figures->relay_servers_up, up);
    ft_gauge(figures->relay_commands, commands);
    ft_gauge(figures->relay_unsent, unsent);
}

static void add_partitions(struct ft_relay *relay)
{
    uint64_t joined = 0, all = 0;
    for (uint32_t k = 0; k < relay->interest.partitions.count; k++) {
        struct ft_part_figures part = {0};
        uint64_t lag = UINT64_MAX;
        if (relay->parts[k])
            ft_part_figures(relay->parts[k], &part);
        if (part.is_joined)
            lag = part.lag;
        joined += part.is_joined;
        all += part.is_joined ? lag : 0;
        ft_gauge(&relay->figures.relay_partition_lag[k], lag);
    }
    ft_gauge(relay->figures.relay_lag, all);
    ft_gauge(relay->figures.relay_partitions_joined, joined);
}

void ft_relay_gauges(struct ft_relay *relay)
{
    size_t most = 0, room = relay->outgoing ? ft_outgoing_room(relay->outgoing, &most) : 0;
    ft_gauge(relay->figures.relay_queue, most > room ? most - room : 0);
    add_servers(relay);
    add_partitions(relay);
}
