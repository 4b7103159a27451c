"""Orders of an operator that reach the sessions of every node, and who says so when one did not answer."""

import os
import signal
from pathlib import Path

import msgpack
import pytest

from support.api import refusal, value_of
from support.client import Closed, encode
from support.tokens import claims, hs256
from support.wait import until

SECRET = "a secret of thirty-two characters"
SETTINGS = {"auth.mode": "token", "auth.secret": SECRET, "auth.user_sub": "#", "auth.user_pub": "#",
            "relay.deadline": "1s"}
HERE = ("Content-Type", "application/json")


def token(user, admin=None):
    return hs256(SECRET, **claims(user, admin=admin))


@pytest.fixture
def begin(start_node):
    """Starts nodes that know users: begin(redis.url, 2)."""
    def start(url, count=2, **settings):
        return [start_node(url, f"n{k + 1}", settings={**SETTINGS, **settings})
                for k in range(count)]
    return start


@pytest.fixture
def nodes(redis, begin):
    """Two nodes of one Redis."""
    return begin(redis.url)


@pytest.fixture
def root(api):
    """An admin's connection to the API of a node: root(node)."""
    return lambda node: api(node, token=token("root", True))


@pytest.fixture
def login(clients):
    """Opens a user's WebSocket at a node: login(node, "ann")."""
    return lambda node, user, encoding="json": clients(node, encoding, token=token(user))


def assert_disconnected(client):
    with pytest.raises(Closed) as closed:
        while True:
            assert client.next()["op"] in ("msg", "bye")
    assert closed.value.code == 4403


def order(api, path, value):
    """Gives an order and returns the response as it is."""
    return api.request(path, "POST", encode("json", value), [HERE])


def wait_stopped(pid):
    """Waits until a process that got SIGSTOP stands still."""
    until(lambda: "T" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0],
          "it stands still")


# -- what reaches every node


def test_the_sessions_of_a_user_are_closed_on_every_node(nodes, root, login, encoding):
    theirs = [login(node, "ann", encoding) for node in nodes for _ in range(3)]
    others = [login(node, "bob") for node in nodes]
    answer = root(nodes[0]).post("/v1/disconnect", {"user": "ann"}, encoding, accept=encoding)
    assert answer == {"sessions": 6, "nodes": 2}
    for each in theirs:
        assert_disconnected(each)
    for each in others:
        each.ok({"op": "ping"})
    assert nodes[1].metric("fantail_relay_orders_total") == 1
    assert nodes[0].metric("fantail_relay_orders_total") == 0


def test_one_session_is_found_on_whichever_node_it_is(nodes, root, login):
    there, other = login(nodes[1], "ann"), login(nodes[1], "ann")
    session = there.welcome["session"]
    admin = root(nodes[0])
    assert admin.post("/v1/disconnect", {"session": session}) == {"sessions": 1, "nodes": 2}
    assert_disconnected(there)
    assert admin.post("/v1/disconnect", {"session": session}) == {"sessions": 0, "nodes": 2}
    other.ok({"op": "ping"})


def test_subscriptions_end_on_every_node(nodes, root, login):
    theirs = [login(node, "ann") for node in nodes]
    for each in theirs:
        each.sub("u/a", "u/+", "v")
    answer = root(nodes[1]).post("/v1/unsubscribe", {"user": "ann", "topics": ["u/a", "u/+", "x"]})
    assert answer == {"sessions": 2, "subscriptions": 4, "nodes": 2}
    for each in theirs:
        envelope = each.next()
        assert (envelope["op"], envelope["code"]) == ("error", 403)
        assert sorted(envelope["unsubscribed"]) == ["u/+", "u/a"]


def test_a_thousand_filters_reach_the_other_node(nodes, root, login):
    client = login(nodes[1], "ann")
    client.sub("last")
    filters = [f"{n}/" + "x" * 240 for n in range(1023)]
    answer = root(nodes[0]).post("/v1/unsubscribe", {"user": "ann", "topics": [*filters, "last"]})
    assert answer == {"sessions": 1, "subscriptions": 1, "nodes": 2}


def test_clusters_that_share_a_redis_do_not_hear_each_other(redis, begin, root, login):
    groups = [begin(redis.url, 1), begin(redis.url + "/3", 1),
              begin(redis.url, 1, **{"redis.prefix": "other"})]
    theirs = [login(group[0], "ann") for group in groups]
    assert root(groups[1][0]).post("/v1/disconnect", {"user": "ann"}) == {"sessions": 1, "nodes": 1}
    assert_disconnected(theirs[1])
    assert root(groups[2][0]).post("/v1/disconnect", {"user": "ann"}) == {"sessions": 1, "nodes": 1}
    theirs[0].ok({"op": "ping"})


def test_nodes_with_several_servers_answer_once(start_redis, begin, root, login):
    nodes = begin([start_redis().url, start_redis().url])
    clients = [login(node, "ann") for node in nodes]
    assert root(nodes[0]).post("/v1/disconnect", {"user": "ann"}) == {"sessions": 2, "nodes": 2}
    for each in clients:
        assert_disconnected(each)


# -- what does not


def test_a_node_that_does_not_answer_is_named_and_nothing_is_lost(nodes, root, login):
    here, there = login(nodes[0], "ann"), login(nodes[1], "ann")
    admin = root(nodes[0])
    os.kill(nodes[1].pid, signal.SIGSTOP)
    wait_stopped(nodes[1].pid)
    try:
        message = refusal(order(admin, "/v1/disconnect", {"user": "ann"}), 504)
        assert 'carried out by 1 node, on 1 session, but node "n2" has not answered' in message
        assert_disconnected(here)
    finally:
        os.kill(nodes[1].pid, signal.SIGCONT)
    assert_disconnected(there)
    until(lambda: order(admin, "/v1/disconnect", {"user": "ann"}).status == 200, "both answer again")


def test_a_node_that_was_killed_is_missing_until_it_is_not_listed(nodes, root):
    nodes[1].kill()
    message = refusal(order(root(nodes[0]), "/v1/disconnect", {"user": "ann"}), 504)
    assert '"n2"' in message


def test_a_node_that_has_stopped_is_not_missed(nodes, root):
    nodes[1].stop()
    assert root(nodes[0]).post("/v1/disconnect", {"user": "ann"}) == {"sessions": 0, "nodes": 1}


def test_without_redis_it_is_carried_out_here_and_said(nodes, redis, root, login):
    here = login(nodes[0], "ann")
    admin = root(nodes[0])
    redis.kill()
    nodes[0].wait_ready(False)
    response = order(admin, "/v1/disconnect", {"user": "ann"})
    message = refusal(response, 503)
    assert "carried out by 1 node, on 1 session, but Redis is away" in message
    assert int(response.headers["retry-after"]) >= 1
    assert_disconnected(here)
    redis.start()
    for node in nodes:
        node.wait_ready()
    until(lambda: value_of(order(admin, "/v1/disconnect", {"user": "ann"})).get("nodes") == 2,
          "both are reached again")


def test_while_redis_says_nothing_the_answer_comes_all_the_same(nodes, redis, root, login):
    here = login(nodes[0], "ann")
    admin = root(nodes[0])
    redis.freeze()
    try:
        message = refusal(order(admin, "/v1/disconnect", {"user": "ann"}), 504)
        assert "carried out by 1 node, on 1 session, but Redis did not answer" in message
        assert_disconnected(here)
        refusal(admin.request("/v1/nodes"), 504, 503)  # after 3 s it is known to be away
    finally:
        redis.thaw()
    for node in nodes:
        node.wait_ready()
    until(lambda: value_of(order(admin, "/v1/disconnect", {"user": "ann"})).get("nodes") == 2,
          "both are reached again")


# -- what others say on the channels


def test_what_is_not_an_order_is_counted_and_ignored(nodes, redis, login):
    client = login(nodes[0], "ann")
    them = "b" * 16
    disconnect = [0, "ann", None, []]
    wrong = {
        "foreign": [b"hello", b"", msgpack.packb({"order": 1})],
        "version": [msgpack.packb([2, "order", 1, them, disconnect])],
        "damaged": [msgpack.packb([1, "order", 1, them, disconnect])[:-1],
                    msgpack.packb([1, "order", 1, them, disconnect]) + b"x",
                    msgpack.packb([1, "order", 1, them, [0, "ann", "x", []]]),
                    msgpack.packb([1, "order", 1, them, [1, "ann", None, ["a#"]]])],
        "too_large": [b"x" * (1 << 20)],
        "spoofed": [msgpack.packb([1, "done", 1, them, 1, 1])],
    }
    publisher = redis.client()
    for message in (message for messages in wrong.values() for message in messages):
        assert publisher.publish("fantail:all", message) == 2
    for node in nodes:
        for reason, messages in wrong.items():
            until(lambda: node.metric("fantail_relay_rejected_total", reason=reason) ==
                  len(messages), f"{reason} is counted by {node.name}")
        assert node.metric("fantail_relay_orders_total") == 0
    client.ok({"op": "ping"})
    assert publisher.publish("fantail:all", msgpack.packb([1, "order", 1, them, disconnect])) == 2
    assert_disconnected(client)  # who reaches Redis is trusted so far


def test_somebody_who_listens_is_no_node(nodes, redis, root):
    listener = redis.client().pubsub()
    listener.psubscribe("*")
    until(lambda: listener.get_message(timeout=0.1), "it listens")
    assert root(nodes[0]).post("/v1/disconnect", {"user": "ann"}) == {"sessions": 0, "nodes": 2}
    listener.close()
