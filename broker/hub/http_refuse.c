/* The JSON body that every HTTP refusal carries, from a route or from an upgrade. */
#include "broker/hub/ports.h"
#include "protocol/writer.h"

void ft_http_refuse(struct ft_http_response *response, int status, const char *message)
{
    response->status = status;
    response->content_type = "application/json";
    ft_buffer_clear(&response->body);
    struct ft_writer w;
    ft_writer_init(&w, FT_JSON, &response->body);
    ft_write_map(&w, 1);
    ft_write_key(&w, "error");
    ft_write_map(&w, 2);
    ft_write_key(&w, "code");
    ft_write_uint(&w, (uint64_t)status);
    ft_write_key(&w, "message");
    ft_write_str(&w, ft_slice_str(message));
    ft_buffer_add_str(&response->body, "\n");
}
