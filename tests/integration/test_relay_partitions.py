"""What nodes take in of partitions: nothing lost in silence, whatever comes by the channel, or does not."""

import functools
import json
import struct
import time

import pytest

from support.client import Client, position
from support.rules import with_rules
from support.wait import until

HEALED_S = 1.5
GRACE_S = 30


@pytest.fixture
def node(redis, start_node):
    """Starts nodes on one Redis: node("a")."""
    return functools.partial(start_node, redis.url)


@pytest.fixture
def one(redis, node):
    """Two nodes with one partition, so that every topic is in it."""
    settings = {"relay.partitions": 1}
    return node("a", settings), node("b", settings)


@pytest.fixture
def pair(one):
    """A publisher on one node, and a subscriber to t/# on the other."""
    a, b = one
    with Client(a.address) as publisher, Client(b.address) as subscriber:
        subscriber.sub("t/#")
        yield publisher, subscriber


def value(text):
    """A text as MessagePack."""
    text = text.encode()
    assert len(text) < 32
    return bytes([0xA0 + len(text)]) + text


def entry(topic, data):
    """A relay entry as core/relay_message.h has it: [flags, topic, data, at_ms, expires_ms, history]."""
    data = json.dumps(data).encode()
    return (b"\x96\x00" + value(topic) + bytes([0xC4, len(data)]) + data + b"\xcf"
            + struct.pack(">Q", int(time.time() * 1000)) + b"\x00\x00")


def message(stream, ms, first, *entries):
    """A stored message, as publish.lua writes it."""
    return (b"\x96\x01\x01" + value(stream) + b"\xcf" + struct.pack(">Q", ms) + b"\xcf"
            + struct.pack(">Q", first) + b"\xcd" + struct.pack(">H", len(entries)) + b"".join(entries))


def add_silently(redis, stream, first, *entries):
    """Stores publications whose message is lost on its way: in log and meta, and not on the channel."""
    client = redis.client()
    seconds, micros = client.time()
    ms, last = seconds * 1000 + micros // 1000, first + len(entries) - 1
    client.xadd("fantail:{0}:log", {"m": message(stream, ms, first, *entries)}, id=f"{ms}-{last}")
    client.hset("fantail:{0}:meta", mapping={"o": last, "t": ms})


def rejected(node, reason):
    return node.metric("fantail_relay_rejected_total", reason=reason)


def data_of(subscriber, count):
    return [subscriber.next_msg()["data"] for _ in range(count)]


# ---- one order, one numbering


def test_every_node_gives_the_same_order_and_positions(one):
    a, b = one
    with Client(a.address) as on_a, Client(b.address) as on_b, Client(a.address) as other:
        on_a.sub("t/#")
        on_b.sub("t/#")
        for n in range(50):
            (on_a, on_b, other)[n % 3].send({"op": "pub", "topic": f"t/{n}", "data": n})
        heard_a = [(m["pos"], m["topic"]) for m in (on_a.next_msg() for _ in range(50))]
        heard_b = [(m["pos"], m["topic"]) for m in (on_b.next_msg() for _ in range(50))]
    assert heard_a == heard_b
    assert [position(pos)[1] for pos, _ in heard_a] == list(range(1, 51))


def test_the_position_of_the_answer_is_that_of_the_message(pair):
    publisher, subscriber = pair
    pos = publisher.pub("t/1", "x")
    assert subscriber.next_msg()["pos"] == pos


def test_a_client_goes_on_at_the_other_node(one):
    a, b = one
    with Client(a.address) as publisher, Client(a.address) as first, Client(b.address) as keeper:
        keeper.sub("t/#")  # so that the other node has it in its journal
        first.sub("t/#")
        for n in range(10):
            publisher.pub("t/x", n)
        pos = [first.next_msg()["pos"] for _ in range(4)][-1]
    with Client(b.address) as second:
        ok = second.ok({"op": "sub", "topics": ["t/#"], "since": [pos]})
        assert ok["recovered"] is True
        assert data_of(second, 6) == [4, 5, 6, 7, 8, 9]


# ---- holes


def test_a_loss_on_a_quiet_partition_is_healed_by_the_beat(redis, one, pair):
    publisher, subscriber = pair
    stream, head = position(publisher.pub("t/1", "before"))
    assert subscriber.next_msg()["data"] == "before"
    begun = time.monotonic()
    add_silently(redis, stream, head + 1, entry("t/1", "lost"), entry("t/2", "as well"))
    assert data_of(subscriber, 2) == ["lost", "as well"]
    assert time.monotonic() - begun < HEALED_S
    b = one[1]
    assert b.metric("fantail_relay_holes_total") == 1
    assert b.metric("fantail_relay_healed_publications_total") == 2
    assert b.metric("fantail_relay_gaps_total") == 0


def test_a_loss_on_a_busy_partition_is_healed_before_what_comes_later(redis, pair):
    publisher, subscriber = pair
    stream, head = position(publisher.pub("t/1", "before"))
    add_silently(redis, stream, head + 1, entry("t/1", "lost"))
    publisher.pub("t/1", "later")
    assert data_of(subscriber, 3) == ["before", "lost", "later"]


def test_what_the_log_has_lost_is_a_gap(redis, one, pair):
    publisher, subscriber = pair
    stream, head = position(publisher.pub("t/1", "before"))
    assert subscriber.next_msg()["data"] == "before"
    for n in range(3):
        add_silently(redis, stream, head + 1 + n, entry("t/1", f"lost {n}"))
        redis.client().xtrim("fantail:{0}:log", 0, approximate=False)
    gap = subscriber.next()
    assert (gap["op"], gap["reason"]) == ("gap", "relay")
    assert position(gap["pos"][0])[0] == stream
    publisher.pub("t/1", "after")
    received = subscriber.take_where(lambda e: e["op"] == "msg")
    assert (received["data"], received["pos"]) == ("after", f"{stream}.{head + 4}")
    assert one[1].metric("fantail_relay_gaps_total") >= 1


def test_an_entry_of_the_log_that_cannot_be_read_is_a_gap(redis, one, pair):
    publisher, subscriber = pair
    stream, head = position(publisher.pub("t/1", "before"))
    assert subscriber.next_msg()["data"] == "before"
    client = redis.client()
    seconds, _ = client.time()
    client.xadd("fantail:{0}:log", {"m": b"\x96\x09 from a later version"},
                id=f"{seconds * 1000 + 999}-{head + 1}")
    client.hset("fantail:{0}:meta", mapping={"o": head + 1, "t": seconds * 1000 + 999})
    gap = subscriber.next()
    assert (gap["op"], gap["reason"], "lost" in gap) == ("gap", "relay", False)
    assert publisher.pub("t/1", "after") == f"{stream}.{head + 2}"
    assert subscriber.next_msg()["data"] == "after"
    assert rejected(one[1], "version") >= 1


def test_pubsub_connections_that_end_cost_nothing(redis, pair):
    publisher, subscriber = pair
    for n in range(200):
        publisher.send({"op": "pub", "topic": "t/x", "data": n, "id": n, "key": str(n)})
        if n % 50 == 25:
            redis.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    answers = {e["id"]: e for e in (publisher.next() for _ in range(200))}
    again = [n for n in range(200) if answers[n]["op"] == "error"]
    for n in again:
        until(lambda: publisher.request({"op": "pub", "topic": "t/x", "data": n, "key": str(n)})
              ["op"] == "ok", "it is published after all")
    received = data_of(subscriber, 200)
    assert sorted(received) == list(range(200))
    steady = [n for n in received if n not in again]
    assert steady == sorted(steady)


def test_a_node_that_is_too_slow_for_redis_is_healed(redis, pair):
    """Redis drops the connection of who does not read: client-output-buffer-limit."""
    publisher, subscriber = pair
    redis.config_set("client-output-buffer-limit", "pubsub 4096 0 0")
    big = "x" * 3000
    for n in range(300):
        publisher.send({"op": "pub", "topic": "t/x", "data": [n, big]})
    received = [m["data"][0] for m in (subscriber.next_msg(timeout=20) for _ in range(300))]
    assert received == list(range(300))


# ---- what comes by the channel and is not the node's


def forge(redis, payload, partition=0):
    redis.client().publish(f"fantail:{{{partition}}}", payload)


def assert_goes_on(publisher, subscriber, data="after"):
    publisher.pub("t/1", data)
    assert subscriber.next_msg()["data"] == data


@pytest.mark.parametrize("payload, reason", [
    (b"", "foreign"), (b"hello", "foreign"), (b"\x96", "foreign"), (b"{}", "foreign"),
    (b"\x96\x02\x01\x01\x01\x01\x01", "version"),
    (message("0aaxxxxxxx", 1, 1, b"\x01"), None),
])
def test_what_is_no_message_is_counted_and_ignored(redis, one, pair, payload, reason):
    publisher, subscriber = pair
    assert_goes_on(publisher, subscriber, "before")
    forge(redis, payload)
    if reason:
        until(lambda: rejected(one[1], reason) == 1, f"counted as {reason}")
    assert_goes_on(publisher, subscriber)


def test_each_reason_to_reject_a_message_is_logged(redis, one, pair):
    for payload in (b"hello", b"\x96\x02\x01\x01\x01\x01\x01", b"hello", b"\x96" + b"\x01" * 6):
        forge(redis, payload)

    def reasons():
        found = [line for line in one[1].stderr_lines if "event=relay_message_rejected " in line]
        return {line.partition("reason=")[2] for line in found}

    until(lambda: len(reasons()) == 3, "a line for each")
    assert reasons() == {"foreign messages=1", "version messages=1", "damaged messages=1"}


def test_a_head_that_redis_does_not_have_is_ignored(redis, one, pair):
    publisher, subscriber = pair
    stream, head = position(publisher.pub("t/1", "before"))
    assert subscriber.next_msg()["data"] == "before"
    forge(redis, message(stream, 2**41, head + 1000, entry("t/1", "forged")))
    until(lambda: rejected(one[1], "spoofed") == 1, "counted as spoofed")
    assert_goes_on(publisher, subscriber)
    assert one[1].metric("fantail_relay_gaps_total") == 0


def test_a_stream_that_redis_does_not_have_is_ignored(redis, one, pair):
    publisher, subscriber = pair
    stream, _ = position(publisher.pub("t/1", "before"))
    assert subscriber.next_msg()["data"] == "before"
    other = stream[:3] + ("aaaaaaa" if stream[3:] != "aaaaaaa" else "bbbbbbb")
    forge(redis, message(other, 2**41, 1, entry("t/1", "forged")))
    until(lambda: rejected(one[1], "spoofed") == 1, "counted as spoofed")
    assert_goes_on(publisher, subscriber)


def test_what_takes_the_next_place_by_forgery_is_told_as_a_gap(redis, one, pair):
    publisher, subscriber = pair
    stream, head = position(publisher.pub("t/1", "before"))
    assert subscriber.next_msg()["data"] == "before"
    forge(redis, message(stream, int(time.time() * 1000), head + 1, entry("t/1", "forged")))
    gap = subscriber.take_where(lambda e: e["op"] == "gap")
    assert gap["reason"] == "relay"
    until(lambda: any("event=relay_gap " in line for line in one[1].stderr_lines), "a line")
    assert all(line.endswith("lost=unknown") for line in one[1].stderr_lines if "event=relay_gap " in line)
    assert publisher.pub("t/1", "after") == f"{stream}.{head + 1}"
    assert subscriber.take_where(lambda e: e.get("data") == "after")


def test_nobody_goes_on_over_what_took_the_place_of_something_else(redis, one, pair):
    publisher, subscriber = pair
    since = publisher.pub("t/1", "before")
    stream, head = position(since)
    assert subscriber.next_msg()["data"] == "before"
    forged_ms = int(time.time() * 1000)
    forge(redis, message(stream, forged_ms, head + 1, entry("t/1", "forged")))
    until(lambda: int(time.time() * 1000) > forged_ms, "another id")
    publisher.pub("t/1", "genuine")
    publisher.pub("t/1", "after")
    gap = subscriber.take_where(lambda e: e["op"] == "gap")
    assert position(gap["pos"][0])[1] >= head + 2
    with Client(one[1].address) as late:
        answer = late.ok({"op": "sub", "topics": ["t/#"], "since": [since]})
        assert answer["recovered"] is False
    with Client(one[1].address) as late:
        answer = late.ok({"op": "sub", "topics": ["t/#"], "since": gap["pos"]})
        assert answer["recovered"] is True


# ---- joining and leaving


def test_a_node_that_starts_has_what_was_published_before(redis, node):
    a = node("a")
    with Client(a.address) as publisher:
        publisher.sub("t/#")
        positions = [publisher.pub("t/x", n) for n in range(20)]
        publisher.pub("t/r", "kept", retain=True)
    b = node("b")
    reads = b.metric("fantail_relay_reads_total")
    assert reads == 0, "nobody has asked for anything"
    with Client(b.address) as late:
        ok = late.ok({"op": "sub", "topics": ["t/x"], "since": [positions[4]]})
        assert ok["recovered"] is True
        assert data_of(late, 15) == list(range(5, 20))
        late.sub("t/r")
        kept = late.next_msg()
        assert (kept["data"], kept["retained"]) == ("kept", True)
    reads = b.metric("fantail_relay_reads_total")
    for n in range(20):
        with Client(b.address) as another:
            ok = another.ok({"op": "sub", "topics": ["t/x"], "since": [positions[n]]})
            assert ok["recovered"] is True
            assert data_of(another, 19 - n) == list(range(n + 1, 20))
    assert b.metric("fantail_relay_reads_total") == reads, "a resume reads nothing from Redis"


def test_last_values_and_histories_of_before_the_log_are_there(redis, node, tmp_path):
    rules = with_rules(tmp_path, {"h/#": {"history": 3}})
    settings = {"relay.partitions": 1}
    a = node("a", settings, args=rules)
    with Client(a.address) as publisher:
        for n in range(5):
            publisher.pub("h/x", n)
        publisher.pub("t/r", "first", retain=True)
        publisher.pub("t/r", "second", retain=True)
        publisher.pub("t/gone", 1, retain=True)
        publisher.pub("t/gone", None, retain=True)
    redis.client().xtrim("fantail:{0}:log", 0, approximate=False)
    b = node("b", settings, args=rules)
    with Client(b.address) as late:
        late.sub("t/#")
        kept = late.next_msg()
        assert (kept["topic"], kept["data"], kept["retained"]) == ("t/r", "second", True)
        history = late.ok({"op": "history", "topic": "h/x", "last": 10})
        assert [m["data"] for m in history["messages"]] == [2, 3, 4]
        late.pub("t/end", 1)
        assert late.next_msg()["topic"] == "t/end"


def test_histories_are_there_of_as_many_topics_as_redis_hands_out_at_once(redis, node, tmp_path):
    redis.config_set("zset-max-ziplist-entries", 4096)  # so that one scan brings all of them
    rules = with_rules(tmp_path, {"h/#": {"history": 1}})
    settings = {"relay.partitions": 1}
    a = node("a", settings, args=rules)
    with Client(a.address) as publisher:
        for n in range(0, 1500, 100):
            publisher.send([{"op": "pub", "topic": f"h/{n + i}", "data": n + i} for i in range(100)])
        publisher.ok({"op": "ping"})
    redis.client().xtrim("fantail:{0}:log", 0, approximate=False)
    b = node("b", settings, args=rules)
    with Client(b.address) as late:
        missing = [n for n in range(1500)
                   if not late.ok({"op": "history", "topic": f"h/{n}", "last": 1})["messages"]]
    assert missing == []


def channels(redis):
    return {name.decode() for name in redis.client().pubsub_channels("fantail:{*")}


@pytest.mark.slow
def test_only_what_is_wanted_is_joined_and_it_is_left_after_a_while(redis, node):
    a = node("a")
    assert channels(redis) == set()
    with Client(a.address) as client:
        client.sub("one/topic")
        assert len(channels(redis)) == 1
        client.sub("#")
        assert len(channels(redis)) == 16
        client.unsub("#")
        with Client(a.address) as other:
            other.sub("two/topic")
        until(lambda: a.metric("fantail_relay_partitions_joined") == 16, "all are counted")
        assert len(channels(redis)) == 16, "there is a time of grace"
        until(lambda: len(channels(redis)) == 1, "the others are left", GRACE_S + 10)
        client.pub("one/topic", "still here")
        assert client.next_msg()["data"] == "still here"


# ---- other software


def assert_comes(subscriber, topic, data):
    received = subscriber.next_msg()
    assert (received["topic"], received["data"]) == (topic, data)
    return received


def publish_in(redis, topic, payload):
    return redis.client().publish(f"fantail:in:{topic}", payload)


def test_any_client_of_redis_publishes(redis, pair):
    _, subscriber = pair
    until(lambda: redis.client().pubsub_numpat() == 1, "one node listens")
    for n in range(20):
        assert publish_in(redis, "t/x", json.dumps({"n": n})) == 1
    received = [assert_comes(subscriber, "t/x", {"n": n}) for n in range(20)]
    assert [position(m["pos"])[1] for m in received] == list(range(1, 21))


def test_what_is_no_publication_is_not_taken_in(redis, one, pair):
    _, subscriber = pair
    until(lambda: redis.client().pubsub_numpat() == 1, "one node listens")
    for topic, payload in (("t/x", "{"), ("t/x", b"\xff"), ("t/x", "1 2"), ("t/#", "1"), ("", "1"),
                           ("$sys/x", "1"), ("t/x", '"' + "x" * 2_000_000 + '"'), ("t/x", "NaN")):
        publish_in(redis, topic, payload)
    publish_in(redis, "t/x", ' "good" ')
    assert_comes(subscriber, "t/x", "good")
    assert sum(node.metric("fantail_relay_rejected_total") for node in one) == 8


def test_another_node_listens_when_the_one_that_did_has_gone(redis, one):
    until(lambda: redis.client().pubsub_numpat() == 1, "one node listens")
    leader = redis.client().get("fantail:in:leader")
    a, b = one
    first = next(n for n in one if n.get("/readyz")[0] == 200 and _is_leader(n, redis, one))
    other = b if first is a else a
    first.stop()
    until(lambda: redis.client().pubsub_numpat() == 1, "the other one listens")
    assert redis.client().get("fantail:in:leader") not in (None, leader)
    with Client(other.address) as subscriber:
        subscriber.sub("t/#")
        publish_in(redis, "t/x", "1")
        assert_comes(subscriber, "t/x", 1)


def _is_leader(node, redis, nodes):
    """Says whether it is this one that counts what other software publishes."""
    before = [n.metric("fantail_relay_received_messages_total", kind="inlet") for n in nodes]
    publish_in(redis, "who/listens", "1")
    until(lambda: [n.metric("fantail_relay_received_messages_total", kind="inlet")
                   for n in nodes] != before, "somebody has counted it")
    at = list(nodes).index(node)
    return node.metric("fantail_relay_received_messages_total", kind="inlet") > before[at]
