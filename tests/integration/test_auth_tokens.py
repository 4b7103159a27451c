"""Which tokens are let in, where they may come from, and how the others are refused."""

import base64
import hashlib
import json

import jwt
import pytest

from support.api import Api, message, refusal
from support.broker import Broker
from support.client import Client
from support.raw import RawClient, upgrade_request
from support.tokens import Key, by_hand, claims, hs256, jwks, now, part, secret_jwk

SECRET = "a secret of thirty-two characters"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
JSON = "fantail.v1.json"
EVERYTHING = {"may_sub": ["#"], "may_pub": ["#"]}


@pytest.fixture(scope="module")
def keys():
    """A key of each algorithm, the same for all tests: making RSA keys takes time."""
    return {algorithm: Key(algorithm, f"kid of {algorithm}") for algorithm in ALGORITHMS}


@pytest.fixture(scope="module")
def module_broker(keys, tmp_path_factory):
    """A broker that knows the secret, and the four keys from one JWKS file."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    file.write_text(jwks(*keys.values()))
    broker = Broker(workers=2, settings={
        "auth.mode": "token", "auth.secret": SECRET, "auth.keys": file, "auth.leeway": 0,
        "auth.issuer": "https://id.example", "auth.audience": "fantail,other"})
    yield broker
    broker.stop()


def right(**more):
    """Claims that this broker takes."""
    return claims(**{**EVERYTHING, "iss": "https://id.example", "aud": "fantail", **more})


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def upgrade_with(broker, token=None, **kwargs):
    """Tries an upgrade, with the token in the header, and returns the response."""
    extra = kwargs.pop("extra", [])
    if token is not None:
        extra = [*extra, *bearer(token)]
    with RawClient(broker.address) as connection:
        return connection.ask(upgrade_request(extra=extra, **kwargs))


def assert_401(response, token=""):
    """A refusal that says nothing of the token, with the challenge of RFC 6750."""
    text = refusal(response, 401)
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith("Bearer")
    assert ('error="invalid_token"' in challenge) == bool(token), challenge
    shown = f"{response.headers} {response.body}"
    assert not any(len(p) > 8 and p in shown for p in str(token).split("."))
    return text


# -- good ones


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_of_a_jwks_lets_its_user_in(broker, keys, algorithm):
    exp = now() + 100
    token = keys[algorithm].sign(right(sub="Ann Übel", exp=exp))
    with Client(broker.address, token=token) as client:
        assert client.welcome["user"] == "Ann Übel"
        assert client.welcome["expires"] == exp * 1000
        client.sub("a/#")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_as_pem_lets_its_user_in(start, keys, tmp_path, algorithm):
    file = tmp_path / "key.pem"
    file.write_text(keys[algorithm].pem())
    broker = start(settings={"auth.mode": "token", "auth.keys": file})
    token = jwt.encode(claims("bob", **EVERYTHING), keys[algorithm].private, algorithm)
    with Client(broker.address, token=token) as client:
        assert client.welcome["user"] == "bob"
    assert_401(upgrade_with(broker, hs256(SECRET, sub="bob")), "x")
    stranger = Key(algorithm).sign(claims("bob", **EVERYTHING))
    assert_401(upgrade_with(broker, stranger), stranger)


def test_several_files_and_a_secret_work_beside_each_other(start, keys, tmp_path):
    files = []
    for algorithm, key in keys.items():
        files.append(tmp_path / algorithm)
        files[-1].write_text(key.pem() if algorithm != "ES256" else json.dumps(key.jwk()))
    broker = start(settings={"auth.mode": "token", "auth.secret": SECRET,
                             "auth.keys": ",".join(map(str, files))})
    for key in keys.values():
        token = jwt.encode(claims(key.algorithm, **EVERYTHING), key.private, key.algorithm)
        with Client(broker.address, token=token) as client:
            assert client.welcome["user"] == key.algorithm
    with Client(broker.address, token=hs256(SECRET, sub="h")) as client:
        assert client.welcome["user"] == "h"


def test_a_shared_secret_may_be_a_jwk_too(start, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [secret_jwk("one secret of 32 characters here", "1"),
                                         secret_jwk("another one of 32 characters too", "2")]}))
    broker = start(settings={"auth.mode": "token", "auth.keys": file})
    good = hs256("another one of 32 characters too", {"kid": "2"}, sub="x")
    crossed = hs256("another one of 32 characters too", {"kid": "1"}, sub="x")
    assert upgrade_with(broker, good).status == 101
    assert_401(upgrade_with(broker, crossed), crossed)


@pytest.mark.parametrize("more", [
    {"sub": None}, {"aud": ["x", "other"]}, {"aud": "other"}, {"exp": None}, {"nbf": 0},
    {"iat": 99999999999}, {"exp": 99999999999}, {"unknown": {"a": [1]}}, {"fantail": None},
    {"fantail": {}}, {"fantail": {"sub": []}}, {"fantail": {"later": 1}}, {"jti": "x"},
], ids=str)
def test_claims_that_are_right_are_let_in(broker, more):
    values = {k: v for k, v in right(**more).items() if v is not None}
    if more.get("exp", 0) is None:
        values.pop("exp", None)
    with Client(broker.address, token=jwt.encode(values, SECRET, "HS256")) as client:
        assert client.welcome["user"] == values.get("sub")
        assert ("expires" in client.welcome) == ("exp" in values)


def test_a_fraction_of_a_second_is_a_time(broker):
    with Client(broker.address, token=hs256(SECRET, **right(exp=now() + 60.5))) as client:
        assert client.welcome["expires"] % 1000 == 500


# -- bad ones


def wrong_tokens(keys):
    """Yields (why, token): each must be refused."""
    good = jwt.encode(right(), SECRET, "HS256")
    head, payload, signature = good.split(".")
    rsa = keys["RS256"]
    yield "nothing", ""
    yield "one dot", f"{head}.{payload}"
    yield "three dots", good + ".x"
    yield "no signature", f"{head}.{payload}."
    yield "a signature cut", good[:-1]
    last = "B" if signature[-1] == "A" else "A"
    yield "a signature with another end", f"{head}.{payload}.{signature[:-1]}{last}"
    yield "another payload", f"{head}.{part({**right(), 'sub': 'root'})}.{signature}"
    yield "padding", good + "="
    yield "base64 that is not of urls", good.replace("-", "+").replace("_", "/") + "+/"
    yield "another secret", jwt.encode(right(), SECRET + "x", "HS256")
    yield "no secret", by_hand({"alg": "HS256"}, right(), "")
    for name in "none", "None", "NONE", "nOnE", "":
        yield f"alg {name!r}", f"{part({'alg': name})}.{part(right())}."
        yield f"alg {name!r}, signed", by_hand({"alg": name}, right(), SECRET)
    yield "no alg", by_hand({"typ": "JWT"}, right(), SECRET)
    yield "alg is a number", by_hand({"alg": 256}, right(), SECRET)
    yield "alg twice", by_hand(b'{"alg":"HS256","alg":"HS256"}', right(), SECRET)
    yield "HS512 of the secret", by_hand({"alg": "HS512"}, right(), SECRET, hashlib.sha512)
    yield "HS256 of the public key", by_hand({"alg": "HS256"}, right(), rsa.pem())
    yield "HS256 of it, with kid", by_hand({"alg": "HS256", "kid": rsa.kid}, right(), rsa.pem())
    yield "HS256 of the secret with a kid of RSA", by_hand({"alg": "HS256", "kid": rsa.kid}, right(),
                                                           SECRET)
    yield "PS256 by the key of RS256", rsa.sign(right(), algorithm="PS256")
    yield "RS512 by the key of RS256", rsa.sign(right(), algorithm="RS512")
    yield "the kid of another key", rsa.sign(right(), {"kid": keys["PS256"].kid})
    yield "the kid of nobody", rsa.sign(right(), {"kid": "nobody"})
    yield "a stranger with the right kid", Key("ES256", keys["ES256"].kid).sign(right())
    own = Key("ES256")
    yield "a key of its own in the header", own.sign(right(), {"jwk": own.jwk()})
    yield "a kid that is no text", by_hand({"alg": "HS256", "kid": 5}, right(), SECRET)
    yield "crit", by_hand({"alg": "HS256", "crit": ["exp"], "exp": 1}, right(), SECRET)
    yield "b64 false", by_hand({"alg": "HS256", "b64": False, "crit": ["b64"]}, right(), SECRET)
    yield "header no object", by_hand([], right(), SECRET)
    yield "header no JSON", by_hand(b"{", right(), SECRET)
    yield "payload no object", by_hand({"alg": "HS256"}, [], SECRET)
    yield "payload no JSON", by_hand({"alg": "HS256"}, b"{", SECRET)
    yield "payload no UTF-8", by_hand({"alg": "HS256"}, b'{"sub":"\xff"}', SECRET)
    yield "payload empty", by_hand({"alg": "HS256"}, b"", SECRET)
    yield from wrong_claims()


def wrong_claims():
    """Yields (why, token) of tokens that are signed as they should be."""
    def signed(payload):
        return by_hand({"alg": "HS256"}, payload, SECRET)

    yield "expired", hs256(SECRET, **right(exp=now() - 1))
    yield "not yet", hs256(SECRET, **right(nbf=now() + 60))
    for bad in "soon", [1], True, {}:
        yield f"exp {bad!r}", signed(right(exp=bad))
        yield f"nbf {bad!r}", signed(right(nbf=bad))
    yield "exp -1", signed(right(exp=-1))
    yield "exp too large", signed(b'{"exp":1e999}')
    for bad in "https://id.example/", "", 5, ["https://id.example"]:
        yield f"iss {bad!r}", signed(right(iss=bad))
    for bad in "x", "", [], ["x"], 5, [5], {"fantail": 1}:
        yield f"aud {bad!r}", signed(right(aud=bad))
    yield "no iss", signed(right(iss=None))
    yield "no aud", signed(right(aud=None))
    for bad in 5, ["ann"], {}, True:
        yield f"sub {bad!r}", signed(right(sub=bad))
    for bad in 5, [], "x", True, {"sub": "a"}, {"sub": [5]}, {"pub": {}}, {"sub": ["a#"]}, {
            "pub": [""]}, {"admin": 1}, {"admin": "true"}:
        yield f"fantail {bad!r}", signed(right(fantail=bad))
    yield "ten thousand bytes", hs256(SECRET, **right(x="x" * 10_000))
    yield "no token at all", "x"
    yield "bytes", "\xff\xfe"


def test_what_is_wrong_with_a_token_is_a_401(broker, api, keys):
    connection, seen = api(broker), 0
    for why, token in wrong_tokens(keys):
        response = connection.request("/v1/history?topic=t", headers=bearer(token))
        assert response.status == 401, (why, response)
        assert_401(response, token or "x")
        seen += 1
    assert seen > 70
    good = bearer(hs256(SECRET, **right()))
    assert connection.request("/v1/history?topic=t", headers=good).status == 200


def test_the_same_tokens_open_no_websocket(broker, keys):
    for why, token in wrong_tokens(keys):
        assert upgrade_with(broker, token).status == 401, why


def test_every_changed_character_of_a_token_is_noticed(broker, api):
    connection = api(broker)
    good = hs256(SECRET, **right())
    for n in range(len(good)):
        changed = good[:n] + ("A" if good[n] != "A" else "B") + good[n + 1:]
        status = connection.request("/v1/history?topic=t",
                                    headers=[("Authorization", f"Bearer {changed}")]).status
        assert status == 401, (n, changed)


def test_the_leeway_counts_for_both_ends(start, api):
    broker = start(settings={"auth.mode": "token", "auth.secret": SECRET, "auth.leeway": 60})
    def status(**times):
        token = hs256(SECRET, **claims(**EVERYTHING, **times))
        return api(broker, token=token).request("/v1/history?topic=t").status
    assert status(exp=now() - 30) == 200 and status(nbf=now() + 30) == 200
    assert status(exp=now() - 90) == 401 and status(nbf=now() + 90) == 401


# -- where a token may be


def test_without_a_token_the_answer_says_so(broker, api):
    assert "token" in assert_401(upgrade_with(broker))
    connection = api(broker)
    for path in "/v1/history?topic=t", "/v1/events?topic=t", "/v1/stats":
        assert_401(connection.request(path))
    assert_401(connection.try_publish({}))
    for path in "/healthz", "/readyz", "/metrics":
        assert connection.request(path).status == 200


@pytest.mark.parametrize("scheme", ["Basic", "Bearer", "Bearerx", "Digest", ""])
def test_an_authorization_that_is_no_bearer_lets_nobody_in(broker, scheme):
    credentials = base64.b64encode(b"ann:pass").decode()
    response = upgrade_with(broker, extra=[("Authorization", f"{scheme} {credentials}".strip())])
    assert response.status in (400, 401), response


def places(token):
    """The four places of a token, in their order, as arguments of upgrade_request()."""
    return [
        {"extra": bearer(token)},
        {"extra": [("Sec-WebSocket-Protocol", f"{JSON}, fantail.bearer.{token}")]},
        {"extra": [("Cookie", f'a=b; fantail_token={token}; fantail_tokenx=y')]},
        {"path": f"/ws?x=y&token={token}"},
    ]


def welcomed(broker, **kwargs):
    """Upgrades and returns the user of the welcome, or the status of the refusal."""
    with RawClient(broker.address) as connection:
        response = connection.ask(upgrade_request(**kwargs))
        if response.status != 101:
            return response.status
        assert response.headers.get("sec-websocket-protocol") in (None, JSON)
        return json.loads(connection.read_message()[1])["user"]


def merged(first, second):
    return {"extra": first.get("extra", []) + second.get("extra", []),
            "path": first.get("path", second.get("path", "/ws"))}


def test_a_token_is_found_in_each_of_its_places(broker):
    for n, place in enumerate(places(hs256(SECRET, **right(sub=str(7))))):
        assert welcomed(broker, **place) == "7", n


def test_of_several_tokens_the_first_place_counts_also_where_it_is_bad(broker):
    mine = [hs256(SECRET, **right(sub=f"user {n}")) for n in range(4)]
    for i in range(4):
        for j in range(i + 1, 4):
            both = merged(places(mine[i])[i], places(mine[j])[j])
            assert welcomed(broker, **both) == f"user {i}", (i, j)
            bad = merged(places("x.y.z")[i], places(mine[j])[j])
            assert welcomed(broker, **bad) == 401, (i, j)
            other = merged(places(mine[i])[i], places("x.y.z")[j])
            assert welcomed(broker, **other) == f"user {i}", (i, j)


def test_two_tokens_in_one_place_are_none(broker):
    one, two = (hs256(SECRET, **right(sub=n)) for n in ("one", "two"))
    assert welcomed(broker, extra=[("Authorization", f"Bearer {one}"),
                                   ("Authorization", f"Bearer {two}")]) in (400, 401)
    for place in places(two)[1:]:
        first = places(one)[places(two).index(place)]
        assert welcomed(broker, **merged(first, place)) in (400, 401, "one")


def test_a_long_token_fits_into_the_subprotocol(broker):
    token = hs256(SECRET, **right(sub="long", more="x" * 3000))
    assert len(token) > 4000
    for place in places(token):
        assert welcomed(broker, **place) == "long"
    offer = [("Sec-WebSocket-Protocol", f"fantail.bearer.{token}"), ("Sec-WebSocket-Protocol", JSON)]
    assert welcomed(broker, extra=offer) == "long"


def test_a_token_alone_is_no_subprotocol(broker):
    token = hs256(SECRET, **right())
    assert welcomed(broker, extra=[("Sec-WebSocket-Protocol", f"fantail.bearer.{token}")]) == 400


def test_http_finds_it_in_three_places(broker, api):
    token, connection = hs256(SECRET, **right()), api(broker)
    path = "/v1/history?topic=t"
    header, cookie = ("Authorization", f"bearer {token}"), ("Cookie", f"fantail_token={token}")
    assert connection.request(path).status == 401
    assert connection.request(path, headers=[header]).status == 200
    assert connection.request(path, headers=[cookie]).status == 200
    assert connection.request(f"{path}&token={token}").status == 200
    assert connection.request(f"{path}&token={token[:-2]}", headers=[header]).status == 200
    for first in bearer("x"), [("Cookie", "fantail_token=x")]:
        assert connection.request(f"{path}&token={token}", headers=first).status == 401
    assert connection.request(f"{path}&token={token}x").status == 401


def test_the_cookie_may_have_another_name(start, api):
    broker = start(settings={"auth.mode": "token", "auth.secret": SECRET, "auth.cookie": "sid"})
    token = hs256(SECRET, **claims(**EVERYTHING))
    for name, status in ("sid", 200), ("fantail_token", 401), ("SID", 401):
        for value in token, f'"{token}"':
            got = api(broker).request("/v1/history?topic=t", headers=[("Cookie", f"{name}={value}")])
            assert got.status == status, (name, value)


def test_each_request_of_a_connection_is_judged_alone(broker, api):
    connection = api(broker)
    good, bad = hs256(SECRET, **right()), "x.y.z"
    order = [good, bad, None, good, None, bad, good] * 10
    connection.send(b"".join(
        message("/v1/history?topic=t", headers=bearer(t) if t else []) for t in order))
    for t in order:
        assert connection.read_response().status == (200 if t == good else 401)


def test_an_open_broker_takes_tokens_for_what_they_say(start):
    broker = start(settings={"auth.mode": "none", "auth.secret": SECRET})
    with Client(broker.address) as client:
        assert client.welcome["user"] is None
    with Client(broker.address, token=hs256(SECRET, sub="ann")) as client:
        assert client.welcome["user"] == "ann" and "expires" in client.welcome
    with Api(broker.address, token="x.y.z") as connection:
        assert connection.request("/v1/history?topic=t").status == 401
