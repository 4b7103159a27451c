/*
 * Decides whether a request's head may become a WebSocket, and with which subprotocol. Origin, credentials
 * and limits are others' (accept.c). Pure.
 */
#include "broker/http/upgrade.h"

#include "protocol/base64.h"

#define FIELD_UPGRADE "Upgrade: websocket\r\n"
#define FIELD_VERSION "Sec-WebSocket-Version: 13\r\n"

bool ft_upgrade_is_asked(const struct ft_http_head *head)
{
    return ft_http_list_has(head, "upgrade", "websocket");
}

static bool refuse(struct ft_upgrade_refusal *refusal, int status, const char *headers,
                   const char *message)
{
    *refusal = (struct ft_upgrade_refusal){status, message, headers};
    return false;
}

static bool is_key(struct ft_slice key)
{
    size_t len;
    return ft_base64_decode(key, NULL, &len) && len == 16;
}

/* Selects the first subprotocol that we speak, in the client's order. False: only others are offered, and
 * one that carries a token is such a one: a browser would fail a connection that selects none of its offers. */
static bool select_subprotocol(const struct ft_http_head *head, struct ft_http_upgrade *upgrade)
{
    bool is_any = false;
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct ft_slice rest = head->fields[i].value, offered;
        if (!ft_http_is(head->fields[i].name, "sec-websocket-protocol"))
            continue;
        while (ft_http_list_next(&rest, &offered)) {
            if (ft_slice_equal(offered, ft_slice_str(FT_SUBPROTOCOL_JSON))) {
                upgrade->subprotocol = FT_SUBPROTOCOL_JSON;
                return true;
            }
            if (ft_slice_equal(offered, ft_slice_str(FT_SUBPROTOCOL_MSGPACK))) {
                upgrade->subprotocol = FT_SUBPROTOCOL_MSGPACK;
                upgrade->encoding = FT_MSGPACK;
                return true;
            }
            is_any = true;
        }
    }
    return !is_any;
}

bool ft_upgrade_check(const struct ft_http_head *head, struct ft_http_upgrade *upgrade,
                      struct ft_upgrade_refusal *refusal)
{
    uint32_t versions, keys;
    *upgrade = (struct ft_http_upgrade){.encoding = FT_JSON};
    if (!ft_upgrade_is_asked(head))
        return refuse(refusal, 426, FIELD_UPGRADE,
                      "this path speaks WebSocket: Upgrade has to be websocket");
    if (head->minor == 0)
        return refuse(refusal, 400, "", "an upgrade to WebSocket needs HTTP/1.1");
    if (head->body_bytes > 0)
        return refuse(refusal, 400, "", "a request to upgrade has no body");
    if (!ft_http_list_has(head, "connection", "upgrade"))
        return refuse(refusal, 400, "", "Connection has to name upgrade");
    struct ft_slice version = ft_http_field(head, "sec-websocket-version", &versions);
    if (versions != 1 || !ft_slice_equal(version, ft_slice_str("13")))
        return refuse(refusal, 426, FIELD_UPGRADE FIELD_VERSION,
                      "Sec-WebSocket-Version has to be 13");
    struct ft_slice key = ft_http_field(head, "sec-websocket-key", &keys);
    if (keys != 1 || !is_key(key))
        return refuse(refusal, 400, "", "Sec-WebSocket-Key has to be 16 bytes in base64, once");
    if (!select_subprotocol(head, upgrade))
        return refuse(refusal, 400, "",
                      "Sec-WebSocket-Protocol offers neither " FT_SUBPROTOCOL_JSON
                      " nor " FT_SUBPROTOCOL_MSGPACK);
    ft_ws_accept(key, upgrade->accept);
    return true;
}
