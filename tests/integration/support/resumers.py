"""Publishers that never rest, subscribers that drop and resume, and the ledger of what became of it.

All of them are raw sockets in one thread, without blocking. A subscriber keeps what the protocol
asks it to keep, the greatest position it has seen, and nothing else. The ledger knows from the
publishers' `ok`s what stands at each offset, so at the end it can tell for each subscriber what was
lost, doubled, reordered or leaked; what a `gap` or `recovered: false` admitted is not lost.
"""

import errno
import json
import selectors
import socket
import struct
import time
from collections import Counter

import msgpack

from .client import SUBPROTOCOL, encode
from .positions import Kept
from .raw import BINARY, CLOSE, PING, PONG, TEXT, close_code, frame, upgrade_request

MASK = b"\x11\x22\x33\x44"
BATCH = 20  # publications in one message
IN_FLIGHT = 15  # messages of a publisher without an answer
PACE_S = 0.002  # of the loop when nothing comes
END_S = 60  # for everybody to get the rest, when the publishers have stopped


class Wire:
    """One non-blocking WebSocket connection; what is said before the upgrade waits for it."""

    def __init__(self, address, encoding, receive_buffer=None):
        self.encoding = encoding
        self.opcode = TEXT if encoding == "json" else BINARY
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setblocking(False)
        code = self.socket.connect_ex(address)
        assert code in (0, errno.EINPROGRESS), code
        self.unsent = bytearray(upgrade_request(Sec_WebSocket_Protocol=SUBPROTOCOL[encoding]))
        self.waiting = bytearray()
        self.buffer = bytearray()
        self.is_upgraded = False

    def say(self, envelope):
        data = frame(self.opcode, encode(self.encoding, envelope), mask=MASK)
        if self.is_upgraded:
            self.unsent += data
        else:
            self.waiting += data

    def write(self):
        """Sends what the socket takes."""
        try:
            del self.unsent[:self.socket.send(self.unsent)]
        except BlockingIOError:
            pass

    def read(self):
        """Yields the envelopes that have come whole, and decodes those that are asked for."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        assert data, "the broker ended the connection"
        self.buffer += data
        if not self.is_upgraded:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self.buffer.startswith(b"HTTP/1.1 101"), bytes(self.buffer[:end])
            del self.buffer[:end + 4]
            self.is_upgraded = True
            self.unsent += self.waiting
        yield from self._envelopes()

    def _envelopes(self):
        buffer, at = self.buffer, 0
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
            payload = bytes(buffer[at + head:at + head + n])
            opcode = buffer[at] & 0xF
            assert opcode != CLOSE, f"closed with {close_code(payload)} {payload[2:]}"
            at += head + n
            if opcode == self.opcode:
                yield (json.loads(payload.decode()) if self.encoding == "json"
                       else msgpack.unpackb(payload))
            elif opcode == PING:
                self.unsent += frame(PONG, payload, mask=MASK)
        del buffer[:at]

    def drop(self, with_reset):
        """Ends the connection without a word: as a crash does, or as a lost network."""
        if with_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Publisher:
    """Publishes [who, seq, padding] to its topics in turn, as fast as it is answered.

    It waits only while the last of the subscribers is too far behind: they are slower than a broker.
    """

    def __init__(self, ledger, who, encoding, topics, padding):
        self.ledger, self.who, self.topics = ledger, who, topics
        self.wire = Wire(ledger.address, encoding)
        self.padding = "p" * padding
        self.sent = self.answered = 0
        self.is_stopped = False

    def wants(self):
        """What to wait for."""
        self._fill()
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.wire.unsent else 0)

    def _fill(self):
        while (self.sent - self.answered < IN_FLIGHT * BATCH and not self.is_stopped
               and not self.ledger.is_far_ahead):
            self.wire.say([{"op": "pub", "id": n, "topic": self.topics[n % len(self.topics)],
                            "data": [self.who, n, self.padding]}
                           for n in range(self.sent, self.sent + BATCH)])
            self.sent += BATCH

    def work(self):
        """Sends and takes in what there is."""
        if self.wire.unsent:
            self.wire.write()
        for reply in self.wire.read():
            if reply["op"] == "welcome":
                continue
            assert (reply["op"], reply.get("id")) == ("ok", self.answered), reply
            self.ledger.note(reply["pos"], self.who, self.answered,
                             self.topics[self.answered % len(self.topics)])
            self.answered += 1

    @property
    def is_done(self):
        return self.is_stopped and self.answered == self.sent


class Subscriber:
    """Follows its filters over one connection after the other.

    `haste` is how many publications it takes, about, before it drops; a `lazy` one stops reading now
    and then, for as long as the ledger's loop makes some hundred turns.
    """

    def __init__(self, ledger, encoding, filters, haste, lazy=False):
        self.ledger, self.random = ledger, ledger.random
        self.encoding, self.filters, self.haste, self.lazy = encoding, filters, haste, lazy
        self.kept = Kept()
        self.first = None  # the offset after which its account begins
        self.offsets = []  # of all that it got, in the order in which it came
        self.wrong = []
        self.admitted = []  # (after, upto, lost): what the broker said it could not deliver
        self.resumes = self.gaps = self.unrecovered = 0
        self.pause = 0
        self.is_settling = False
        self.settled = False
        self._connect()

    def _connect(self):
        self.wire = Wire(self.ledger.address, self.encoding, 4096 if self.lazy else None)
        request = {"op": "sub", "id": "sub", "topics": self.filters}
        if self.kept.offsets:
            request["since"] = self.kept.since
            self.resumes += 1
        self.wire.say(request)
        self._begin()

    def _begin(self):
        self.is_subscribed = False
        self.floor = -1  # on this connection nothing comes any more from here and before
        self.left = int(self.random.expovariate(1 / self.haste))
        if self.random.random() < 0.1:  # some do not even wait for their ok, or for a whole one
            self.left = -self.random.randrange(1, len(self.wire.waiting))

    @property
    def reached(self):
        """The offset up to which it has got everything."""
        return self._last() if self.kept.offsets else 0

    def wants(self):
        if self.pause > 0 and not self.is_settling:
            self.pause -= 1
            return selectors.EVENT_WRITE if self.wire.unsent else 0
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.wire.unsent else 0)

    def settle(self):
        """From now on it stays, and asks for the end."""
        self.is_settling = True
        self.wire.say({"op": "ping", "id": "end"})

    def work(self):
        """Sends and takes in what there is, and drops when it is time."""
        if not self.is_settling and self.left < 0 and self.wire.is_upgraded:
            del self.wire.unsent[-self.left:]
            self.wire.write()
            self._again()
            return
        if self.wire.unsent:
            self.wire.write()
        for envelope in self.wire.read():
            self._take(envelope)
            if not self.is_settling and self.left <= 0 and self.is_subscribed:
                self._again()  # what came behind it is as good as lost on the way
                return
        if self.lazy and self.random.random() < 0.05:
            self.pause = self.random.randrange(200)

    def _again(self):
        self.ledger.forget(self.wire)
        self.wire.drop(self.random.random() < 0.5)
        self._connect()
        self.ledger.watch(self.wire, self)

    def _take(self, envelope):
        op = envelope["op"]
        if op == "msg":
            self._take_msg(envelope)
        elif op == "gap":
            self.gaps += 1
            self._admit(envelope)
        elif op == "ok" and envelope.get("id") == "sub":
            self._take_ok(envelope)
        elif op == "ok" and envelope.get("id") == "end":
            self.settled = True
        elif op != "welcome":
            self.wrong.append(f"unexpected {envelope}")

    def _take_ok(self, envelope):
        self.is_subscribed = True
        self.floor = int(envelope["pos"][0].rpartition(".")[2])
        if not self.kept.offsets:
            self.kept.see(envelope)
            self.first = self._last()
        elif envelope["recovered"] is not True:
            self.unrecovered += 1
            self._admit(envelope)
        elif self.kept.since != envelope["pos"]:
            self.wrong.append(f"since {self.kept.since}, recovered from {envelope['pos']}")

    def _admit(self, envelope):
        before = self._last()
        self.kept.see(envelope)
        self.floor = self._last()
        self.admitted.append((before, self.floor, envelope.get("lost")))

    def _last(self):
        [offset] = self.kept.offsets.values()
        return offset

    def _take_msg(self, envelope):
        stream, _, text = envelope["pos"].rpartition(".")
        offset = int(text)
        if not self.is_subscribed or stream not in self.kept.offsets:
            self.wrong.append(f"{envelope['pos']} before the ok")
        if offset <= self.floor:
            self.wrong.append(f"{offset} after {self.floor}")
        self.floor = offset
        self.offsets.append(offset)
        self.kept.offsets[stream] = max(offset, self.kept.offsets.get(stream, 0))
        self.ledger.compare(offset, envelope)
        self.left -= 1


class Ledger:
    """Runs them all and keeps the accounts. `lead` is how many publications may be ahead of the last
    subscriber."""

    def __init__(self, address, random, lead):
        self.address, self.random = address, random
        self.entries = {}  # offset: (who, seq, topic), as the publishers were told
        self.seen = {}  # offset: the same, as subscribers got it
        self.wrong = []
        self.selector = selectors.DefaultSelector()
        self.owners = {}
        self.lead = lead
        self.is_far_ahead = False

    def note(self, pos, who, seq, topic):
        offset = int(pos.rpartition(".")[2])
        if offset in self.entries:
            self.wrong.append(f"{pos} was given twice")
        self.entries[offset] = (who, seq, topic)

    def compare(self, offset, envelope):
        """Every subscriber must get the same at an offset; the publisher's word comes at the end."""
        who, seq, _ = envelope["data"]
        entry = (who, seq, envelope["topic"])
        if self.seen.setdefault(offset, entry) != entry:
            self.wrong.append(f"{offset} was {self.seen[offset]} and {entry}")

    def watch(self, wire, owner):
        self.owners[wire] = owner
        self.selector.register(wire.socket, owner.wants() or selectors.EVENT_READ, wire)

    def forget(self, wire):
        del self.owners[wire]
        if wire.socket in self.selector.get_map():
            self.selector.unregister(wire.socket)

    def _turn(self):
        for wire, owner in list(self.owners.items()):
            wanted = owner.wants()
            key = self.selector.get_map().get(wire.socket)
            if not wanted and key:
                self.selector.unregister(wire.socket)
            elif wanted and not key:
                self.selector.register(wire.socket, wanted, wire)
            elif wanted and key.events != wanted:
                self.selector.modify(wire.socket, wanted, wire)
        for key, _ in self.selector.select(PACE_S):
            if key.data in self.owners:
                self.owners[key.data].work()

    def run(self, publishers, subscribers, resumes, deadline_s):
        """Lets them work until there were that many resumes, then until all have got the rest."""
        for each in publishers + subscribers:
            self.watch(each.wire, each)
        end = time.monotonic() + deadline_s
        while sum(s.resumes for s in subscribers) < resumes:
            assert time.monotonic() < end, f"{sum(s.resumes for s in subscribers)} resumes only"
            behind = min(s.reached for s in subscribers)
            self.is_far_ahead = len(self.entries) - behind > self.lead
            self._turn()
        for each in publishers:
            each.is_stopped = True
        end = time.monotonic() + END_S
        while not all(p.is_done for p in publishers):
            assert time.monotonic() < end, "publications without an answer"
            self._turn()
        for each in subscribers:
            each.settle()
        while not all(s.settled and self._has_all(s) for s in subscribers):
            assert time.monotonic() < end, "; ".join(
                f"{s.filters} has {len(s.offsets)}, stands at {s.kept.since}, of {max(self.entries)}"
                for s in subscribers if not (s.settled and self._has_all(s)))
            self._turn()

    def _has_all(self, subscriber):
        return subscriber._last() >= self._latest(tuple(subscriber.filters))

    def _latest(self, filters):
        """The offset of the last publication that matches; the publishers have stopped."""
        self._latests = getattr(self, "_latests", {})
        if filters not in self._latests:
            self._latests[filters] = max(
                (o for o, (_, _, topic) in self.entries.items() if matches(filters, topic)),
                default=0)
        return self._latests[filters]

    def account(self, subscribers):
        """Returns the sum of what went wrong, and examples."""
        sums, examples = Counter(), list(self.wrong[:5])
        sums["wrong"] = len(self.wrong)
        orders = {}
        for offset in sorted(self.entries):
            who, seq, _ = self.entries[offset]
            if orders.get(who, -1) >= seq:
                examples.append(f"{who} {seq} stands at {offset}, after {orders[who]}")
                sums["reordered"] += 1
            orders[who] = seq
        for offset, entry in self.seen.items():
            if self.entries.get(offset) != entry:
                examples.append(f"{entry} came at {offset}, which is {self.entries.get(offset)}")
                sums["wrong"] += 1
        for each in subscribers:
            self._account_of(each, sums, examples)
        return {k: v for k, v in sums.items() if v}, examples[:20]

    def _account_of(self, each, sums, examples):
        expected = {o for o, (_, _, topic) in self.entries.items()
                    if o > each.first and matches(each.filters, topic)}
        got = set(each.offsets)
        missing = {o for o in expected - got
                   if not any(after < o <= upto for after, upto, _ in each.admitted)}
        found = {"lost": len(missing), "doubled": len(each.offsets) - len(got),
                 "reordered": sum(b < a for a, b in zip(each.offsets, each.offsets[1:])),
                 "leaked": len(got - expected), "wrong": len(each.wrong)}
        counts = [(after, upto, lost, sum(after < o <= upto for o in expected))
                  for after, upto, lost in each.admitted if lost is not None]
        miscounted = [count for count in counts if count[2] != count[3]]
        found["miscounted"] = len(miscounted)
        for kind, count in found.items():
            sums[kind] += count
        if any(found.values()):
            examples.append(f"{each.encoding} {each.filters}: {found}, lost {sorted(missing)[:5]},"
                            f" leaked {sorted(got - expected)[:5]}, {each.wrong[:3]}, (after, upto,"
                            f" lost as told, as counted): {miscounted[:5]}")


def matches(filters, topic):
    """Whether one of the filters, of at most `+` and a last `#`, matches the topic."""
    levels = topic.split("/")
    for pattern in filters:
        parts = pattern.split("/")
        if parts[-1] == "#":
            parts = parts[:-1]
            if len(levels) < len(parts):
                continue
            head = levels[:len(parts)]
        else:
            head = levels
        if len(parts) == len(head) and all(p in ("+", w) for p, w in zip(parts, head)):
            return True
    return False
