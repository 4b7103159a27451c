"""What an operator can do over HTTP: disconnect, unsubscribe, read figures, ask for readiness."""

import signal

import pytest

from support.api import message, refusal
from support.broker import Broker
from support.client import Closed, encode, everything_since
from support.positions import flood, publish
from support.raw import TEXT, Gone, upgrade_request
from support.tokens import claims, hs256
from support.wait import until

SECRET = "a secret of thirty-two characters"
KIND = [("Content-Type", "application/json")]


@pytest.fixture(scope="module")
def module_broker(workers):
    """A broker with users and admins."""
    broker = Broker(workers=workers, settings={
        "auth.mode": "token", "auth.secret": SECRET, "auth.user_sub": "#", "auth.user_pub": "#"})
    yield broker
    broker.stop()


def token(user, admin=None):
    return hs256(SECRET, **claims(user, admin=admin))


@pytest.fixture
def root(broker, api):
    """An admin's connection to the API."""
    return api(broker, token=token("root", True))


@pytest.fixture
def login(broker, clients):
    """Opens the WebSockets of a user: login("ann")."""
    return lambda user, encoding="json": clients(broker, encoding, token=token(user))


def assert_disconnected(client):
    with pytest.raises(Closed) as closed:
        while True:
            assert client.next()["op"] in ("msg", "bye")
    assert closed.value.code == 4403 and closed.value.reason


def told(client):
    """Waits until a client is told that subscriptions of its have ended, and returns which."""
    envelope = client.next()
    assert (envelope["op"], envelope["code"]) == ("error", 403) and "id" not in envelope
    return envelope["unsubscribed"]


# -- disconnect


def test_all_sessions_of_a_user_are_closed_wherever_they_are(root, login, stream, broker, encoding):
    theirs = [login("ann", encoding) for _ in range(20)]
    streams = [stream(broker, "a", token=token("ann")) for _ in range(4)]
    others = [login(user, encoding) for user in ("bob", "Ann", "ann ", "an") * 3]
    root.post("/v1/disconnect", {"user": "ann"}, encoding)
    for each in theirs:
        assert_disconnected(each)
    for each in streams:
        assert each.next("bye")["code"] == 4403
        assert each.read_to_end() == (b"", "eof")
    for each in others:
        each.ok({"op": "ping"})
    login("ann").ok({"op": "ping"})  # they may come back


def test_one_session_is_closed_by_its_name(root, login):
    clients = [login("ann") for _ in range(6)]
    root.post("/v1/disconnect", {"session": clients[2].welcome["session"]})
    assert_disconnected(clients[2])
    for each in clients[:2] + clients[3:]:
        each.ok({"op": "ping"})


def test_what_was_delivered_before_comes_before_the_close(root, login):
    client, publisher = login("carl"), login("pub")
    client.sub("t")
    publish(publisher, "t", range(200))
    root.post("/v1/disconnect", {"user": "carl"})
    assert [client.next_msg()["data"] for _ in range(200)] == list(range(200))
    assert_disconnected(client)


def test_a_reader_that_does_not_read_is_closed_too(root, login, broker, raw):
    slow = raw(broker, receive_buffer=4096)
    bearer = [("Authorization", f"Bearer {token('slow')}")]
    assert slow.ask(upgrade_request(extra=bearer)).status == 101
    slow.send_frame(TEXT, encode("json", {"op": "sub", "topics": ["flood"], "id": 1}))
    slow.read_until(b'"ok"')
    held = broker.descriptors()
    flood(login("pub"), "flood", 8)
    assert root.post("/v1/disconnect", {"user": "slow"})["sessions"] == 1
    slow.close()
    until(lambda: broker.descriptors() <= held, "its connection is gone")


def test_nobody_to_disconnect_is_no_error(root):
    answer = root.post("/v1/disconnect", {"user": "nobody-at-all"})
    assert answer["sessions"] == 0
    assert root.post("/v1/disconnect", {"session": "no-such-session"})["sessions"] == 0


def test_the_answer_says_how_many(root, login):
    held = [login("dora") for _ in range(7)]
    assert root.post("/v1/disconnect", {"user": "dora"})["sessions"] == 7
    for each in held:
        assert_disconnected(each)


# -- unsubscribe


def test_subscriptions_of_a_user_end_in_all_their_sessions(root, login, stream, broker, encoding):
    theirs = [login("ann", encoding) for _ in range(6)]
    other, publisher = login("bob"), login("pub")
    for each in [*theirs, other]:
        each.sub("u/a", "u/+", "v", "end")
    events = stream(broker, "u/a", "v", token=token("ann"))
    order = {"user": "ann", "topics": ["u/a", "u/+", "never"]}
    answer = root.post("/v1/unsubscribe", order, encoding)
    assert answer == {"sessions": 7, "subscriptions": 13, "nodes": 1}
    for each in theirs:
        assert sorted(told(each)) == ["u/+", "u/a"]
    assert events.next("error")["unsubscribed"] == ["u/a"]
    publisher.pub("u/a", 1)
    publisher.pub("v", 2)
    publisher.pub("end", "end")
    for each in theirs:
        assert [m["data"] for m in each.msgs_until("end")] == [2]
    assert [m["data"] for m in other.msgs_until("end")] == [1, 2]
    assert events.take(1) == [2]
    theirs[0].sub("u/a")  # they may again
    publisher.pub("u/a", 3)
    assert theirs[0].next_msg()["data"] == 3


def test_subscriptions_of_one_session_end_by_its_name(root, login):
    one, two, publisher = login("ann"), login("ann"), login("pub")
    for each in one, two:
        each.sub("w/#", "end/w")
    root.post("/v1/unsubscribe", {"session": one.welcome["session"], "topics": ["w/#"]})
    assert told(one) == ["w/#"]
    publisher.pub("w/a", 1)
    assert everything_since(publisher, one, "end/w") == []
    assert two.next_msg()["data"] == 1


# -- what makes no sense


@pytest.mark.parametrize("path, body", [
    ("/v1/disconnect", b"{}"), ("/v1/disconnect", b""), ("/v1/disconnect", b"[]"),
    ("/v1/disconnect", b'{"user":5}'), ("/v1/disconnect", b'{"user":"a","session":"b"}'),
    ("/v1/disconnect", b'{"user":null}'), ("/v1/disconnect", b'{"session":["a"]}'),
    ("/v1/disconnect", b'{"user":"a"'), ("/v1/unsubscribe", b'{"user":"a"}'),
    ("/v1/unsubscribe", b'{"topics":["a"]}'), ("/v1/unsubscribe", b'{"user":"a","topics":[]}'),
    ("/v1/unsubscribe", b'{"user":"a","topics":"b"}'),
    ("/v1/unsubscribe", b'{"user":"a","topics":[5]}'),
    ("/v1/unsubscribe", b'{"user":"a","topics":["b#"]}'),
])
def test_an_order_that_makes_no_sense_is_a_400(root, path, body):
    root.refused(path, 400, method="POST", body=body, headers=KIND)
    assert root.request("/healthz").status == 200


def test_orders_are_an_admins(broker, api, login):
    client = login("ann")
    client.sub("a")
    mine = {"session": client.welcome["session"]}
    for connection, status in (api(broker, token=token("ann")), 403), (api(broker), 401):
        for path, body in ("/v1/disconnect", mine), ("/v1/unsubscribe", {**mine, "topics": ["a"]}):
            refusal(connection.request(path, "POST", encode("json", body), KIND), status)
    client.pub("a", 1)
    assert client.next_msg()["data"] == 1


def test_orders_one_after_the_other_are_answered_in_order(root, login):
    held = [login(f"user{n}") for n in range(8)]
    for n in range(8):
        root.send(message("/v1/disconnect", "POST", b'{"user":"user%d"}' % n, [*root.headers, *KIND])
                  + message("/healthz"))
    for each in held:
        assert root.read_response().status == 200
        assert root.read_response().status == 200
        assert_disconnected(each)


# -- figures


def test_stats_know_what_happens(root, login, encoding):
    def stats():
        return root.get("/v1/stats", headers=[("Accept", "application/json")])

    until(lambda: stats()["connections"] == 1, "those of other tests have gone")
    assert isinstance(stats()["node"], str) and stats()["subscriptions"] == 0
    held = [login("ann", encoding) for _ in range(3)]
    held[0].sub("s/1", "s/2")
    until(lambda: stats()["connections"] == 4, "they are counted")
    assert stats()["subscriptions"] == 2
    root.request("/v1/stats", headers=[("Accept", "application/msgpack")])


# -- ready


def test_a_broker_is_ready_until_it_stops(start, api):
    broker = start()
    assert api(broker).get("/readyz") == {"status": "ready"}
    assert api(broker).get("/healthz")["status"] == "ok"


def test_a_stopping_broker_is_not_ready(start, api, clients):
    broker = start(settings={"shutdown.timeout": "1500ms"})
    connection = api(broker)
    assert connection.request("/readyz").status == 200
    mute = clients(broker)  # does not answer its close frame, so the end takes its time
    broker.process.send_signal(signal.SIGTERM)
    try:
        until(lambda: connection.request("/readyz").status == 503, "no more ready")
    except Gone:
        pass  # the connection had no request under way: it may be ended first
    assert mute.wait_closed() == 1001
    assert broker.wait_gone() == 0
