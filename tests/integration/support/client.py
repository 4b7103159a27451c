"""Clients of the protocol, over the WebSocket implementation of Python's `websockets` (Sans-I/O).

One envelope in, one out, in either encoding, with a deadline on every wait. What came while a reply
was awaited stays in `inbox`, in order.
"""

import base64
import json
import socket
import time
from collections import deque

import msgpack
from websockets.client import ClientConnection
from websockets.connection import State
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from .raw import DEADLINE_S

SUBPROTOCOL = {"json": "fantail.v1.json", "msgpack": "fantail.v1.msgpack"}


class Closed(Exception):
    """The connection has ended, with this close code (1006: without a CLOSE frame)."""

    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def encode(encoding, envelope):
    """Encodes an envelope (or an array of them) as a message's payload."""
    if encoding == "json":
        return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    return msgpack.packb(envelope, use_bin_type=True)


def decode(encoding, payload):
    """Decodes a message's payload, strictly."""
    if encoding == "json":
        return json.loads(payload.decode("utf-8"), object_pairs_hook=_without_duplicates,
                          parse_constant=_refuse)
    return msgpack.unpackb(payload, raw=False, strict_map_key=True)


def _without_duplicates(pairs):
    keys = [k for k, _ in pairs]
    if "op" in keys:
        assert len(set(keys)) == len(keys), f"duplicate keys from the broker: {keys}"
    return dict(pairs)


def _refuse(text):
    raise AssertionError(f"{text} is not JSON")


class Client:
    """One connection. `encoding` None offers no subprotocol, which means JSON."""

    def __init__(self, address, encoding="json", path="/ws", subprotocols=None, welcome=True,
                 max_size=2**24, receive_buffer=None, token=None, headers=(), tls=None, source=None):
        self.encoding = encoding or "json"
        self.headers = [*headers, *([("Authorization", f"Bearer {token}")] if token else [])]
        if subprotocols is None and encoding:
            subprotocols = [SUBPROTOCOL[encoding]]
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        uri = parse_uri(f"ws://{host}:{address[1]}{path}")
        self.protocol = ClientConnection(uri, subprotocols=subprotocols, max_size=max_size)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE_S)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(tuple(address))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        self.inbox = deque()
        self.payloads = deque()
        self.pings = 0
        self._fragments = None
        self._last_id = 0
        self.response = self._handshake()
        if welcome:
            self.welcome = self.next()
            assert self.welcome["op"] == "welcome", self.welcome

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    # -- the wire

    def _handshake(self):
        request = self.protocol.connect()
        for name, value in self.headers:
            request.headers[name] = value
        self.protocol.send_request(request)
        self._flush()
        until = time.monotonic() + DEADLINE_S
        while self.protocol.state is State.CONNECTING and self.protocol.handshake_exc is None:
            self._receive(until)
        if self.protocol.handshake_exc is not None:
            raise self.protocol.handshake_exc
        return self._response

    def _flush(self):
        for data in self.protocol.data_to_send():
            if data:
                self.socket.sendall(data)

    def _receive(self, until):
        left = until - time.monotonic()
        if left <= 0:
            raise AssertionError("nothing came in time")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 18)
        except socket.timeout:
            raise AssertionError("nothing came in time") from None
        except ConnectionResetError:
            data = b""
        finally:
            self.socket.settimeout(DEADLINE_S)
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        try:
            self._flush()
        except (BrokenPipeError, ConnectionResetError):
            pass
        for event in self.protocol.events_received():
            self._take(event)
        if self.protocol.parser_exc is not None and not isinstance(
                self.protocol.parser_exc, EOFError):
            raise self.protocol.parser_exc

    def _take(self, event):
        if isinstance(event, Response):
            self._response = event
        elif event.opcode is Opcode.PING:
            self.pings += 1
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if event.opcode is not Opcode.CONT:
                self._fragments = (event.opcode, [])
            self._fragments[1].append(bytes(event.data))
            if event.fin:
                opcode, parts = self._fragments
                right = Opcode.TEXT if self.encoding == "json" else Opcode.BINARY
                assert opcode is right, f"{opcode} on a {self.encoding} connection"
                self.payloads.append(b"".join(parts))
                self.inbox.append(decode(self.encoding, self.payloads[-1]))

    def send(self, envelope):
        """Sends one envelope, or an array of them."""
        self.send_payload(encode(self.encoding, envelope))

    def send_payload(self, payload):
        """Sends a message as it is, as text or binary after the encoding."""
        if self.encoding == "json":
            self.protocol.send_text(payload)
        else:
            self.protocol.send_binary(payload)
        self._flush()

    # -- envelopes

    def _await_one(self, until, at):
        while len(self.inbox) <= at:
            if self.protocol.state is State.CLOSED:
                raise Closed(self.protocol.close_code, self.protocol.close_reason)
            self._receive(until)
        return self.inbox[at]

    def next(self, timeout=DEADLINE_S):
        """Returns the next envelope, whatever it is."""
        self._await_one(time.monotonic() + timeout, 0)
        self.payloads.popleft()
        return self.inbox.popleft()

    def next_payload(self, timeout=DEADLINE_S):
        """Returns the next envelope's bytes as they came."""
        self._await_one(time.monotonic() + timeout, 0)
        self.inbox.popleft()
        return self.payloads.popleft()

    def next_msg(self, timeout=DEADLINE_S):
        """Returns the next envelope, which must be a `msg`."""
        envelope = self.next(timeout)
        assert envelope["op"] == "msg", envelope
        return envelope

    def take_where(self, wanted, timeout=DEADLINE_S):
        """Waits for the first envelope that is `wanted` and takes it out; the others stay."""
        until, at = time.monotonic() + timeout, 0
        while True:
            envelope = self._await_one(until, at)
            if wanted(envelope):
                del self.inbox[at]
                del self.payloads[at]
                return envelope
            at += 1

    def request(self, envelope, timeout=DEADLINE_S):
        """Sends an envelope with an id of its own and returns the reply to it."""
        self._last_id += 1
        tag = f"request-{self._last_id}"
        self.send({**envelope, "id": tag})
        reply = self.take_where(lambda e: e.get("id") == tag, timeout)
        assert reply["op"] in ("ok", "error"), reply
        return reply

    def ok(self, envelope):
        """Sends a request that must succeed and returns its `ok`."""
        reply = self.request(envelope)
        assert reply["op"] == "ok", reply
        return reply

    def refused(self, envelope, code):
        """Sends a request that must fail with `code` and returns its message."""
        reply = self.request(envelope)
        assert (reply["op"], reply.get("code")) == ("error", code), reply
        assert isinstance(reply["message"], str) and reply["message"], reply
        return reply["message"]

    def error(self, code=400, timeout=DEADLINE_S):
        """Waits for an `error` without an id and returns its message."""
        envelope = self.take_where(lambda e: e["op"] == "error", timeout)
        assert "id" not in envelope, envelope
        assert envelope["code"] == code, envelope
        assert isinstance(envelope["message"], str) and envelope["message"], envelope
        return envelope["message"]

    def sub(self, *filters):
        return self.ok({"op": "sub", "topics": list(filters)})

    def unsub(self, *filters):
        return self.ok({"op": "unsub", "topics": list(filters)})

    def pub(self, topic, data=None, **more):
        """Publishes and returns the position."""
        return self.ok({"op": "pub", "topic": topic, "data": data, **more})["pos"]

    def msgs_until(self, topic, timeout=DEADLINE_S):
        """Returns the `msg` envelopes up to the one on `topic`, which is left out."""
        until, found = time.monotonic() + timeout, []
        while True:
            envelope = self.next_msg(max(until - time.monotonic(), 0.001))
            if envelope["topic"] == topic:
                return found
            found.append(envelope)

    def wait_pings(self, count):
        """Waits until so many pings have come, and nothing else."""
        until = time.monotonic() + DEADLINE_S
        while self.pings < count:
            self._receive(until)
            assert not self.inbox and self.protocol.state is State.OPEN

    # -- the end

    def close(self, code=1000, reason=""):
        """Closes from this side, with a handshake, and returns the broker's code."""
        self.protocol.send_close(code, reason)
        self._flush()
        return self.wait_closed()

    def wait_closed(self, timeout=DEADLINE_S):
        """Waits for the end of the connection and returns the code of the CLOSE frame."""
        until = time.monotonic() + timeout
        while self.protocol.state is not State.CLOSED:
            self._receive(until)
        return self.protocol.close_code


def everything_since(publisher, subscriber, end):
    """Returns what the subscriber (which has subscribed to `end`) got before a last publication.

    The way to say "and nothing else came": a publication accepted later is delivered later.
    """
    publisher.pub(end, "end")
    return subscriber.msgs_until(end)


def position(text):
    """Splits a position into its stream and its offset."""
    stream, _, offset = text.rpartition(".")
    assert stream and offset.isdecimal() and str(int(offset)) == offset, text
    return stream, int(offset)


def b64(data):
    """Encodes bytes as the protocol's `b64`."""
    return base64.b64encode(data).decode()
