/*
 * Walks the pairs of an envelope that came as MessagePack. What a pair means is envelope_fields.c's.
 * Pure; any thread.
 */
#include "protocol/envelope_fields.h"
#include "protocol/msgpack_scan.h"

static inline bool read_pair(struct ft_pass *pass, struct ft_scan *scan)
{
    struct ft_value name;
    if (!ft_msgpack_item(scan, &name))
        return ft_pass_broken(pass, scan);
    if (name.kind != FT_VALUE_STR) {
        ft_scan_broken(scan, "a key of the envelope that is not a string");
        return ft_pass_broken(pass, scan);
    }
    struct ft_value value;
    const uint8_t *from = scan->at;
    if (!ft_msgpack_value(scan, &value))
        return ft_pass_refuse(pass, scan, name.text, from);
    ft_pass_take(pass, name.text, &value);
    return true;
}

bool ft_walk_msgpack(struct ft_pass *pass, struct ft_scan *scan)
{
    struct ft_value map;
    if (!ft_msgpack_item(scan, &map))
        return ft_pass_broken(pass, scan);
    for (uint64_t left = map.num; left > 0; left--)
        if (!read_pair(pass, scan))
            return false;
    return true;
}
