"""Bytes on a socket: HTTP requests and WebSocket frames built by hand, so as to be wrong."""

import base64
import hashlib
import json
import os
import socket
import struct
import time
from collections import namedtuple

DEADLINE_S = 15  # for any one answer; two busy cores under AddressSanitizer need 1
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

Response = namedtuple("Response", "status reason headers body")
Frame = namedtuple("Frame", "fin rsv opcode payload")


class Gone(Exception):
    """The peer ended the connection: `how` is "eof" or "reset"."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


def mask_bytes(payload, mask):
    """XORs a payload with its mask."""
    if not payload:
        return b""
    n = len(payload)
    key = (mask * (n // 4 + 1))[:n]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(n, "big")


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, mask=None, length=None):
    """Builds one frame. `length`: 7, 16 or 64 forces that form; an int above claims that much."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    n = len(payload)
    if length == 64 or (length is None and n > 0xFFFF):
        head += bytes([bit | 127]) + struct.pack("!Q", n)
    elif length == 16 or (length is None and n > 125):
        head += bytes([bit | 126]) + struct.pack("!H", n)
    else:
        head += bytes([bit | n])
    if not masked:
        return head + payload
    mask = os.urandom(4) if mask is None else mask
    return head + mask + mask_bytes(payload, mask)


def close_payload(code, reason=b""):
    """Builds the payload of a CLOSE frame."""
    return struct.pack("!H", code) + reason


def close_code(payload):
    """Reads the code of a CLOSE frame; 1005 where it has none."""
    return struct.unpack("!H", payload[:2])[0] if payload else 1005


def upgrade_request(path="/ws", method="GET", version="HTTP/1.1", drop=(), extra=(), **headers):
    """Builds an upgrade. Keywords replace headers (sec_websocket_key=…), `drop` leaves some out."""
    fields = {
        "Host": "broker.example",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    for name, value in headers.items():
        match = [n for n in fields if n.lower() == name.replace("_", "-").lower()]
        fields[match[0] if match else name.replace("_", "-")] = value
    lines = [f"{method} {path} {version}"]
    lines += [f"{n}: {v}" for n, v in fields.items() if n not in drop]
    lines += [f"{n}: {v}" for n, v in extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def request(path="/healthz", method="GET", headers=(), body=b"", version="HTTP/1.1"):
    """Builds a plain HTTP request with a Host."""
    lines = [f"{method} {path} {version}", "Host: broker.example"]
    lines += [f"{n}: {v}" for n, v in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def assert_refused(response, *statuses):
    """A refusal is an HTTP answer with a JSON body that repeats the status."""
    assert response.status in statuses, response
    assert response.headers["content-type"].split(";")[0] == "application/json", response
    error = json.loads(response.body)["error"]
    assert error["code"] == response.status
    assert isinstance(error["message"], str) and error["message"]
    return error["message"]


class RawClient:
    """A TCP connection with a deadline on everything, and buffered reading.

    `tls`: a context of the ssl module. `source`: a loopback address to come from.
    """

    def __init__(self, address, receive_buffer=None, deadline=DEADLINE_S, tls=None, source=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.deadline = deadline
        self.socket.settimeout(deadline)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(tuple(address))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- bytes

    def send(self, data):
        """Sends all of it, or says that the peer is gone."""
        try:
            self.socket.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            raise Gone("reset") from None

    def send_bytewise(self, data):
        """Sends each byte as a segment of its own."""
        for i in range(len(data)):
            self.send(data[i:i + 1])

    def _fill(self, until):
        left = until - time.monotonic()
        if left <= 0:
            raise AssertionError("nothing came in time")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(65536)
        except socket.timeout:
            raise AssertionError(f"nothing came in {self.deadline} s") from None
        except ConnectionResetError:
            raise Gone("reset") from None
        finally:
            self.socket.settimeout(self.deadline)
        if not data:
            raise Gone("eof")
        self.buffer += data

    def read(self, n, timeout=None):
        """Returns exactly `n` bytes."""
        until = time.monotonic() + (timeout or self.deadline)
        while len(self.buffer) < n:
            self._fill(until)
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def read_until(self, mark):
        """Returns the bytes up to and with `mark`."""
        until = time.monotonic() + self.deadline
        while mark not in self.buffer:
            self._fill(until)
        return self.read(self.buffer.index(mark) + len(mark))

    def read_to_end(self, timeout=None):
        """Returns whatever still comes before the peer ends the connection, and how it ended."""
        until = time.monotonic() + (timeout or self.deadline)
        while True:
            try:
                self._fill(until)
            except Gone as gone:
                data = bytes(self.buffer)
                self.buffer.clear()
                return data, gone.how

    def wait_gone(self, timeout=None):
        """Waits until the peer has ended the connection; what came before is dropped."""
        self.read_to_end(timeout)

    def half_close(self):
        """Says that nothing more will be sent, and goes on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Ends the connection with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    # -- HTTP

    def read_response(self, head=False):
        """Reads one HTTP response with its body by Content-Length (or to the end without)."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, reason = (lines[0] + " ").split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        headers = {}
        for line in filter(None, lines[1:]):
            name, value = line.split(":", 1)
            name, value = name.lower(), value.strip()
            assert name not in headers or name == "vary", f"doubled header {name}"
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        status = int(status)
        if head or status in (100, 101, 204, 304):
            body = b""
        elif "content-length" in headers:
            body = self.read(int(headers["content-length"]))
        else:
            body = self.read_to_end()[0]
        return Response(status, reason.strip(), headers, body)

    def ask(self, data, head=False):
        """Sends a request and reads its response."""
        self.send(data)
        return self.read_response(head)

    def upgrade(self, protocol=None, path="/ws"):
        """Upgrades to WebSocket, checks the handshake, returns the response."""
        key = base64.b64encode(os.urandom(16))
        fields = {"sec_websocket_key": key.decode()}
        if protocol:
            fields["Sec_WebSocket_Protocol"] = protocol
        response = self.ask(upgrade_request(path, **fields))
        assert response.status == 101, response
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        assert response.headers["sec-websocket-accept"] == accept
        return response

    # -- frames

    def send_frame(self, *args, **kwargs):
        self.send(frame(*args, **kwargs))

    def read_frame(self, timeout=None):
        """Reads one frame and checks what every frame of a server must hold to."""
        first, second = self.read(2, timeout)
        assert not second & 0x80, "a server's frame is masked"
        n = second & 0x7F
        if n == 126:
            n = struct.unpack("!H", self.read(2))[0]
            assert n > 125, "a length that is not in its shortest form"
        elif n == 127:
            n = struct.unpack("!Q", self.read(8))[0]
            assert n > 0xFFFF, "a length that is not in its shortest form"
        got = Frame(bool(first & 0x80), first >> 4 & 7, first & 0xF, self.read(n))
        if got.opcode >= CLOSE:
            assert got.fin and n <= 125, f"a control frame that may not be: {got}"
        return got

    def read_message(self, timeout=None):
        """Reads the next data message, skipping control frames; returns opcode and payload."""
        until = time.monotonic() + (timeout or self.deadline)
        opcode, payload = None, b""
        while True:
            got = self.read_frame(max(until - time.monotonic(), 0.001))
            if got.opcode in (PING, PONG):
                continue
            assert got.opcode != CLOSE, f"closed with {close_code(got.payload)} {got.payload[2:]}"
            assert got.rsv == 0, got
            if opcode is None:
                assert got.opcode in (TEXT, BINARY), got
                opcode = got.opcode
            else:
                assert got.opcode == CONTINUATION, got
            payload += got.payload
            if got.fin:
                return opcode, payload

    def read_close(self, timeout=None):
        """Skips what comes before the CLOSE frame and returns its code and reason."""
        until = time.monotonic() + (timeout or self.deadline)
        while True:
            try:
                got = self.read_frame(max(until - time.monotonic(), 0.001))
            except Gone as gone:
                raise AssertionError(f"{gone.how} without a CLOSE frame") from None
            if got.opcode == CLOSE:
                reason = got.payload[2:].decode("utf-8")
                return close_code(got.payload), reason
