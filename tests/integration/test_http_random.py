"""Requests that chance has changed: whatever comes, an answer or the end, and nobody else notices."""

import random
import socket

import pytest

from support.api import STATUS, message, pub, publish_message
from support.raw import RawClient, frame, request, upgrade_request

SEEDS = range(8)
ROUNDS = 300
NASTY = [b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\t", b"%", b"/", b"Content-Length: 5\r\n", b",",
         b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
         b"\xff", b"HTTP/1.1", b"Host: y\r\n", b"{", b"]", b'"', b"99999999999", b"-1", b"\x81\x85"]


def good_requests():
    return [pub(1), publish_message([{"topic": "t", "data": [n]} for n in range(5)]),
            publish_message({"topic": "t", "data": b"x"}, "msgpack"), request("/healthz", "HEAD"),
            message("/v1/topics/a%2Fb?retain=1&ttl=5&key=k", "POST", b"[1]"),
            message("/v1/history?topic=t&last=5"), message("/v1/events?topic=t&last=1"),
            message("/v1/unsubscribe", "POST", b'{"user":"a","topics":["b"]}',
                    [("Content-Type", "application/json")]),
            upgrade_request() + frame(1, b'{"op":"pub","topic":"t","data":1}'),
            request("/v1/publish", "OPTIONS", [("Origin", "http://127.0.0.1")])]


def changed(dice, data):
    """Changes a few places: bytes flipped, cut, doubled, or something nasty put in."""
    data = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(data) + 1)
        what = dice.randrange(4)
        if what == 0 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif what == 1:
            del data[at:at + dice.randrange(1, 20)]
        elif what == 2:
            data[at:at] = data[at:at + dice.randrange(1, 40)]
        else:
            data[at:at] = dice.choice(NASTY)
    return bytes(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_requests_are_answered_or_refused(broker, seed):
    dice = random.Random(seed)
    for _ in range(ROUNDS):
        sent = b"".join(changed(dice, dice.choice(good_requests())) if dice.random() < 0.7
                        else dice.choice(good_requests()) for _ in range(dice.randrange(1, 5)))
        with RawClient(broker.address) as connection:
            try:
                for at in range(0, len(sent), size := dice.randrange(1, 400)):
                    connection.socket.sendall(sent[at:at + size])
                connection.half_close()
                data, _ = connection.read_to_end()
            except socket.timeout:
                raise AssertionError(f"not read: {sent!r}") from None
            except OSError:
                continue  # it was reset, which is an end
            assert not data or STATUS.match(data), (sent, data[:100])
            assert b"500 " not in data[:40], (sent, data)
    with RawClient(broker.address) as connection:
        assert connection.ask(request("/healthz")).status == 200
