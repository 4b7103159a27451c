"""The ledger of a cluster: what was acknowledged, on whichever node, and who got it, on whichever node.

Publishers give each publication a key of its own and send it again, to another node where theirs is gone,
until it is acknowledged; subscribers keep the greatest position of each stream and resume anywhere. All of
them are raw sockets in one thread, without blocking. In the end each subscriber must have got every
acknowledged publication of its filters once and in the order of its stream, but for what a `gap` or
`recovered: false` admitted.
"""

import collections
import random
import selectors
import time

from .client import position
from .resumers import Wire, matches

RETRY_S = 0.05  # before a publisher or subscriber tries a node again


class Party:
    """One connection after the other, to one node after the other."""

    def __init__(self, ledger, encoding, at=0):
        self.ledger, self.encoding, self.at = ledger, encoding, at
        self.wire = None
        self.again_at = 0.0
        self.connects = 0

    def tend(self, now):
        """Connects where there is no connection."""
        if self.wire is None and now >= self.again_at:
            address = self.ledger.addresses[self.at % len(self.ledger.addresses)]
            try:
                self.wire = Wire(address, self.encoding)
            except (AssertionError, OSError):
                self.lost(now)
                return
            self.connects += 1
            self.connected()

    def lost(self, now):
        """The connection is gone: the next one goes to the next node."""
        if self.wire is not None:
            self.wire.socket.close()
        self.wire = None
        self.at += 1
        self.again_at = now + RETRY_S * random.random()

    def work(self, now):
        try:
            if self.wire.unsent:
                self.wire.write()
            for envelope in self.wire.read():
                self.take(envelope, now)
        except (AssertionError, OSError):
            self.lost(now)


class Publisher(Party):
    """Publishes [who, n] to its topics in turn, `window` at a time; `rate` a second, or as fast as it is
    answered."""

    def __init__(self, ledger, who, encoding, topics, at=0, window=20, rate=None):
        super().__init__(ledger, encoding, at)
        self.who, self.topics, self.window, self.rate = who, topics, window, rate
        self.next = 0
        self.open = collections.OrderedDict()  # n -> when it may be sent again; None: it is under way
        self.begun = time.monotonic()
        self.is_stopped = False
        self.refused = collections.Counter()
        self.slowest_s = 0.0
        self.sent_at = {}

    def connected(self):
        now = time.monotonic()
        for n in self.open:
            self.open[n] = now

    def lost(self, now):
        super().lost(now)
        for n in self.open:
            self.open[n] = now

    def fill(self, now):
        """Sends what is due."""
        if self.wire is None or not self.wire.is_upgraded:
            return
        due = [n for n, at in self.open.items() if at is not None and at <= now]
        allowed = self.window if self.rate is None else min(
            self.window, int((now - self.begun) * self.rate) - self.next + len(self.open))
        while len(self.open) < allowed and not self.is_stopped:
            self.open[self.next] = now
            due.append(self.next)
            self.next += 1
        if not due:
            return
        for n in due:
            self.open[n] = None
            self.sent_at.setdefault(n, now)
        self.wire.say([{"op": "pub", "id": n, "topic": self.topics[n % len(self.topics)],
                        "key": f"{self.who}-{n}", "data": [self.who, n]} for n in due])

    def take(self, envelope, now):
        if envelope["op"] == "ok":
            n = envelope["id"]
            if self.open.pop(n, 0) == 0:
                return
            self.slowest_s = max(self.slowest_s, now - self.sent_at.pop(n))
            self.ledger.note(envelope["pos"], self.who, n, self.topics[n % len(self.topics)])
        elif envelope["op"] == "error":
            assert envelope["code"] in (429, 503, 504), envelope
            self.refused[envelope["code"]] += 1
            assert envelope.get("retry", 0) > 0, envelope
            self.open[envelope["id"]] = now + min(envelope["retry"], 1000) / 1000
        elif envelope["op"] == "bye":
            self.lost(now)

    @property
    def is_done(self):
        return self.is_stopped and not self.open


class Subscriber(Party):
    """Follows filters; `haste`: drops its connection after so many publications, about."""

    def __init__(self, ledger, encoding, filters, at=0, haste=None):
        super().__init__(ledger, encoding, at)
        self.filters, self.haste = filters, haste
        self.kept = {}  # stream -> the greatest offset seen
        self.first = {}  # stream -> where its account begins
        self.got = collections.defaultdict(list)  # stream -> offsets, as they came
        self.values = collections.Counter()
        self.admitted = []  # (stream, after, upto)
        self.gaps = collections.Counter()
        self.unrecovered = self.resumes = 0
        self.is_subscribed = False
        self.left = None
        self.wrong = []

    def connected(self):
        self.is_subscribed = False
        request = {"op": "sub", "id": 1, "topics": self.filters}
        if self.kept:
            request["since"] = [f"{s}.{o}" for s, o in self.kept.items()]
            self.resumes += 1
        self.wire.say(request)
        if self.haste:
            self.left = 1 + int(random.expovariate(1 / self.haste))

    def _move(self, text):
        """From here on: what lies between is admitted to be lost."""
        stream, offset = position(text)
        if stream not in self.kept:
            self.first.setdefault(stream, offset)
        elif offset > self.kept[stream]:
            self.admitted.append((stream, self.kept[stream], offset))
        self.kept[stream] = max(offset, self.kept.get(stream, 0))

    def take(self, envelope, now):
        op = envelope["op"]
        if op == "msg":
            self._msg(envelope, now)
        elif op == "ok":
            self.is_subscribed = True
            if envelope.get("recovered") is False:
                self.unrecovered += 1
                self.ledger.admit(self)
                for text in envelope["pos"]:
                    self._move(text)
            else:
                for text in envelope["pos"]:
                    stream, offset = position(text)
                    if stream not in self.kept:
                        self.first[stream] = self.kept[stream] = offset
                    elif offset > self.kept[stream]:
                        self.wrong.append(f"recovered, but {text} after {self.kept[stream]}")
        elif op == "gap":
            self.gaps[envelope["reason"]] += 1
            for text in envelope["pos"]:
                self._move(text)
        elif op == "error":
            # A subscription that was refused for now: the whole connection is tried again.
            assert envelope["code"] in (429, 503, 504), envelope
            self.lost(now)
        elif op == "bye":
            self.lost(now)

    def _msg(self, envelope, now):
        if not self.is_subscribed:
            self.wrong.append("a msg before the ok")
        if "pos" not in envelope:
            return  # ephemeral: of no account
        stream, offset = position(envelope["pos"])
        if stream not in self.first:
            self.wrong.append(f"{stream} was never named before")
            self.first[stream] = offset - 1
        if offset <= self.kept.get(stream, -1):
            self.wrong.append(f"{envelope['pos']} after {self.kept[stream]}")
        self.kept[stream] = max(offset, self.kept.get(stream, -1))
        self.got[stream].append(offset)
        value = tuple(envelope["data"])
        self.values[value] += 1
        self.ledger.saw(envelope["pos"], value)
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.ledger.drop(self, now)


class ClusterLedger:
    """Everybody, and the account."""

    def __init__(self, addresses, seed=1):
        self.addresses = list(addresses)
        self.random = random.Random(seed)
        self.entries = {}  # (stream, offset) -> (who, n, topic), as acknowledged
        self.places = {}  # (who, n) -> (stream, offset)
        self.seen = {}  # (stream, offset) -> value, as delivered
        self.wrong = []
        self.publishers, self.subscribers = [], []
        self.selector = selectors.DefaultSelector()

    def publisher(self, *args, **kwargs):
        self.publishers.append(Publisher(self, len(self.publishers), *args, **kwargs))
        return self.publishers[-1]

    def subscriber(self, *args, **kwargs):
        self.subscribers.append(Subscriber(self, *args, **kwargs))
        return self.subscribers[-1]

    # -- called by the parties

    def note(self, pos, who, n, topic):
        place = position(pos)
        before = self.entries.setdefault(place, (who, n, topic))
        if before != (who, n, topic):
            self.wrong.append(f"{pos} is {before} and {(who, n, topic)}")
        self.places[(who, n)] = place

    def saw(self, pos, value):
        before = self.seen.setdefault(position(pos), value)
        if before != value:
            self.wrong.append(f"{pos} came as {before} and as {value}")

    def admit(self, subscriber):
        """Nothing is claimed about the streams that it named and that are no more."""
        for stream, offset in subscriber.kept.items():
            subscriber.admitted.append((stream, offset, float("inf")))

    def drop(self, party, now):
        self.unwatch(party)
        party.lost(now)

    # -- the loop

    def unwatch(self, party):
        if party.wire is not None and party.wire.socket.fileno() >= 0:
            if party.wire.socket in self.selector.get_map():
                self.selector.unregister(party.wire.socket)

    def turn(self, wait_s=0.01):
        """Lets everybody do what can be done now."""
        now = time.monotonic()
        parties = self.publishers + self.subscribers
        for each in parties:
            each.tend(now)
        for each in self.publishers:
            each.fill(now)
        self.selector.close()
        self.selector = selectors.DefaultSelector()
        for each in parties:
            if each.wire is not None:
                wanted = selectors.EVENT_READ
                wanted |= selectors.EVENT_WRITE if each.wire.unsent else 0
                self.selector.register(each.wire.socket, wanted, each)
        for key, _ in self.selector.select(wait_s):
            if key.data.wire is not None and key.data.wire.socket is key.fileobj:
                key.data.work(time.monotonic())

    def run(self, seconds, every=None, act=None):
        """Works for so long; calls act() every so many seconds."""
        end = time.monotonic() + seconds
        due = time.monotonic() + (every or seconds + 1)
        while time.monotonic() < end:
            self.turn()
            if act and time.monotonic() >= due:
                act()
                due += every

    def until(self, condition, seconds=30):
        """Works until the condition, which may be costly, holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s: {self.status()}"
            look = time.monotonic() + 0.1
            while time.monotonic() < look:
                self.turn()

    def status(self):
        return {"acknowledged": len(self.entries), "open": [len(p.open) for p in self.publishers],
                "refused": [dict(p.refused) for p in self.publishers],
                "missing": [len(self.missing(s)) for s in self.subscribers],
                "gaps": [dict(s.gaps) for s in self.subscribers],
                "unrecovered": [s.unrecovered for s in self.subscribers]}

    def subscribed(self, seconds=30):
        """Works until every subscriber has its first `ok`."""
        self.until(lambda: all(s.is_subscribed for s in self.subscribers), seconds)

    def settle(self, seconds=60):
        """Stops the publishers, and works until everything is answered and delivered."""
        for each in self.publishers:
            each.is_stopped = True
        self.until(lambda: all(p.is_done for p in self.publishers), seconds)
        for each in self.subscribers:
            each.haste = each.left = None
        self.until(lambda: all(s.is_subscribed and not self.missing(s) for s in self.subscribers),
                   seconds)

    # -- the account

    def missing(self, subscriber):
        got = {(stream, offset) for stream, offsets in subscriber.got.items() for offset in offsets}
        return [place for place, (_, _, topic) in self.entries.items()
                if place not in got and matches(subscriber.filters, topic)
                and self._is_owed(subscriber, place)]

    @staticmethod
    def _is_owed(subscriber, place):
        stream, offset = place
        if stream not in subscriber.first:
            return bool(subscriber.is_subscribed) and not subscriber.admitted
        if offset <= subscriber.first[stream]:
            return False
        return not any(s == stream and after < offset <= upto
                       for s, after, upto in subscriber.admitted)

    def account(self):
        """Returns what is wrong: empty where all is well."""
        found = list(self.wrong)
        for each in self.subscribers:
            missing = self.missing(each)
            if missing:
                found.append(f"{each.filters} lost {len(missing)}: {missing[:5]}")
            doubled = [value for value, n in each.values.items() if n > 1]
            if doubled:
                found.append(f"{each.filters} got {len(doubled)} twice: {doubled[:5]}")
            found += each.wrong[:5]
        for place, value in self.seen.items():
            entry = self.entries.get(place)
            if entry is not None and entry[:2] != value:
                found.append(f"{place} was acknowledged as {entry}, delivered as {value}")
        return found

    def close(self):
        for each in self.publishers + self.subscribers:
            if each.wire is not None:
                each.wire.socket.close()
        self.selector.close()
