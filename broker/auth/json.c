/* Objects from tokens and key files: bounded in depth and unambiguous. Any thread. */
#include "broker/auth/json.h"

#include "protocol/json_scan.h"
#include "protocol/utf8.h"

/* Says whether the text is one value, with white space around it at most. jansson alone would recurse
 * 2,048 levels deep. */
static bool is_sound(struct ft_slice text)
{
    if (text.len == 0 || !ft_utf8_is_valid(text))
        return false;
    struct ft_value value;
    struct ft_scan scan = ft_scan_of(text);
    ft_json_skip_space(&scan);
    if (scan.at == scan.end || !ft_json_value(&scan, &value) || value.kind != FT_VALUE_MAP)
        return false;
    ft_json_skip_space(&scan);
    return scan.at == scan.end;
}

json_t *ft_auth_json(struct ft_slice text)
{
    if (!is_sound(text))
        return NULL;
    /* A whole number may be larger than jansson's integers. */
    return json_loadb((const char *)text.ptr, text.len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
}
