"""Large messages in a cluster, also where nodes have other limits: whatever one takes in comes to all."""

import json
import signal

import pytest

from support.client import Client
from support.cluster import Node
from support.wait import until

LARGE = "x" * 100_000  # more than limits.message allows where nobody said another one
JOINED_S = 30  # what is too much has to be read first, by a sanitizer, too


@pytest.fixture
def node(redis, start_node):
    """Starts nodes on one Redis with one partition."""
    def begin(name, **settings):
        settings = {key.replace("_", "."): value for key, value in settings.items()}
        if "limits.message" in settings:
            settings["limits.queue"] = "4m"
        return start_node(redis.url, name, settings={"relay.partitions": 1, **settings})

    return begin


def test_a_message_that_is_too_long_for_this_node_to_take_is_one_to_pass_on(node):
    a, b = node("a", limits_message="200k"), node("b")
    with Client(a.address) as publisher, Client(b.address) as subscriber:
        subscriber.sub("t/#")
        pos = publisher.pub("t/1", LARGE)
        received = subscriber.next_msg()
        assert (received["pos"], received["data"]) == (pos, LARGE)
    with Client(b.address) as late:
        ok = late.ok({"op": "history", "topic": "t/1", "last": 1})
        assert [m["pos"] for m in ok["messages"]] == [pos]
    assert b.metric("fantail_relay_gaps_total") == 0


def test_a_log_of_which_a_portion_is_too_much_at_once_is_joined_all_the_same(redis, node):
    """Portions go by count: 64 of these are more than a node takes as one answer."""
    a = node("a", limits_message="2m")
    with Client(a.address) as publisher:
        for n in range(40):
            publisher.pub("t/1", [n, "x" * 1_900_000])
    b = node("b")
    with Client(b.address) as subscriber, Client(a.address) as publisher:
        until(lambda: len(subscriber.ok({"op": "sub", "topics": ["t/#"]})["pos"]) == 1,
              "it is joined", JOINED_S)
        publisher.pub("t/2", "after")
        assert subscriber.take_where(lambda e: e.get("data") == "after")
    assert b.metric("fantail_relay_servers_up") == 1


def test_a_hole_of_which_a_portion_is_too_much_at_once_is_healed(redis, node):
    a, b = node("a", limits_message="2m"), node("b")
    redis.config_set("client-output-buffer-limit", "pubsub 4096 0 0")
    with Client(a.address) as publisher, Client(b.address) as subscriber:
        subscriber.sub("t/#")
        for n in range(40):
            publisher.send({"op": "pub", "topic": "t/1", "data": [n, "x" * 1_900_000], "id": n})
        assert [publisher.next(timeout=20)["op"] for _ in range(40)] == ["ok"] * 40
        publisher.pub("t/2", "after")
        heard = []
        while not heard or heard[-1] != "after":
            data = subscriber.next_msg(timeout=20)["data"]
            heard.append(data if data == "after" else data[0])
        assert heard == [*range(40), "after"]


def test_what_other_software_publishes_is_held_to_the_limit_of_now(redis, tmp_path):
    file = tmp_path / "fantail.conf"
    file.write_text("")
    node = Node(redis.url, "a", args=["-c", str(file)])
    try:
        node.wait_ready()
        until(lambda: redis.client().pubsub_numpat() == 1, "it listens")
        redis.client().publish("fantail:in:t/1", json.dumps(LARGE))
        until(lambda: node.metric("fantail_relay_rejected_total", reason="too_large") == 1, "refused")
        file.write_text("[limits]\nmessage = 200k\n")
        node.process.send_signal(signal.SIGHUP)
        until(lambda: any(" event=reloaded" in line for line in node.stderr_lines), "it goes by that")
        with Client(node.address) as subscriber:
            subscriber.sub("t/#")
            redis.client().publish("fantail:in:t/1", json.dumps(LARGE))
            assert subscriber.next_msg()["data"] == LARGE
    finally:
        node.stop()
