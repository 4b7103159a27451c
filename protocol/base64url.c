/*
 * The alphabet for URLs on top of the standard one. Not for bulk: tokens have a few hundred bytes.
 * Pure; any thread.
 */
#include "protocol/base64url.h"

#include "protocol/base64.h"

size_t ft_base64url_encode(struct ft_slice bytes, char *out)
{
    size_t len = ft_base64_encode(bytes, out);
    while (len > 0 && out[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    return len;
}

/* Returns the character of the standard alphabet, or one that is in none. */
static uint8_t standard(uint8_t c)
{
    if (c == '-')
        return '+';
    if (c == '_')
        return '/';
    return c == '+' || c == '/' || c == '=' ? '\0' : c;
}

bool ft_base64url_decode(struct ft_slice text, uint8_t *out, size_t *len)
{
    size_t total = 0;
    for (size_t at = 0; at < text.len; at += 4) {
        uint8_t group[4] = {'=', '=', '=', '='};
        for (size_t i = 0; i < 4 && at + i < text.len; i++)
            group[i] = standard(text.ptr[at + i]);
        size_t written;
        if (!ft_base64_decode(ft_slice(group, sizeof(group)), out + total, &written))
            return false;
        total += written;
    }
    *len = total;
    return true;
}
