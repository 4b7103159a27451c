"""Who publishes to a cluster and who subscribes, over WebSocket and over HTTP, node after node.

A publisher gives each publication a key of its own and sends it again, to another node where its own is
gone, until it is acknowledged. A subscriber keeps what the protocol asks it to keep and resumes anywhere.
All of them are raw sockets without blocking, for one loop (cluster_ledger.py).
"""

import collections
import json
import random
import socket
from urllib.parse import urlencode

from .api import message, publish_message, topic_path
from .http_resumers import HttpWire
from .resumers import Wire

RETRY_S = 0.05  # before somebody tries a node again
FOREVER = float("inf")


class Party:
    """One connection after the other, to one node after the other."""

    def __init__(self, ledger, at=0):
        self.ledger, self.at = ledger, at
        self.wire = None
        self.again_at = 0.0
        self.connects = 0
        self.last_error = None

    def tend(self, now):
        """Connects where there is no connection."""
        if self.wire is None and now >= self.again_at:
            address = self.ledger.addresses[self.at % len(self.ledger.addresses)]
            try:
                self.wire = self.make_wire(address)
            except (AssertionError, OSError) as error:
                self.lost(now, error)
                return
            self.connects += 1
            self.connected(now)

    def lost(self, now, error=None):
        """The connection is gone: the next one goes to the next node."""
        if self.wire is not None:
            self.ledger.unwatch(self)
            self.wire.socket.close()
        self.wire = None
        self.last_error = error
        self.at += 1
        self.again_at = now + RETRY_S * random.random()

    def work(self, now):
        """Sends and takes in what there is."""
        try:
            if self.wire.unsent:
                self.wire.write()
            for each in self.wire.read():
                self.take(each, now)
                if self.wire is None:
                    return
        except (AssertionError, OSError) as error:
            self.lost(now, error)


class Publisher(Party):
    """Publishes [who, n] to its topics in turn, `window` at a time; `rate` a second, or as fast as it is
    answered. `extras(topic)` are further keys of a publication."""

    def __init__(self, ledger, who, encoding, topics, at=0, window=20, rate=None, extras=None):
        super().__init__(ledger, at)
        self.encoding = encoding
        self.who, self.topics, self.window, self.rate = who, topics, window, rate
        self.extras = extras or (lambda topic: {})
        self.next = 0
        self.open = collections.OrderedDict()  # n -> when it may be sent again; None: it is under way
        self.is_stopped = True
        self.refused = collections.Counter()
        self.slowest_s = 0.0
        self.sent_at = {}
        self.tries = collections.Counter()  # of those that are open
        self.runs = {}  # stream -> (n, offset) of the latest that was sent once, on this connection
        self.sent_on = {}  # n -> the connection that carried it, of those that were sent once

    def go(self, now):
        """From now on it publishes, at its rate."""
        self.is_stopped = False
        self.begun, self.base = now, self.next

    def stop(self):
        self.is_stopped = True

    def make_wire(self, address):
        return Wire(address, self.encoding)

    def connected(self, now):
        self.runs = {}
        for n in self.open:
            self.open[n] = now

    def lost(self, now, error=None):
        super().lost(now, error)
        for n in self.open:
            self.open[n] = now

    def topic_of(self, n):
        return self.topics[n % len(self.topics)]

    def due(self, now):
        """Returns what is to be sent now."""
        due = [n for n, at in self.open.items() if at is not None and at <= now]
        if not self.is_stopped:
            allowed = self.window if self.rate is None else min(
                self.window,
                int((now - self.begun) * self.rate) - (self.next - self.base) + len(self.open))
            while len(self.open) < allowed:
                self.open[self.next] = now
                due.append(self.next)
                self.next += 1
        return due

    def value(self, n):
        topic = self.topic_of(n)
        return {"topic": topic, "key": f"{self.who}-{n}", "data": [self.who, n], **self.extras(topic)}

    def mark_sent(self, n, now):
        self.open[n] = None
        self.sent_at.setdefault(n, now)
        self.tries[n] += 1
        self.sent_on[n] = self.connects

    def fill(self, now):
        """Sends what is due."""
        if self.wire is None or not self.wire.is_upgraded:
            return
        due = self.due(now)
        for n in due:
            self.mark_sent(n, now)
        if due:
            self.wire.say([{"op": "pub", "id": n, **self.value(n)} for n in due])

    def accepted(self, n, pos, now):
        """It was acknowledged."""
        if self.open.pop(n, 0) == 0:
            return
        self.slowest_s = max(self.slowest_s, now - self.sent_at.pop(n))
        self.ledger.note(pos, (self.who, n, self.topic_of(n)))
        if self.tries.pop(n) == 1 and self.sent_on[n] == self.connects:
            stream, offset = self.ledger.place(pos)
            before = self.runs.get(stream, (-1, -1))
            if n > before[0] and offset < before[1]:
                self.ledger.wrong.append(f"{self.who}: {before} and then {(n, offset)} of {stream}")
            self.runs[stream] = max(before, (n, offset))
        del self.sent_on[n]

    def refusal(self, n, error, now):
        """It was not; it is sent again."""
        if error["code"] not in (429, 503, 504):
            self.ledger.wrong.append(f"publisher {self.who}: {error}")
        self.refused[error["code"]] += 1
        if n in self.open:
            self.open[n] = now + min(error.get("retry") or 100, 1000) / 1000

    def take(self, envelope, now):
        if envelope["op"] == "ok":
            self.accepted(envelope["id"], envelope["pos"], now)
        elif envelope["op"] == "error":
            if not envelope.get("retry", 0) > 0 and "stopping" not in envelope["message"]:
                self.ledger.wrong.append(f"no retry in {envelope}")
            self.refusal(envelope["id"], envelope, now)
        elif envelope["op"] == "bye":
            self.lost(now, envelope)

    @property
    def is_done(self):
        return self.is_stopped and not self.open


class Answers(HttpWire):
    """A kept connection: status and body of the answers, in the order of the requests."""

    def read(self):
        self.receive()
        while True:
            if self.head is None:
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                self.head = bytes(self.buffer[:end]).decode("latin-1").lower()
                del self.buffer[:end + 4]
            length = int(self.head.split("content-length: ")[1].split("\r\n")[0])
            if len(self.buffer) < length:
                return
            body = bytes(self.buffer[:length])
            del self.buffer[:length]
            status, self.head = int(self.head.split(" ")[1]), None
            yield status, json.loads(body)


class HttpPublisher(Publisher):
    """The same over HTTP: single publications, arrays, and a topic's own path, four requests at a time."""

    def __init__(self, ledger, who, topics, **kwargs):
        super().__init__(ledger, who, "http", topics, **kwargs)
        self.requests = collections.deque()

    def make_wire(self, address):
        return Answers(address)

    def lost(self, now, error=None):
        self.requests.clear()
        super().lost(now, error)

    def fill(self, now):
        if self.wire is None or len(self.requests) >= 4:
            return
        due = self.due(now)
        while due and len(self.requests) < 4:
            size = random.choice((1, 1, len(due)))
            ns, due = due[:size], due[size:]
            for n in ns:
                self.mark_sent(n, now)
            values = [self.value(n) for n in ns]
            if size > 1 or random.random() < 0.2:
                request = publish_message(values)
            elif random.random() < 0.5:
                request = publish_message(values[0])
            else:
                request = self._by_path(values[0])
            self.wire.unsent += request
            self.requests.append((ns, request[:13]))

    @staticmethod
    def _by_path(value):
        query = {"key": value["key"]}
        if value.get("retain"):
            query["retain"] = 1
        return message(topic_path(value["topic"], **query), "POST", json.dumps(value["data"]).encode(),
                       [("Content-Type", "application/json")])

    def take(self, answer, now):
        status, body = answer
        ns, _ = self.requests.popleft()
        if "results" in body:
            results = body["results"]
        else:
            results = [body] * len(ns)
        if len(results) != len(ns):
            self.ledger.wrong.append(f"{len(ns)} publications, {status} {body}")
            return
        for n, result in zip(ns, results):
            if "pos" in result:
                self.accepted(n, result["pos"], now)
            else:
                self.refusal(n, result["error"], now)


class Subscriber(Party):
    """Follows filters; `haste`: drops its connection after so many publications, about; a `lazy` one stops
    reading now and then."""

    def __init__(self, ledger, encoding, filters, at=0, haste=None, lazy=False):
        super().__init__(ledger, at)
        self.encoding, self.filters, self.haste, self.lazy = encoding, filters, haste, lazy
        self.kept = {}  # stream -> the greatest offset seen: what a client keeps
        self.asked = {}  # the same, as this connection asked for it
        self.first = {}  # stream -> where its account begins
        self.over = set()  # streams of which something before was admitted to be lost
        self.dead = {}  # stream -> after what nothing is claimed any more
        self.named = set()  # streams that this connection was told of
        self.sure = set()  # and of these, those whose feed has begun: not those that a gap alone has named
        self.got = set()  # (stream, offset)
        self.ends = {}  # life -> the latest place that it got there
        self.admitted = []  # (stream, after, upto, how)
        self.admissions = 0
        self.gaps = collections.Counter()
        self.unrecovered = self.resumes = self.repeated = 0
        self.is_subscribed = self.was_subscribed = False
        self.left = None
        self.pause = 0
        self.session = None
        self.wrong = []

    def make_wire(self, address):
        return Wire(address, self.encoding, 4096 if self.lazy else None)

    def connected(self, now):
        self.is_subscribed, self.session = False, None
        self.named, self.sure = set(), set()
        request = {"op": "sub", "id": 1, "topics": self.filters}
        self.asked = dict(self.kept)
        if self.kept:
            request["since"] = self.since()
            self.resumes += 1
        self.wire.say(request)
        self._begin()

    def since(self):
        """Returns what it has kept: of lives that are over as well, or not."""
        places = list(self.kept.items())
        if random.random() < 0.5:
            places += [(s, o) for s, o in self.ends.values() if o < self.kept.get(s, 0)]
        return [self.ledger.pos(place) for place in places]

    def steps(self):
        """Returns (stream, the offset before, place) of all that it got, in order."""
        found, before = [], {}
        for stream, offset in sorted(self.got):
            found.append((stream, before.get(stream), (stream, offset)))
            before[stream] = offset
        return found

    def _begin(self):
        if self.haste:
            self.left = 1 + int(random.expovariate(1 / self.haste))

    @property
    def wants_reading(self):
        """A lazy one rests for some turns of the loop."""
        if self.pause > 0 and self.haste is not None:
            self.pause -= 1
            return False
        if self.lazy and random.random() < 0.01:
            self.pause = random.randrange(100)
        return True

    # -- the account of positions

    def _name(self, text, how):
        """An `ok` or a `gap` names a position: from there it goes on. `how` None: nothing is missing before."""
        stream, offset = self.ledger.place(text)
        if how == "gap" and stream not in self.sure:
            how = "join"  # this node did not know it yet, and said so
        if how == "ok" and offset < self.kept.get(stream, 0):
            self.kept[stream] = offset  # this node is behind: it comes again, and that was told
        if how is None:
            self.first.setdefault(stream, offset)
        elif stream in self.dead:
            self.admitted.append((stream, self.dead.pop(stream), offset, how))
        elif stream not in self.first:
            self.first[stream] = offset
        elif offset > self.kept.get(stream, self.first[stream]):
            self.admitted.append((stream, self.kept.get(stream, self.first[stream]), offset, how))
        self.kept[stream] = max(offset, self.kept.get(stream, 0))
        self.named.add(stream)

    def _bury(self, streams):
        """Of these nothing is claimed any more, until they are named again."""
        self.over |= streams
        for stream in streams:
            self.dead.setdefault(stream, self.kept.pop(stream))

    def _ok(self, envelope):
        self.is_subscribed = self.was_subscribed = True
        streams = {self.ledger.place(text)[0] for text in envelope["pos"]}
        recovered = envelope.get("recovered")
        if recovered:
            for text in envelope["pos"]:
                stream, offset = self.ledger.place(text)
                if offset > self.asked.get(stream, offset):
                    self.wrong.append(f"recovered, but {text} after {self.asked[stream]}")
            if not {s[1:3] for s in streams} >= {s[1:3] for s in self.kept}:
                self.wrong.append(f"recovered, but without {set(self.kept) - streams}")
        elif recovered is False:
            self.unrecovered += 1
            self.admissions += 1
            self.over |= set(self.kept)
            self._bury(set(self.kept) - streams)
        for text in envelope["pos"]:
            self._name(text, None if recovered else "ok")
        self.sure |= streams

    def _gap(self, envelope):
        self.gaps[envelope["reason"]] += 1
        self.admissions += 1
        for text in envelope["pos"]:
            stream, _ = self.ledger.place(text)
            if stream not in self.kept and stream not in self.dead:
                # A new stream of a partition (two characters of the name say which): the old one has ended.
                self._bury({s for s in self.kept if s[1:3] == stream[1:3]})
            self._name(text, "gap")

    def take(self, envelope, now):
        op = envelope["op"]
        if op == "msg":
            self._msg(envelope, now)
        elif op == "ok":
            self._ok(envelope)
        elif op == "gap":
            self._gap(envelope)
        elif op == "welcome":
            self.session = envelope["session"]
        elif op == "error":
            # A subscription that was refused for now: the whole connection is tried again.
            if envelope["code"] not in (429, 503, 504):
                self.wrong.append(f"{envelope}")
            self.lost(now, envelope)
        elif op == "bye":
            self.lost(now, envelope)

    def _msg(self, envelope, now):
        if not self.is_subscribed:
            self.wrong.append("a msg before the ok")
        if "pos" not in envelope:
            return  # ephemeral: of no account
        who, n = envelope["data"]
        value = (who, n, envelope["topic"])
        self.ledger.saw(self, envelope["pos"], value)
        if envelope.get("retained"):
            return  # a last value: it may be older than where the feed starts
        stream, offset = self.ledger.place(envelope["pos"])
        if stream not in self.named:
            self.wrong.append(f"{envelope['pos']}: the stream was not named on this connection")
        if offset <= self.kept.get(stream, -1):
            self.wrong.append(f"{envelope['pos']} after {self.kept[stream]}")
        self.sure.add(stream)
        self.kept[stream] = max(offset, self.kept.get(stream, -1))
        self.repeated += (stream, offset) in self.got
        self.got.add((stream, offset))
        self.ends[stream, offset >> 40] = stream, offset
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.lost(now)

    def stay(self):
        """From now on it keeps its connection, and reads as fast as it can: with so small a buffer the kernel lets
        a few kilobytes through in each fifth of a second, and a megabyte takes minutes."""
        self.haste = self.left = None
        if self.lazy and self.wire is not None:
            self.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.lazy = False

    def is_owed(self, place):
        """Says whether it has to get this, as far as it was told."""
        stream, offset = place
        if place in self.ledger.lost and stream in self.over:
            return False
        if stream not in self.first or offset <= self.first[stream]:
            return False
        if stream in self.dead and offset > self.dead[stream]:
            return False
        return not any(s == stream and after < offset <= upto for s, after, upto, _ in self.admitted)


class EventStream(HttpWire):
    """An event stream: each envelope with the id of its event."""

    def read(self):
        self.receive()
        if self.head is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = bytes(self.buffer[:end]).decode("latin-1")
            del self.buffer[:end + 4]
            assert self.head.startswith("HTTP/1.1 200 "), self.head.split("\r\n")[0]
        *events, rest = bytes(self.buffer).split(b"\n\n")
        self.buffer[:] = rest
        for event in events:
            fields = dict(line.split(": ", 1) for line in event.decode().split("\n")
                          if not line.startswith(":"))
            if fields:
                yield json.loads(fields["data"]) if "data" in fields else None, fields.get("id")


class EventReader(Subscriber):
    """A subscriber whose connections are event streams. What it keeps to go on from is the last id, as an
    EventSource does; the account is the same."""

    def __init__(self, ledger, filters, **kwargs):
        super().__init__(ledger, "events", filters, **kwargs)
        self.last_id = None

    def make_wire(self, address):
        headers = [("Last-Event-ID", self.last_id)] if self.last_id else []
        path = "/v1/events?" + urlencode([("topic", each) for each in self.filters])
        return EventStream(address, message(path, headers=headers), 4096 if self.lazy else None)

    def connected(self, now):
        self.is_subscribed = False
        self.named, self.sure = set(), set()
        self.asked = dict(self.ledger.place(text) for text in (self.last_id or "").split(",") if text)
        self.resumes += self.last_id is not None
        self._begin()

    def take(self, event, now):
        envelope, last_id = event
        if last_id:
            self.last_id = last_id
        if envelope is None:
            return
        is_old = envelope["op"] == "msg" and ("pos" not in envelope or envelope.get("retained"))
        if not is_old and envelope["op"] in ("msg", "ok", "gap"):
            named = envelope["pos"]
            places = dict(self.ledger.place(text) for text in (last_id or "").split(",") if text)
            # Behind the last one of a life of Redis the place may be where the next one begins.
            if any(places.get(stream, -1) < offset for stream, offset in
                   map(self.ledger.place, [named] if isinstance(named, str) else named)):
                self.wrong.append(f"the id {last_id} of {envelope}")
        super().take(envelope, now)
