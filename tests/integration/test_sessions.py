"""GET /v1/sessions: who is connected, on every worker of every node; and which nodes have not said."""

import os
import signal
import time
from pathlib import Path

import msgpack
import pytest

from support.broker import Broker
from support.events import Events
from support.positions import flood
from support.tokens import claims, hs256
from support.wait import until

SECRET = "a secret of thirty-two characters"
SETTINGS = {"auth.mode": "token", "auth.secret": SECRET, "auth.user_sub": "#", "auth.user_pub": "#"}
KEYS = {"session", "node", "user", "address", "encoding", "since", "subscriptions", "topics",
        "outbox_bytes", "parked", "stalled"}


def token(user, admin=None):
    return hs256(SECRET, **claims(user, admin=admin))


@pytest.fixture(scope="module")
def module_broker(workers):
    """A broker with users and admins."""
    broker = Broker(workers=workers, settings=SETTINGS)
    yield broker
    broker.stop()


@pytest.fixture
def root(api):
    """An admin's connection to the API: root(broker)."""
    return lambda broker: api(broker, token=token("root", True))


@pytest.fixture
def login(clients):
    """Opens a user's WebSocket: login(broker, "ann")."""
    return lambda broker, user, encoding="json": clients(broker, encoding, token=token(user))


def listed(connection, query=""):
    """Asks, and returns (sessions by id, answer); the answer is whole."""
    answer = connection.get(f"/v1/sessions{query}")
    assert answer.keys() == {"sessions", "total", "more", "nodes", "missing"}, answer
    assert answer["missing"] == []
    return by_id(answer), answer


def by_id(answer):
    for each in answer["sessions"]:
        assert each.keys() == KEYS
    return {each["session"]: each for each in answer["sessions"]}


def name(client):
    return client.welcome["session"]


def wait_gone(connection):
    """Waits until sessions of other tests have gone."""
    until(lambda: listed(connection)[1]["total"] == 0, "nobody is connected")


# -- one node


def test_a_session_is_told_with_all_that_is_known(broker, root, login, encoding):
    before = time.time() * 1000
    client = login(broker, "ann", encoding)
    client.sub("a/b", "c/+/d", "é/#")
    answer = listed(root(broker), "?user=ann")[0]
    each = answer[name(client)]
    assert each["node"] == client.welcome["node"] and each["user"] == "ann"
    assert each["address"] == "127.0.0.1" and each["encoding"] == encoding
    assert before - 2000 < each["since"] < time.time() * 1000 + 2000
    assert each["subscriptions"] == 3 and sorted(each["topics"]) == ["a/b", "c/+/d", "é/#"]
    assert (each["outbox_bytes"], each["parked"], each["stalled"]) == (0, False, False)


def test_an_event_stream_is_a_session_too(broker, root, stream):
    stream(broker, "e/1", token=token("eve"))
    (each,) = listed(root(broker), "?user=eve")[0].values()
    assert each["encoding"] == "events" and each["topics"] == ["e/1"]
    assert each["address"] == "127.0.0.1"


def test_of_many_filters_the_latest_are_told(broker, root, login):
    client = login(broker, "max")
    for k in range(100):
        client.sub(f"f/{k}")
    each = listed(root(broker), "?user=max")[0][name(client)]
    assert each["subscriptions"] == 100
    assert each["topics"] == [f"f/{k}" for k in (99, 98, 97, 96, 95)]


def test_sessions_of_all_workers_the_latest_first(start, root, login):
    broker = start(workers=2, settings=SETTINGS)
    connection, opened = root(broker), []
    for _ in range(30):
        opened.append(name(login(broker, "ann")))
    names, answer = listed(connection)
    assert sorted(names) == sorted(opened)
    assert (answer["total"], answer["more"], answer["nodes"]) == (30, False, 1)
    since = [each["since"] for each in answer["sessions"]]
    assert since == sorted(since, reverse=True)
    answer = listed(connection, "?limit=7")[1]
    assert len(answer["sessions"]) == 7
    assert (answer["total"], answer["more"]) == (30, True)


def test_a_user_or_a_session_alone(broker, root, login):
    connection = root(broker)
    wait_gone(connection)
    ann, bob = [login(broker, "ann") for _ in range(6)], login(broker, "bob")
    names, answer = listed(connection, "?user=ann&limit=4")
    assert len(names) == 4 and names.keys() <= {name(each) for each in ann}
    assert (answer["total"], answer["more"]) == (6, True)
    assert listed(connection, f"?session={name(bob)}")[0].keys() == {name(bob)}
    assert listed(connection, f"?session={name(bob)}&user=bob")[1]["total"] == 1
    for query in (f"session={name(bob)}&user=ann", "user=an", "user=ANN", "user=", "session=x",
                  "session=" + "x" * 16):
        assert listed(connection, f"?{query}")[1]["total"] == 0
    assert listed(connection, f"?node={bob.welcome['node']}")[1]["total"] == 7


def test_sessions_in_messagepack(broker, root, login):
    client = login(broker, "pam")
    response = root(broker).request("/v1/sessions?user=pam",
                                    headers=[("Accept", "application/msgpack")])
    assert response.headers["content-type"] == "application/msgpack"
    (each,) = by_id(msgpack.unpackb(response.body)).values()
    assert each["session"] == name(client) and each["parked"] is False


def test_who_has_left_is_not_told(broker, root, login):
    connection, client = root(broker), login(broker, "tim")
    assert listed(connection, "?user=tim")[1]["total"] == 1
    assert connection.post("/v1/disconnect", {"user": "tim"})["sessions"] == 1
    assert listed(connection, "?user=tim")[1]["total"] == 0, "also before it has closed"
    client.socket.close()


def test_a_slow_session_is_parked(start, root, login):
    broker = start(settings={**SETTINGS, "limits.queue": "64k"})
    connection, slow = root(broker), login(broker, "sue")
    slow.sub("big")
    flood(login(broker, "pat"), "big", 16)
    each = until(lambda: [s for s in listed(connection, "?user=sue")[0].values() if s["parked"]],
                 "it is parked")[0]
    assert each["outbox_bytes"] > 0


def test_behind_a_proxy_the_client_is_told(start, root, login):
    broker = start(settings={**SETTINGS, "http.trusted_proxies": "127.0.0.0/8"})
    stream = Events(broker.address, "a", token=token("far"),
                    headers=[("X-Forwarded-For", "198.51.100.7, 127.0.0.9")])
    (each,) = listed(root(broker), "?user=far")[0].values()
    assert each["address"] == "198.51.100.7"
    stream.close()
    login(broker, "near")
    assert [each["address"] for each in listed(root(broker), "?user=near")[0].values()] == \
        ["127.0.0.1"]


# -- requests


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2",
                                   "user=a&user=b", "session=a&session=b", "node=a&node=b",
                                   "session=" + "x" * 17, "user=" + "x" * 256, "user=%ff"])
def test_a_query_that_makes_no_sense_is_a_400(broker, root, query):
    root(broker).refused(f"/v1/sessions?{query}", 400)


def test_a_node_that_there_is_not_is_a_404(broker, root):
    root(broker).refused("/v1/sessions?node=nowhere", 404)


def test_sessions_are_for_admins(broker, api):
    api(broker).refused("/v1/sessions", 401)
    api(broker, token=token("ann")).refused("/v1/sessions", 403)


# -- a cluster


@pytest.fixture
def nodes(redis, start_node):
    """Three nodes of one Redis, one of them with two workers."""
    return [start_node(redis.url, f"n{k}", workers=1 + (k == 2),
                       settings={**SETTINGS, "relay.deadline": "1s"}) for k in (1, 2, 3)]


@pytest.fixture
def freeze():
    """Has a node stand still: freeze(node); it goes on at the end of the test."""
    pids = []

    def begin(node):
        pids.append(node.pid)
        os.kill(node.pid, signal.SIGSTOP)
        until(lambda: "T" in Path(f"/proc/{node.pid}/stat").read_text().rsplit(")", 1)[1].split()[0],
              "it stands still")

    yield begin
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def wait_three(connection):
    """Waits until the nodes know of each other."""
    until(lambda: len(connection.get("/v1/nodes")["nodes"]) == 3, "three nodes are listed")


def test_every_node_tells_of_all_sessions(nodes, root, login):
    opened = {name(login(node, user)): (node.name, user)
              for node in nodes for user in ("ann", "bob", "cat")}
    for node in nodes:
        connection = root(node)
        wait_three(connection)
        found, answer = listed(connection)
        assert {i: (s["node"], s["user"]) for i, s in found.items()} == opened
        assert (answer["total"], answer["more"], answer["nodes"]) == (9, False, 3)
    found, answer = listed(connection, "?user=bob")
    assert answer["total"] == 3 and {s["node"] for s in found.values()} == {"n1", "n2", "n3"}
    for node in nodes:
        found, answer = listed(connection, f"?node={node.name}")
        assert answer["total"] == 3 and {s["node"] for s in found.values()} == {node.name}
    (session,) = [i for i, who in opened.items() if who == ("n1", "cat")]
    assert listed(connection, f"?session={session}")[0].keys() == {session}
    connection.refused("/v1/sessions?node=n9", 404)


def test_the_latest_of_all_nodes_are_told(nodes, root, login):
    for node in nodes:
        for _ in range(5):
            login(node, "ann")
    connection = root(nodes[0])
    answer = listed(connection, "?limit=6")[1]
    assert len(answer["sessions"]) == 6 and (answer["total"], answer["more"]) == (15, True)
    since = [each["since"] for each in answer["sessions"]]
    assert since == sorted(since, reverse=True)


def test_a_node_that_does_not_answer_is_missing_and_named(nodes, root, login, freeze):
    opened = [name(login(node, "ann")) for node in nodes]
    connection = root(nodes[0])
    wait_three(connection)
    freeze(nodes[1])
    begun = time.monotonic()
    answer = connection.get("/v1/sessions")
    assert time.monotonic() < begun + 5, "the deadline is one second"
    assert by_id(answer).keys() == {opened[0], opened[2]}
    assert (answer["total"], answer["nodes"], answer["missing"]) == (2, 2, ["n2"])
    assert 'node "n2" has not answered' in answer["problem"]
    assert listed(connection, "?node=n3")[1]["total"] == 1, "which does not wait for n2"
    answer = connection.get("/v1/sessions?node=n2")
    assert answer["sessions"] == [] and answer["missing"] == ["n2"]


def test_without_redis_a_node_tells_of_its_own(nodes, redis, root, login):
    mine = name(login(nodes[0], "ann"))
    login(nodes[1], "ann")
    connection = root(nodes[0])
    redis.stop()
    nodes[0].wait_ready(False)
    answer = until(lambda: (a := connection.get("/v1/sessions")).get("problem") and a, "it is partial")
    assert by_id(answer).keys() == {mine}
    assert answer["missing"] == [] and answer["nodes"] == 1 and "Redis" in answer["problem"]
    assert listed(connection, "?node=n1")[0].keys() == {mine}, "which needs no other node"


def test_nodes_with_several_servers_are_told_once(start_redis, start_node, root, login):
    urls = [start_redis().url, start_redis().url]
    pair = [start_node(urls, f"n{k}", settings=SETTINGS) for k in (1, 2)]
    opened = {name(login(node, "ann")) for node in pair for _ in range(3)}
    found, answer = listed(root(pair[0]))
    assert found.keys() == opened and answer["total"] == 6 and answer["nodes"] == 2
