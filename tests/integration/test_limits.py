"""What one address and one user may take, and whose address it is."""

import ipaddress
import signal
import struct

import pytest

from support.api import Api, message, pub, publish_message, refusal
from support.client import Client, Closed
from support.events import Events, refused_stream
from support.raw import Gone, RawClient, assert_refused, request, upgrade_request
from support.tokens import claims, hs256
from support.wait import until

SECRET = "a secret of thirty-two characters"
AUTH = {"auth.mode": "token", "auth.secret": SECRET, "auth.user_sub": "#", "auth.user_pub": "#"}
OTHER = "127.0.0.2"  # another address of loopback


def token(user):
    return hs256(SECRET, **claims(user))


def retry_after(response):
    """A refusal with 429, and when to come back."""
    refusal(response, 429)
    seconds = int(response.headers["retry-after"])
    assert 1 <= seconds <= 60
    return seconds


def upgrade_status(broker, source=None, **kwargs):
    """Tries an upgrade from an address and returns the response and the connection."""
    connection = RawClient(broker.address, source=source)
    return connection, connection.ask(upgrade_request(**kwargs))


# -- connections


def test_an_address_has_so_many_connections_and_another_its_own(start, clients, workers):
    broker = start(workers=workers, settings={"limits.address_connections": 5})
    held = [clients(broker) for _ in range(5)]
    for _ in range(3):
        connection, response = upgrade_status(broker)
        retry_after(response)
        connection.close()
    other = [Client(broker.address, source=OTHER) for _ in range(5)]
    held.pop().close()
    until(lambda: placed(broker), "the place is given again")
    for each in [*other, *held]:
        each.ok({"op": "ping"})
        each.socket.close()


def placed(broker):
    connection, response = upgrade_status(broker)
    connection.close()
    return response.status == 101


def test_plain_http_and_streams_count_as_connections_too(start):
    broker = start(settings={"limits.address_connections": 3})
    held = [RawClient(broker.address) for _ in range(2)]
    for each in held:
        assert each.ask(request("/healthz")).status == 200
    stream = Events(broker.address, "a")
    with Api(broker.address) as connection:
        retry_after(connection.request("/healthz"))
    stream.close()
    until(lambda: Api(broker.address).request("/healthz").status == 200, "the stream has gone")
    for each in held:
        each.close()


def test_a_user_has_so_many_connections_from_wherever(start):
    broker = start(workers=2, settings={**AUTH, "limits.user_connections": 3})
    bearer = [("Authorization", f"Bearer {token('ann')}")]
    held = [Client(broker.address, token=token("ann"), source=s) for s in (None, OTHER)]
    held.append(Events(broker.address, "a", token=token("ann")))
    connection, response = upgrade_status(broker, extra=bearer)
    assert_refused(response, 429)
    connection.close()
    with Api(broker.address, token=token("ann")) as api:
        assert api.request("/v1/history?topic=a").status == 200  # which is no connection of a user's
        refused_stream(api, 429, "a")
    Client(broker.address, token=token("bob")).socket.close()
    held.pop().close()
    held.append(until(lambda: user_placed(broker, bearer), "ann's place is free"))
    for each in held:
        each.socket.close()


def user_placed(broker, bearer):
    connection, response = upgrade_status(broker, extra=bearer)
    if response.status == 101:
        return connection
    connection.close()
    return None


def test_connections_a_second_are_bounded(start):
    broker = start(settings={"limits.address_connects": 10})
    seen = []
    for _ in range(40):
        with RawClient(broker.address) as connection:
            response = connection.ask(request("/healthz"))
            seen.append(response.status)
            if response.status != 200:
                retry_after(response)
    assert seen[:10] == [200] * 10 and seen.count(429) >= 15
    with RawClient(broker.address, source=OTHER) as connection:
        assert connection.ask(request("/healthz")).status == 200
    until(lambda: Api(broker.address).request("/healthz").status == 200, "a second is over")


def test_closing_early_gives_nothing_back_twice(start):
    broker = start(workers=2, settings={"limits.address_connections": 4})
    for n in range(60):
        connection = RawClient(broker.address)
        if n % 3 == 0:
            connection.send(upgrade_request(sec_websocket_version="8"))
        elif n % 3 == 1:
            connection.send(upgrade_request())
        connection.reset()

    def four():
        held = [RawClient(broker.address) for _ in range(5)]
        got = [each.ask(request("/healthz")).status for each in held]
        for each in held:
            each.close()
        return sorted(got) == [200, 200, 200, 200, 429]

    until(four, "four places, no more and no fewer")


# -- rates


@pytest.mark.parametrize("limit", ["address", "user"])
def test_publishes_a_second_are_bounded_over_http(start, limit):
    broker = start(workers=2, settings={**AUTH, f"limits.{limit}_publishes": 20})
    api = Api(broker.address, token=token("ann"))
    api.send(pub(1, "t", api.headers) * 60)
    got = [api.read_response() for _ in range(60)]
    passed = [r for r in got if r.status == 200]
    assert 20 <= len(passed) <= 40
    for response in got:
        if response.status != 200:
            retry_after(response)
    assert [r.status for r in got[:20]] == [200] * 20
    bob = Api(broker.address, token=token("bob"), source=OTHER)
    assert bob.request("/v1/topics/t", "POST", b"x").status == 200
    until(lambda: api.ask(pub(1, "t", api.headers)).status == 200, "one may publish again")
    api.close()
    bob.close()


def test_each_publication_of_an_array_counts(start):
    broker = start(settings={"limits.address_publishes": 50})
    with Api(broker.address) as api:
        results = api.post("/v1/publish", [{"topic": "t", "data": n} for n in range(200)])["results"]
        codes = [r.get("error", {}).get("code", 200) for r in results]
        assert codes[:50] == [200] * 50 and codes.count(429) >= 100
        one = publish_message({"topic": "t", "data": 1})
        until(lambda: api.ask(one).status == 200, "one may publish again")


@pytest.mark.parametrize("limit", ["address", "user"])
def test_publishes_a_second_are_bounded_over_websocket(start, encoding, limit):
    broker = start(workers=2, settings={**AUTH, f"limits.{limit}_publishes": 30})
    client = Client(broker.address, encoding, token=token("ann"))
    client.sub("t")
    replies = []
    client.send([{"op": "pub", "topic": "t", "data": n, "id": n} for n in range(80)])
    for n in range(80):
        replies.append(client.take_where(lambda e, n=n: e.get("id") == n))
    passed = [r["id"] for r in replies if r["op"] == "ok"]
    refused = [r for r in replies if r["op"] == "error"]
    assert passed[:30] == list(range(30)) and len(passed) <= 60
    assert all(r["code"] == 429 and 0 < r["retry"] <= 1000 for r in refused)
    assert [client.next_msg()["data"] for _ in passed] == passed
    client.ok({"op": "ping"})
    client.socket.close()


def test_who_goes_on_regardless_is_closed_with_4429(start, encoding):
    broker = start(settings={"limits.address_publishes": 10})
    client = Client(broker.address, encoding)
    for _ in range(5):
        client.send([{"op": "pub", "topic": "t", "data": 1} for _ in range(50)])
    with pytest.raises(Closed) as closed:
        while True:
            assert client.next()["code"] == 429
    assert closed.value.code == 4429
    client.socket.close()


@pytest.mark.parametrize("limit", ["address", "user"])
def test_requests_a_second_are_bounded(start, limit):
    broker = start(workers=2, settings={**AUTH, f"limits.{limit}_requests": 20})
    with Api(broker.address, token=token("ann")) as api:
        sent = message("/v1/history?topic=t", headers=api.headers)
        api.send(sent * 60)
        got = [api.read_response() for _ in range(60)]
        assert [r.status for r in got[:20]] == [200] * 20
        over = [r for r in got if r.status != 200]
        assert len(over) >= 20
        for response in over:
            retry_after(response)
        until(lambda: api.ask(sent).status == 200, "one may ask again")
    with Api(broker.address, token=token("bob"), source=OTHER) as api:
        assert api.request("/v1/history?topic=t").status == 200


# -- subscriptions


@pytest.mark.parametrize("limit", ["address", "user"])
def test_subscriptions_are_bounded_over_all_connections(start, encoding, limit):
    broker = start(workers=2, settings={**AUTH, f"limits.{limit}_subscriptions": 10})
    one, two = (Client(broker.address, encoding, token=token("ann")) for _ in range(2))
    one.sub(*(f"a/{n}" for n in range(6)))
    one.sub("a/1", "a/2")  # the same filters again are the same subscriptions
    text = two.refused({"op": "sub", "topics": [f"b/{n}" for n in range(5)]}, 429)
    assert "10" in text
    two.sub(*(f"b/{n}" for n in range(4)))
    two.refused({"op": "sub", "topics": ["c"]}, 429)
    one.unsub("a/0", "a/0", "never")
    two.sub("c")
    two.refused({"op": "sub", "topics": ["d"]}, 429)
    with Api(broker.address, token=token("ann")) as api:
        refused_stream(api, 429, "e")
    one.socket.close()
    until(lambda: two.request({"op": "sub", "topics": [f"f/{n}" for n in range(5)]})["op"] == "ok",
          "the other's are given back")
    two.refused({"op": "sub", "topics": ["g"]}, 429)
    bob = Client(broker.address, token=token("bob"), source=OTHER)
    bob.sub(*(f"a/{n}" for n in range(10)))
    for each in two, bob:
        each.socket.close()


def test_a_fresh_token_frees_what_it_ends(start):
    broker = start(settings={"auth.mode": "token", "auth.secret": SECRET,
                             "limits.user_subscriptions": 3})
    def rights(*filters):
        return hs256(SECRET, **claims("ann", may_sub=filters))
    client = Client(broker.address, token=rights("#"))
    client.sub("a", "b", "c")
    assert client.ok({"op": "auth", "token": rights("c", "d", "e")})["unsubscribed"]
    client.sub("d", "e")
    client.refused({"op": "sub", "topics": ["c", "d", "e", "e/f"]}, 403)
    client.socket.close()


# -- changing, counting


def test_limits_are_reloaded(start, tmp_path):
    config = tmp_path / "fantail.conf"
    config.write_text("[limits]\naddress_subscriptions = 2\n")
    broker = start(args=["-c", str(config)])
    client = Client(broker.address)
    client.sub("a", "b")
    client.refused({"op": "sub", "topics": ["c"]}, 429)
    config.write_text("[limits]\naddress_subscriptions = 4\n")
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: client.request({"op": "sub", "topics": ["c"]})["op"] == "ok", "it holds")
    client.sub("d")
    client.refused({"op": "sub", "topics": ["e"]}, 429)
    client.socket.close()


def test_refusals_are_counted(start):
    broker = start(settings={"limits.address_publishes": 5})
    with Api(broker.address) as api:
        before = api.metrics()
        api.send(pub(1) * 50)
        codes = [api.read_response().status for _ in range(50)]
        after = api.metrics()
    grown = {k: after[k] - before.get(k, 0) for k in after}
    requests = {k: v for k, v in grown.items() if k.startswith("fantail_http_requests_total") and v}
    assert any('429' in k and v == codes.count(429) for k, v in requests.items()), requests


# -- whose address it is


def forwarded(*addresses):
    return [("X-Forwarded-For", ", ".join(addresses))]


def test_behind_a_trusted_proxy_the_client_counts(start):
    broker = start(settings={"http.trusted_proxies": "127.0.0.1,10.0.0.0/8",
                             "limits.address_publishes": 5})
    with Api(broker.address) as proxy:
        def passed(headers, count=30):
            proxy.send(pub(1, "t", headers) * count)
            return [proxy.read_response().status for _ in range(count)].count(200)
        assert 5 <= passed(forwarded("203.0.113.1")) < 15
        assert passed(forwarded("203.0.113.2"), 5) == 5
        assert passed(forwarded("203.0.113.3", "10.1.2.3"), 5) == 5  # a chain of trusted ones
        assert passed(forwarded("1.1.1.1", "203.0.113.1"), 10) < 10  # the client's own claim
        assert passed([*forwarded("9.9.9.9"), *forwarded("203.0.113.4")], 5) == 5  # one list
        assert passed(forwarded("2001:db8::1"), 5) == 5
        assert passed(forwarded("2001:db8::2"), 10) < 10  # the same /64
        assert passed(forwarded("[2001:db8:1::1]:1234"), 5) == 5


def test_nobody_elses_word_counts(start):
    broker = start(settings={"http.trusted_proxies": "10.0.0.0/8", "limits.address_publishes": 5})
    with Api(broker.address) as api:
        api.send(b"".join(pub(1, "t", forwarded(f"203.0.113.{n}")) for n in range(40)))
        assert [api.read_response().status for _ in range(40)].count(200) < 20


def test_a_websocket_through_a_proxy_is_the_clients(start):
    broker = start(settings={"http.trusted_proxies": "127.0.0.0/8", "limits.address_connections": 2})
    held = []
    for n in range(3):
        for _ in range(2):
            connection, response = upgrade_status(broker, extra=forwarded(f"203.0.113.{n}"))
            assert response.status == 101
            held.append(connection)
        connection, response = upgrade_status(broker, extra=forwarded(f"203.0.113.{n}"))
        assert_refused(response, 429)
        connection.close()
    for each in held:
        each.close()


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_head(source, target="192.0.2.1", command=1, tlvs=b"", version=2, family=None):
    """The header of the PROXY protocol, version 2."""
    if source is None:
        head = bytes([version << 4 | command, family or 0])
        return SIGNATURE + head + struct.pack("!H", len(tlvs)) + tlvs
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if source.version == 6 and target.version == 4:
        target = ipaddress.ip_address("2001:db8::ffff")
    body = source.packed + target.packed + struct.pack("!HH", 40000, 80) + tlvs
    kind = family or (0x11 if source.version == 4 else 0x21)
    return SIGNATURE + bytes([version << 4 | command, kind]) + struct.pack("!H", len(body)) + body


@pytest.fixture
def proxied(start):
    """A broker with a listener that expects PROXY headers: (broker, its address)."""
    broker = start(ready_lines=2, settings={
        "http.proxy_listen": "127.0.0.1:0", "limits.address_connections": 2,
        "http.header_timeout": 1})
    assert broker.ready[1]["proxied"]
    return broker, broker.address_of(1)


@pytest.mark.parametrize("source", ["203.0.113.1", "2001:db8::1"])
@pytest.mark.parametrize("tlvs", [b"", b"\x04\x00\x03abc" * 40], ids=["bare", "tlvs"])
def test_a_proxy_header_says_who_it_is(proxied, source, tlvs):
    _, address = proxied
    held = []
    for expected in 200, 200, 429:
        held.append(RawClient(address))
        held[-1].send(proxy_head(source, tlvs=tlvs) + request("/healthz"))
        assert held[-1].read_response().status == expected
    other = RawClient(address)
    other.send_bytewise(proxy_head("203.0.113.77", tlvs=tlvs[:40]) + request("/healthz"))
    assert other.read_response().status == 200
    for each in [*held, other]:
        each.close()


def test_a_proxied_connection_is_never_local(proxied):
    _, address = proxied
    for source in "203.0.113.1", "127.0.0.1", "::1":
        with RawClient(address) as connection:
            connection.send(proxy_head(source) + request("/v1/stats"))
            assert connection.read_response().status in (401, 403), source


def test_a_proxys_own_check_of_health_is_taken(proxied):
    broker, address = proxied
    for head in proxy_head(None, command=0), proxy_head("1.2.3.4", command=0), proxy_head(None):
        with RawClient(address) as connection:
            connection.send(head + request("/healthz"))
            assert connection.read_response().status == 200
    broker.check_running()


NO_HEADERS = {
    "none": request("/healthz"),
    "version 1": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + request("/healthz"),
    "signature": SIGNATURE[:-1] + b"X" + proxy_head("1.2.3.4")[12:] + request("/healthz"),
    "other version": proxy_head("1.2.3.4", version=1) + request("/healthz"),
    "command": proxy_head("1.2.3.4", command=7) + request("/healthz"),
    "short": SIGNATURE + b"\x21\x11\x00\x04\x01\x02\x03\x04" + request("/healthz"),
    "long": SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 65535 + request("/healthz"),
    "cut signature": SIGNATURE[:5], "cut": proxy_head("1.2.3.4")[:-1],
    "alone": proxy_head("1.2.3.4"), "nothing": b"", "nul": b"\x00" * 100,
    "tls": b"\x16\x03\x01\x00\x05hello",
}


def test_what_has_no_such_header_is_dropped(proxied):
    broker, address = proxied
    opened = {name: RawClient(address) for name in NO_HEADERS}
    for name, connection in opened.items():
        try:
            connection.send(NO_HEADERS[name])
        except Gone:
            pass  # before all was sent
    for name, connection in opened.items():
        data, _ = connection.read_to_end()
        assert data == b"" or name == "alone" and b" 408 " in data, name
        connection.close()
    broker.check_running()


def test_a_proxy_header_on_a_plain_listener_is_no_request(proxied):
    broker, _ = proxied
    with RawClient(broker.address) as connection:
        connection.send(proxy_head("203.0.113.1") + request("/healthz"))
        data, _ = connection.read_to_end()
        assert b"200 OK" not in data


def test_a_websocket_behind_a_proxy_header_works(proxied):
    _, address = proxied
    with RawClient(address) as connection:
        connection.send(proxy_head("203.0.113.1") + upgrade_request())
        assert connection.read_response().status == 101
        assert b"welcome" in connection.read_message()[1]


def test_histories_over_websocket_are_requests(start, clients):
    broker = start(settings={"limits.address_requests": 50})
    client = clients(broker)
    replies = [client.request({"op": "history", "topic": "t"}) for _ in range(100)]
    refused = [each for each in replies if each["op"] == "error"]
    assert refused and {each["code"] for each in refused} == {429}
    assert all(each["retry"] > 0 for each in refused)
