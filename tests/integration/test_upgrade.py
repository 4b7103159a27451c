"""The WebSocket upgrade: what is let in, with which subprotocol, and how the rest is refused."""

import pytest

from support.client import SUBPROTOCOL, decode
from support.raw import BINARY, TEXT, Gone, assert_refused, frame, request, upgrade_request

JSON, MSGPACK = SUBPROTOCOL["json"], SUBPROTOCOL["msgpack"]
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the sample of RFC 6455 section 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def assert_welcomed(connection, response, protocol):
    assert response.status == 101, response
    assert response.headers.get("sec-websocket-protocol") == protocol
    opcode, payload = connection.read_message()
    kind = "msgpack" if protocol == MSGPACK else "json"
    assert opcode == (BINARY if kind == "msgpack" else TEXT)
    assert decode(kind, payload)["op"] == "welcome"


@pytest.mark.parametrize("offered, selected", [
    (None, None),
    (JSON, JSON),
    (MSGPACK, MSGPACK),
    (f"{JSON}, {MSGPACK}", JSON),
    (f"{MSGPACK}, {JSON}", MSGPACK),
    (f"{MSGPACK},{JSON}", MSGPACK),
    (f"chat, {MSGPACK}", MSGPACK),
    (f"chat, superchat, {JSON}, {MSGPACK}", JSON),
    (f"fantail.v2.json, {JSON}", JSON),
    (f"{JSON}x, x{JSON}, {MSGPACK}", MSGPACK),
])
def test_the_first_subprotocol_that_the_broker_knows_is_selected(broker, raw, offered, selected):
    fields = {"Sec_WebSocket_Protocol": offered} if offered else {}
    connection = raw(broker)
    assert_welcomed(connection, connection.ask(upgrade_request(**fields)), selected)


def test_subprotocols_may_be_offered_in_several_headers(broker, raw):
    connection = raw(broker)
    offers = [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", MSGPACK)]
    assert_welcomed(connection, connection.ask(upgrade_request(extra=offers)), MSGPACK)


@pytest.mark.parametrize("length", [100, 1000, 8000])
def test_a_list_of_subprotocols_may_be_long(broker, raw, length):
    offered = f"{'x' * length}, {MSGPACK}, {JSON}"
    connection = raw(broker)
    response = connection.ask(upgrade_request(Sec_WebSocket_Protocol=offered))
    assert_welcomed(connection, response, MSGPACK)


@pytest.mark.parametrize("offered", ["chat", "chat, superchat", "fantail.v2.json", "fantail.v1",
                                     "FANTAIL.V1.JSON"])
def test_only_unknown_subprotocols_are_a_400_that_names_the_right_ones(broker, raw, offered):
    response = raw(broker).ask(upgrade_request(Sec_WebSocket_Protocol=offered))
    message = assert_refused(response, 400)
    assert JSON in message and MSGPACK in message


def test_the_accept_key_is_that_of_the_rfc(broker, raw):
    response = raw(broker).ask(upgrade_request(sec_websocket_key=KEY))
    assert response.status == 101
    assert response.headers["sec-websocket-accept"] == ACCEPT
    assert response.headers["upgrade"].lower() == "websocket"
    assert "upgrade" in response.headers["connection"].lower()
    assert "sec-websocket-extensions" not in response.headers


def test_header_names_and_tokens_are_taken_in_any_case(broker, raw):
    request = (f"GET /ws HTTP/1.1\r\nhOST: x\r\nUPGRADE: WebSocket\r\n"
               f"connection: keep-alive, UPGRADE\r\nsec-websocket-KEY:{KEY}\r\n"
               f"Sec-Websocket-Version: 13\r\n\r\n")
    connection = raw(broker)
    assert_welcomed(connection, connection.ask(request.encode()), None)


@pytest.mark.parametrize("value", ["13 ", "  13", "13\t", " \t13 \t "])
def test_white_space_around_a_value_does_not_belong_to_it(broker, raw, value):
    connection = raw(broker)
    response = connection.ask(upgrade_request(sec_websocket_version=value))
    assert_welcomed(connection, response, None)


def test_a_query_does_not_change_the_path(broker, raw):
    connection = raw(broker)
    assert_welcomed(connection, connection.ask(upgrade_request("/ws?a=b&c=%2F")), None)


def test_an_offered_extension_is_not_accepted_unasked(broker, raw):
    fields = {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"}
    connection = raw(broker)
    response = connection.ask(upgrade_request(**fields))
    assert "sec-websocket-extensions" not in response.headers
    assert_welcomed(connection, response, None)


@pytest.mark.parametrize("path", ["/", "/w", "/wss", "/ws/", "/WS", "/ws/x", "/%77s/x"])
def test_an_upgrade_on_another_path_is_not_taken(broker, raw, path):
    assert raw(broker).ask(upgrade_request(path)).status in (400, 404, 405, 426)


def test_an_upgrade_on_an_unknown_path_is_a_404(broker, raw):
    assert_refused(raw(broker).ask(upgrade_request("/nothing-here")), 404)


def test_a_plain_get_is_a_426(broker, raw):
    request = b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n"
    response = raw(broker).ask(request)
    assert_refused(response, 426)
    assert response.headers.get("upgrade", "").lower() == "websocket"


@pytest.mark.parametrize("upgrade", ["h2c", ""])
def test_an_upgrade_to_something_else_is_refused(broker, raw, upgrade):
    assert_refused(raw(broker).ask(upgrade_request(Upgrade=upgrade)), 400, 426)


def test_an_upgrade_to_what_nobody_knows_is_refused(broker, raw):
    assert 400 <= raw(broker).ask(upgrade_request(Upgrade="websocketx")).status < 500


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_get_upgrades(broker, raw, method):
    request = upgrade_request(method=method, extra=[("Content-Length", "0")])
    assert 400 <= raw(broker).ask(request).status < 500


@pytest.mark.parametrize("key", [
    "", "x", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZTEyMzQ1Ng==",
    "dGhlIHNhbXBsZSBub25jZQ==AAAA", "!!!!IHNhbXBsZSBub25jZQ==", "=" * 24,
])
def test_a_key_that_is_not_16_bytes_of_base64_is_a_400(broker, raw, key):
    assert_refused(raw(broker).ask(upgrade_request(sec_websocket_key=key)), 400)


def test_a_missing_key_is_a_400(broker, raw):
    assert_refused(raw(broker).ask(upgrade_request(drop=["Sec-WebSocket-Key"])), 400)


@pytest.mark.parametrize("version", ["8", "7", "0", "14", "130", "x", "", "13x"])
def test_another_version_is_refused_and_told_the_right_one(broker, raw, version):
    response = raw(broker).ask(upgrade_request(sec_websocket_version=version))
    assert_refused(response, 400, 426)
    assert response.headers["sec-websocket-version"] == "13"


def test_a_missing_version_is_refused_and_told_the_right_one(broker, raw):
    response = raw(broker).ask(upgrade_request(drop=["Sec-WebSocket-Version"]))
    assert_refused(response, 400, 426)
    assert response.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("connection", ["close", "keep-alive", "upgraded"])
def test_a_connection_header_without_upgrade_is_refused(broker, raw, connection):
    assert_refused(raw(broker).ask(upgrade_request(connection=connection)), 400, 426)


def test_http_1_0_does_not_upgrade(broker, raw):
    assert_refused(raw(broker).ask(upgrade_request(version="HTTP/1.0")), 400, 426, 505)


def test_a_doubled_host_is_a_400(broker, raw):
    assert_refused(raw(broker).ask(upgrade_request(extra=[("Host", "other.example")])), 400)


def test_a_missing_host_is_a_400(broker, raw):
    assert_refused(raw(broker).ask(upgrade_request(drop=["Host"])), 400)


def test_an_upgrade_with_a_body_is_refused(broker, raw):
    request = upgrade_request(extra=[("Content-Length", "5")]) + b"hello"
    assert_refused(raw(broker).ask(request), 400, 413)


def test_a_chunked_upgrade_is_refused(broker, raw):
    request = upgrade_request(extra=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\n\r\n"
    assert_refused(raw(broker).ask(request), 400, 411)


@pytest.mark.parametrize("size", [100, 1000, 2000])
def test_headers_of_a_usual_size_are_taken(broker, raw, size):
    connection = raw(broker)
    response = connection.ask(upgrade_request(extra=[("Cookie", "a=" + "c" * size)]))
    assert_welcomed(connection, response, None)


def test_headers_without_end_are_cut_off(broker, raw):
    connection = raw(broker)
    connection.send(upgrade_request()[:-2] + b"X-Long: ")
    try:
        for _ in range(64):  # 64 x 64 KiB: far more than a header can need
            connection.send(b"x" * 65536)
    except Gone:
        pass  # hung up on while still talking
    connection.wait_gone()


def test_a_request_that_comes_byte_by_byte_is_taken(broker, raw):
    connection = raw(broker)
    connection.send_bytewise(upgrade_request(Sec_WebSocket_Protocol=MSGPACK))
    assert_welcomed(connection, connection.read_response(), MSGPACK)


def test_frames_may_follow_the_request_in_the_same_segment(broker, raw):
    connection = raw(broker)
    connection.send(upgrade_request() + frame(TEXT, b'{"op":"ping","id":7}'))
    assert_welcomed(connection, connection.read_response(), None)
    assert decode("json", connection.read_message()[1]) == {"op": "ok", "id": 7}


@pytest.mark.parametrize("before", [1, 63, 64, 65, 200])
def test_requests_may_come_before_the_upgrade_in_the_same_segment(broker, raw, before):
    connection = raw(broker)
    connection.send(request() * before + upgrade_request()
                    + frame(TEXT, b'{"op":"pub","id":7,"topic":"before/upgrade","data":1}'))
    for _ in range(before):
        assert connection.read_response().status == 200
    assert_welcomed(connection, connection.read_response(), None)
    assert decode("json", connection.read_message()[1])["op"] == "ok"
    connection.send_frame(TEXT, b'{"op":"ping","id":8}')
    assert decode("json", connection.read_message()[1]) == {"op": "ok", "id": 8}


def test_a_refused_client_can_ask_again_on_a_new_connection(broker, raw):
    for _ in range(50):
        assert raw(broker).ask(upgrade_request(sec_websocket_version="8")).status in (400, 426)
    connection = raw(broker)
    assert_welcomed(connection, connection.ask(upgrade_request()), None)
