/*
 * Walks the pairs of an envelope that came as JSON. What a pair means is envelope_fields.c's. Pure;
 * any thread.
 */
#include "protocol/envelope_fields.h"
#include "protocol/json_scan.h"

static inline bool read_name(struct ft_pass *pass, struct ft_scan *scan, struct ft_slice *name)
{
    struct ft_value value;
    if (!ft_json_key(scan, &value.text, &value.has_escapes))
        return ft_pass_broken(pass, scan);
    *name = ft_pass_text(pass, &value);
    return true;
}

static inline bool read_pair(struct ft_pass *pass, struct ft_scan *scan)
{
    struct ft_slice name;
    if (!read_name(pass, scan, &name))
        return false;
    struct ft_value value;
    const uint8_t *from = scan->at;
    if (!ft_json_value(scan, &value))
        return ft_pass_refuse(pass, scan, name, from);
    ft_pass_take(pass, name, &value);
    return true;
}

/* Steps over a byte and the white space after it, where that byte is next. */
static inline bool take(struct ft_scan *scan, uint8_t byte)
{
    if (scan->at == scan->end || *scan->at != byte)
        return false;
    scan->at++;
    ft_json_skip_space(scan);
    return true;
}

bool ft_walk_json(struct ft_pass *pass, struct ft_scan *scan)
{
    scan->at++;
    ft_json_skip_space(scan);
    if (take(scan, '}'))
        return true;
    do {
        if (!read_pair(pass, scan))
            return false;
        ft_json_skip_space(scan);
    } while (take(scan, ','));
    if (take(scan, '}'))
        return true;
    ft_scan_broken(scan, "a comma or } was expected after a value");
    return ft_pass_broken(pass, scan);
}
