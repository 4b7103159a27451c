"""Redis loses what it has acknowledged: a power cut, a failover, a backup that was put back.

A node that was cut off before then comes first, and fills the offsets again, while those who know better
are cut off. Nothing may be silent: what was acknowledged is delivered, or its loss is admitted, and no position
ever means two things.
"""

import pytest

from support.cluster import Node
from support.cluster_ledger import ClusterLedger
from support.redis_link import RedisLink

TOPICS = [f"f/{n}/{name}" for n in range(1, 7) for name in "ab"]

pytestmark = pytest.mark.deadline(120)


class Pair:
    """Two nodes, each behind a link of its own to one Redis that loses its memory."""

    def __init__(self, redis):
        self.redis = redis
        self.links = [RedisLink(redis), RedisLink(redis)]
        self.nodes = []

    def start(self):
        for n, link in enumerate(self.links):
            self.nodes.append(Node(link.url, f"node{n + 1}"))
        for node in self.nodes:
            node.wait_ready()

    def ledger(self):
        return ClusterLedger([node.address for node in self.nodes], is_faithful=False)

    def forget(self, ledger, before_it_is_back=lambda: None):
        """Redis goes back to where it was before the first node alone had more of it."""
        self.links[1].swallow()
        ledger.run(0.5)  # what is on its way arrives
        copy = self.redis.snapshot()
        known = set(ledger.entries)
        ledger.until(lambda: len(ledger.entries) > len(known) + 100)
        self.redis.kill()
        ledger.until(lambda: not self.nodes[0].is_ready())  # it has taken in all that Redis has said
        ledger.run(0.3)  # and what the node made of it has arrived
        ledger.lost = set(ledger.entries) - known
        self.redis.keep_only(copy)
        before_it_is_back()
        self.redis.start()

    def close(self):
        for node in self.nodes:
            node.kill() if node.process.poll() is None else None
        for link in self.links:
            link.stop()


@pytest.fixture(params=["snapshot", "log"])
def pair(request, start_redis):
    log = ["--appendfsync", "always", "--aof-use-rdb-preamble", "no"]
    made = Pair(start_redis(aof=request.param == "log", args=log if request.param == "log" else []))
    try:
        made.start()
        yield made
        for node in made.nodes:
            node.stop()
    finally:
        made.close()


def assert_admitted(ledger, subscribers):
    ledger.settle(60)
    wrong = ledger.account()
    assert not wrong, "\n".join(map(str, wrong[:20]))
    for each in subscribers:
        assert each.gaps["relay"] + each.unrecovered > 0, ledger.status()
    ledger.close()


def people(ledger, haste=None):
    for n in range(4):
        ledger.publisher(("json", "msgpack")[n % 2], TOPICS[n:] + TOPICS[:n], at=n // 2, rate=200)
    for n in range(6):
        ledger.subscriber(("json", "msgpack")[n % 2], [["#"], ["f/+/a"], ["f/#"]][n % 3], at=n % 2,
                          haste=haste)
    ledger.subscribed()


@pytest.mark.parametrize("who", ["who_knows", "who_does_not"])
@pytest.mark.parametrize("haste", [None, 60])
def test_what_redis_forgets_is_admitted_whoever_comes_first(pair, who, haste):
    ledger = pair.ledger()
    people(ledger, haste)
    ledger.run(1)

    def swap():
        pair.links[1].restore()
        pair.links[0].swallow()

    pair.forget(ledger, swap if who == "who_does_not" else lambda: None)
    if who == "who_does_not":
        known = len(ledger.entries)
        ledger.until(pair.nodes[1].is_ready)
        ledger.until(lambda: len(ledger.entries) > known + 400)
        assert not pair.nodes[0].is_ready()
    pair.links[0].restore()
    pair.links[1].restore()
    ledger.until(lambda: all(node.is_ready() for node in pair.nodes))
    ledger.run(2)
    assert_admitted(ledger, ledger.subscribers)


def test_what_was_acknowledged_where_nobody_listens_is_admitted(pair):
    ledger = pair.ledger()
    ledger.publisher("json", TOPICS, at=0, rate=400)
    for n in range(2):
        ledger.subscriber("json", ["#"], at=1)
    ledger.subscribed()
    ledger.run(1)

    def swap():
        for each in ledger.publishers:
            each.is_stopped = True
            each.open.clear()
        pair.links[1].restore()
        pair.links[0].swallow()

    pair.forget(ledger, swap)
    ledger.publisher("msgpack", TOPICS, at=1, rate=400)
    known = len(ledger.entries)
    ledger.until(lambda: len(ledger.entries) > known + 400)
    pair.links[0].restore()  # it has nothing to publish any more, and nobody listens there
    ledger.until(lambda: all(s.gaps["relay"] for s in ledger.subscribers))
    ledger.run(1)
    assert_admitted(ledger, ledger.subscribers)
