"""presence: who is subscribed to a topic, and who comes and goes."""

import time

import pytest

from support.api import TYPES, message, refusal
from support.broker import Broker
from support.client import decode
from support.rules import text_of, with_rules
from support.tokens import claims, hs256
from support.wait import until
from test_reload import Reloadable

SECRET = "a secret of thirty-two characters"
RULES = {"p/#": {"presence": "yes"}, "p/off/#": {"presence": "no"}}


@pytest.fixture(scope="module")
def module_broker(workers, tmp_path_factory):
    """A broker that has presence on p/#, but not on p/off/#."""
    broker = Broker(workers=workers, args=with_rules(tmp_path_factory.mktemp("presence"), RULES))
    yield broker
    broker.stop()


@pytest.fixture
def room(topic):
    """A topic that has presence, which no other test uses."""
    return f"p/{topic}"


def session(client):
    return client.welcome["session"]


def present(client, topic):
    """Asks who is present, and returns the sessions."""
    reply = client.ok({"op": "presence", "topic": topic})
    assert set(reply) == {"op", "id", "count", "clients"}
    assert all(set(each) == {"session", "user", "since"} for each in reply["clients"])
    assert reply["count"] == len(reply["clients"])
    return [each["session"] for each in reply["clients"]]


def listen(client, topic):
    client.sub(f"$presence/{topic}")
    return client


def heard(client):
    """Returns the next event, as (event, session, user)."""
    got = client.next_msg()
    assert got["topic"].startswith("$presence/") and "pos" not in got
    assert set(got["data"]) == {"event", "session", "user"}
    return got["data"]["event"], got["data"]["session"], got["data"]["user"]


# -- who is present


def test_who_is_subscribed_is_listed_oldest_first(connect, encoding, room):
    before = time.time() * 1000
    asker, *members = (connect(encoding) for _ in range(6))
    assert present(asker, room) == []
    for each in members:
        each.sub(room)
    reply = asker.ok({"op": "presence", "topic": room})
    assert [each["session"] for each in reply["clients"]] == [session(each) for each in members]
    assert reply["count"] == 5
    since = [each["since"] for each in reply["clients"]]
    assert before - 1000 < min(since) and max(since) < time.time() * 1000 + 1000
    assert all(each["user"] is None for each in reply["clients"])


def test_a_session_is_present_from_its_ok_and_once(connect, encoding, room):
    client, listener = connect(encoding), listen(connect("json"), room)
    client.sub(room)
    assert present(client, room) == [session(client)]
    client.sub(room)
    client.send([{"op": "sub", "topics": [room, room], "every": 5}])
    assert present(client, room) == [session(client)]
    client.unsub(room)
    assert present(client, room) == []
    assert [heard(listener)[:2] for _ in range(2)] == [("join", session(client)), ("leave", session(client))]
    client.sub(room)
    assert heard(listener)[:2] == ("join", session(client))


def test_a_wildcard_makes_nobody_present(connect, encoding, room):
    client = connect(encoding)
    client.sub(f"{room}/#", f"{room}/+", "p/#")
    assert present(client, room) == []
    assert present(client, f"{room}/a") == []


def test_a_sub_that_is_refused_makes_nobody_present(start, clients, encoding, tmp_path, workers):
    broker = start(workers=workers, args=with_rules(tmp_path, RULES), settings={"limits.topics": 2})
    client, listener = clients(broker, encoding), listen(clients(broker), "p/1")
    client.refused({"op": "sub", "topics": ["p/1", "p/2", "p/3"]}, 429)
    assert present(client, "p/1") == []
    client.sub("p/1")
    assert heard(listener)[:2] == ("join", session(client))


def test_who_goes_without_a_word_has_left(connect, encoding, room):
    asker = listen(connect(encoding), room)
    client = connect(encoding)
    client.sub(room)
    assert heard(asker)[0] == "join"
    client.socket.close()
    assert heard(asker)[:2] == ("leave", session(client))
    assert present(asker, room) == []


def test_many_come_and_go_and_each_is_told_once(connect, encoding, room):
    listener = listen(connect(encoding), room)
    members = [connect("json") for _ in range(40)]
    for each in members:
        each.sub(room)
    for each in members[::2]:
        each.unsub(room)
    for each in members[1::2]:
        each.socket.close()
    told = [heard(listener)[:2] for _ in range(80)]
    for each in members:
        assert [event for event, who in told if who == session(each)] == ["join", "leave"]
    assert present(listener, room) == []
    listener.ok({"op": "ping"})
    assert not listener.inbox


def test_a_session_hears_of_itself_and_events_are_not_kept(connect, encoding, room):
    client = connect(encoding)
    client.sub(f"$presence/{room}", room)
    assert heard(client)[:2] == ("join", session(client))
    late = connect(encoding)
    late.ok({"op": "sub", "topics": [f"$presence/{room}"], "last": 10})
    late.ok({"op": "ping"})
    assert not late.inbox


def test_presence_of_many_topics_is_heard_by_a_wildcard(connect, encoding, room):
    listener, client = connect(encoding), connect(encoding)
    listener.sub(f"$presence/{room}/#")
    client.sub(f"{room}/a", f"{room}/b")
    assert {heard(listener)[:2] for _ in range(2)} == {("join", session(client))}


# -- event streams


def test_an_event_stream_is_present_and_hears(broker, connect, stream, room):
    asker = listen(connect(), room)
    events = stream(broker, room, f"$presence/{room}")
    event, who, user = heard(asker)
    assert (event, user) == ("join", None) and present(asker, room) == [who]
    client = connect("msgpack")
    client.sub(room)
    seen = [events.next_event() for _ in range(2)]
    assert [each.data["data"]["session"] for each in seen] == [who, session(client)]
    assert all(each.id is None for each in seen)
    events.close()
    assert [heard(asker)[:2] for _ in range(2)] == [("join", session(client)), ("leave", who)]


# -- HTTP


def test_http_answers_the_same(broker, connect, api, room, encoding):
    members = [connect() for _ in range(3)]
    for each in members:
        each.sub(room)
    expected = members[0].ok({"op": "presence", "topic": room})
    connection = api(broker)
    response = connection.ask(message(f"/v1/presence?topic={room}",
                                      headers=[("Accept", TYPES[encoding])]))
    assert response.status == 200 and response.headers["content-type"] == TYPES[encoding]
    answer = decode(encoding, response.body)
    assert answer == {key: expected[key] for key in ("count", "clients")}
    assert [each["session"] for each in answer["clients"]] == [session(each) for each in members]


def test_http_refuses_what_is_wrong(broker, api):
    connection = api(broker)
    connection.refused("/v1/presence", 400)
    connection.refused("/v1/presence?topic=a&topic=b", 400)
    connection.refused("/v1/presence?topic=p/%2B", 400)
    assert "presence = yes" in connection.refused("/v1/presence?topic=a", 404)
    packed = connection.ask(message("/v1/presence?topic=a", headers=[("Accept", TYPES["msgpack"])]))
    assert "presence = yes" in refusal(packed, 404)
    connection.refused("/v1/presence?topic=p/a", 405, method="POST")


# -- what is refused


@pytest.mark.parametrize("topic_, code", [
    (None, 400), ("", 400), ("p/+", 400), ("p/#", 400), ("a", 404), ("p/off/a", 404),
    ("$presence/p/a", 404), ("$sys/n/stats", 403), ("p/" + "x" * 244, 404), ("p" + "/" * 31, 404),
])
def test_what_cannot_be_asked(start, clients, encoding, tmp_path, topic_, code):
    broker = start(args=with_rules(tmp_path, RULES), settings={
        "auth.mode": "token", "auth.secret": SECRET, "auth.user_sub": "#, $presence/#"})
    client = clients(broker, encoding, token=hs256(SECRET, **claims("ann")))
    request = {"op": "presence"} if topic_ is None else {"op": "presence", "topic": topic_}
    client.refused(request, code)
    client.send(request)
    error = client.next()
    assert (error["op"], error["code"]) == ("error", code) and "id" not in error


def test_the_longest_topics_that_can_have_presence(connect, encoding):
    client = connect(encoding)
    for name in "p/" + "y" * 243, "p/" + "/" * 29:
        client.sub(f"$presence/{name}", name)
        assert heard(client)[:2] == ("join", session(client))
        assert present(client, name) == [session(client)]
    for name in "p/" + "y" * 244, "p" + "/" * 31:
        client.sub(name)  # subscribed, but not present
    client.ok({"op": "ping"})
    assert not client.inbox


def test_a_question_without_an_id_has_no_answer(connect, encoding, room):
    client = connect(encoding)
    client.send({"op": "presence", "topic": room})
    client.ok({"op": "ping"})
    assert not client.inbox


def test_who_may_not_read_may_not_ask_and_events_need_a_rule_of_their_own(start, clients, api,
                                                                        encoding, tmp_path):
    broker = start(args=with_rules(tmp_path, RULES), settings={
        "auth.mode": "token", "auth.secret": SECRET})
    token = hs256(SECRET, **claims("ann", may_sub=["p/mine/#"]))
    warden = hs256(SECRET, **claims("eve", may_sub=["p/#", "$presence/p/#"]))
    client, listener = clients(broker, encoding, token=token), clients(broker, encoding, token=warden)
    listen(listener, "p/mine/1")
    client.sub("p/mine/1")
    assert heard(listener) == ("join", session(client), "ann")
    [mine] = client.ok({"op": "presence", "topic": "p/mine/1"})["clients"]
    assert mine["user"] == "ann" and mine["session"] == session(client)
    client.refused({"op": "presence", "topic": "p/other"}, 403)
    client.refused({"op": "sub", "topics": ["$presence/p/mine/1"]}, 403)
    connection = api(broker, token=token)
    assert connection.get("/v1/presence?topic=p/mine/1")["count"] == 1
    connection.refused("/v1/presence?topic=p/other", 403)
    root = api(broker, token=hs256(SECRET, **claims("root", admin=True)))
    root.post("/v1/unsubscribe", {"user": "ann", "topics": ["p/mine/1"]})
    assert heard(listener) == ("leave", session(client), "ann")
    assert client.next()["unsubscribed"] == ["p/mine/1"]
    assert present(client, "p/mine/1") == []


def test_a_fresh_token_that_covers_less_ends_presence(start, clients, encoding, tmp_path):
    broker = start(args=with_rules(tmp_path, RULES), settings={
        "auth.mode": "token", "auth.secret": SECRET})
    client = clients(broker, encoding, token=hs256(SECRET, **claims("ann", may_sub=["p/#"])))
    client.sub("p/1", "p/2")
    client.ok({"op": "auth", "token": hs256(SECRET, **claims("ann", may_sub=["p/2"]))})
    asker = clients(broker, encoding, token=hs256(SECRET, **claims("bob", may_sub=["p/#"])))
    assert present(asker, "p/1") == []
    assert present(asker, "p/2") == [session(client)]


# -- bounds


def test_an_answer_keeps_to_half_of_the_queue_and_counts_all(start, clients, api, encoding, tmp_path):
    broker = start(args=with_rules(tmp_path, RULES),
                   settings={"limits.queue": 32768, "limits.message": 4096,
                             "limits.flush": 16384})
    members = [clients(broker) for _ in range(400)]
    for each in members:
        each.sub("p/1")
    client = clients(broker, encoding)
    reply = client.ok({"op": "presence", "topic": "p/1"})
    listed = [each["session"] for each in reply["clients"]]
    assert reply["count"] == 400 and 150 < len(listed) < 400
    assert listed == [session(each) for each in members[:len(listed)]]
    answer = api(broker).get("/v1/presence?topic=p/1")
    assert answer["count"] == 400 and 150 < len(answer["clients"]) < 400
    client.send([{"op": "presence", "topic": "p/1", "id": n} for n in range(60)])
    replies = [client.next() for _ in range(60)]
    assert [each["id"] for each in replies] == list(range(60))


def test_figures_say_how_many_are_present(broker, connect, api, room):
    before = api(broker).metrics()["fantail_present"]
    client = connect()
    client.sub(room, f"{room}/2", "elsewhere")
    assert api(broker).metrics()["fantail_present"] == before + 2
    client.unsub(room)
    assert api(broker).metrics()["fantail_present"] == before + 1
    client.socket.close()
    until(lambda: api(broker).metrics()["fantail_present"] == before, "nobody is present any more")


# -- reload


@pytest.fixture
def reloadable(start, tmp_path, workers):
    """Starts a broker with a file: reloadable(rules)."""
    return lambda rules: Reloadable(start, tmp_path / "fantail.conf", text_of(rules), workers=workers)


def test_a_reload_makes_present_who_is_subscribed_and_has_others_leave(reloadable, clients, encoding):
    it = reloadable({"q/#": {"presence": "yes"}})
    members = [clients(it.broker, encoding) for _ in range(9)]
    for each in members:
        each.sub("p/1", "q/1", "p/+")
        each.ok({"op": "ping"})  # its join of q/1 is told by now
    listener = clients(it.broker, encoding)
    listener.sub("$presence/#")
    it.reload(text_of(RULES))
    told = [listener.next_msg() for _ in range(18)]
    sessions = {session(each) for each in members}
    for name, event in ("p/1", "join"), ("q/1", "leave"):
        of_topic = [each["data"] for each in told if each["topic"] == f"$presence/{name}"]
        assert {each["event"] for each in of_topic} == {event}
        assert {each["session"] for each in of_topic} == sessions and len(of_topic) == 9
    assert set(present(listener, "p/1")) == sessions
    listener.refused({"op": "presence", "topic": "q/1"}, 404)
    it.reload(text_of({**RULES, "other": {"retain": "yes"}}))
    members[0].unsub("p/1")
    assert heard(listener)[:2] == ("leave", session(members[0]))
    listener.ok({"op": "ping"})
    assert not listener.inbox


def test_a_reload_reaches_thousands_of_subscriptions(reloadable, clients, encoding):
    it = reloadable({})
    names = [f"p/{n}" for n in range(1000)]
    members = [clients(it.broker, encoding) for _ in range(8)]
    for each in members:
        each.ok({"op": "sub", "topics": names})
    it.reload(text_of(RULES))
    asker = clients(it.broker, encoding)
    until(lambda: all(len(present(asker, name)) == 8 for name in names[::111]), "all are present")
    it.reload("")
    asker.refused({"op": "presence", "topic": "p/0"}, 404)
