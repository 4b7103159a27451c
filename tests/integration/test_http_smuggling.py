"""Requests that two readers could read in two ways: refused, with all that is behind them."""

import pytest

from support.api import statuses
from support.client import everything_since

INNER = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def post(*lines, body=INNER, first=b"POST /v1/topics/smuggled HTTP/1.1", host=b"Host: x"):
    """A request head, line by line as given, and what stands behind it."""
    return b"\r\n".join([first, *([host] if host else []), *lines, b"", b""]) + body


LENGTH = b"Content-Length: %d" % len(INNER)
SMUGGLED = {
    "length and chunked": post(LENGTH, b"Transfer-Encoding: chunked"),
    "chunked and length": post(b"Transfer-Encoding: chunked", LENGTH),
    "xchunked": post(LENGTH, b"Transfer-Encoding: xchunked"),
    "chunked twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "space before te colon": post(LENGTH, b"Transfer-Encoding : chunked"),
    "tab before te value": post(LENGTH, b"Transfer-Encoding:\tchunked"),
    "vt before te value": post(LENGTH, b"Transfer-Encoding: \x0bchunked"),
    "te folded": post(LENGTH, b"Transfer-Encoding:\r\n chunked"),
    "te behind bare lf": post(LENGTH, b"X: y\nTransfer-Encoding: chunked"),
    "te behind bare cr": post(LENGTH, b"X: y\rTransfer-Encoding: chunked"),
    "te behind space": post(LENGTH, b" Transfer-Encoding: chunked"),
    "te with nul": post(LENGTH, b"Transfer-Encoding\x00: chunked"),
    "two equal lengths": post(LENGTH, LENGTH),
    "two other lengths": post(b"Content-Length: 0", LENGTH),
    "a list of lengths": post(b"Content-Length: %d, %d" % (len(INNER), len(INNER))),
    "plus": post(b"Content-Length: +%d" % len(INNER)),
    "minus": post(b"Content-Length: -0"),
    "hexadecimal": post(b"Content-Length: 0x22"),
    "decimals": post(b"Content-Length: 34.0"),
    "letters behind": post(b"Content-Length: 34abc"),
    "inner space": post(b"Content-Length: 3 4"),
    "empty length": post(b"Content-Length: "),
    "too large for 64 bits": post(b"Content-Length: 18446744073709551650"),
    "underscore": post(b"Content-Length: 3_4"),
    "arabic digits": post("Content-Length: ٣٤".encode()),
    "space before length colon": post(b"Content-Length : 34"),
    "no colon": post(LENGTH, b"Garbage"),
    "no name": post(LENGTH, b": x"),
    "name with space": post(LENGTH, b"X Y: z"),
    "name with control": post(LENGTH, b"X\x01Y: z"),
    "name beyond ascii": post(LENGTH, b"X\xe9: z"),
    "name with parenthesis": post(LENGTH, b"X(Y): z"),
    "folded": post(LENGTH, b"X: y", b" z"),
    "folded by tab": post(LENGTH, b"X: y", b"\tz"),
    "fold at first": b"POST /v1/topics/s HTTP/1.1\r\n Host: x\r\n" + LENGTH + b"\r\n\r\n" + INNER,
    "value with nul": post(LENGTH, b"X: a\x00b"),
    "value with bare cr": post(LENGTH, b"X: a\rb"),
    "value with del": post(LENGTH, b"X: a\x7fb"),
    "bare lf line": b"POST /v1/topics/s HTTP/1.1\nHost: x\n" + LENGTH + b"\n\n" + INNER,
    "bare lf at the end": b"POST /v1/topics/s HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n\n" + INNER,
    "cr cr lf": b"POST /v1/topics/s HTTP/1.1\r\nHost: x\r\r\n" + LENGTH + b"\r\n\r\n" + INNER,
    "two hosts": post(LENGTH, b"Host: y"),
    "two equal hosts": post(LENGTH, b"Host: x"),
    "no host": post(LENGTH, host=None),
    "host with path": post(LENGTH, host=b"Host: x/y"),
    "host with user": post(LENGTH, host=b"Host: a@b"),
    "host with comma": post(LENGTH, host=b"Host: x, y"),
    "tab in the line": post(LENGTH, first=b"POST\t/v1/topics/s\tHTTP/1.1"),
    "two spaces in the line": post(LENGTH, first=b"POST  /v1/topics/s HTTP/1.1"),
    "space behind the version": post(LENGTH, first=b"POST /v1/topics/s HTTP/1.1 "),
    "space in the target": post(LENGTH, first=b"POST /v1/topics/s x HTTP/1.1"),
    "nul in the target": post(LENGTH, first=b"POST /v1/topics/s\x00 HTTP/1.1"),
    "beyond ascii in the target": post(LENGTH, first=b"POST /v1/topics/\xc3\xa9 HTTP/1.1"),
    "fragment in the target": post(LENGTH, first=b"POST /v1/topics/s#x HTTP/1.1"),
    "no slash in the target": post(LENGTH, first=b"POST v1/topics/s HTTP/1.1"),
    "version 1.2.3": post(LENGTH, first=b"POST /v1/topics/s HTTP/1.2.3"),
    "version 1.": post(LENGTH, first=b"POST /v1/topics/s HTTP/1."),
    "version in lower case": post(LENGTH, first=b"POST /v1/topics/s http/1.1"),
    "version 2.0": post(LENGTH, first=b"POST /v1/topics/s HTTP/2.0"),
    "version 0.9": b"GET /healthz\r\n" + INNER,
    "preface of http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "method with colon": post(LENGTH, first=b"PO:ST /v1/topics/s HTTP/1.1"),
    "space before the method": post(LENGTH, first=b" POST /v1/topics/s HTTP/1.1"),
    "hello of tls": b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03" + bytes(range(200)) + INNER,
    "connect": b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n" + INNER,
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_ends(broker, raw, connect,
                                                                           name):
    client = connect()
    client.sub("#")
    connection = raw(broker)
    connection.send(SMUGGLED[name] + INNER)
    got, _ = statuses(connection)
    assert len(got) <= 1 and all(400 <= s < 600 for s in got), got
    assert everything_since(connect(), client, "end/smuggled") == []


@pytest.mark.parametrize("first, status", [
    (b"GET http://x/healthz HTTP/1.1", 200), (b"GET http://other:80/healthz?x HTTP/1.1", 200),
    (b"GET http://x HTTP/1.1", 200), (b"GET ftp://x/healthz HTTP/1.1", 400),
    (b"GET // HTTP/1.1", 404), (b"GET * HTTP/1.1", 400), (b"GET ? HTTP/1.1", 400),
])
def test_an_absolute_target_is_answered_like_its_path_or_refused(broker, raw, first, status):
    connection = raw(broker)
    connection.send(post(b"Connection: close", first=first, body=b""))
    got, _ = statuses(connection)
    assert got in ([status], [400])


@pytest.mark.parametrize("line", [b"Content-Length: 0034", b"content-length:34",
                                  b"Content-Length: \t34\t ", b"X: a\tb", b"X: \xe9", b"X:",
                                  b"Connection: x,,y"])
def test_what_has_one_meaning_is_taken(broker, raw, line):
    connection = raw(broker)
    head = [line] if line.lower().startswith(b"content") else [LENGTH, line]
    connection.send(post(*head) + post(b"Connection: close", first=b"GET /healthz HTTP/1.1",
                                       body=b""))
    assert statuses(connection)[0] == [200, 200]
