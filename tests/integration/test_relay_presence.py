"""Presence of a cluster: who is there on any node, who comes and goes, and what is left when something breaks."""

import signal
import threading
import time

import msgpack
import pytest

from support.api import Api
from support.cluster import Node
from support.rules import with_rules
from support.wait import until

RULES = {"p/#": {"presence": "yes"}}
DEAD_S = 30  # the promise


@pytest.fixture
def cluster(redis, start_nodes):
    """Two nodes on one Redis."""
    return start_nodes(redis)


@pytest.fixture
def start_nodes(tmp_path):
    """Starts nodes of a cluster; each must end well, or be killed by the test."""
    nodes = []

    def begin(redis, count=2, **kwargs):
        urls = kwargs.pop("urls", None) or redis.url
        for _ in range(count):
            nodes.append(Node(urls, f"n{len(nodes) + 1}", args=with_rules(tmp_path, RULES), **kwargs))
        for each in nodes[-count:]:
            each.wait_ready()
        return nodes[-count:]

    yield begin
    for each in nodes:
        if each.process.poll() is None:
            each.stop()


def session(client):
    return client.welcome["session"]


def ask(client, topic):
    reply = client.ok({"op": "presence", "topic": topic})
    assert len({each["session"] for each in reply["clients"]}) == len(reply["clients"])
    return reply


def present(client, topic):
    reply = ask(client, topic)
    assert reply["count"] == len(reply["clients"])
    return {each["session"] for each in reply["clients"]}


def try_present(client, topic):
    """The same; None where the cluster cannot be asked."""
    reply = client.request({"op": "presence", "topic": topic})
    if reply["op"] == "error":
        assert reply["code"] in (503, 504) and reply["retry"] > 0, reply
        return None
    return {each["session"] for each in reply["clients"]}


def listen(client, topic):
    client.sub(f"$presence/{topic}")
    return client


def heard(client, timeout=15):
    got = client.next_msg(timeout)
    assert got["topic"].startswith("$presence/") and "pos" not in got
    return got["data"]["event"], got["data"]["session"]


def heard_until(client, wanted, timeout):
    """Takes events until all that are wanted have come; returns all that came."""
    got, end = [], time.monotonic() + timeout
    while not set(wanted) <= set(got):
        got.append(heard(client, max(0.1, end - time.monotonic())))
    return got


# -- who is there


def test_presence_is_that_of_all_nodes(cluster, clients, encoding):
    one, two = cluster
    members = [clients(node, encoding) for node in (one, two, one, two)]
    listeners = [listen(clients(node), "p/1") for node in cluster]
    for each in members:
        each.sub("p/1")
        for listener in listeners:
            assert heard(listener) == ("join", session(each))
    for node in cluster:
        reply = ask(clients(node, encoding), "p/1")
        assert {each["session"] for each in reply["clients"]} == {session(each) for each in members}
        since = [each["since"] for each in reply["clients"]]
        assert since == sorted(since) and reply["count"] == 4
        assert all(each["user"] is None for each in reply["clients"])
        answer = Api(node.address).get("/v1/presence?topic=p/1")
        assert answer == {key: reply[key] for key in ("count", "clients")}
    members[0].unsub("p/1")
    members[1].socket.close()
    for listener in listeners:
        assert {heard(listener) for _ in range(2)} == {("leave", session(each)) for each in members[:2]}
        assert present(listener, "p/1") == {session(each) for each in members[2:]}


def test_a_session_that_asks_at_once_is_there_itself(cluster, clients, encoding):
    client = clients(cluster[0], encoding)
    client.send([{"op": "sub", "topics": ["p/1"], "id": 1}, {"op": "presence", "topic": "p/1", "id": 2},
                 {"op": "ping", "id": 3}])
    replies = [client.next() for _ in range(3)]
    assert [each["id"] for each in replies] == [1, 2, 3]
    assert [each["session"] for each in replies[1]["clients"]] == [session(client)]


def test_many_at_once_each_told_once_on_both_nodes(cluster, clients):
    listeners = [listen(clients(node), "p/1") for node in cluster]
    members = [clients(cluster[n % 2]) for n in range(60)]
    for each in members:
        each.send({"op": "sub", "topics": ["p/1"], "id": 1})
    for each in members[::3]:
        each.send({"op": "unsub", "topics": ["p/1"], "id": 2})
    expected = {("join", session(each)) for each in members} | {
        ("leave", session(each)) for each in members[::3]}
    for listener in listeners:
        got = [heard(listener) for _ in expected]
        assert set(got) == expected
        for each in members[::3]:
            assert got.index(("join", session(each))) < got.index(("leave", session(each)))
        assert present(listener, "p/1") == {session(each) for n, each in enumerate(members) if n % 3}


def test_a_thousand_are_listed_and_all_are_counted(cluster, redis, clients, encoding):
    client = clients(cluster[0], encoding)
    client.sub("p/big")
    assert present(client, "p/big") == {session(client)}
    [key] = [key for key in redis.client().keys("fantail:{*}:here:p/big")]
    fakes = {msgpack.packb([f"session-{n:08}", "a" * 16, f"user {n}"]): 1000 + n for n in range(3000)}
    redis.client().zadd(key, fakes)
    reply = ask(client, "p/big")
    assert reply["count"] == 3001 and len(reply["clients"]) == 1000
    assert [each["user"] for each in reply["clients"]] == [f"user {n}" for n in range(1000)]
    assert [each["since"] for each in reply["clients"]] == list(range(1000, 2000))


def test_what_is_foreign_in_redis_is_left_out(cluster, redis, clients, encoding):
    client = clients(cluster[0], encoding)
    client.sub("p/1")
    assert present(client, "p/1") == {session(client)}
    [key] = [key for key in redis.client().keys("fantail:{*}:here:p/1")]
    redis.client().zadd(key, {b"": 1, b"ann": 2, msgpack.packb(["a", "b", 7]): 3, b"\x93\xb0": 4,
                              msgpack.packb(["s" * 16, "i" * 16, "u" * 300]): 5})
    assert [each["session"] for each in ask(client, "p/1")["clients"]] == [session(client)]
    redis.client().delete(key)
    redis.client().set(key, "a string")
    client.refused({"op": "presence", "topic": "p/1"}, 503)
    redis.client().delete(key)
    assert present(client, "p/1") == set()


def test_several_servers_share_the_topics(start_nodes, start_redis, clients):
    servers = [start_redis(), start_redis()]
    nodes = start_nodes(None, urls=[each.url for each in servers])
    client, other = clients(nodes[0]), clients(nodes[1])
    names = [f"p/{n}" for n in range(20)]
    client.sub(*names)
    assert all(present(client, name) == {session(client)} for name in names)
    assert all(present(other, name) == {session(client)} for name in names)
    assert all(each.client().keys("fantail:{*}:here:*") for each in servers)


# -- nodes that end


def test_a_node_that_ends_takes_its_clients_with_it_at_once(cluster, redis, clients):
    one, two = cluster
    listener = listen(clients(two), "p/1")
    members = [clients(one) for _ in range(20)]
    for each in members:
        each.sub("p/1")
    expected = {("join", session(each)) for each in members}
    assert {heard(listener) for _ in members} == expected
    begun = time.monotonic()
    one.stop()
    got = [heard(listener) for _ in members]
    assert set(got) == {("leave", session(each)) for each in members}
    assert time.monotonic() - begun < 3  # less than it takes to be sure of a death
    assert present(listener, "p/1") == set()
    until(lambda: len(redis.client().hkeys("fantail:here")) == 1, "the node is forgotten")
    assert len(redis.client().keys("fantail:here:*")) == 0
    listener.ok({"op": "ping"})
    assert not listener.inbox


@pytest.mark.deadline(90)
def test_the_clients_of_a_killed_node_leave_within_thirty_seconds_once(start_nodes, redis, clients):
    one, two, three = start_nodes(redis, 3)
    listeners = [listen(clients(node), "p/1") for node in (two, three)]
    members, stays = [clients(one) for _ in range(30)], clients(two)
    for each in [*members, stays]:
        each.sub("p/1")
    for listener in listeners:
        heard_until(listener, [("join", session(each)) for each in [*members, stays]], 10)
    begun = time.monotonic()
    one.kill()
    left = {("leave", session(each)) for each in members}
    for listener in listeners:
        assert sorted(heard(listener, DEAD_S) for _ in members) == sorted(left)
    assert time.monotonic() - begun < DEAD_S
    assert present(listeners[0], "p/1") == {session(stays)}
    until(lambda: len(redis.client().hkeys("fantail:here")) == 2, "the dead node is forgotten")
    for listener in listeners:
        listener.ok({"op": "ping"})
        assert not listener.inbox


@pytest.mark.deadline(90)
def test_a_node_that_comes_back_under_its_name_has_its_former_self_leave(start_nodes, redis, clients,
                                                                        tmp_path):
    one, two = start_nodes(redis)
    listener, member = listen(clients(two), "p/1"), clients(one)
    member.sub("p/1")
    assert heard(listener) == ("join", session(member))
    one.kill()
    again = Node(redis.url, "n1", args=with_rules(tmp_path, RULES))
    try:
        again.wait_ready(seconds=30)
        assert heard(listener, DEAD_S) == ("leave", session(member))
        assert present(clients(again), "p/1") == set()
    finally:
        again.stop()


@pytest.mark.deadline(120)
def test_a_frozen_node_is_taken_for_dead_and_comes_back(start_nodes, redis, clients):
    one, two = start_nodes(redis)
    listener = listen(clients(two), "p/1")
    members = [clients(one) for _ in range(5)]
    for each in members:
        each.sub("p/1")
    heard_until(listener, [("join", session(each)) for each in members], 10)
    one.process.send_signal(signal.SIGSTOP)
    try:
        assert {heard(listener, DEAD_S) for _ in members} == {("leave", session(each)) for each in members}
        assert present(listener, "p/1") == set()
    finally:
        one.process.send_signal(signal.SIGCONT)
    assert {heard(listener) for _ in members} == {("join", session(each)) for each in members}
    assert present(listener, "p/1") == {session(each) for each in members}


# -- Redis that breaks


def test_redis_that_comes_back_empty_has_everybody_again(cluster, redis, clients):
    one, two = cluster
    members = [clients(node) for node in (one, two) * 5]
    for each in members:
        each.sub("p/1", "p/2")
    listener = listen(clients(two), "p/1")
    redis.restart(empty=True)
    everybody = {session(each) for each in members}
    until(lambda: try_present(listener, "p/1") == everybody, "all are there again", 20)
    until(lambda: try_present(listener, "p/2") == everybody, "all are there again", 20)


def test_redis_that_is_emptied_has_everybody_again(cluster, redis, clients):
    one, two = cluster
    members = [clients(node) for node in (one, two) * 5]
    for each in members:
        each.sub("p/1")
    redis.client().flushall()
    everybody, asker = {session(each) for each in members}, clients(one)
    until(lambda: try_present(asker, "p/1") == everybody, "all are there again", 20)


@pytest.mark.deadline(90)
def test_while_redis_is_away_nothing_is_known_and_then_all_of_it(cluster, redis, clients, api):
    one, two = cluster
    stays, goes = clients(one), clients(one)
    for each in stays, goes:
        each.sub("p/1")
    listener = listen(clients(two), "p/1")
    assert present(listener, "p/1") == {session(stays), session(goes)}
    redis.kill()
    one.wait_ready(False)
    two.wait_ready(False)
    assert try_present(stays, "p/1") is None
    assert "Redis" in api(one).refused("/v1/presence?topic=p/1", 503)
    goes.socket.close()
    late = clients(one)
    late.sub("p/1")
    redis.start()
    expected = {session(stays), session(late)}
    until(lambda: try_present(listener, "p/1") == expected, "it is known again", 20)


def test_what_changes_while_the_connection_is_lost_is_told_when_it_is_back(cluster, redis, clients):
    one, two = cluster
    members = [clients(one) for _ in range(30)]
    for each in members:
        each.sub("p/1")
    listener, asker = listen(clients(one), "p/1"), clients(two)  # which misses what it cannot hear
    stop = threading.Event()

    def cut():
        client = redis.client()
        while not stop.is_set():
            client.client_kill_filter(_type="normal", skipme=True)
            stop.wait(0.3)

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        for n, each in enumerate(members):
            if n % 2:
                each.socket.close()
            time.sleep(0.05)  # so that some of it happens while there is no connection
    finally:
        stop.set()
        cutter.join()
    stay = {session(each) for each in members[::2]}
    until(lambda: try_present(asker, "p/1") == stay, "it is as it is", 20)
    heard_until(listener, [("leave", session(each)) for each in members[1::2]], 15)
