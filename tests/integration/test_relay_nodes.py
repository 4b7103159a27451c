"""What the nodes of a cluster tell of themselves and of each other: /v1/nodes, /readyz, figures."""

import msgpack
import pytest

from support.api import refusal
from support.cluster import Node
from support.wait import until

VERSION = "0.1.0"


@pytest.fixture
def nodes(redis, start_node):
    """Two nodes of one Redis."""
    return [start_node(redis.url, "n1"), start_node(redis.url, "n2", workers=2)]


def listed(node):
    """Returns what a node lists, by name."""
    status, answer = node.get("/v1/nodes")
    assert status == 200, answer
    return {entry["name"]: entry for entry in answer["nodes"]}


def wait_listed(node, *names):
    until(lambda: list(listed(node)) == list(names), f"{node.name} lists {names}")


# -- who is there


def test_every_node_lists_all_of_them_and_says_which_it_is(nodes, clients):
    held = [clients(nodes[1]) for _ in range(5)]
    for node in nodes:
        wait_listed(node, "n1", "n2")
        until(lambda: listed(node)["n2"]["connections"] >= len(held), "connections are counted")
        for name, entry in listed(node).items():
            assert entry.keys() == {"name", "instance", "version", "started", "uptime_s",
                                    "connections", "seen_ms", "self", "partitions"}
            assert entry["self"] == (name == node.name)
            assert entry["version"] == VERSION
            assert 0 <= entry["uptime_s"] <= 60 and entry["seen_ms"] <= 30000
    first, second = (listed(node) for node in nodes)
    assert {n: e["instance"] for n, e in first.items()} == \
        {n: e["instance"] for n, e in second.items()}
    assert first["n1"]["instance"] != first["n2"]["instance"]
    assert first["n1"]["started"] == second["n1"]["started"]


def test_the_list_in_messagepack(nodes, api):
    wait_listed(nodes[0], "n1", "n2")
    response = api(nodes[0]).request("/v1/nodes", headers=[("Accept", "application/msgpack")])
    assert response.headers["content-type"] == "application/msgpack"
    assert [n["name"] for n in msgpack.unpackb(response.body)["nodes"]] == ["n1", "n2"]


def test_a_node_that_stops_is_taken_off_the_list(nodes):
    wait_listed(nodes[0], "n1", "n2")
    nodes[1].stop()
    wait_listed(nodes[0], "n1")


def test_a_name_that_is_started_again_is_another_instance(nodes, redis, start_node):
    wait_listed(nodes[0], "n1", "n2")
    before = listed(nodes[0])["n2"]
    nodes[1].stop()
    start_node(redis.url, "n2")
    until(lambda: listed(nodes[0]).get("n2", before)["instance"] != before["instance"],
          "the new one is listed")


def test_what_others_wrote_there_is_not_a_node(nodes, redis):
    client = redis.client()
    wait_listed(nodes[0], "n1", "n2")
    real = client.hget("fantail:nodes", "n2")
    client.hset("fantail:nodes", mapping={"x": b"junk", "y": real, "z": b""})
    wait_listed(nodes[0], "n1", "n2")
    assert nodes[0].metric("fantail_relay_rejected_total", reason="damaged") >= 3


def test_the_list_is_for_admins(redis, start_node, api):
    node = start_node(redis.url, "n1", settings={
        "auth.mode": "token", "auth.secret": "a secret of thirty-two characters"})
    refusal(api(node).request("/v1/nodes"), 401)


def test_a_node_on_its_own_lists_itself(start):
    broker = start(args=["--node", "alone"])
    status, answer = Node.get(broker, "/v1/nodes")
    assert status == 200
    (entry,) = answer["nodes"]
    assert (entry["name"], entry["self"], entry["partitions"]) == ("alone", True, [])
    assert "fantail_relay_" not in Node.get(broker, "/metrics")[1]
    assert not [key for key in Node.get(broker, "/v1/stats")[1] if key.startswith("relay_")]


# -- how far they are


def test_partitions_are_listed_where_somebody_listens_and_nobody_is_behind(nodes, clients):
    subscriber, publisher = clients(nodes[0]), clients(nodes[1])
    subscriber.sub("a/b")
    for n in range(50):
        publisher.ok({"op": "pub", "topic": "a/b", "data": n})
    assert [subscriber.next_msg()["data"] for _ in range(50)] == list(range(50))
    for node in nodes:
        until(lambda: [p["lag"] for p in listed(node)["n1"]["partitions"]] == [0],
              f"{node.name} says that n1 has everything")
    (partition,) = (p["partition"] for p in listed(nodes[0])["n1"]["partitions"])
    assert nodes[0].metric("fantail_relay_partition_lag", partition=partition) == 0
    assert nodes[0].metric("fantail_relay_partitions_joined") == 1
    subscriber.sub("#")
    until(lambda: [p["lag"] for p in listed(nodes[1])["n1"]["partitions"]] == [0] * 16,
          "it has joined all")


# -- readiness


def test_a_node_without_redis_lives_but_is_not_ready(nodes, redis):
    redis.kill()
    for node in nodes:
        node.wait_ready(False)
        status, answer = node.get("/readyz")
        assert (status, answer["status"]) == (503, "unready")
        assert str(redis.port) in answer["reason"]
        assert node.get("/healthz") == (200, {"status": "ok"})
        status, answer = node.get("/v1/nodes")
        assert (status, answer["error"]["code"]) == (503, 503)
        until(lambda: node.metric("fantail_relay_up") == 0, "the figure says so, too")
        stats = node.get("/v1/stats")[1]
        assert stats["ready"] == 0 and str(redis.port) in stats["unready"]
        assert node.metric("fantail_ready") == 0
    redis.start()
    for node in nodes:
        node.wait_ready()
        until(lambda: node.metric("fantail_relay_up") == 1, "the figure says so, too")
        assert node.metric("fantail_relay_reconnects_total") == 1
        stats = node.get("/v1/stats")[1]
        assert stats["ready"] == 1 and "unready" not in stats


# -- figures


def test_what_goes_through_redis_is_counted(nodes, clients):
    subscriber, publisher = clients(nodes[0]), clients(nodes[1], "msgpack")
    subscriber.sub("a/#")
    for n in range(10):
        publisher.ok({"op": "pub", "topic": "a/b", "data": n})
    for _ in range(2):
        publisher.ok({"op": "pub", "topic": "a/b", "data": 1, "key": "k"})
    for _ in range(11):
        subscriber.next_msg()
    here, there = nodes[1], nodes[0]
    assert here.metric("fantail_relay_publishes_total", outcome="accepted") == 11
    assert here.metric("fantail_relay_publishes_total", outcome="duplicate") == 1
    assert here.metric("fantail_relay_script_seconds_count") == 12
    assert there.metric("fantail_relay_received_publications_total", kind="stored") == 11
    assert there.metric("fantail_relay_received_messages_total", kind="stored") == 11
    assert there.metric("fantail_relay_received_bytes_total", kind="stored") > 11 * 20
    assert there.metric("fantail_relay_servers") == 1
    assert there.metric("fantail_relay_holes_total") == 0
    assert there.metric("fantail_relay_rejected_total") == 0
    until(lambda: here.metric("fantail_relay_queue_bytes") == 0, "nothing waits")


def test_the_figures_are_in_stats_and_on_the_topic_too(nodes, clients):
    client = clients(nodes[0])
    client.sub("$sys/n2/stats")
    stats = nodes[0].get("/v1/stats")[1]
    keys = {key for key in stats if key.startswith("relay_")}
    assert {"relay_up", "relay_partition_lag", "relay_lag", "relay_script_seconds",
            "relay_orders"} <= keys
    assert len(stats["relay_partition_lag"]) == 16
    assert stats["relay_script_seconds"].keys() == {"count", "sum", "p50", "p90", "p99"}
    figures = client.next_msg()["data"]  # of the other node
    assert figures["node"] == "n2"
    assert keys <= figures.keys()
