"""A cluster through every fault: nothing that was acknowledged is lost, doubled, reordered or silently missed.

Two or three nodes, real Redis servers, publishers with keys over WebSocket and HTTP, and subscribers that
resume on any node. FANTAIL_SOAK=1 (`make soak`) makes each of them minutes long instead of seconds.
"""

import os
import signal
import threading
import time

import pytest

from support.client import Client
from support.cluster import Node
from support.cluster_ledger import ClusterLedger
from support.cluster_people import RULES, assert_even, assert_nothing_admitted, hire
from support.redis_link import RedisLink
from support.rules import with_rules

SOAK = os.environ.get("FANTAIL_SOAK") == "1"
LOAD_S = 60 if SOAK else 4  # of load while the fault is there
DEADLINE_S = 120 + 4 * LOAD_S

pytestmark = pytest.mark.deadline(DEADLINE_S)


@pytest.fixture
def nodes(tmp_path):
    """Starts nodes: nodes(redis.url, 2). Each must end well."""
    started = []

    def begin(urls, count=2, first=1, **kwargs):
        for n in range(first, first + count):
            started.append(Node(urls, f"node{n}", args=with_rules(tmp_path, RULES), **kwargs))
        for each in started:
            if each.process.poll() is None:
                each.wait_ready()
        return [each for each in started if each.process.poll() is None]

    yield begin
    try:
        for each in started:
            if each.process.returncode != -signal.SIGKILL:
                each.stop()
    finally:
        for each in started:
            if each.process.poll() is None:
                each.kill()


def ledger_of(nodes):
    return ClusterLedger([node.address for node in nodes])


@pytest.mark.parametrize("workers", [1, 2], ids=["one_worker", "two_workers"])
def test_subscribers_that_hop_between_nodes_lose_nothing(start_redis, nodes, workers):
    three = nodes([start_redis().url, start_redis().url], 3, workers=workers)
    ledger = ledger_of(three)
    hire(ledger, haste=50)
    ledger.run(LOAD_S)
    assert_even(ledger, three)
    assert_nothing_admitted(ledger)
    assert sum(s.resumes for s in ledger.subscribers) > 10


@pytest.mark.parametrize("kinds", [["pubsub"], ["normal"], ["pubsub", "normal"]], ids="-".join)
@pytest.mark.parametrize("workers", [2], ids=["two_workers"])
def test_connections_that_are_killed_again_and_again(redis, nodes, workers, kinds):
    both = nodes(redis.url, workers=workers)
    ledger = ledger_of(both)
    hire(ledger)
    killed = []

    def kill():
        for kind in kinds:
            killed.append(redis.client().execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME",
                                                         "yes"))

    ledger.run(LOAD_S, every=2 if SOAK else 0.7, act=kill)
    assert sum(killed) >= 4
    assert_even(ledger, both)
    assert_nothing_admitted(ledger)


def test_redis_restarted_with_its_log(start_redis, nodes):
    # With everysec a Redis that is killed may lose what it acknowledged; that is for another test.
    redis = start_redis(aof=True, args=["--appendfsync", "always"])
    both = nodes(redis.url)
    ledger = ledger_of(both)
    hire(ledger)
    ledger.run(LOAD_S / 2)
    for _ in range(3 if SOAK else 1):
        redis.kill()
        ledger.run(1)
        redis.start()
        ledger.run(LOAD_S / 2)
    assert_even(ledger, both)
    assert_nothing_admitted(ledger)
    assert max(offset for _, offset in ledger.entries) > 1 << 32, "no life of Redis is taken for another"


def test_redis_restarted_empty_is_admitted(start_redis, nodes):
    """One of two: of the other's partitions nobody is told anything."""
    gone, stays = start_redis(), start_redis()
    both = nodes([gone.url, stays.url])
    ledger = ledger_of(both)
    hire(ledger)
    ledger.run(LOAD_S / 2)
    ledger.drain()
    ledger.until(lambda: not any(ledger.missing(s) for s in ledger.subscribers))
    before = {stream for stream, _ in ledger.entries}
    ended = {key.split(b"{")[1].split(b"}")[0] for key in gone.client().scan_iter("fantail:{*}:meta")}
    gone.restart(empty=True)
    for each in both:
        each.wait_ready()
    ledger.is_faithful = False  # last values and histories are gone
    count = len(ledger.entries)
    ledger.go_on()
    ledger.run(LOAD_S / 2)
    assert_even(ledger, both)
    after = {stream for stream, _ in list(ledger.entries)[count:]}
    assert 0 < len(after - before) <= len(ended) and after & before
    assert all(s.gaps["relay"] + s.unrecovered > 0 for s in ledger.subscribers
               if "#" in s.filters), ledger.status()


def latencies_of_ephemerals(node, stop, found):
    """Measures one publication after the other on an ephemeral topic of one node, until told to stop."""
    with Client(node.address) as client:
        client.sub("live/x")
        while not stop.is_set():
            begun = time.monotonic()
            client.send({"op": "pub", "topic": "live/x", "data": 1})
            client.next_msg()
            found.append((begun, time.monotonic() - begun))
            stop.wait(0.002)


@pytest.mark.parametrize("seconds", [10, 40] if SOAK else [4])
def test_redis_that_stops_for_a_while(redis, nodes, seconds):
    both = nodes(redis.url)
    ledger = ledger_of(both)
    hire(ledger)
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
    assert_even(ledger, both)
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
        [first] = nodes(link.url, 1)
        both = nodes(redis.url, 1, first=2)
        ledger = ledger_of(both)
        hire(ledger)
        ledger.run(1)
        link.swallow(to_redis=way != "from_redis", from_redis=way != "to_redis")
        begun = time.monotonic()
        ledger.until(lambda: not first.is_ready(), 8)
        assert time.monotonic() - begun < 5.5
        ledger.run(LOAD_S / 4)
        link.restore()
        ledger.until(first.is_ready, 10)
        ledger.run(1)
        assert_even(ledger, both)
        assert_nothing_admitted(ledger)
    finally:
        link.stop()


@pytest.mark.parametrize("workers", [2], ids=["two_workers"])
def test_the_limit_of_pubsub_output_is_exceeded(redis, nodes, workers):
    redis.config_set("client-output-buffer-limit", "pubsub 32kb 16kb 1")
    both = nodes(redis.url, workers=workers)
    ledger = ledger_of(both)
    hire(ledger, rate=None)
    ledger.run(LOAD_S)
    assert_even(ledger, both)
    assert_nothing_admitted(ledger)


def test_a_node_that_is_killed_under_load(redis, nodes):
    three = nodes(redis.url, 3)
    ledger = ledger_of(three)
    hire(ledger)
    ledger.run(LOAD_S / 2)
    three[0].process.send_signal(signal.SIGKILL)
    three[0].process.wait()
    ledger.run(LOAD_S / 2)
    assert_even(ledger, three[1:], presence_s=40 if SOAK else 0)
    assert_nothing_admitted(ledger)


@pytest.mark.parametrize("workers", [1, 2], ids=["one_worker", "two_workers"])
def test_both_nodes_restarted_one_after_the_other(redis, nodes, workers):
    both = nodes(redis.url, workers=workers)
    ledger = ledger_of(both)
    hire(ledger)
    for n in range(20 if SOAK else 2):
        ledger.run(1.5)
        ledger.during(threading.Thread(target=both[0].stop))
        both = nodes(redis.url, 1, first=n % 2 + 1, workers=workers)
        ledger.addresses = [node.address for node in both]
    ledger.run(1.5)
    assert_even(ledger, both)
    assert_nothing_admitted(ledger)


def test_redis_that_flaps(start_redis, nodes):
    # With everysec a Redis that is killed may lose what it acknowledged; that is for another test.
    redis = start_redis(aof=True, args=["--appendfsync", "always"])
    both = nodes(redis.url)
    ledger = ledger_of(both)
    hire(ledger, rate=150)

    def flap():
        redis.kill()
        redis.start()

    ledger.run(LOAD_S, every=0.5, act=flap)
    assert_even(ledger, both)
    assert_nothing_admitted(ledger)
