"""The ledger of a cluster: what was acknowledged, on whichever node, and who got it, on whichever node.

In the end each subscriber must have got every acknowledged publication of its filters once and in the
order of its stream, but for what a `gap` or `recovered: false` admitted. `is_faithful`: Redis loses
nothing; where it may, a publication may come twice, from two of its lives. A position never means two things,
and within each stream offsets grow by one.

Each life of Redis is a stream of its own, and the next one goes on where it ends. Here a place is (what all
lives of a partition's stream have in common in their names, which life << 40 | offset).
"""

import collections
import random
import selectors
import time

from .client import position
from .cluster_parties import FOREVER, EventReader, HttpPublisher, Publisher, Subscriber
from .resumers import matches

LIFE_BITS = 40


def is_of_one_life(place, other):
    """Says whether the same life of Redis has given two places away."""
    return place[0] == other[0] and place[1] >> LIFE_BITS == other[1] >> LIFE_BITS


class ClusterLedger:
    """Everybody, and the account."""

    def __init__(self, addresses, is_faithful=True):
        self.addresses = list(addresses)
        self.is_faithful = is_faithful
        self.entries = {}  # (stream, offset) -> (who, n, topic), as acknowledged
        self.by_topic = collections.defaultdict(list)  # topic -> places, as acknowledged
        self.seen = {}  # (stream, offset) -> value, as delivered first
        self.lost = set()  # places that Redis has forgotten, as far as is known: to be admitted, be it later
        self.delivered = {}  # value -> the stream in which it came first
        self.given_again = []  # (place, subscriber, its admissions at the time), where Redis lost data
        self.holders = collections.defaultdict(list)  # in these runs: place -> who got what there
        self.wrong = []
        self.lives = collections.defaultdict(list)  # what names have in common -> the names, in order
        self.publishers, self.subscribers = [], []
        self.selector = selectors.DefaultSelector()

    def publisher(self, *args, **kwargs):
        self._hire(Publisher(self, len(self.publishers), *args, **kwargs))

    def http_publisher(self, *args, **kwargs):
        self._hire(HttpPublisher(self, len(self.publishers), *args, **kwargs))

    def _hire(self, publisher):
        self.publishers.append(publisher)
        publisher.go(time.monotonic())

    def subscriber(self, *args, **kwargs):
        self.subscribers.append(Subscriber(self, *args, **kwargs))

    def event_reader(self, *args, **kwargs):
        self.subscribers.append(EventReader(self, *args, **kwargs))

    # -- called by the parties

    def place(self, pos):
        """Returns the place of a position."""
        name, offset = position(pos)
        lives = self.lives[name[:3] + name[-2:]]
        if name not in lives:
            lives.append(name)
        return name[:3] + name[-2:], lives.index(name) << LIFE_BITS | offset

    def pos(self, place):
        """Returns the position of a place."""
        return f"{self.lives[place[0]][place[1] >> LIFE_BITS]}.{place[1] % (1 << LIFE_BITS)}"

    def note(self, pos, value):
        """A publication was acknowledged."""
        place = self.place(pos)
        before = self.entries.setdefault(place, value)
        if before == value:
            self.by_topic[value[2]].append(place)
        else:
            self.wrong.append(f"{pos} is {before} and {value}")

    def saw(self, subscriber, pos, value):
        """A publication was delivered."""
        place = self.place(pos)
        if not self.is_faithful:
            self.holders[place].append((subscriber, value, subscriber.admissions))
        before = self.seen.setdefault(place, value)
        if before != value:
            self.wrong.append(f"{pos} came as {before} and as {value}")
        stream = self.delivered.setdefault(value, place)
        if stream != place and (self.is_faithful or is_of_one_life(stream, place)):
            self.wrong.append(f"{value} came at {stream} and at {place}")

    def unwatch(self, party):
        if party.wire.socket in self.selector.get_map():
            self.selector.unregister(party.wire.socket)

    # -- the loop

    def turn(self, wait_s=0.01):
        """Lets everybody do what can be done now."""
        now = time.monotonic()
        parties = self.publishers + self.subscribers
        for each in parties:
            each.tend(now)
        for each in self.publishers:
            each.fill(now)
        for each in parties:
            self._watch(each)
        for key, _ in self.selector.select(wait_s):
            if key.data.wire is not None and key.data.wire.socket is key.fileobj:
                key.data.work(time.monotonic())

    def _watch(self, party):
        if party.wire is None:
            return
        wanted = selectors.EVENT_READ if getattr(party, "wants_reading", True) else 0
        wanted |= selectors.EVENT_WRITE if party.wire.unsent else 0
        key = self.selector.get_map().get(party.wire.socket)
        if key is None and wanted:
            self.selector.register(party.wire.socket, wanted, party)
        elif key is not None and not wanted:
            self.selector.unregister(party.wire.socket)
        elif key is not None and key.events != wanted:
            self.selector.modify(party.wire.socket, wanted, party)

    def run(self, seconds, every=None, act=None):
        """Works for so long; calls act() every so many seconds."""
        end = time.monotonic() + seconds
        due = time.monotonic() + (every or seconds + 1)
        while time.monotonic() < end:
            self.turn()
            if act and time.monotonic() >= due:
                act()
                due += every

    def during(self, thread):
        """Works until a thread, which it starts, has ended."""
        thread.start()
        while thread.is_alive():
            self.turn()
        thread.join()

    def until(self, condition, seconds=30):
        """Works until the condition, which may be costly, holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s: {self.status()}"
            begun = time.monotonic()
            while True:
                self.turn()
                if time.monotonic() > begun + 0.1:
                    break

    def status(self):
        return {"acknowledged": len(self.entries), "open": [len(p.open) for p in self.publishers],
                "refused": [dict(p.refused) for p in self.publishers],
                "missing": [len(self.missing(s)) for s in self.subscribers],
                "resumes": [s.resumes for s in self.subscribers],
                "gaps": [dict(s.gaps) for s in self.subscribers],
                "unrecovered": [s.unrecovered for s in self.subscribers],
                "wrong": self.wrong[:3] + [w for s in self.subscribers for w in s.wrong[:1]],
                "examples": [(s.filters, self.missing(s)[:3], [a for a in s.admitted[-20:]
                                                               if a[0] == self.missing(s)[0][0]],
                              s.dead.get(self.missing(s)[0][0]), s.first.get(self.missing(s)[0][0]),
                              s.kept.get(self.missing(s)[0][0]))
                             for s in self.subscribers if self.missing(s)][:3],
                "errors": {str(p.last_error)[:100] for p in self.publishers + self.subscribers}}

    def subscribed(self, seconds=30):
        """Works until every subscriber has had an `ok`."""
        self.until(lambda: all(s.was_subscribed for s in self.subscribers), seconds)

    def drain(self, seconds=60):
        """Stops the publishers, and works until everything is answered."""
        for each in self.publishers:
            each.stop()
        self.until(lambda: all(p.is_done for p in self.publishers), seconds)

    def go_on(self):
        """Lets the publishers publish again."""
        for each in self.publishers:
            each.go(time.monotonic())

    def settle(self, seconds=60):
        """Stops the publishers, and works until everything is answered and delivered. Then each topic gets
        one more publication, which every subscriber must get whatever was admitted before."""
        self.drain(seconds)
        for each in self.subscribers:
            each.stay()
        self.until(lambda: all(s.is_subscribed and not self.missing(s) for s in self.subscribers),
                   seconds)
        last = self._publish_to_each_partition(seconds)
        self.until(lambda: all(s.is_subscribed and last_of <= s.got for s, last_of in
                               [(s, {p for p in last if matches(s.filters, self.entries[p][2])})
                                for s in self.subscribers]), seconds)

    def _publish_to_each_partition(self, seconds):
        before = set(self.entries)
        names = {topic.rpartition("/")[0] + "/end" for p in self.publishers for topic in p.topics}
        self._hire(Publisher(self, len(self.publishers), "json", sorted(names), window=len(names)))
        closing = self.publishers[-1]
        self.until(lambda: closing.next >= len(names), seconds)
        self.drain(seconds)
        return set(self.entries) - before

    # -- the account

    def of_filters(self, filters):
        """The acknowledged places that filters match."""
        found = set()
        for topic, places in self.by_topic.items():
            if matches(filters, topic):
                found.update(places)
        return found

    def missing(self, subscriber):
        return [place for place in self.of_filters(subscriber.filters) - subscriber.got
                if subscriber.is_owed(place)]

    def account(self):
        """Returns what is wrong: empty where all is well."""
        found = list(self.wrong)
        for each in self.subscribers:
            missing = self.missing(each)
            if missing:
                found.append(f"{each.filters} lost {len(missing)}: {missing[:5]}")
            found += [f"{each.encoding} {each.filters}: {text}" for text in each.wrong[:5]]
            if self.is_faithful:
                lost = self.of_filters(each.filters) - each.got
                gone = [place for place in lost for s, after, upto, how in each.admitted
                        if how == "gap" and s == place[0] and after < place[1] <= upto]
                if gone:
                    found.append(f"{each.filters}: a gap over {len(gone)} that Redis has: {gone[:5]}")
        for place, value in self.seen.items():
            entry = self.entries.get(place)
            if self.is_faithful and entry != value:
                found.append(f"{place} was acknowledged as {entry}, delivered as {value}")
        found += self._silent() + self._holes()
        return found

    def _holes(self):
        """Within a stream offsets grow by one, as somebody sees it who gets everything; and each life but the first
        that he saw begins with 1."""
        found = []
        for each in self.subscribers:
            if each.filters != ["#"]:
                continue
            for name, before, place in each.steps():
                first = each.first.get(name, FOREVER)
                is_next = before is not None and place[1] == before + 1
                begins = place[1] % (1 << LIFE_BITS) == 1
                if place[1] <= first + 1 or is_next or begins:
                    continue
                told = [a for a in each.admitted if a[0] == name and a[1] < place[1] - 1 <= a[2]]
                if not told and place not in self.lost and name not in each.over:
                    found.append(f"{each.encoding}: {self.pos(place)} after {before and self.pos((name, before))}")
        return found

    def _silent(self):
        """Whoever got something at an offset that was given again must have been told since."""
        found = []
        for place, holders in self.holders.items():
            values = {value for _, value, _ in holders}
            if place in self.entries:
                values.add(self.entries[place])
            if len(values) > 1:
                quiet = [s for s, value, told in holders
                         if value != self.entries.get(place) and s.admissions == told]
                if quiet:
                    found.append(f"{place} is {values}: {len(quiet)} were not told")
        return found

    def admitted(self):
        """How many publications subscribers did not get, and were told so."""
        return sum(place[1] > each.first.get(place[0], FOREVER) and not each.is_owed(place)
                   for each in self.subscribers
                   for place in self.of_filters(each.filters) - each.got)

    def close(self):
        for each in self.publishers + self.subscribers:
            if each.wire is not None:
                each.wire.socket.close()
        self.selector.close()
