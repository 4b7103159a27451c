"""Subscribing in a cluster: on a node that has to join a partition first, and going on at another node."""

import json
import time

import pytest

from support.client import position
from support.events import refused_stream
from support.positions import Kept, moved, publish
from support.wait import until

PARTITIONS = 16
AHEAD_S = 1.5  # what a node waits for a position that it has not come to, but for a tick
TICK_S = 0.3
DEADLINE_S = 2  # relay.deadline
GRACE_S = 30  # what a node waits before it leaves a partition that nobody wants


def partition_of(topic, levels=2):
    """Returns a topic's partition: FNV-1a of its leading levels, folded."""
    found = 0xCBF29CE484222325
    for byte in "/".join(topic.split("/")[:levels]).encode():
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return ((found ^ found >> 32) & 0xFFFFFFFF) % PARTITIONS


def topics_apart(count):
    """Returns so many topics, each of another partition."""
    found, n = {}, 0
    while len(found) < count:
        found.setdefault(partition_of(f"apart/{n}/x"), f"apart/{n}/x")
        n += 1
    return list(found.values())


@pytest.fixture
def nodes(redis, start_node, workers):
    """Two nodes that have joined nothing yet."""
    return [start_node(redis.url, name, workers=workers) for name in ("one", "two")]


@pytest.fixture
def single_nodes(redis, start_node):
    """The same, for what takes too long to look at twice."""
    return [start_node(redis.url, name) for name in ("one", "two")]


def streams_of(positions):
    return {position(text)[0] for text in positions}


def by_topic(messages):
    found = {}
    for message in messages:
        found.setdefault(message["topic"], []).append(message["data"])
    return found


def end_all(client, topics):
    """Publishes the end of each topic: what comes of it after that comes too often."""
    for topic in topics:
        client.pub(topic, "end")


def msgs_to_ends(client, topics):
    """Returns the messages before the ends of all these topics."""
    left, found = set(topics), []
    while left:
        message = client.next_msg()
        if message["data"] == "end":
            left.remove(message["topic"])
        else:
            assert message["topic"] in left, message
            found.append(message)
    return found


def test_a_sub_on_a_node_that_has_not_joined_says_where_it_begins(nodes, clients, encoding):
    one, two = (clients(node, encoding) for node in nodes)
    said = one.pub("a/b/c", 1)
    reply = two.sub("a/b/+")
    assert reply["pos"] == [said], "what was before is before"
    said = one.pub("a/b/c", 2)
    assert two.next_msg()["pos"] == said == moved(reply["pos"][0], 1)
    assert one.sub("a/b/#")["pos"] == [said]
    assert clients(nodes[0]).sub("a/b/#")["pos"] == [said], "joined already"


def test_the_ok_names_the_place_of_each_partition_that_the_filters_touch(nodes, clients, encoding):
    one, two = (clients(node, encoding) for node in nodes)
    topics = topics_apart(5)
    said = publish(one, lambda n: topics[n], range(5))
    assert sorted(two.sub(*topics)["pos"]) == sorted(said)
    assert set(said) < set(two.sub("#")["pos"])
    everywhere = two.sub("+/x", "apart/1/x")["pos"]
    assert len(streams_of(everywhere)) == len(everywhere) == PARTITIONS
    assert sorted(one.sub("#")["pos"]) == sorted(everywhere), "the same on every node"


def test_both_nodes_deliver_the_same_at_the_same_positions(nodes, clients):
    one, two = clients(nodes[0], "json"), clients(nodes[1], "msgpack")
    topics = topics_apart(3)
    one.sub("apart/#")
    two.sub("apart/#")
    for n in range(40):
        (one, two)[n % 2].send({"op": "pub", "topic": topics[n % 3], "data": n})
    end_all(clients(nodes[0]), [])
    got = [[c.next_msg() for _ in range(40)] for c in (one, two)]
    for topic in topics:
        seen = [[(m["pos"], m["data"]) for m in each if m["topic"] == topic] for each in got]
        assert seen[0] == seen[1] and len(seen[0]) >= 13


def test_requests_behind_a_sub_that_has_to_wait_keep_their_order(nodes, clients, encoding):
    client = clients(nodes[1], encoding)
    client.send([{"op": "sub", "id": 1, "topics": ["a/#"]}, {"op": "pub", "topic": "a", "data": 1},
                 {"op": "unsub", "id": 2, "topics": ["a/#"]}, {"op": "no", "id": 3},
                 {"op": "sub", "id": 4, "topics": ["b/c"]}, {"op": "ping", "id": 5}])
    client.send({"op": "history", "id": 6, "topic": "d/e"})
    client.send({"op": "ping", "id": 7})
    replies = [client.next() for _ in range(7)]
    assert [r["id"] for r in replies] == [1, 2, 3, 4, 5, 6, 7]
    assert [r["op"] for r in replies] == ["ok", "ok", "error", "ok", "ok", "ok", "ok"]


def test_a_ping_comes_behind_the_publishes_before_it(nodes, clients, encoding):
    client = clients(nodes[0], encoding)
    topics = topics_apart(7)
    client.send([*({"op": "pub", "id": n, "topic": topics[n % 7], "data": n} for n in range(50)),
                 {"op": "ping", "id": "ping"}])
    replies = [client.next() for _ in range(51)]
    assert replies[-1] == {"op": "ok", "id": "ping"}
    assert {r["id"] for r in replies[:-1]} == set(range(50))


@pytest.mark.parametrize("pattern", ["apart/#", "+/+/x", "#"])
def test_a_client_goes_on_at_the_other_node(nodes, clients, encoding, pattern):
    publisher = clients(nodes[0], "json")
    topics, kept = topics_apart(8), Kept()
    client = clients(nodes[0], encoding)
    kept.see(client.sub(pattern))
    publish(publisher, lambda n: topics[n % 8], range(16))
    for _ in range(16):
        kept.see(client.next_msg())
    client.socket.close()
    publish(publisher, lambda n: topics[n % 8], range(16, 200))
    client = clients(nodes[1], encoding)
    reply = client.ok({"op": "sub", "topics": [pattern], "since": kept.since})
    assert reply["recovered"] is True, reply
    publish(publisher, lambda n: topics[n % 8], range(200, 240))
    end_all(publisher, topics)
    got = by_topic(msgs_to_ends(client, topics))
    assert got == {topic: list(range(16 + k, 240, 8)) for k, topic in enumerate(topics)}


def test_a_stream_that_is_not_named_begins_live(nodes, clients):
    publisher, client = clients(nodes[0]), clients(nodes[1])
    first, second = topics_apart(2)
    said = publish(publisher, lambda n: (first, second)[n % 2], range(6))
    reply = client.ok({"op": "sub", "topics": [first, second], "since": [said[0]]})
    assert reply["recovered"] is True
    end_all(publisher, [first, second])
    assert by_topic(msgs_to_ends(client, [first, second])) == {first: [2, 4]}


def test_a_stream_that_nobody_knows_is_not_recovered(nodes, clients):
    publisher, client = clients(nodes[0]), clients(nodes[1])
    said = publisher.pub("a/b", 1)
    stream, offset = position(said)
    other = f"{stream[:-4]}zzzz.{offset}"
    reply = client.ok({"op": "sub", "topics": ["a/b"], "since": [other]})
    assert reply["recovered"] is False
    far = f"{stream}.{offset + 1000}"
    begun = time.monotonic()
    reply = client.ok({"op": "sub", "topics": ["a/b"], "since": [far]})
    assert reply["recovered"] is False
    assert AHEAD_S - TICK_S < time.monotonic() - begun, "it was waited for"


def test_a_position_that_the_node_has_not_come_to_is_waited_for(nodes, clients, encoding):
    publisher, client = clients(nodes[0]), clients(nodes[1], encoding)
    said = publisher.pub("a/b", 1)
    client.sub("a/b")
    client.send({"op": "sub", "id": 1, "topics": ["a/b", "a/+"], "since": [moved(said, 1)]})
    client.send({"op": "ping", "id": 2})
    clients(nodes[1]).ok({"op": "ping"})
    assert publisher.pub("a/b", 2) == moved(said, 1)
    reply = client.take_where(lambda e: e.get("id") == 1)
    assert (reply["op"], reply["recovered"]) == ("ok", True), reply
    assert client.take_where(lambda e: e.get("id") == 2)["op"] == "ok"


# -- event streams


def as_since(event_id):
    return event_id.split(",")


def test_an_event_stream_goes_on_at_the_other_node(nodes, clients, stream):
    publisher = clients(nodes[0])
    topics = topics_apart(4)
    first = stream(nodes[0], "apart/#")
    assert len(as_since(first.id)) == len(first.ok["pos"]) == PARTITIONS
    publish(publisher, lambda n: topics[n % 4], range(8))
    for _ in range(8):
        assert first.next_event().data["op"] == "msg"
    assert len(as_since(first.id)) >= 4, "a browser keeps the last id alone"
    first.close()
    publish(publisher, lambda n: topics[n % 4], range(8, 40))
    second = stream(nodes[1], "apart/#", last_event_id=first.id)
    assert second.ok["recovered"] is True
    got = by_topic(second.next_event().data for _ in range(32))
    assert got == {topic: list(range(8 + k, 40, 4)) for k, topic in enumerate(topics)}
    assert stream(nodes[1], "apart/#", since=as_since(second.id)).ok["recovered"] is True


def test_a_stream_is_refused_before_it_waits(nodes, api):
    refused_stream(api(nodes[0]), 400, "a/#/b")
    refused_stream(api(nodes[0]), 400, "a/b", since="nonsense")


def test_a_history_is_had_from_a_node_that_has_not_joined(nodes, clients, api):
    publisher = clients(nodes[0])
    said = publish(publisher, "a/b", range(3))
    answer = api(nodes[1]).get("/v1/history?topic=a/b&last=2")
    assert [(m["data"], m["pos"]) for m in answer["messages"]] == [(1, said[1]), (2, said[2])]
    answer = clients(nodes[1]).ok({"op": "history", "topic": "a/b", "last": 5})
    assert [m["pos"] for m in answer["messages"]] == said


# -- without Redis


def test_a_sub_does_not_wait_for_a_redis_that_is_away(nodes, clients, redis):
    publisher, client = clients(nodes[0]), clients(nodes[1])
    known, unknown = topics_apart(2)
    said = publisher.pub(known, 1)
    assert client.sub(known)["pos"] == [said]
    redis.stop()
    for node in nodes:
        node.wait_ready(False)
    begun = time.monotonic()
    assert client.sub(known, unknown)["pos"] == [said], "what is known"
    reply = client.ok({"op": "sub", "topics": [known], "since": [said]})
    assert reply["recovered"] is True, "the journal has it"
    assert time.monotonic() - begun < DEADLINE_S
    redis.start()
    for node in nodes:
        node.wait_ready()
    gaps = {}

    def names_both():
        while len(streams_of(gaps)) < 2 and client.inbox:
            gap = client.next()
            assert (gap["op"], gap["reason"]) == ("gap", "relay"), gap
            gaps.update(dict.fromkeys(gap["pos"]))
        return True

    gap = client.next(10)
    assert (gap["op"], gap["reason"]) == ("gap", "relay"), "it was empty: both are new streams"
    assert names_both()
    publish(publisher, lambda n: (known, unknown)[n], range(2))
    got = []
    while len(got) < 2:
        envelope = client.next()
        if envelope["op"] == "msg":
            got.append(envelope)
        else:
            assert (envelope["op"], envelope["reason"]) == ("gap", "relay"), envelope
    assert by_topic(got) == {known: [0], unknown: [1]}
    assert said not in {m["pos"] for m in got}


def test_a_resume_waits_for_a_redis_that_is_restarted(start_redis, start_node, clients):
    redis = start_redis(aof=True, args=["--appendfsync", "always"])
    nodes = [start_node(redis.url, name, {"relay.deadline": "10s"}) for name in ("one", "two")]
    publisher, client = clients(nodes[0]), clients(nodes[1])
    said = publish(publisher, "a/b", range(3))
    redis.stop()
    for node in nodes:
        node.wait_ready(False)
    client.send({"op": "sub", "id": 1, "topics": ["a/b"], "since": [said[0]]})
    redis.start()
    reply = client.take_where(lambda e: e.get("id") == 1)
    assert (reply["op"], reply["recovered"]) == ("ok", True), reply
    assert [client.next_msg()["pos"] for _ in range(2)] == said[1:]


# -- interest


def channels(client):
    """Returns the partitions that any node hears from."""
    found = set()
    for name in client.pubsub_channels("fantail:{*}"):
        found.add(int(name.decode().removeprefix("fantail:{").removesuffix("}")))
    return found


def test_a_node_hears_from_the_partitions_that_its_filters_touch_alone(nodes, clients, redis):
    client = redis.client()
    assert channels(client) == set()
    one = clients(nodes[0])
    one.sub("a/b/c")
    assert channels(client) == {partition_of("a/b/c")}
    one.sub("a/b/#", "x/y")
    assert channels(client) == {partition_of("a/b"), partition_of("x/y")}
    clients(nodes[1]).sub("x/y/+")
    assert client.execute_command("PUBSUB", "NUMSUB", f"fantail:{{{partition_of('x/y')}}}")[1] == 2
    one.sub("+/c")
    assert channels(client) == set(range(PARTITIONS))


@pytest.mark.deadline(GRACE_S + 60)
def test_a_partition_is_left_some_time_after_nobody_wants_it(single_nodes, clients, redis):
    client = redis.client()
    one = clients(single_nodes[0])
    one.sub("+/c", "a/b")
    one.unsub("+/c")
    begun = time.monotonic()
    assert channels(client) == set(range(PARTITIONS)), "it may be wanted again"
    until(lambda: channels(client) == {partition_of("a/b")}, "the others are left", GRACE_S + 20)
    assert time.monotonic() - begun > GRACE_S / 2
    publish(one, "a/b", range(3))
    assert [one.next_msg()["data"] for _ in range(3)] == [0, 1, 2]
    assert len(json.dumps(one.sub("+/c")["pos"])) > PARTITIONS * 10, "and joined again"
