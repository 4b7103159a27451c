"""Tokens in the course of time: expiry, `auth`, keys that change, and what may never be logged."""

import json
import re
import signal

import jwt
import pytest

from support.api import Api, refusal
from support.broker import Broker, run
from support.client import Client, Closed, everything_since
from support.events import Events
from support.raw import RawClient, upgrade_request
from support.tokens import Key, by_hand, claims, hs256, jwks, now
from support.wait import until

SECRET = "a secret of thirty-two characters"
STRICT = {"auth.mode": "token", "auth.secret": SECRET, "auth.leeway": 0}


def token(sub="ann", **more):
    return hs256(SECRET, **claims(sub, **{"may_sub": ["a/#"], "may_pub": ["a/#"], **more}))


def soon():
    """A time that is over in a moment: fractions of a second are allowed."""
    return now() + 1.2


@pytest.fixture(scope="module")
def module_broker():
    """A broker for all tests that need nothing else; the grace is short."""
    broker = Broker(workers=2, settings={**STRICT, "auth.grace": 1})
    yield broker
    broker.stop()


# -- the end of a token


def test_a_token_that_ends_is_told_and_then_closed_with_4401(broker, clients, encoding):
    exp = soon()
    client = clients(broker, encoding, token=token(exp=exp))
    assert client.welcome["expires"] == int(exp * 1000)
    client.sub("a/b")
    assert "expired" in client.error(401)
    clients(broker, token=token()).pub("a/b", "in the grace")
    assert client.next_msg()["data"] == "in the grace"
    with pytest.raises(Closed) as closed:
        client.next()
    assert closed.value.code == 4401 and closed.value.reason


def test_a_fresh_token_keeps_the_session(broker, clients, encoding):
    client = clients(broker, encoding, token=token(exp=soon()))
    publisher = clients(broker, token=token())
    client.sub("a/b")
    client.error(401)
    exp = now() + 600
    reply = client.ok({"op": "auth", "token": token(exp=exp)})
    assert reply["expires"] == exp * 1000 and "unsubscribed" not in reply
    for _ in range(3):  # the old one's end and its grace are over by then
        other = clients(broker, token=token(exp=soon()))
        other.error(401)
    publisher.pub("a/b", 1)
    assert client.next_msg()["data"] == 1


def test_a_token_may_be_renewed_before_its_end_again_and_again(broker, clients, encoding):
    client = clients(broker, encoding, token=token(exp=soon()))
    for n in range(50):
        assert client.ok({"op": "auth", "token": token(exp=now() + 600 + n)})["expires"]
    last = client.ok({"op": "auth", "token": token(exp=soon())})
    assert last["expires"] < (now() + 10) * 1000
    client.error(401)


def test_what_a_fresh_token_does_not_cover_ends_and_is_named(broker, clients, encoding):
    client = clients(broker, encoding, token=token(may_sub=["a/#", "b/#"]))
    publisher = clients(broker, token=token(may_pub=["#"]))
    client.sub("a/x", "a/+/y", "b/x", "b/#")
    reply = client.ok({"op": "auth", "token": token(may_sub=["a/+", "b/x", "end"])})
    assert sorted(reply["unsubscribed"]) == ["a/+/y", "b/#"]
    client.sub("end")
    for name in "a/x", "a/q/y", "b/x", "b/z":
        publisher.pub(name, name)
    assert [m["data"] for m in everything_since(publisher, client, "end")] == ["a/x", "b/x"]
    client.refused({"op": "sub", "topics": ["b/#"]}, 403)
    client.refused({"op": "pub", "topic": "c", "data": 1}, 403)


def test_rights_that_a_fresh_token_brings_are_there_at_once(broker, clients):
    client = clients(broker, token=token(may_sub=[], may_pub=[]))
    for envelope in {"op": "sub", "topics": ["a/b"]}, {"op": "pub", "topic": "a/b", "data": 1}:
        client.refused(envelope, 403)
    client.ok({"op": "auth", "token": token()})
    client.sub("a/b")
    client.pub("a/b", 1)
    assert client.next_msg()["data"] == 1


def test_another_users_token_is_a_403_and_a_bad_one_a_401(broker, clients, encoding):
    client = clients(broker, encoding, token=token())
    client.sub("a/b")
    client.refused({"op": "auth", "token": token("bob")}, 403)
    client.refused({"op": "auth", "token": token(None)}, 403)
    for bad in "", "x.y.z", token() + "x", token(exp=now() - 1), by_hand({"alg": "none"}, {}, ""):
        text = client.refused({"op": "auth", "token": bad}, 401)
        assert not bad or bad not in text
    for bad in 5, None, ["x"]:
        client.refused({"op": "auth", "token": bad}, 400)
    client.refused({"op": "auth"}, 400)
    clients(broker, token=token()).pub("a/b", 1)
    assert client.next_msg()["data"] == 1


def test_a_bad_auth_without_an_id_is_an_error_too(broker, clients):
    client = clients(broker, token=token())
    client.send({"op": "auth", "token": "x.y.z"})
    client.error(401)
    client.send({"op": "auth", "token": token()})
    client.ok({"op": "ping"})
    assert not client.inbox


def test_a_token_without_an_end_never_ends(broker, clients):
    forever = jwt.encode({"sub": "ann", "fantail": {"sub": ["a"]}}, SECRET, "HS256")
    client = clients(broker, token=token(exp=soon()))
    assert "expires" not in client.ok({"op": "auth", "token": forever})
    other = clients(broker, token=token(exp=soon()))
    with pytest.raises(Closed):
        other.error(401)
        other.next()
    client.ok({"op": "ping"})


def test_a_stream_ends_with_its_token(broker):
    with Events(broker.address, "a/b", token=token(exp=soon())) as events:
        kinds = []
        while (event := events.next_event()).kind != "bye":
            kinds.append((event.kind, event.data.get("code")))
        assert event.data["code"] == 4401
        assert kinds in ([("error", 401)], [])
        assert events.read_to_end() == (b"", "eof")


def test_a_kept_connection_is_asked_for_each_request(broker):
    exp = soon()
    with Api(broker.address, token=token(exp=exp)) as connection:
        assert connection.request("/v1/history?topic=a").status == 200
        until(lambda: connection.request("/v1/history?topic=a").status == 401, "the token ends")


# -- keys that change


def test_keys_are_read_again_without_dropping_anybody(start, clients, api, tmp_path):
    old, new = Key("ES256", "old"), Key("EdDSA", "new")
    file = tmp_path / "keys.json"
    file.write_text(jwks(old))
    config = tmp_path / "fantail.conf"
    config.write_text(f"[auth]\nmode = token\nkeys = {file}\n")
    broker = start(args=["-c", str(config)], workers=2)
    rights = claims(may_sub=["a"], may_pub=["a"])
    client = clients(broker, token=old.sign(rights))
    client.sub("a")
    assert api(broker, token=new.sign(rights)).request("/v1/history?topic=a").status == 401

    def reload(text, event="reloaded"):
        file.write_text(text)
        before = sum(f"event={event}" in x for x in broker.stderr_lines)
        broker.process.send_signal(signal.SIGHUP)
        until(lambda: sum(f"event={event}" in x for x in broker.stderr_lines) > before, event)

    def accepted():
        return [api(broker, token=k.sign(rights)).request("/v1/history?topic=a").status
                for k in (old, new)]

    reload(jwks(old, new))
    assert accepted() == [200, 200]
    reload(jwks(new))
    assert accepted() == [401, 200]
    client.refused({"op": "auth", "token": old.sign(rights)}, 401)
    reload("no keys at all", "config_refused")
    assert accepted() == [401, 200]
    api(broker, token=new.sign(rights)).publish("a", "still here")
    assert client.next_msg()["data"] == "still here"
    client.ok({"op": "auth", "token": new.sign(rights)})


def test_what_an_operator_breaks_is_refused_with_its_name(tmp_path):
    (tmp_path / "empty").write_text("")
    (tmp_path / "private").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    for settings in (
            {"auth.mode": "token"}, {"auth.mode": "maybe"},
            {"auth.mode": "token", "auth.secret": "short"},
            {"auth.mode": "token", "auth.keys": tmp_path / "missing"},
            {"auth.mode": "token", "auth.keys": tmp_path / "empty"},
            {"auth.mode": "token", "auth.keys": tmp_path / "private"},
            {"auth.mode": "token", "auth.secret": SECRET, "auth.api_keys": tmp_path / "missing"},
            {"auth.mode": "token", "auth.secret": SECRET, "auth.user_sub": "a/#/b"}):
        args = [x for k, v in settings.items() for x in ("--set", f"{k}={v}")]
        result = run("--listen", "127.0.0.1:0", *args)
        assert result.returncode > 0 and not result.stdout, settings
        assert "auth." in result.stderr and SECRET not in result.stderr, result.stderr


# -- secure by default


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_without_auth_only_loopback_is_served(start, address):
    result = run("--listen", address)
    assert result.returncode > 0 and not result.stdout
    assert "auth.mode" in result.stderr and address[:-2] in result.stderr
    for settings in {"auth.mode": "none"}, STRICT:
        start(listen=[address], settings=settings).stop()
    start(listen=["127.0.0.1:0", "[::1]:0"]).stop()


def test_a_secret_alone_means_that_tokens_are_needed(start, api):
    broker = start(listen=["0.0.0.0:0"], settings={"auth.secret": SECRET})
    broker.host = "127.0.0.1"
    api(broker).refused("/v1/history?topic=a", 401)
    assert api(broker, token=token()).request("/v1/history?topic=a").status == 200


def test_one_open_listener_among_closed_ones_is_enough_to_refuse():
    result = run("--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0")
    assert result.returncode > 0 and "0.0.0.0" in result.stderr


# -- what is never written down


def test_no_log_and_no_answer_holds_a_token_or_a_payload(start, clients):
    broker = start(settings={**STRICT, "log.level": "debug", "auth.grace": 1}, workers=2)
    secrets, shown = [], []

    def note(text):
        secrets.extend(p for p in str(text).split(".") if len(p) >= 12)
        return text

    for n in range(3):
        for bad in token(f"user{n}"), token(exp=now() - 5), by_hand({"alg": "none"}, {"n": n}, "k"):
            note(bad)
            for extra, path in ([("Authorization", f"Bearer {bad}")], "/ws"), (
                    [("Cookie", f"fantail_token={bad}")], "/ws"), ([], f"/ws?token={bad}"), (
                    [("Sec-WebSocket-Protocol", f"fantail.v1.json, fantail.bearer.{bad}")], "/ws"), (
                    [], f"/nowhere?token={bad}"), ([("Authorization", bad)], "/ws"):
                with RawClient(broker.address) as raw:
                    response = raw.ask(upgrade_request(path, extra=extra))
                    shown.append(f"{response.headers}{response.body}")
            with Api(broker.address) as api:
                shown.append(str(api.request(f"/v1/events?topic=%23&token={bad}x")))
                shown.append(str(api.request(f"/v1/topics/a?token={bad}", "PATCH")))
    note("fk_" + "Q" * 43)
    with Api(broker.address, token="fk_" + "Q" * 43) as api:
        shown.append(str(api.request("/v1/history?topic=a")))
    client = clients(broker, token=note(token(exp=soon())))
    client.refused({"op": "auth", "token": note(token("bob"))}, 403)
    client.refused({"op": "auth", "token": note(token() + "broken-signature")}, 401)
    client.send_payload(b'{"op":"auth","token":"' + note("half-a-token-of-mine").encode())
    shown.append(client.error(400))
    client.pub("a/b", note("the-payload-of-a-client"))
    client.refused({"op": "pub", "topic": "a/b", "data": note("a-payload-refused"), "ttl": "x"}, 400)
    with pytest.raises(Closed):
        client.error(401)
        client.next()
    with Api(broker.address, token=token()) as api:
        shown.append(str(api.request("/metrics").body))
    broker.stop()
    assert len(broker.stderr_lines) > 10, "nothing is logged at level debug"
    written = broker.stderr + "".join(shown)
    for secret in [SECRET, *secrets]:
        assert secret not in written, re.findall(f".*{re.escape(secret)}.*", written)[:1]


def test_the_secret_is_not_printed_with_the_configuration(tmp_path):
    config = tmp_path / "fantail.conf"
    config.write_text(f"[auth]\nmode = token\nsecret = {SECRET}\n")
    for args in (["--check-config"], ["--check-config", "--topic", "a"]):
        result = run("-c", str(config), *args)
        assert result.returncode == 0 and SECRET not in result.stdout + result.stderr


# -- fantail token


def fantail_token(*args, env=None):
    """Runs `fantail token` and returns the token."""
    result = run("token", *args, name="fantail", env={"FANTAIL_AUTH_SECRET": SECRET, **(env or {})})
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_fantail_token_makes_one_that_the_broker_takes(broker, clients):
    made = fantail_token("--sub", "alice", "--allow-sub", "chat/#", "--allow-sub", "news/+",
                         "--allow-pub", "chat/alice", "--ttl", "1h")
    values = jwt.decode(made, SECRET, ["HS256"])
    assert values["sub"] == "alice" and 3590 <= values["exp"] - now() <= 3600
    assert values["fantail"]["sub"] == ["chat/#", "news/+"]
    assert values["fantail"]["pub"] == ["chat/alice"] and not values["fantail"].get("admin")
    client = clients(broker, token=made)
    assert client.welcome["user"] == "alice"
    client.sub("chat/#", "news/x")
    client.pub("chat/alice", 1)
    client.refused({"op": "pub", "topic": "chat/bob", "data": 1}, 403)


def test_fantail_token_refuses_what_makes_no_sense():
    for args in (["--sub", "a", "--ttl", "soon"], ["--sub", "a", "--allow-sub", "a#"], ["--what"],
                 ["--sub", "a", "--allow-pub", ""]):
        result = run("token", *args, name="fantail", env={"FANTAIL_AUTH_SECRET": SECRET})
        assert result.returncode == 2 and not result.stdout, args
        assert SECRET not in result.stderr


def test_the_command_takes_a_token_along(broker):
    with Client(broker.address, token=token()) as client:
        client.sub("a/#")
        for env, args in ({"FANTAIL_TOKEN": token()}, []), ({}, ["--token", token()]):
            result = run("-s", broker.ws_url, *args, "pub", "a/b", "1", name="fantail", env=env)
            assert result.returncode == 0, result.stderr
            assert client.next_msg()["data"] == 1
    result = run("-s", broker.ws_url, "pub", "a/b", "1", name="fantail")
    assert result.returncode == 3 and "401" in result.stderr


def test_refusals_of_a_token_are_json(broker):
    with RawClient(broker.address) as raw:
        response = raw.ask(upgrade_request(path="/ws?token=x"))
        assert json.loads(response.body)["error"]["message"] == refusal(response, 401)
