"""HTTP as a protocol: connections that are kept, pipelines, methods, sizes, Expect, upgrades."""

import json
import re
import select

import pytest

from support.api import message, pub, publish_message, refusal, statuses, topic_path, value_of
from support.client import encode, everything_since
from support.raw import TEXT, Gone, RawClient, close_code, frame, request, upgrade_request

KIND = ("Content-Type", "application/json")
PATHS = {  # what each path has
    "/v1/publish": {"POST"}, "/v1/topics/a": {"POST"}, "/v1/events": {"GET"},
    "/v1/history": {"GET"}, "/v1/disconnect": {"POST"}, "/v1/unsubscribe": {"POST"},
    "/v1/sessions": {"GET"}, "/v1/topics": {"GET"}, "/v1/stats": {"GET"}, "/metrics": {"GET"},
    "/healthz": {"GET"}, "/readyz": {"GET"},
}


# -- connections that are kept


def test_ten_thousand_requests_on_one_connection(broker, api, connect, topic):
    connection, count = api(broker), 10_000
    client = connect()
    client.sub(topic)
    sent = b"".join(pub(n, topic) for n in range(100))
    for _ in range(count // 100):
        connection.send(sent)
        for _ in range(100):
            assert connection.read_response().status == 200
        assert [client.next_msg()["data"] for _ in range(100)] == list(range(100))
    assert connection.request("/healthz").status == 200


def test_two_thousand_requests_one_after_the_other(broker, api, topic):
    connection = api(broker)
    assert len({connection.publish(topic, n) for n in range(2000)}) == 2000


def test_a_thousand_mixed_requests_are_answered_in_their_order(broker, api, topic):
    connection = api(broker)
    kinds = [
        (pub(1, topic), 200, False), (request("/healthz"), 200, False),
        (request("/nowhere"), 404, False), (request("/healthz", "HEAD"), 200, True),
        (pub(1, "$sys/x"), 403, False), (request("/v1/publish"), 405, False),
        (message("/v1/publish", "POST", b"{", [KIND]), 400, False),
        (message(topic_path(topic), "POST", b"x" * 3000), 200, False),
        (publish_message([{"topic": topic, "data": 1}] * 20), 200, False),
        (message(f"/v1/history?topic={topic}&last=1"), 200, False),
    ]
    order = [kinds[(n * 7 + n // 13) % len(kinds)] for n in range(1000)]
    sent = memoryview(b"".join(each[0] for each in order))
    connection.socket.setblocking(False)
    got, at = 0, 0
    while got < len(order):
        writable = [connection.socket] if at < len(sent) else []
        ready = select.select([connection.socket], writable, [], connection.deadline)
        assert ready[0] or ready[1], f"nothing moves after {got} responses"
        if ready[1]:
            at += connection.socket.send(sent[at:at + 65536])
        while got < len(order) and (response := whole_response(connection, order[got][2])):
            assert response.status == order[got][1], (got, response, order[got][0][:80])
            got += 1
    assert at == len(sent) and not connection.buffer


def whole_response(connection, is_head):
    """Reads a response where all of it has come, without waiting; else None."""
    while True:
        head, mark, _ = bytes(connection.buffer).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        body = int(length[1]) if length and not is_head else 0
        if mark and len(connection.buffer) >= len(head) + 4 + body:
            return connection.read_response(is_head)
        try:
            data = connection.socket.recv(1 << 16)
        except BlockingIOError:
            return None
        assert data, "the connection ended"
        connection.buffer += data


def test_a_sender_that_does_not_read_its_answers_is_held_back_and_loses_none(start, api):
    broker = start()
    connection = api(broker, receive_buffer=4096)
    sent = message("/metrics") * 20_000  # answers of many megabytes
    connection.socket.setblocking(False)
    at = 0
    while at < len(sent) and select.select([], [connection.socket], [], 0.5)[1]:
        at += connection.socket.send(sent[at:at + 65536])
    assert broker.rss_bytes() < 300 << 20
    connection.socket.settimeout(connection.deadline)
    whole = at // len(message("/metrics"))
    for _ in range(min(whole, 500)):
        assert connection.read_response().status == 200
    assert api(broker).request("/healthz").status == 200


@pytest.mark.parametrize("version, field, is_kept", [
    ("HTTP/1.1", None, True), ("HTTP/1.1", "keep-alive", True), ("HTTP/1.1", "close", False),
    ("HTTP/1.1", "Close", False), ("HTTP/1.1", "foo, close", False), ("HTTP/1.0", None, False),
    ("HTTP/1.0", "close", False),
])
def test_a_connection_is_kept_as_its_head_says(broker, raw, version, field, is_kept):
    connection = raw(broker)
    headers = [("Connection", field)] if field else []
    connection.send(request("/healthz", headers=headers, version=version))
    connection.send(request("/healthz", headers=[("Connection", "close")]))
    got, how = statuses(connection)
    assert (got, how) == ([200, 200] if is_kept else [200], "eof")


def test_what_follows_a_close_is_not_carried_out(broker, api, connect, topic):
    client = connect()
    client.sub(topic, f"{topic}/end")
    connection = api(broker)
    connection.send(pub(1, topic, [("Connection", "close")]) + pub(2, topic))
    assert statuses(connection)[0] == [200]
    assert [m["data"] for m in everything_since(connect(), client, f"{topic}/end")] == [1]


def test_a_request_that_comes_byte_by_byte_is_a_request(broker, api, connect, topic):
    client = connect()
    client.sub(topic)
    connection = api(broker)
    for n in range(3):
        connection.send_bytewise(pub(n, topic) + request("/healthz"))
        assert [connection.read_response().status for _ in range(2)] == [200, 200]
        assert client.next_msg()["data"] == n


def test_a_large_body_in_small_pieces_arrives_whole(broker, api, connect, topic):
    client = connect()
    client.sub(topic)
    body = bytes(range(256)) * 180
    sent = message(topic_path(topic), "POST", body)
    connection = api(broker)
    for at in range(0, len(sent), 511):
        connection.send(sent[at:at + 511])
    assert connection.read_response().status == 200
    assert len(client.next_msg()["b64"]) == (len(body) + 2) // 3 * 4


def test_half_a_connection_still_gets_its_answers(broker, api, topic):
    connection = api(broker)
    connection.send(pub(1, topic) + request("/healthz"))
    connection.half_close()
    assert statuses(connection) == ([200, 200], "eof")


def test_an_empty_line_before_a_request_is_skipped(broker, api, topic):
    connection = api(broker)
    connection.send(b"\r\n" + pub(1, topic) + b"\r\n" + request("/healthz"))
    assert [connection.read_response().status for _ in range(2)] == [200, 200]


# -- methods, paths, sizes


METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "BREW", "get", "TRACE"]


@pytest.mark.parametrize("path, method", [
    (path, method) for path in PATHS for method in METHODS if method not in PATHS[path]])
def test_a_method_that_a_path_does_not_have_is_a_405_with_allow(broker, api, path, method):
    connection = api(broker)
    response = connection.request(path, method)
    refusal(response, 405)
    allowed = {m.strip() for m in response.headers["allow"].split(",")}
    assert PATHS[path] <= allowed and method not in allowed
    assert ("HEAD" in allowed) == ("GET" in allowed)
    assert connection.request("/healthz").status == 200


def test_head_is_get_without_the_body(broker, api, topic):
    connection = api(broker)
    connection.publish(topic, 1)
    for path in "/healthz", "/readyz", f"/v1/history?topic={topic}", "/nowhere":
        full, head = connection.request(path), connection.request(path, "HEAD")
        assert (head.status, head.body) == (full.status, b"")
        for field in "content-type", "content-length":
            assert head.headers[field] == full.headers[field], path
    head = connection.request("/metrics", "HEAD")
    assert int(head.headers["content-length"]) > 1000
    assert connection.request("/healthz").status == 200


@pytest.mark.parametrize("path", [*PATHS, "/nowhere", "*"])
def test_options_says_what_a_path_has(broker, api, path):
    connection = api(broker)
    response = connection.request(path, "OPTIONS")
    if path in PATHS:
        assert response.status in (200, 204), response
        assert PATHS[path] <= {m.strip() for m in response.headers["allow"].split(",")}
    else:
        assert response.status in (200, 204, 400, 404), response
    assert response.status != 204 or "content-length" not in response.headers
    if response.status != 400:
        assert connection.request("/healthz").status == 200


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/publish/", "/v1/publishx", "/v1/Publish",
                                  "/v2/publish", "/v1//publish", "/v1/./publish", "/metrics/",
                                  "/v1/publish%00", "/v1/publish%20", "/v1/x/../publish"])
def test_a_path_that_is_nearly_one_is_none(broker, api, path):
    connection = api(broker)
    connection.refused(path, 404, 400, method="POST", body=b"{}", headers=[KIND])


def test_a_post_without_a_length_is_a_411(broker, raw):
    connection = raw(broker)
    connection.send(request("/v1/publish", "POST", [KIND]))
    refusal(connection.read_response(), 411)


@pytest.mark.parametrize("field", [b"chunked", b"Chunked", b"gzip, chunked", b"identity"])
def test_a_transfer_coding_is_a_411_and_the_end(broker, raw, field):
    connection = raw(broker)
    connection.send(b"POST /v1/publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + field
                    + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + request("/healthz"))
    got, _ = statuses(connection)
    assert len(got) == 1 and got[0] in (400, 411, 501)


def test_a_body_past_its_bound_is_a_413(start, api):
    broker = start(settings={"http.body": "64k", "limits.message": "32k"})
    connection = api(broker)
    refusal(connection.request("/v1/publish", "POST", b" " * 65537, [KIND]), 413)
    connection = api(broker)
    fits = b" " * (65536 - 22) + b'{"topic":"t","data":1}'
    assert connection.request("/v1/publish", "POST", fits, [KIND]).status == 200
    connection = api(broker)
    claim = message("/v1/publish", "POST", b"x", [KIND]).replace(
        b"Content-Length: 1", b"Content-Length: 99999999999999999")
    refusal(connection.ask(claim), 413)
    connection.wait_gone()


def test_a_long_target_is_a_414_and_long_fields_are_a_431(broker, raw):
    def status_of(*args, **kwargs):
        with RawClient(broker.address) as connection:
            try:
                connection.send(request(*args, **kwargs))
                return refusal_status(connection)
            except Gone:
                return "gone"

    assert status_of("/" + "x" * 20_000) in (414, 431)
    assert status_of("/healthz", headers=[("X-Long", "y" * 20_000)]) == 431
    assert status_of("/healthz", headers=[(f"X-{n}", "y") for n in range(100)]) == 431
    assert status_of("/healthz", headers=[("X-Long", "y" * 15_000)]) == 200
    assert status_of("/healthz", headers=[(f"X-{n}", "y" * 100) for n in range(60)]) == 200
    assert status_of("/healthz?" + "q" * 8_000) == 200


def refusal_status(connection):
    """Reads a response, checks its body where it is a refusal, and returns its status."""
    response = connection.read_response()
    if response.status >= 400:
        refusal(response, response.status)
    return response.status


def test_a_head_is_refused_before_it_is_over(broker, raw):
    connection = raw(broker)
    connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"x" * 17_000)
    refusal(connection.read_response(), 431)
    connection.wait_gone()


def test_refusals_come_in_the_encoding_that_is_accepted(broker, api):
    connection = api(broker)
    response = connection.request("/nowhere", headers=[("Accept", "application/msgpack")])
    assert response.headers["content-type"] == "application/msgpack"
    refusal(response, 404)
    response = connection.request("/nowhere", headers=[("Accept", "text/html")])
    assert response.body.endswith(b"}\n")
    refusal(response, 404)


# -- Expect


def test_who_asks_is_told_to_continue(broker, api, connect, topic):
    client = connect()
    client.sub(topic)
    sent = pub(5, topic, [("Expect", "100-continue")])
    head, body = sent.split(b"\r\n\r\n", 1)
    connection = api(broker)
    for _ in range(3):
        connection.send(head + b"\r\n\r\n")
        assert connection.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(body)
        assert connection.read_response().status == 200
        assert client.next_msg()["data"] == 5


def test_who_does_not_wait_need_not_be_told(broker, api, topic):
    connection = api(broker)
    connection.send(pub(5, topic, [("Expect", "100-continue")]) + request("/healthz"))
    first = connection.read_response() if not connection.buffer else None
    if first.status == 100:
        first = connection.read_response()
    assert first.status == 200 and connection.read_response().status == 200


@pytest.mark.parametrize("path, kind, length, status", [
    ("/nowhere", "application/json", 10, 404), ("/healthz", "application/json", 10, 405),
    ("/v1/publish", "application/xml", 10, 415), ("/v1/publish", "application/json", 1 << 30, 413),
    ("/v1/topics/%23", "application/json", 10, 400), ("/v1/topics/$sys", "text/plain", 10, 403),
])
def test_a_refusal_comes_before_the_body(broker, raw, path, kind, length, status):
    connection = raw(broker)
    connection.send(request(path, "POST", [("Content-Type", kind), ("Content-Length", length),
                                           ("Expect", "100-continue")]))
    refusal(connection.read_response(), status)


def test_another_expectation_is_a_417(broker, raw):
    for value in "200-ok", "100-continue, x", "":
        connection = raw(broker)
        connection.send(pub(1, "t", [("Expect", value)]))
        assert connection.read_response().status in ((417, 200) if not value else (417,))


def test_http_1_0_is_not_told_to_continue(broker, raw):
    connection = raw(broker)
    connection.send(pub(1, "t", [("Expect", "100-continue")]).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert statuses(connection)[0] == [200]


# -- upgrades


def test_frames_right_behind_the_upgrade_are_read(broker, raw):
    connection = raw(broker)
    sub = encode("json", {"op": "sub", "topics": ["behind"], "id": 1})
    connection.send(upgrade_request() + frame(TEXT, sub)
                    + frame(TEXT, encode("json", {"op": "pub", "topic": "behind", "data": 1})))
    assert connection.read_response().status == 101
    ops = []
    while len(ops) < 3:
        ops.append(json.loads(connection.read_message()[1])["op"])
    assert ops == ["welcome", "ok", "msg"]


def test_an_upgrade_on_a_kept_connection_works(broker, raw, topic):
    connection = raw(broker)
    for n in range(20):
        assert connection.ask(pub(n, topic)).status == 200
    connection.send(upgrade_request() + frame(TEXT, encode("json", {"op": "ping", "id": 9})))
    assert connection.read_response().status == 101
    assert b"welcome" in connection.read_message()[1]
    assert b'"id":9' in connection.read_message()[1]


def test_an_upgrade_may_not_overtake_answers(broker, raw, topic):
    connection = raw(broker)
    connection.send(pub(1, topic) + upgrade_request() + frame(TEXT, b"{}"))
    assert connection.read_response().status == 200
    refusal(connection.read_response(), 400)
    assert connection.read_to_end() == (b"", "eof")


def test_an_upgrade_that_comes_byte_by_byte_works(broker, raw):
    connection = raw(broker)
    connection.send_bytewise(upgrade_request()
                             + frame(TEXT, encode("json", {"op": "ping", "id": 9})))
    assert connection.read_response().status == 101
    assert b"welcome" in connection.read_message()[1]
    assert b'"id":9' in connection.read_message()[1]


def test_what_is_no_frame_behind_an_upgrade_is_not_taken_for_a_request(broker, raw):
    connection = raw(broker)
    connection.send(upgrade_request() + request("/healthz"))
    assert connection.read_response().status == 101
    while (got := connection.read_frame()).opcode != 8:
        pass
    assert close_code(got.payload) == 1002
    assert statuses(connection)[0] == []


def test_a_refused_upgrade_is_not_followed_by_frames(broker, raw):
    connection = raw(broker)
    connection.send(upgrade_request(sec_websocket_version="8") + frame(TEXT, b"{}"))
    got, _ = statuses(connection)
    assert got[0] in (400, 426) and len(got) <= 2


def test_many_connections_at_once_each_get_their_own_answers(broker):
    opened = [RawClient(broker.address) for _ in range(200)]
    for n, each in enumerate(opened):
        each.send(pub(n, f"own/{n}") + message(f"/v1/history?topic=own/{n}&last=1"))
    for n, each in enumerate(opened):
        published, history = each.read_response(), each.read_response()
        [found] = value_of(history)["messages"]
        assert found["data"] == n and found["pos"] == value_of(published)["pos"]
        each.close()
