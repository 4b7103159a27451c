/*
 * The token: where the next one comes from, and a fresh one on a connection whose own has expired. The
 * client's thread.
 */
#include "clients/c/client.h"
#include "protocol/utf8.h"
#include "protocol/writer.h"

/* Neither a number, as publications have, nor 's' or 'h' and one. */
static const char renewal_id[] = "auth";

const char *ft_client_token(struct fantail *f)
{
    return f->options.get_token ? f->options.get_token(f, f->options.user) : f->options.token;
}

bool ft_client_renew(struct fantail *f)
{
    struct ft_writer writer;
    const char *token = f->options.get_token ? ft_client_token(f) : NULL;
    if (!token || token[0] == '\0' || !ft_utf8_is_valid(ft_slice_str(token)))
        return false;
    ft_buffer_clear(&f->envelope);
    ft_writer_init(&writer, f->encoding, &f->envelope);
    ft_write_map(&writer, 3);
    ft_write_key(&writer, "op");
    ft_write_str(&writer, ft_slice_str("auth"));
    ft_write_key(&writer, "id");
    ft_write_str(&writer, ft_slice_str(renewal_id));
    ft_write_key(&writer, "token");
    ft_write_str(&writer, ft_slice_str(token));
    ft_client_send_control(f);
    return true;
}

bool ft_client_is_renewal(const struct ft_envelope *env)
{
    return env->id.kind == FT_ID_STR && ft_slice_equal(env->id.str, ft_slice_str(renewal_id));
}
