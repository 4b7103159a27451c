"""Publishing in a cluster: one numbering on all nodes, and an honest answer whatever Redis does."""

import contextlib
import time

import pytest

from support.client import Client, Closed, position
from support.rules import with_rules
from support.wait import until

DEADLINE_MS = 1000
SETTINGS = {"relay.deadline": f"{DEADLINE_MS}ms", "relay.queue": "1m"}
LATE_S = 2.5  # the deadline, a tick, and a busy machine
RULES = {"eph/#": {"ephemeral": "yes"}, "kept/#": {"history": 2, "retain": "yes"}}


@pytest.fixture
def nodes(redis, start_node, tmp_path):
    """Starts nodes, and returns all of them."""
    started = []

    def begin(count=2, workers=1):
        for _ in range(count):
            started.append(start_node(redis.unix_url, f"n{len(started) + 1}", settings=SETTINGS,
                                      args=with_rules(tmp_path, RULES), workers=workers))
        return started

    yield begin
    if redis.process.poll() is None:
        redis.thaw()


@pytest.fixture
def connect():
    """Opens clients, and closes their sockets in the end."""
    clients = []

    def begin(node, encoding="json"):
        clients.append(Client(node.address, encoding))
        return clients[-1]

    yield begin
    for each in clients:
        each.socket.close()


def burst(client, topic, first, count, **more):
    """Sends so many publications in one message, with their data as ids."""
    client.send([{"op": "pub", "id": n, "topic": topic, "data": n, **more}
                 for n in range(first, first + count)])


def replies(client, count, timeout=10):
    """Waits for so many replies; returns them by id, and how often each id was answered."""
    end = time.monotonic() + timeout
    found = [client.next(max(0.001, end - time.monotonic())) for _ in range(count)]
    by_id = {reply["id"]: reply for reply in found}
    assert len(by_id) == count, "an id is answered once"
    return by_id


def test_all_nodes_number_in_one_stream(nodes, connect, encoding):
    one, two = nodes()
    a, b = connect(one, encoding), connect(two)
    stream, first = position(a.pub("t/x", 1))
    for n in range(1, 20):
        at = position((a, b)[n % 2].pub("t/x", n))
        assert at == (stream, first + n)


def test_subscribers_everywhere_get_everything_once_and_in_one_order(nodes, connect):
    one, two = nodes(workers=2)
    readers = [connect(one), connect(two, "msgpack")]
    for reader in readers:
        reader.sub("t/#")
    writers = [connect((one, two)[n % 2], ("json", "msgpack")[n // 2 % 2]) for n in range(4)]
    for turn in range(10):
        for n, writer in enumerate(writers):
            burst(writer, f"t/{n % 2}", turn * 50, 50)
    told = {}
    for writer in writers:
        for reply in replies(writer, 500).values():
            assert reply["op"] == "ok", reply
            told[reply["pos"]] = reply["id"]
    assert len(told) == 2000, "no position was given away twice"
    heard = []
    for reader in readers:
        got = [reader.next_msg() for _ in range(2000)]
        assert {m["pos"]: m["data"] for m in got} == told
        by_stream = {}
        for m in got:
            stream, offset = position(m["pos"])
            assert offset > by_stream.get(stream, 0), m
            by_stream[stream] = offset
        heard.append([m["pos"] for m in got if m["topic"] == "t/0"])
    assert heard[0] == heard[1]


def test_a_key_holds_on_all_nodes(nodes, connect):
    one, two = nodes()
    a, b = connect(one), connect(two)
    first = a.ok({"op": "pub", "topic": "t/x", "data": 1, "key": "k"})
    again = b.ok({"op": "pub", "topic": "t/x", "data": 1, "key": "k"})
    assert again["pos"] == first["pos"] and again["duplicate"] is True
    assert "duplicate" not in first
    other = b.ok({"op": "pub", "topic": "t/y", "data": 1, "key": "k"})
    assert "duplicate" not in other, "keys belong to a topic"


def test_last_values_and_histories_are_there_for_a_node_that_comes_later(nodes, connect):
    first = nodes(1)[0]
    a = connect(first)
    for n in range(3):
        a.pub("kept/x", n)
    second = nodes(1)[1]
    b = connect(second)
    b.send({"op": "sub", "id": 1, "topics": ["kept/x"], "last": 5})
    assert b.next()["op"] == "ok"
    assert [b.next_msg()["data"] for _ in range(2)] == [1, 2]


def test_while_redis_is_frozen_every_publish_is_answered_in_time(nodes, connect, redis):
    one, _ = nodes()
    a = connect(one)
    a.pub("t/x", 0)
    redis.freeze()
    begun = time.monotonic()
    burst(a, "t/x", 1, 20)
    found = replies(a, 20)
    assert time.monotonic() - begun < LATE_S
    assert {r["code"] for r in found.values()} == {504}, found
    assert all(r["retry"] > 0 and "may have been published" in r["message"] for r in found.values())
    redis.thaw()
    until(lambda: a.request({"op": "pub", "topic": "t/x", "data": 1})["op"] == "ok", "it goes on")


def test_without_an_id_a_failure_is_told_too(nodes, connect, redis):
    one, _ = nodes()
    a = connect(one)
    a.pub("t/x", 0)
    redis.freeze()
    a.send({"op": "pub", "topic": "t/x", "data": 1})
    assert "may have been published" in a.error(504)
    redis.thaw()


def test_a_ping_is_answered_behind_the_publishes_before_it(nodes, connect, redis):
    one, _ = nodes()
    a = connect(one)
    a.pub("t/x", 0)
    redis.freeze()
    burst(a, "t/x", 1, 3)
    a.send({"op": "ping", "id": 9})
    assert [a.next()["id"] for _ in range(4)] == [1, 2, 3, 9]
    redis.thaw()


def test_while_redis_is_gone_publishes_are_refused_and_go_on_when_it_is_back(nodes, connect, redis):
    one, two = nodes()
    a, b = connect(one), connect(two)
    b.sub("t/x")
    a.pub("t/x", "before")
    redis.kill()
    for each in one, two:
        each.wait_ready(False)
    begun = time.monotonic()
    burst(a, "t/x", 1, 20)
    found = replies(a, 20)
    assert time.monotonic() - begun < LATE_S
    assert {r["code"] for r in found.values()} == {503}, found
    assert all("nothing was published" in r["message"] for r in found.values())
    assert one.metric("fantail_relay_publishes_total", outcome="refused") == 20
    redis.start()
    for each in one, two:
        each.wait_ready()
    a.pub("t/x", "after")
    got = b.take_where(lambda e: e["op"] == "msg" and e["data"] != "before")
    assert got["data"] == "after", "nothing of what was refused came"


def test_over_http_the_status_and_each_result_say_so(nodes, redis, api):
    one, _ = nodes()
    http = api(one)
    assert position(http.post("/v1/publish", {"topic": "t/x", "data": 1})["pos"])
    redis.freeze()
    refused = http.refused("/v1/topics/t/x", 504, method="POST", body=b"1")
    assert "may have been published" in refused
    answer = http.post("/v1/publish", [{"topic": "t/x", "data": 1}, {"topic": "eph/x", "data": 1},
                                       {"topic": "+", "data": 1}, {"topic": "t/y", "data": 1}])
    assert [r.get("error", {}).get("code") for r in answer["results"]] == [504, None, 400, 504]
    redis.thaw()


def test_ephemeral_feeds_go_on_here_while_redis_is_frozen(nodes, connect, redis):
    one, two = nodes()
    a, here, there = connect(one), connect(one), connect(two)
    for reader in here, there:
        reader.sub("eph/#")
    a.ok({"op": "pub", "topic": "eph/x", "data": 0})
    assert here.next_msg()["data"] == there.next_msg()["data"] == 0
    redis.freeze()
    slowest = 0
    for n in range(1, 200):
        begun = time.monotonic()
        assert a.ok({"op": "pub", "topic": "eph/x", "data": n}).get("pos") is None
        assert here.next_msg()["data"] == n
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < DEADLINE_MS / 1000, "nothing waited for Redis"
    redis.thaw()


def test_a_flood_while_redis_is_frozen_takes_no_more_memory_than_it_may(nodes, connect, redis):
    one, _ = nodes()
    flooders = [connect(one) for _ in range(4)]
    for each in flooders:
        each.pub("t/x", 0)
        each.socket.setblocking(False)
    reader = connect(one)
    reader.sub("eph/x")
    redis.freeze()
    message = b"".join(_frame(n) for n in range(50))
    sent = 0

    def flood():
        nonlocal sent
        end = time.monotonic() + 3
        while time.monotonic() < end:
            for each in flooders:
                try:
                    sent += each.socket.send(message)
                except BlockingIOError:
                    pass
                try:
                    each.socket.recv(1 << 18)
                except BlockingIOError:
                    pass

    before = one.rss_bytes()
    peak = one.peak_bytes(flood)
    assert sent > 1 << 20, "more than the queue has room for was sent"
    assert peak - before < 64 << 20, f"{(peak - before) >> 20} MiB more"
    reader.ok({"op": "pub", "topic": "eph/x", "data": 1})
    redis.thaw()
    one.wait_ready()
    fresh = connect(one)
    until(lambda: fresh.request({"op": "pub", "topic": "t/x", "data": 1})["op"] == "ok",
          "publishers go on")
    until(lambda: one.metric("fantail_relay_queue_bytes") == 0, "the queue is empty again")


def _frame(n):
    """A masked text frame with a publish of a kilobyte; the mask is zero."""
    text = (f'{{"op":"pub","id":{n},"topic":"t/{n % 8}","data":"' + "x" * 1000 + '"}').encode()
    return b"\x81\xfe" + len(text).to_bytes(2, "big") + b"\0\0\0\0" + text


def test_a_publisher_that_goes_before_its_answer_leaves_nothing(nodes, connect, redis):
    one, _ = nodes()
    for _ in range(5):
        a = connect(one)
        a.pub("t/x", 0)
        redis.freeze()
        burst(a, "t/x", 1, 50)
        a.socket.close()
        until(lambda: one.metric("fantail_sessions") == 0, "the session is gone")
        redis.thaw()
    until(lambda: one.metric("fantail_relay_queue_bytes") == 0, "the queue is empty again")


def test_a_node_ends_in_time_with_publishes_that_redis_does_not_answer(nodes, connect, redis):
    one, _ = nodes()
    a = connect(one)
    a.pub("t/x", 0)
    redis.freeze()
    burst(a, "t/x", 1, 500)
    until(lambda: one.metric("fantail_relay_queue_bytes") > 0, "they are on their way")
    one.stop()
    redis.thaw()


def test_a_node_that_ends_under_load_has_published_what_it_acknowledged(nodes, connect):
    one, two = nodes()
    reader = connect(two)
    reader.sub("t/x")
    a = connect(one)
    for turn in range(20):
        burst(a, "t/x", turn * 100, 100)
    first = a.next()
    assert first["op"] == "ok"
    one.stop()
    told = {first["pos"]: first["id"]}
    with contextlib.suppress(Closed):
        while True:
            reply = a.next()
            if reply["op"] == "ok":
                told[reply["pos"]] = reply["id"]
    last = max(position(pos)[1] for pos in told)
    heard = {}
    while not heard or position(next(reversed(heard)))[1] < last:
        message = reader.next_msg()
        heard[message["pos"]] = message["data"]
    assert told.items() <= heard.items()


def test_the_brokers_figures_of_all_nodes_are_heard_on_one(nodes, connect):
    one, _ = nodes()
    a = connect(one)
    a.sub("$sys/+/stats")
    seen = set()
    while seen != {"n1", "n2"}:
        seen.add(a.next_msg()["topic"].split("/")[1])


def test_scripts_that_redis_forgets_are_loaded_again(nodes, connect, redis):
    one, _ = nodes()
    a = connect(one)
    stream, first = position(a.pub("t/x", 0))
    for n in range(1, 6):
        redis.client().script_flush()
        burst(a, "t/x", n * 10, 10)
        found = replies(a, 10)
        assert {r["op"] for r in found.values()} == {"ok"}, found
        offsets = [position(found[n * 10 + i]["pos"])[1] for i in range(10)]
        assert offsets == sorted(offsets)
    assert position(a.pub("t/x", 0)) == (stream, first + 51)


def test_what_redis_refuses_is_503_and_says_why(nodes, connect, redis):
    one, _ = nodes()
    a = connect(one)
    a.pub("t/x", 0)
    redis.config_set("maxmemory", 1)
    assert "OOM" in a.refused({"op": "pub", "topic": "t/x", "data": 1}, 503)
    redis.config_set("maxmemory", 0)
    a.pub("t/x", 2)
