"""A ledger of who published what and who got it: what was lost, doubled or out of order.

Many raw connections in one thread, without blocking: publishers send as fast as their sockets take,
subscribers are read as fast as they deliver. Feeds are counted while they are read.
"""

import itertools
import json
import random
import selectors
import struct
import time

import msgpack

from .client import SUBPROTOCOL, encode
from .raw import BINARY, CLOSE, TEXT, RawClient, close_code, frame, upgrade_request

MASK = b"\x11\x22\x33\x44"


class Feed:
    """One subscriber: reads frames without blocking and keeps its own account."""

    def __init__(self, address, encoding, filters):
        self.encoding = encoding
        self.raw = RawClient(address)
        self.raw.upgrade(SUBPROTOCOL[encoding])
        self.raw.read_message()
        opcode = TEXT if encoding == "json" else BINARY
        self.raw.send_frame(opcode, encode(encoding, {"op": "sub", "topics": filters, "id": 1}))
        assert b"ok" in self.raw.read_message()[1]
        self.raw.socket.setblocking(False)
        self.counts = {}
        self.orders = {}
        self.faults = []
        self.received = 0
        self.last_offset = None

    def read(self):
        """Takes in what has come."""
        try:
            data = self.raw.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.faults.append("the connection ended")
            raise AssertionError(self.faults[-1])
        buffer = self.raw.buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 2:
            n, head = buffer[at + 1], 2
            if n == 126:
                if len(buffer) - at < 4:
                    break
                n, head = struct.unpack_from("!H", buffer, at + 2)[0], 4
            elif n == 127:
                if len(buffer) - at < 10:
                    break
                n, head = struct.unpack_from("!Q", buffer, at + 2)[0], 10
            if len(buffer) - at < head + n:
                break
            self._take(buffer[at] & 0xF, bytes(buffer[at + head:at + head + n]))
            at += head + n
        del buffer[:at]

    def _take(self, opcode, payload):
        if opcode == CLOSE:
            raise AssertionError(f"closed with {close_code(payload)} {payload[2:]}")
        if opcode not in (TEXT, BINARY):
            return
        message = json.loads(payload) if self.encoding == "json" else msgpack.unpackb(payload)
        who, seq, *_ = message["data"]
        due = self.counts.get(who, 0)
        if seq != due:
            kind = "lost" if seq > due else "doubled or reordered"
            self.faults.append(f"{kind}: {who} {seq} when {due} was due")
        self.counts[who] = seq + 1
        self.received += 1
        offset = int(message["pos"].rpartition(".")[2])
        if self.last_offset is not None and offset <= self.last_offset:
            self.faults.append(f"position {offset} after {self.last_offset}")
        self.last_offset = offset
        self.orders.setdefault(message["topic"], []).append(offset)


class Publisher:
    """One publisher: `count` publications [who, seq, …] on its topics, in turn, pipelined."""

    def __init__(self, address, encoding, who, topics, count, padding=0):
        self.raw = RawClient(address)
        self.raw.upgrade(SUBPROTOCOL[encoding])
        self.raw.read_message()
        opcode = TEXT if encoding == "json" else BINARY
        names = itertools.cycle(topics)
        envelopes = ({"op": "pub", "topic": next(names), "data": [who, n, "p" * padding]}
                     for n in range(count))
        self.unsent = memoryview(b"".join(
            frame(opcode, encode(encoding, e), mask=MASK) for e in envelopes))
        self.raw.socket.setblocking(False)

    def write(self):
        """Sends what the socket takes; says whether anything is left."""
        try:
            self.unsent = self.unsent[self.raw.socket.send(self.unsent[:1 << 16]):]
        except BlockingIOError:
            pass
        return bool(self.unsent)


class Churn:
    """Clients that come, subscribe, publish elsewhere and go in every way there is."""

    def __init__(self, address, seed):
        self.address = address
        self.random = random.Random(seed)
        self.held = []
        self.came = 0

    def turn(self):
        """Lets one client come, or one go."""
        if len(self.held) < 10 or self.random.random() < 0.4:
            self.held.append(self._come())
            self.came += 1
            return
        leaving = self.held.pop(self.random.randrange(len(self.held)))
        way = self.random.randrange(3)
        if way == 0:
            leaving.reset()
        elif way == 1:
            leaving.send(frame(CLOSE, struct.pack("!H", 1000)))
            leaving.close()
        else:
            leaving.close()

    def _come(self):
        client = RawClient(self.address)
        kind = self.random.choice(["json", "msgpack"])
        opcode = TEXT if kind == "json" else BINARY
        data = upgrade_request(Sec_WebSocket_Protocol=SUBPROTOCOL[kind])
        for envelope in ({"op": "sub", "topics": ["load/#", f"churn/{self.came}"]},
                         {"op": "pub", "topic": f"churn/{self.came}", "data": self.came}):
            data += frame(opcode, encode(kind, envelope))
        client.send(data[:self.random.randrange(1, len(data))]
                    if self.random.random() < 0.2 else data)
        return client

    def end(self):
        for each in self.held:
            each.reset()


def run(feeds, publishers, expected, deadline_s, churn=None):
    """Lets all of them work until every feed has `expected` publications, then reports faults."""
    selector = selectors.DefaultSelector()
    for each in feeds:
        selector.register(each.raw.socket, selectors.EVENT_READ, each)
    for each in publishers:
        selector.register(each.raw.socket, selectors.EVENT_WRITE, each)
    end = time.monotonic() + deadline_s
    waiting = set(feeds)
    while waiting:
        assert time.monotonic() < end, (
            f"{sum(f.received for f in feeds)} of {expected * len(feeds)} deliveries in"
            f" {deadline_s} s, {sum(len(p.unsent) for p in publishers)} bytes unsent")
        for key, _ in selector.select(1):
            if isinstance(key.data, Publisher):
                if not key.data.write():
                    selector.unregister(key.fileobj)
            else:
                key.data.read()
                if key.data.received >= expected:
                    waiting.discard(key.data)
            if churn:
                churn.turn()
    selector.close()
    return faults(feeds, expected)


def faults(feeds, expected):
    """Returns what the feeds found wrong, alone and compared with each other."""
    found = [fault for feed in feeds for fault in feed.faults]
    found += [f"{feed.received} instead of {expected}" for feed in feeds
              if feed.received != expected]
    for feed in feeds[1:]:
        if feed.orders != feeds[0].orders:
            found.append("two subscribers saw the topics in different orders")
    return found
