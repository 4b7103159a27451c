"""After a rolling restart all clients of a node come back at once, to one that has just started: they resume
from what it has warmed, and Redis hears of some partitions, not of thousands of clients."""

import resource
import selectors
import time

import pytest

from support.client import Client
from support.cluster import Node
from support.resumers import Wire

TOPICS = [f"room/{n}" for n in range(100)]
MISSED = 5  # publications of each topic while nobody was connected
AT_ONCE = 400  # connections that are being made; what a listener keeps waiting has bounds
SPARE = 500  # descriptors for everything else
# What reads more than a head; heads are read by each beat, and so by each second.
READS = ("xrange", "xrevrange", "xread", "hscan", "hvals", "hkeys", "lrange", "zrange", "zscan", "scan",
         "smembers", "sscan")
READS_OF_A_PARTITION = 6  # at most, to join it


@pytest.fixture
def many():
    """How many clients the limit of open files allows, up to 10,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(10_000, hard - SPARE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def publish_round(node, value):
    """One publication to each topic."""
    with Client(node.address, "msgpack") as client:
        client.send([{"op": "pub", "id": n, "topic": topic, "data": value}
                     for n, topic in enumerate(TOPICS)])
        for n in range(len(TOPICS)):
            assert client.take_where(lambda e, n=n: e.get("id") == n)["op"] == "ok"


def calls(redis):
    """Returns how often each command was called, in scripts, too."""
    return {name.partition("_")[2]: figures["calls"]
            for name, figures in redis.client().info("commandstats").items()}


class Returned:
    """A client that resumes."""

    def __init__(self, address, n, since):
        self.topic = TOPICS[n % len(TOPICS)]
        # Some hear more than their room, by a wildcard.
        self.filters = ["room/+"] if n % 100 == 99 else [self.topic]
        self.wanted = MISSED * (len(TOPICS) if n % 100 == 99 else 1)
        self.wire = Wire(address, ("json", "msgpack")[n % 2])
        self.wire.say({"op": "sub", "id": 1, "topics": self.filters, "since": since})
        self.is_recovered = None
        self.got = []

    def work(self):
        if self.wire.unsent:
            self.wire.write()
        for envelope in self.wire.read():
            if envelope["op"] == "ok":
                self.is_recovered = envelope["recovered"]
            elif envelope["op"] == "msg":
                self.got.append((envelope["topic"], envelope["data"]))
            else:
                assert envelope["op"] == "welcome", envelope

    @property
    def wants(self):
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.wire.unsent else 0)

    @property
    def is_done(self):
        return self.is_recovered is not None and len(self.got) >= self.wanted


def come_back(address, count, since):
    """Lets all of them resume; returns them when each has what it missed."""
    everybody, waiting = [], 0
    with selectors.DefaultSelector() as selector:
        while waiting or len(everybody) < count:
            while waiting < AT_ONCE and len(everybody) < count:
                everybody.append(Returned(address, len(everybody), since))
                selector.register(everybody[-1].wire.socket, everybody[-1].wants, everybody[-1])
                waiting += 1
            for key, events in selector.select(10):
                each = key.data
                each.work()
                if each.is_done:
                    selector.unregister(each.wire.socket)
                    waiting -= 1
                elif each.wants != key.events:
                    selector.modify(each.wire.socket, each.wants, each)
    return everybody


@pytest.mark.deadline(300)
@pytest.mark.parametrize("workers", [1, 2], ids=["one_worker", "two_workers"])
def test_ten_thousand_come_back_to_a_fresh_node(redis, start_node, many, workers):
    old = start_node(redis.url, "old", workers=workers)
    count = many if not old.sanitized else min(many, 3000)
    with Client(old.address) as client:
        publish_round(old, "before")
        since = client.sub("#")["pos"]
    for n in range(MISSED):
        publish_round(old, n)
    old.stop()
    before = calls(redis)
    fresh: Node = start_node(redis.url, "fresh", workers=workers)
    begun = time.monotonic()
    everybody = come_back(fresh.address, count, since)
    took = time.monotonic() - begun
    after = calls(redis)
    try:
        for each in everybody:
            assert each.is_recovered is True
            assert [value for topic, value in each.got if topic == each.topic] == list(range(MISSED))
            assert len(each.got) == each.wanted
    finally:
        for each in everybody:
            each.wire.socket.close()
    reads = {name: after[name] - before.get(name, 0) for name in READS
             if after.get(name, 0) > before.get(name, 0)}
    print(f"{count} clients were back after {took:.2f} s; Redis: {reads}")
    assert reads["xrevrange"] >= 16
    assert sum(reads.values()) <= 16 * READS_OF_A_PARTITION, reads
