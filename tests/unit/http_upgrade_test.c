/* What may become a WebSocket. */
#include "broker/http/upgrade.h"
#include "tests/unit/support/http_text.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
#define VERSION "Sec-WebSocket-Version: 13\n"
#define GOOD    "Upgrade: websocket\nConnection: Upgrade\n" KEY VERSION

static struct ft_http_upgrade upgrade;
static struct ft_upgrade_refusal refusal;

static int status_of(const char *fields)
{
    refusal.status = 0;
    bool ok = ft_upgrade_check(ft_http_text("GET /ws", fields), &upgrade, &refusal);
    cr_assert_eq(ok, refusal.status == 0);
    return refusal.status;
}

Test(http_upgrade, a_good_request_is_answered_with_the_key_that_it_expects)
{
    cr_assert_eq(status_of(GOOD), 0);
    cr_assert_str_eq(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    cr_assert_null(upgrade.subprotocol);
    cr_assert_eq(upgrade.encoding, FT_JSON);
    cr_assert_eq(status_of("UPGRADE: h2c, WebSocket\nconnection: keep-alive,UPGRADE\n" KEY VERSION),
                 0);
}

Test(http_upgrade, every_part_has_to_be_there_and_right)
{
    static const struct {
        const char *fields;
        int status;
    } rows[] = {
        {"Connection: Upgrade\n" KEY VERSION, 426},
        {"Upgrade: h2c\nConnection: Upgrade\n" KEY VERSION, 426},
        {"Upgrade: websocketx\nConnection: Upgrade\n" KEY VERSION, 426},
        {"Upgrade: websocket\n" KEY VERSION, 400},
        {"Upgrade: websocket\nConnection: upgraded\n" KEY VERSION, 400},
        {"Upgrade: websocket\nConnection: Upgrade\n" KEY, 426},
        {"Upgrade: websocket\nConnection: Upgrade\n" KEY VERSION VERSION, 426},
        {"Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 8\n" KEY, 426},
        {"Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 130\n" KEY, 426},
        {"Upgrade: websocket\nConnection: Upgrade\n" VERSION, 400},
        {"Upgrade: websocket\nConnection: Upgrade\n" KEY KEY VERSION, 400},
        {"Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\n" VERSION,
         400},
        {GOOD "Content-Length: 5\n", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_assert_eq(status_of(rows[i].fields), rows[i].status, "row %zu", i);
    cr_assert_eq(status_of(GOOD "Content-Length: 0\n"), 0);
}

Test(http_upgrade, a_refusal_says_what_would_be_right)
{
    cr_assert_eq(status_of(KEY VERSION), 426);
    cr_assert(strstr(refusal.headers, "Upgrade: websocket\r\n"));
    cr_assert_not(strstr(refusal.headers, "Sec-WebSocket-Version"));
    cr_assert_eq(status_of("Upgrade: websocket\nConnection: Upgrade\n" KEY), 426);
    cr_assert(strstr(refusal.headers, "Sec-WebSocket-Version: 13\r\n"));
}

static const char *selected(const char *offered)
{
    static char fields[4096];
    snprintf(fields, sizeof(fields), GOOD "Sec-WebSocket-Protocol: %s\n", offered);
    if (status_of(fields) != 0)
        return "refused";
    cr_assert_eq(upgrade.encoding == FT_MSGPACK,
                 upgrade.subprotocol && strcmp(upgrade.subprotocol, FT_SUBPROTOCOL_MSGPACK) == 0);
    return upgrade.subprotocol ? upgrade.subprotocol : "none";
}

Test(http_upgrade, the_first_subprotocol_that_is_known_is_selected)
{
    cr_assert_str_eq(selected("fantail.v1.json"), "fantail.v1.json");
    cr_assert_str_eq(selected("fantail.v1.msgpack, fantail.v1.json"), "fantail.v1.msgpack");
    cr_assert_str_eq(selected("chat,fantail.v2.json , ,fantail.v1.json"), "fantail.v1.json");
    cr_assert_str_eq(selected("FANTAIL.V1.JSON"), "refused");
    cr_assert_str_eq(selected("chat, superchat"), "refused");
    cr_assert_str_eq(selected(""), "none");
    cr_assert_str_eq(selected("chat\nSec-WebSocket-Protocol: fantail.v1.msgpack"),
                     "fantail.v1.msgpack");
}

Test(http_upgrade, a_token_among_the_subprotocols_is_no_offer)
{
    char offered[2048] = "fantail.bearer.", *at = offered + strlen(offered);
    memset(at, 'x', 1500);
    strcpy(at + 1500, ", fantail.v1.msgpack");
    cr_assert_str_eq(selected(offered), "fantail.v1.msgpack");
    at[1500] = '\0';
    cr_assert_str_eq(selected(offered), "refused");
    cr_assert_str_eq(selected("fantail.bearer.x, chat"), "refused");
}
