"""A cluster through every fault: nothing that was acknowledged is lost, doubled, reordered or silently missed.

Two nodes, a real Redis, publishers with keys and subscribers that resume on either node. FANTAIL_SOAK=1
(`make soak`) makes each of them as long as a bad night: minutes instead of seconds.
"""

import os
import signal
import threading
import time

import pytest

from support.cluster import Node
from support.cluster_ledger import ClusterLedger
from support.redis_link import RedisLink

SOAK = os.environ.get("FANTAIL_SOAK") == "1"
LOAD_S = 60 if SOAK else 5  # of load while the fault is there
FILTERS = (["f/1/a"], ["f/+/a"], ["f/#"], ["#"], ["f/2/+", "f/1/b"])
TOPICS = [f"f/{n}/{name}" for n in range(1, 7) for name in "ab"]
DEADLINE_S = 60 + 4 * LOAD_S

pytestmark = pytest.mark.deadline(DEADLINE_S)


@pytest.fixture
def nodes():
    """Starts nodes: nodes(redis.url, 2). Each must end well."""
    started = []

    def begin(urls, count=2, settings=None, first=1, **kwargs):
        for n in range(first, first + count):
            started.append(Node(urls, f"node{n}", settings=settings, **kwargs))
        for each in started:
            if each.process.poll() is None:
                each.wait_ready()
        return started

    yield begin
    try:
        for each in started:
            if each.process.poll() is None:
                each.stop()
    finally:
        for each in started:
            if each.process.poll() is None:
                each.kill()


def people(ledger, haste=None, rate=400, publishers=4):
    """Publishers and subscribers of both encodings on both nodes."""
    for n in range(publishers):
        ledger.publisher(("json", "msgpack")[n % 2], TOPICS[n:] + TOPICS[:n], at=n // 2, rate=rate)
    for n in range(10):
        ledger.subscriber(("json", "msgpack")[n % 2], FILTERS[n % 5], at=n % 2, haste=haste)
    ledger.subscribed()


def assert_even(ledger, seconds=60):
    """All is answered and delivered, and the account is even."""
    ledger.settle(seconds)
    wrong = ledger.account()
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert len(ledger.entries) > 200, ledger.status()
    ledger.close()


def assert_nothing_admitted(ledger):
    assert sum(s.unrecovered for s in ledger.subscribers) == 0, ledger.status()
    assert not any(s.gaps for s in ledger.subscribers), ledger.status()


def addresses(nodes):
    return [node.address for node in nodes]


def test_subscribers_that_hop_between_nodes_lose_nothing(redis, nodes):
    ledger = ClusterLedger(addresses(nodes(redis.url)))
    people(ledger, haste=50)
    ledger.run(LOAD_S)
    assert_even(ledger)
    assert_nothing_admitted(ledger)
    assert sum(s.resumes for s in ledger.subscribers) > 10


def test_pubsub_connections_that_are_killed_again_and_again(redis, nodes):
    ledger = ClusterLedger(addresses(nodes(redis.url)))
    people(ledger)
    killed = []
    ledger.run(LOAD_S, every=2 if SOAK else 0.7,
               act=lambda: killed.append(redis.client().execute_command("CLIENT", "KILL", "TYPE",
                                                                        "pubsub")))
    assert sum(killed) >= 4
    assert_even(ledger)
    assert_nothing_admitted(ledger)


def test_redis_restarted_with_its_log(start_redis, nodes):
    # With everysec a Redis that is killed may lose what it acknowledged; that is for another test.
    redis = start_redis(aof=True, args=["--appendfsync", "always"])
    ledger = ClusterLedger(addresses(nodes(redis.url)))
    people(ledger)
    ledger.run(LOAD_S / 2)
    for _ in range(3 if SOAK else 1):
        redis.kill()
        ledger.run(1)
        redis.start()
        ledger.run(LOAD_S / 2)
    assert_even(ledger)
    assert_nothing_admitted(ledger)


def test_redis_restarted_empty_is_admitted(redis, nodes):
    both = nodes(redis.url)
    ledger = ClusterLedger(addresses(both))
    people(ledger)
    ledger.run(LOAD_S / 2)
    for each in ledger.publishers:
        each.is_stopped = True
    ledger.until(lambda: all(p.is_done for p in ledger.publishers))
    before = {stream for stream, _ in ledger.entries}
    redis.restart(empty=True)
    for each in both:
        each.wait_ready()
    for each in ledger.publishers:
        each.is_stopped = False
        each.begun = time.monotonic() - each.next / each.rate
    ledger.run(LOAD_S / 2)
    assert_even(ledger)
    assert before.isdisjoint({stream for stream, _ in list(ledger.entries)[-100:]})
    assert all(s.gaps["relay"] + s.unrecovered > 0 for s in ledger.subscribers), ledger.status()


def latencies_of_ephemerals(node, stop, found):
    """Measures one publication after the other on an ephemeral topic of one node, until told to stop."""
    from support.client import Client
    with Client(node.address) as client:
        client.send({"op": "sub", "id": 1, "topics": ["live/x"]})
        client.take_where(lambda e: e.get("id") == 1)
        while not stop.is_set():
            begun = time.monotonic()
            client.send({"op": "pub", "topic": "live/x", "data": 1})
            assert client.next()["op"] == "msg"
            found.append((begun, time.monotonic() - begun))
            time.sleep(0.002)


@pytest.mark.parametrize("seconds", [10, 40] if SOAK else [6])
def test_redis_that_stops_for_a_while(redis, nodes, tmp_path, seconds):
    config = tmp_path / "fantail.conf"
    config.write_text('[topic "live/#"]\nephemeral = yes\n')
    both = nodes(redis.url, args=["-c", str(config)])
    ledger = ClusterLedger(addresses(both))
    people(ledger)
    stop, found = threading.Event(), []
    thread = threading.Thread(target=latencies_of_ephemerals, args=(both[0], stop, found))
    thread.start()
    try:
        ledger.run(LOAD_S / 2)
        memory = [node.rss_bytes() for node in both]
        frozen = time.monotonic()
        redis.freeze()
        ledger.run(seconds)
        assert all(not node.is_ready() for node in both)
        grown = [node.rss_bytes() - before for node, before in zip(both, memory)]
        redis.thaw()
        thawed = time.monotonic()
        for node in both:
            node.wait_ready()
        ledger.run(LOAD_S / 2)
    finally:
        redis.thaw()
        stop.set()
        thread.join()
    assert_even(ledger)
    assert max(grown) < 64 << 20, grown
    refused = sum(p.refused[503] + p.refused[504] for p in ledger.publishers)
    assert refused > 0, "nobody was told that Redis was away"
    quiet = sorted(took for begun, took in found if begun < frozen)
    away = sorted(took for begun, took in found if frozen + 0.5 < begun < thawed - 0.5)
    assert len(away) > 100
    # Machines are noisy: what it must not be is waiting for Redis.
    assert away[len(away) * 99 // 100] < max(2 * quiet[len(quiet) * 99 // 100], 0.1)


@pytest.mark.parametrize("way", ["to_redis", "from_redis", "both"])
def test_a_link_that_swallows_is_noticed_and_healed(redis, nodes, way):
    link = RedisLink(redis)
    try:
        first = nodes(link.url, 1)[0]
        nodes(redis.url, 1, first=2)
        both = [first, nodes(redis.url, 0)[-1]]
        ledger = ClusterLedger(addresses(both))
        people(ledger)
        ledger.run(1)
        link.swallow(to_redis=way != "from_redis", from_redis=way != "to_redis")
        begun = time.monotonic()
        ledger.until(lambda: not first.is_ready(), 8)
        assert time.monotonic() - begun < 5.5
        ledger.run(LOAD_S / 2)
        link.restore()
        ledger.until(first.is_ready, 10)
        ledger.run(1)
        assert_even(ledger)
        assert_nothing_admitted(ledger)
    finally:
        link.stop()


def test_the_limit_of_pubsub_output_is_exceeded(redis, nodes):
    redis.config_set("client-output-buffer-limit", "pubsub 32kb 16kb 1")
    ledger = ClusterLedger(addresses(nodes(redis.url)))
    people(ledger, rate=None)
    ledger.run(LOAD_S)
    assert_even(ledger)
    assert_nothing_admitted(ledger)


def test_a_node_that_is_killed_under_load(redis, nodes):
    both = nodes(redis.url)
    ledger = ClusterLedger(addresses(both))
    people(ledger, rate=300)
    ledger.run(LOAD_S / 2)
    both[0].process.send_signal(signal.SIGKILL)
    both[0].process.wait()
    ledger.run(LOAD_S / 2)
    assert_even(ledger)
    assert_nothing_admitted(ledger)


def test_both_nodes_restarted_one_after_the_other(redis, nodes):
    started = nodes(redis.url)
    ledger = ClusterLedger(addresses(started))
    people(ledger, rate=300)
    for n in range(6 if SOAK else 2):
        ledger.run(1.5)
        old = started[-2]
        ends = threading.Thread(target=old.stop)
        ends.start()
        while ends.is_alive():
            ledger.turn()
        ends.join()
        new = nodes(redis.url, 1, first=n % 2 + 1)[-1]
        ledger.addresses = addresses(started[-2:])
        assert new is started[-1]
    ledger.run(1.5)
    assert_even(ledger)
    assert_nothing_admitted(ledger)


def test_redis_that_flaps(start_redis, nodes):
    # With everysec a Redis that is killed may lose what it acknowledged; that is for another test.
    redis = start_redis(aof=True, args=["--appendfsync", "always"])
    ledger = ClusterLedger(addresses(nodes(redis.url)))
    people(ledger, rate=200)

    def flap():
        redis.kill()
        redis.start()

    ledger.run(LOAD_S, every=0.5, act=flap)
    assert_even(ledger)
    assert_nothing_admitted(ledger)
