"""The ledger's people over HTTP: publishers that are cut off and try again, readers of streams.

A publisher keeps one connection and sends requests without waiting for answers: one publication,
an array, or a topic's own path, all with keys. Cut off in the middle, it sends everything that has
no answer again. A reader keeps the last id that it got, as an EventSource does, and nothing else.
"""

import errno
import json
import selectors
import socket
import struct
from urllib.parse import urlencode

from .api import message, publish_message, topic_path
from .resumers import Subscriber

IN_FLIGHT = 6  # requests of a publisher without an answer
BATCH = 20  # publications in an array, at most
HASTE = 6  # answers that a publisher takes, about, before it is cut off


class HttpWire:
    """One non-blocking connection, and what of it is not sent or not looked at yet."""

    is_upgraded = True  # nothing has to wait

    def __init__(self, address, request=b"", receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setblocking(False)
        code = self.socket.connect_ex(address)
        assert code in (0, errno.EINPROGRESS), code
        self.unsent = bytearray(request)
        self.waiting = bytes(request)
        self.buffer = bytearray()
        self.head = None

    def write(self):
        """Sends what the socket takes."""
        try:
            del self.unsent[:self.socket.send(self.unsent)]
        except BlockingIOError:
            pass

    def receive(self):
        """Takes in what has come."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        assert data, f"the broker ended the connection: {bytes(self.buffer[-300:])}"
        self.buffer += data

    def take_head(self):
        """Returns status line and headers once they are whole, or None."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.buffer[:end]).decode("latin-1")
        del self.buffer[:end + 4]
        assert head.startswith("HTTP/1.1 200 "), (head, bytes(self.buffer))
        return head.lower()

    def drop(self, with_reset):
        """Ends the connection without a word: as a crash does, or as a lost network."""
        if with_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class AnswerWire(HttpWire):
    """A kept connection: answers in the order of the requests."""

    def read(self):
        """Yields the bodies of the answers that have come whole."""
        self.receive()
        while True:
            self.head = self.head or self.take_head()
            if not self.head:
                return
            length = int(self.head.split("content-length: ")[1].split("\r\n")[0])
            if len(self.buffer) < length:
                return
            body = bytes(self.buffer[:length])
            del self.buffer[:length]
            self.head = None
            yield json.loads(body)


class EventWire(HttpWire):
    """An event stream."""

    def read(self):
        """Yields the envelopes of the events that have come whole, each with its id."""
        self.receive()
        if not self.head:
            self.head = self.take_head()
            if not self.head:
                return
            assert "content-type: text/event-stream" in self.head
        *events, rest = bytes(self.buffer).split(b"\n\n")
        self.buffer[:] = rest
        for event in events:
            fields = dict(line.split(": ", 1) for line in event.decode().split("\n")
                          if not line.startswith(":"))
            if not fields:
                continue
            assert set(fields) <= {"event", "id", "data"}, fields
            if "data" not in fields:
                yield None, fields["id"]  # all of the past has come
                continue
            envelope = json.loads(fields["data"])
            assert fields.get("event", "msg") == envelope["op"], fields
            yield envelope, fields.get("id")


class EventReader(Subscriber):
    """A subscriber whose connections are event streams, one after the other."""

    def __init__(self, ledger, filters, haste, lazy=False):
        super().__init__(ledger, "events", filters, haste, lazy)

    def _connect(self):
        headers = []
        if self.kept.offsets:
            headers = [("Last-Event-ID", self.kept.since[0])]
            self.resumes += 1
        path = "/v1/events?" + urlencode([("topic", each) for each in self.filters])
        self.wire = EventWire(self.ledger.address, message(path, headers=headers),
                              4096 if self.lazy else None)
        self._begin()

    def settle(self):
        """From now on it stays; a stream cannot ask for the end."""
        self.is_settling = True
        self.settled = bool(self.kept.offsets)

    def _take(self, event):
        envelope, last_id = event
        if envelope is None:
            stream, _, offset = last_id.rpartition(".")
            self.kept.offsets = {stream: int(offset)}
            return
        found = envelope.get("pos", [])
        found = [found] if isinstance(found, str) else found
        if (last_id or "") != ",".join(found):
            self.wrong.append(f"the id {last_id} of {envelope}")
        super()._take({**envelope, "id": "sub"} if envelope["op"] == "ok" else envelope)
        if last_id:
            stream, _, offset = last_id.rpartition(".")
            self.kept.offsets = {stream: int(offset)}
        self.settled = self.is_settling


class HttpPublisher:
    """Publishes [who, seq, padding] to its topics in turn, and again what it has no answer to."""

    def __init__(self, ledger, who, topics, padding):
        self.ledger, self.who, self.topics = ledger, who, topics
        self.random = ledger.random
        self.padding = "p" * padding
        self.sent = self.answered = self.duplicates = self.cuts = 0
        self.unanswered = []  # (request, the numbers of its publications)
        self.is_stopped = False
        self._connect()

    def _connect(self):
        self.wire = AnswerWire(self.ledger.address, b"".join(r for r, _ in self.unanswered))
        self.left = int(self.random.expovariate(1 / HASTE))  # answers, until it is cut off

    def wants(self):
        """What to wait for."""
        while len(self.unanswered) < IN_FLIGHT and not self.is_stopped \
                and not self.ledger.is_far_ahead:
            self._ask()
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.wire.unsent else 0)

    def _ask(self):
        kind = self.random.randrange(3)
        seqs = range(self.sent, self.sent + (self.random.randint(1, BATCH) if kind == 0 else 1))
        values = [{"topic": self._topic(n), "data": [self.who, n, self.padding],
                   "key": f"{self.who}-{n}"} for n in seqs]
        if kind == 2:
            [value] = values
            request = message(topic_path(value["topic"], key=value["key"]), "POST",
                              json.dumps(value["data"]).encode(),
                              [("Content-Type", "application/json")])
        else:
            request = publish_message(values if kind == 0 else values[0])
        self.unanswered.append((request, seqs))
        self.wire.unsent += request
        self.sent = seqs.stop

    def _topic(self, n):
        return self.topics[n % len(self.topics)]

    def work(self):
        """Sends and takes in what there is, and is cut off when it is time."""
        if self.left <= 0 and not self.is_stopped:
            del self.wire.unsent[self.random.randrange(len(self.wire.unsent) + 1):]
            self.wire.write()
            self._again()
            return
        if self.wire.unsent:
            self.wire.write()
        for answer in self.wire.read():
            self._take(answer)

    def _take(self, answer):
        _, seqs = self.unanswered.pop(0)
        results = answer.get("results", [answer])
        assert len(results) == len(seqs), (answer, seqs)
        for n, result in zip(seqs, results):
            self.ledger.note(result["pos"], self.who, n, self._topic(n))
            self.duplicates += result.get("duplicate", False)
        self.answered = seqs.stop
        self.left -= 1

    def _again(self):
        self.cuts += 1
        self.ledger.forget(self.wire)
        self.wire.drop(self.random.random() < 0.5)
        self._connect()
        self.ledger.watch(self.wire, self)

    @property
    def is_done(self):
        return self.is_stopped and self.answered == self.sent
