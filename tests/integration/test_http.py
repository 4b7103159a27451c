"""Plain HTTP: /healthz, refusals, keep-alive, and requests that are wrong, slow or endless."""

import json
import select
import time

import pytest

from support.raw import Gone, assert_refused, request

PATIENCE_S = 30  # a broker that lets a silent sender stay longer than this invites slow attacks


def test_healthz_says_that_the_broker_is_alive(broker, raw):
    response = raw(broker).ask(request("/healthz"))
    assert response.status == 200
    assert response.headers["content-type"].split(";")[0] == "application/json"
    assert isinstance(json.loads(response.body), dict)


def test_healthz_ignores_a_query(broker, raw):
    assert raw(broker).ask(request("/healthz?full=1")).status == 200


def test_head_of_healthz_has_the_headers_and_no_body(broker, raw):
    connection = raw(broker)
    full = connection.ask(request("/healthz"))
    head = raw(broker).ask(request("/healthz", "HEAD"), head=True)
    assert head.status == 200
    assert head.headers["content-type"] == full.headers["content-type"]
    assert head.headers["content-length"] == str(len(full.body))


def test_a_head_leaves_no_body_before_the_next_response(broker, raw):
    connection = raw(broker)
    connection.ask(request("/healthz", "HEAD"), head=True)
    assert connection.ask(request("/healthz")).status == 200


def test_a_connection_can_be_used_again(broker, raw):
    connection = raw(broker)
    answers = {connection.ask(request("/healthz")).body for _ in range(20)}
    assert len(answers) == 1


def test_pipelined_requests_are_answered_in_order(broker, raw):
    connection = raw(broker)
    connection.send(request("/healthz") + request("/nothing") + request("/healthz"))
    assert [connection.read_response().status for _ in range(3)] == [200, 404, 200]


def test_many_pipelined_requests_are_all_answered(broker, raw):
    connection = raw(broker)
    connection.send(request("/healthz") * 100)
    assert [connection.read_response().status for _ in range(100)] == [200] * 100


def test_connection_close_is_obeyed(broker, raw):
    connection = raw(broker)
    assert connection.ask(request("/healthz", headers=[("Connection", "close")])).status == 200
    connection.wait_gone()


def test_http_1_0_gets_an_answer_and_the_end(broker, raw):
    connection = raw(broker)
    connection.send(b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n")
    data, how = connection.read_to_end()
    assert data.split(b"\r\n")[0].split(b" ")[1] == b"200" and how == "eof"


@pytest.mark.parametrize("path", ["/nothing", "/healthz/", "/healthzz", "/../etc/passwd", "//",
                                  "/%2e%2e/%2e%2e/etc/passwd", "/v9/publish"])
def test_an_unknown_path_is_a_404(broker, raw, path):
    assert_refused(raw(broker).ask(request(path)), 404, 400)


def test_the_message_of_a_404_names_the_path(broker, raw):
    assert "/no-such-place" in assert_refused(raw(broker).ask(request("/no-such-place")), 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_method_that_is_not_for_the_path_is_a_405(broker, raw, method):
    response = raw(broker).ask(request("/healthz", method, [("Content-Length", "0")]))
    assert_refused(response, 405)
    assert "GET" in response.headers["allow"]


@pytest.mark.parametrize("method", ["BREW", "G\x01T"])
def test_an_unknown_method_is_refused(broker, raw, method):
    connection = raw(broker)
    try:
        assert 400 <= connection.ask(request("/healthz", method)).status <= 505
    except Gone:
        pass  # what is not HTTP may be hung up on
    assert raw(broker).ask(request("/healthz")).status == 200


def test_a_body_with_a_length_does_not_confuse_the_next_request(broker, raw):
    connection = raw(broker)
    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    sent = request("/healthz", "POST", [("Content-Length", str(len(body)))], body)
    connection.send(sent + request("/healthz"))
    assert connection.read_response().status == 405
    try:
        assert connection.read_response().status == 200  # not the 404 of what the body says
    except Gone:
        pass  # the broker need not read a body that it refused: then the connection ends


def test_a_chunked_body_is_a_411(broker, raw):
    sent = request("/healthz", "POST", [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n")
    assert_refused(raw(broker).ask(sent), 411)


@pytest.mark.parametrize("length", ["-1", "x", "99999999999999999999"])
def test_an_impossible_content_length_is_refused(broker, raw, length):
    connection = raw(broker)
    try:
        response = connection.ask(request("/healthz", "POST", [("Content-Length", length)]))
        assert 400 <= response.status < 500
    except Gone:
        pass
    assert raw(broker).ask(request("/healthz")).status == 200


@pytest.mark.parametrize("size", [8192, 65536, 1 << 20])
def test_an_over_long_request_line_is_refused(broker, raw, size):
    connection = raw(broker)
    try:
        connection.send(request("/" + "x" * size))
        response = connection.read_response()
        assert response.status in (400, 404, 413, 414, 431)
    except Gone:
        pass  # hung up on before the line was at its end
    assert raw(broker).ask(request("/healthz")).status == 200


def test_thousands_of_headers_are_refused_or_ignored(broker, raw):
    connection = raw(broker)
    headers = [(f"X-{i}", "y") for i in range(5000)]
    try:
        connection.send(request("/healthz", headers=headers))
        assert connection.read_response().status in (200, 400, 413, 431)
    except Gone:
        pass
    assert raw(broker).ask(request("/healthz")).status == 200


@pytest.mark.parametrize("junk", [
    b"\x00\x01\x02\x03\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"\r\n\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET /healthz\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xff" * 4096,
    b"GET /healthz%00 HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/1.1\nHost: x\n\n",
], ids=["binary", "tls", "blank", "no path", "no version", "http 9", "http 2", "ff", "nul",
        "bare lf"])
def test_junk_harms_nobody(broker, raw, junk):
    connection = raw(broker)
    try:
        connection.send(junk)
        connection.half_close()
        connection.wait_gone(PATIENCE_S)
    except (Gone, OSError):
        pass
    assert raw(broker).ask(request("/healthz")).status == 200


@pytest.mark.parametrize("begin", [b"", b"GET /he", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A"],
                         ids=["nothing", "half a line", "half a header"])
def test_a_sender_that_falls_silent_in_its_request_is_let_go(start, raw, begin):
    broker = start(settings={"http.header_timeout": 1})
    connection = raw(broker)
    connection.send(begin)
    connection.wait_gone(6)
    assert raw(broker).ask(request("/healthz")).status == 200


def test_a_sender_that_drips_its_request_is_let_go_too(start, raw):
    broker = start(settings={"http.header_timeout": 1})
    connection = raw(broker)
    connection.send(b"GET /healthz HTTP/1.1\r\nX-Drip: ")
    began = time.monotonic()
    with pytest.raises(Gone):
        while time.monotonic() - began < 6:
            connection.send(b"x")
            select.select([], [], [], 0.1)  # the drip: slower than the header may take


def test_a_client_that_leaves_in_the_middle_of_a_request_harms_nobody(broker, raw):
    for begin in (b"G", b"GET /ws HTTP/1.1\r\n", request("/healthz")[:-1]):
        connection = raw(broker)
        connection.send(begin)
        connection.reset()
    assert raw(broker).ask(request("/healthz")).status == 200


def test_who_sends_one_body_after_the_other_has_time_for_each(start, raw):
    connection = raw(start(settings={"http.body_timeout": 1}))
    body = b'{"topic":"a","data":1}'
    sent = request("/v1/publish", "POST", [("Content-Type", "application/json"),
                                           ("Content-Length", len(body))], body)
    begin, end = sent[:-5], sent[-5:]
    connection.send(begin)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:  # there is always half a body on its way
        connection.send(end + begin)
        assert connection.read_response().status == 200
