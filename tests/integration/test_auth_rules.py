"""What a token, a rule of the operator's or an API key permits: filters, topics, control."""

import hashlib

import pytest

from support.api import message, refusal, topic_path
from support.broker import Broker
from support.events import refused_stream
from support.raw import upgrade_request
from support.tokens import claims, hs256

SECRET = "a secret of thirty-two characters"
KEY, NARROW, ADMIN = ("fk_" + letter * 43 for letter in "ABC")


def line(name, key, options=""):
    """A line of the file of API keys."""
    return f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()} {options}\n"


@pytest.fixture(scope="module")
def module_broker(tmp_path_factory):
    """A broker with rules for everybody, and three backends."""
    file = tmp_path_factory.mktemp("auth") / "api.keys"
    file.write_text("# backends\n\n" + line("backend", KEY)
                    + line("narrow", NARROW, "pub=in/# sub=out/%u/#") + line("root", ADMIN, "admin"))
    broker = Broker(workers=2, settings={
        "auth.mode": "token", "auth.secret": SECRET, "auth.api_keys": file,
        "auth.user_sub": "news/#,inbox/%u/#", "auth.user_pub": "outbox/%u/+",
        "auth.anonymous_sub": "news/public/#", "auth.anonymous_pub": "guestbook"})
    yield broker
    broker.stop()


@pytest.fixture
def login(broker, clients):
    """Opens WebSocket clients with a token made of claims: login("ann", may_sub=[…])."""
    return lambda sub="ann", encoding="json", **more: clients(
        broker, encoding, token=hs256(SECRET, **claims(sub, **more)))


def may_sub(client, name):
    return client.request({"op": "sub", "topics": [name]})["op"] == "ok"


def may_pub(client, name):
    return client.request({"op": "pub", "topic": name, "data": 1})["op"] == "ok"


# -- subscribing


@pytest.mark.parametrize("allowed, asked, is_covered", [
    ("a/b", "a/b", True), ("a/b", "a/c", False), ("a/b", "a/+", False), ("a/b", "a/b/#", False),
    ("a/+", "a/b", True), ("a/+", "a/+", True), ("a/+", "a/#", False), ("a/+", "a", False),
    ("a/+", "a/b/c", False), ("a/#", "a", True), ("a/#", "a/b/+/#", True), ("a/#", "a/#", True),
    ("a/#", "+/b", False), ("a/#", "#", False), ("a/#", "ab", False), ("+/b", "a/b", True),
    ("+/b", "+/+", False), ("#", "#", True), ("#", "+/a/#", True), ("#", "$presence/a", False),
    ("+/#", "#", True), ("+/+", "+/#", False), ("a/+/c", "a/b/c", True), ("a/+/c", "a/#", False),
    ("a/+/#", "a/b", True), ("a/+/#", "a/#", False), ("a//b", "a//b", True), ("a/+/b", "a//b", True),
])
def test_a_filter_is_allowed_where_one_permitted_filter_covers_it(login, encoding, allowed, asked,
                                                                  is_covered):
    client = login(encoding=encoding, may_sub=[allowed])
    if is_covered:
        client.sub(asked)
    else:
        assert asked in client.refused({"op": "sub", "topics": [asked]}, 403)


def test_two_filters_do_not_cover_together(login):
    client = login(may_sub=["a/b", "a/c", "x/+/y", "x/z/#"])
    assert not may_sub(client, "a/+") and not may_sub(client, "x/#")
    client.sub("a/b", "a/c", "x/z/#", "x/+/y")


def test_one_forbidden_filter_refuses_all_and_changes_nothing(login):
    client = login(may_sub=["mine/#"], may_pub=["mine/#"])
    assert "theirs" in client.refused({"op": "sub", "topics": ["mine/a", "theirs", "mine/b"]}, 403)
    client.pub("mine/a", 1)
    client.sub("mine/c")
    client.pub("mine/c", 2)
    assert client.next_msg()["data"] == 2


# -- publishing


def test_a_topic_is_allowed_where_a_permitted_filter_matches(login, broker, api, encoding):
    client = login(encoding=encoding, may_pub=["a/+", "b/#"])
    connection = api(broker, token=hs256(SECRET, **claims(may_pub=["a/+", "b/#"])))
    for name, expected in {"a/x": True, "a": False, "a/x/y": False, "b": True, "b/c/d": True,
                           "c": False, "A/x": False}.items():
        assert may_pub(client, name) == expected, name
        single = connection.try_publish({"topic": name, "data": 1}, encoding)
        own_path = connection.request(topic_path(name), "POST", b"x")
        for response in single, own_path:
            assert response.status == (200 if expected else 403), (name, response)
            if not expected:
                assert name in refusal(response, 403)
    results = connection.post("/v1/publish", [{"topic": t, "data": 1} for t in ("a/x", "c", "b")])
    assert [r.get("error", {}).get("code") for r in results["results"]] == [None, 403, None]


def test_nobody_publishes_to_the_brokers_topics(login, api, broker):
    client = login(may_pub=["#", "$sys/#", "$presence/#"], admin=True)
    for name in "$sys/x", "$presence/a":
        client.refused({"op": "pub", "topic": name, "data": 1}, 403)
    for key in KEY, ADMIN:
        response = api(broker, token=key).try_publish({"topic": "$sys/x", "data": 1})
        refusal(response, 403)


def test_who_may_subscribe_may_not_publish_for_that(login):
    reader, writer = login(may_sub=["a"]), login(may_pub=["a"])
    assert may_sub(reader, "a") and not may_pub(reader, "a")
    assert may_pub(writer, "a") and not may_sub(writer, "a")


def test_a_history_wants_the_right_to_subscribe(login, api, broker):
    token = hs256(SECRET, **claims(may_sub=["a/#"], may_pub=["#"]))
    client, connection = login(may_sub=["a/#"], may_pub=["#"]), api(broker, token=token)
    client.pub("a/b", 5)
    client.pub("secret", 6)
    assert client.ok({"op": "history", "topic": "a/b"})["messages"][-1]["data"] == 5
    assert "secret" in client.refused({"op": "history", "topic": "secret"}, 403)
    assert connection.get("/v1/history?topic=a/b")["messages"][-1]["data"] == 5
    assert "secret" in connection.refused("/v1/history?topic=secret", 403)


def test_a_stream_wants_the_right_to_subscribe(broker, api, stream):
    token = hs256(SECRET, **claims(may_sub=["a/#"]))
    stream(broker, "a/+", "news/x", token=token)
    connection = api(broker, token=token)
    assert "b" in refused_stream(connection, 403, "a/b", "b")
    refused_stream(api(broker, token=token), 403, "#")


# -- rules of the operator's, %u


def test_rules_add_to_what_a_token_says(login):
    client = login("ann", may_sub=["x"])
    for name, expected in {"x": True, "news/#": True, "inbox/ann/#": True, "inbox/ann": True,
                           "inbox/bob/#": False, "inbox/+": False, "inbox/%u": False,
                           "y": False}.items():
        assert may_sub(client, name) == expected, name
    assert may_pub(client, "outbox/ann/1") and not may_pub(client, "outbox/bob/1")
    assert not may_pub(client, "outbox/ann/1/2")


@pytest.mark.parametrize("user", ["+", "#", "a/b", "ann/#", "/", "\x01", "\x7f"])
def test_a_user_that_is_no_level_gets_nothing_by_it(login, user):
    client = login(user)
    for name in "inbox/ann", "inbox/+/x", "inbox/#", f"inbox/{user}", f"inbox/{user}/x", "inbox/a/b":
        assert client.request({"op": "sub", "topics": [name]})["op"] == "error", name
    assert may_sub(client, "news/a")


@pytest.mark.parametrize("user", ["a b", "ü", "$x", "%u", "x" * 200, ".."])
def test_a_user_that_is_a_level_gets_that_level(login, user):
    client = login(user)
    client.sub(f"inbox/{user}/#")
    assert not may_sub(client, "inbox/+/#")


def test_u_in_a_token_stands_for_its_user(login):
    client = login("ann", may_sub=["p/%u/#", "q%u/#"], may_pub=["%u"])
    assert may_sub(client, "p/ann/x") and not may_sub(client, "p/bob")
    assert not may_sub(client, "qann/x")  # as one whole level, or not at all
    assert may_pub(client, "ann") and not may_pub(client, "%u")


def test_without_a_user_u_grants_nothing(login):
    client = login(None, may_sub=["p/%u/#"])
    assert client.welcome["user"] is None
    for name in "p/x", "p/%u", "p//x", "p/null", "p/#":
        assert not may_sub(client, name), name


def test_who_has_no_token_may_what_anonymous_may(broker, clients, api):
    client, connection = clients(broker), api(broker)
    assert client.welcome["user"] is None and "expires" not in client.welcome
    for name, expected in ("news/public/x", True), ("news/x", False), ("guestbook", False):
        assert may_sub(client, name) == expected, name
    assert may_pub(client, "guestbook") and not may_pub(client, "news/public/x")
    connection.publish("guestbook", "hello")
    refusal(connection.try_publish({"topic": "x", "data": 1}), 403)
    for path in "/v1/stats", "/v1/nodes":
        assert connection.request(path).status in (401, 403, 404)
    body = b'{"user":"ann"}'
    connection.refused("/v1/disconnect", 401, 403, method="POST", body=body,
                       headers=[("Content-Type", "application/json")])
    assert connection.request("/v1/history?topic=t", headers=[
        ("Authorization", "Bearer bad")]).status == 401  # a bad token is never nobody's


# -- admins


def test_figures_and_control_are_an_admins(broker, api, login):
    admin = api(broker, token=hs256(SECRET, **claims("root", admin=True)))
    other = api(broker, token=hs256(SECRET, **claims("ann", admin=False, may_sub=["#"])))
    assert isinstance(admin.get("/v1/stats"), dict)
    other.refused("/v1/stats", 403)
    kind = [("Content-Type", "application/json")]
    for path, body in ("/v1/disconnect", b'{"user":"nobody"}'), (
            "/v1/unsubscribe", b'{"user":"nobody","topics":["a"]}'):
        other.refused(path, 403, method="POST", body=body, headers=kind)
        assert admin.request(path, "POST", body, kind).status == 200
    assert other.request("/metrics").status == 200
    assert may_sub(login("root", admin=True), "$sys/#")
    assert not may_sub(login("ann", may_sub=["#", "+/#"]), "$sys/#")


def test_metrics_can_be_an_admins_too(start, api):
    broker = start(settings={"auth.mode": "token", "auth.secret": SECRET,
                             "http.metrics_admin": "yes"})
    assert api(broker, token=hs256(SECRET, **claims(admin=True))).request("/metrics").status == 200
    api(broker, token=hs256(SECRET, **claims())).refused("/metrics", 403)
    api(broker).refused("/metrics", 401)
    assert api(broker).request("/healthz").status == 200


def test_an_open_broker_on_loopback_has_control_open(start, api, clients):
    broker = start()
    assert isinstance(api(broker).get("/v1/stats"), dict)
    assert may_sub(clients(broker), "$sys/#")
    assert api(broker).post("/v1/disconnect", {"user": "nobody"}) is not None


@pytest.mark.parametrize("host, is_ours", [
    ("localhost", True), ("127.0.0.1:8080", True), ("[::1]:8080", True), ("a.localhost", True),
    ("box", True), ("box.lan:8080", True), ("evil.example", False), ("evil.example:8080", False),
    ("localhost.evil.example", False), ("box.lan", False),
])
def test_an_open_broker_serves_no_page_that_has_its_own_name_lead_here(start, raw, host, is_ours):
    """DNS rebinding: a page's own name becomes 127.0.0.1."""
    broker = start(settings={"http.origins": "http://box.lan:8080"})
    browser, page = ("Accept-Language", "de"), ("Origin", f"http://{host}")
    for sent in (message("/v1/history?topic=a", host=host, headers=[browser]),
                 message("/v1/events?topic=a", "HEAD", host=host, headers=[browser]),
                 upgrade_request(host=host, extra=[page])):
        response = raw(broker).ask(sent, head=sent.startswith(b"HEAD"))
        assert response.status in ((200, 101) if is_ours else (403,)), (sent, response)
    for sent in (message("/healthz", host=host, headers=[browser]), upgrade_request(host=host),
                 message("/v1/history?topic=a", host=host)):  # a program is no page
        assert raw(broker).ask(sent).status in (200, 101), sent
    status = raw(broker).ask(message("/v1/stats", host=host)).status  # but for control
    assert status == (200 if is_ours and host != "box.lan:8080" else 401)


def test_an_open_broker_gives_no_figures_through_a_proxy(start, api):
    broker = start(settings={"http.trusted_proxies": "127.0.0.1"})
    forwarded = [("X-Forwarded-For", "203.0.113.9")]
    connection = api(broker)
    assert connection.request("/v1/stats", headers=forwarded).status in (401, 403)
    assert connection.request("/v1/history?topic=t", headers=forwarded).status == 200
    assert connection.request("/v1/stats").status == 200


# -- API keys


def test_a_key_without_filters_may_everything(broker, api, clients, encoding):
    connection = api(broker, token=KEY)
    connection.post("/v1/publish", {"topic": "any/where", "data": 1, "retain": True}, encoding)
    client = clients(broker, encoding, token=KEY)
    assert client.welcome["user"] == "backend"
    client.sub("#")
    assert client.next_msg()["data"] == 1
    connection.publish("any/where", None, retain=True)
    connection.refused("/v1/stats", 403)


def test_a_key_with_filters_may_what_they_say(broker, api, clients):
    connection, client = api(broker, token=NARROW), clients(broker, token=NARROW)
    connection.publish("in/a", 1)
    refusal(connection.try_publish({"topic": "out/narrow/a", "data": 1}), 403)
    assert may_sub(client, "out/narrow/#") and not may_sub(client, "out/#")


def test_a_key_may_be_an_admins(broker, api):
    assert isinstance(api(broker, token=ADMIN).get("/v1/stats"), dict)


@pytest.mark.parametrize("key", ["fk_" + "Z" * 43, KEY[:-1], KEY + "A", KEY.upper(), "fk_", KEY[3:],
                                 hashlib.sha256(KEY.encode()).hexdigest()])
def test_a_key_that_nobody_has_is_a_401(broker, api, key):
    api(broker, token=key).refused("/v1/history?topic=a", 401)


def test_a_key_is_taken_from_the_header_alone(broker, api, raw):
    connection = api(broker)
    assert connection.request(f"/v1/history?topic=a&token={KEY}").status == 401
    assert connection.request("/v1/history?topic=a",
                              headers=[("Cookie", f"fantail_token={KEY}")]).status == 401
    offer = upgrade_request(Sec_WebSocket_Protocol=f"fantail.v1.json, fantail.bearer.{KEY}")
    refusal(raw(broker).ask(offer), 401)
