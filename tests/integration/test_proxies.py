"""Behind nginx and HAProxy, with the files of deploy/: everything works, and clients are who they are."""

import json
import re
import struct
import subprocess
import time

import pytest

from support.api import Api
from support.broker import ROOT
from support.client import Client
from support.positions import Kept, resume
from support.proxy import Haproxy, Nginx, Stream
from support.raw import RawClient, request
from support.redis_link import RedisLink
from support.tls import Authority
from support.tokens import claims, hs256
from support.wait import until

pytestmark = pytest.mark.slow

SECRET = "a secret of thirty-two characters"
SETTINGS = {"auth.mode": "token", "auth.secret": SECRET, "auth.user_sub": "#", "auth.user_pub": "#"}
NEAR, OTHER, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
ADMIN = hs256(SECRET, **claims("root", admin=True))

# What the shipped files say is three times limits.ping, at its default and here.
PING_S, PATIENCE_S = 1, 3
TIMES = ("75s", f"{PATIENCE_S}s")


class Site:
    """Two nodes of one broker, a proxy before them, and whoever comes."""

    def __init__(self, nodes, links, proxy, opened):
        self.nodes, self.links, self.proxy, self._opened = nodes, links, proxy, opened
        self.address = proxy.address

    def _open(self, kind, *args, user="ann", **kwargs):
        self._opened.append(kind(self.address, *args, token=hs256(SECRET, **claims(user)), **kwargs))
        return self._opened[-1]

    def client(self, encoding="json", **kwargs):
        return self._open(Client, encoding, **kwargs)

    def events(self, *topics, **kwargs):
        return self._open(Stream, *topics, **kwargs)

    def api(self, **kwargs):
        return self._open(Api, **kwargs)

    def sessions(self, user):
        """Returns who is connected, as the first node tells it of the whole cluster."""
        with Api(self.nodes[0].address, token=ADMIN) as asking:
            return asking.get(f"/v1/sessions?user={user}")["sessions"]

    def taken_by(self, count=6):
        """Returns the names of the nodes that new clients come to."""
        return {self.client().welcome["node"] for _ in range(count)}

    def both(self):
        """Returns a client at each node."""
        found = {}
        until(lambda: found.update({(c := self.client()).welcome["node"]: c}) or len(found) == 2,
              "a client is at each node")
        return found["n1"], found["n2"]


@pytest.fixture(params=[Nginx, Haproxy], ids=["nginx", "haproxy"])
def kind(request):
    """One of the two proxies."""
    return request.param


@pytest.fixture
def begin(start_node, redis):
    """Starts a site: begin(Nginx); `ping`: of nodes, with the proxy's patience as much shorter."""
    sites, links, opened = [], [], []

    def start(proxy, tls=None, ping=None, more=()):
        nodes = []
        for name in ("n1", "n2"):
            links.append(RedisLink(redis))
            nodes.append(start_node(links[-1].url, name, ready_lines=proxy.node_lines, settings={
                **SETTINGS, **proxy.node_settings, **({"limits.ping": ping} if ping else {})}))
        sites.append(Site(nodes, links, proxy(nodes, more, tls), opened))
        return sites[-1]

    yield start
    try:
        for site in sites:
            site.proxy.check()
    finally:
        for each in opened:
            (each if isinstance(each, Stream) else each.socket).close()
        for site in sites:
            site.proxy.close()
        for link in links:
            link.stop()


@pytest.fixture
def site(begin, kind):
    """A site behind one of the two proxies."""
    return begin(kind)


# -- everything passes


def test_websockets_pass_in_both_encodings_with_large_messages(site, encoding):
    subscriber, publisher = site.client(encoding), site.client(encoding)
    subscriber.sub("big/#")
    text = "é" * 30_000
    pos = publisher.pub("big/1", text)
    msg = subscriber.next_msg()
    assert (msg["data"], msg["pos"]) == (text, pos)
    assert subscriber.close() == 1000


def test_events_come_at_once_and_resume(site):
    stream, publisher = site.events("e/1"), site.client()
    for n in range(3):  # each is read before the next is published: nothing waits to be filled up
        publisher.pub("e/1", n)
        assert stream.next()["data"] == n
    stream.close()
    missed = [publisher.pub("e/1", n) for n in range(20)]
    again = site.events("e/1", last_event_id=stream.id)
    assert again.ok["recovered"] is True
    assert [again.next()["pos"] for _ in range(20)] == missed


def test_publishing_over_http_passes(site):
    subscriber, api = site.client("msgpack"), site.api()
    subscriber.sub("h/1")
    for data in "x" * 60_000, {"n": 1}, None:
        pos = api.publish("h/1", data)
        msg = subscriber.next_msg()
        assert (msg["data"], msg["pos"]) == (data, pos)
    api.post("/v1/publish", [{"topic": "h/1", "data": ["y" * 10_000, n]} for n in range(50)])
    assert [subscriber.next_msg()["data"][1] for _ in range(50)] == list(range(50))


def test_figures_are_not_for_whoever_comes_through_the_proxy(site):
    assert site.api().request("/metrics").status == 404
    assert site.api().request("/readyz").status == 200


# -- time-outs


def test_a_silent_websocket_outlives_the_patience_of_the_proxy(begin, kind):
    site = begin(kind, ping=PING_S, more=[TIMES])
    client = site.client()
    client.sub("idle")
    began = time.monotonic()
    while time.monotonic() < began + 2 * PATIENCE_S:
        client.wait_pings(client.pings + 1)
    site.client().pub("idle", "still here")
    assert client.next_msg()["data"] == "still here"


def test_a_silent_stream_of_events_outlives_the_patience_of_the_proxy(begin, kind):
    site = begin(kind, ping=PING_S, more=[TIMES])
    stream = site.events("idle")
    began = time.monotonic()
    while time.monotonic() < began + 2 * PATIENCE_S:
        stream.wait_comment()
    site.client().pub("idle", "still here")
    assert stream.next()["data"] == "still here"


def test_a_node_that_is_silent_for_longer_is_given_up(begin, kind):
    client = begin(kind, more=[TIMES]).client()
    began = time.monotonic()
    assert client.wait_closed() == 1006
    assert time.monotonic() - began > PATIENCE_S - 0.5 and client.pings == 0


def test_the_shipped_patience_is_three_times_the_usual_ping(kind):
    (ping,) = re.findall(r"^#ping = (\d+)s$", (ROOT / "deploy/fantail.conf").read_text(), re.MULTILINE)
    text = kind.shipped.read_text()
    assert text.count(f"{3 * int(ping)}s") == text.count(TIMES[0]) >= 2


# -- who it is


@pytest.mark.parametrize("claimed", ["198.51.100.7", "127.0.0.1", "198.51.100.7, 127.0.0.1", "::1"])
def test_the_clients_address_arrives_and_cannot_be_forged(site, claimed):
    lies = [("X-Forwarded-For", claimed), ("X-Forwarded-For", claimed), ("Forwarded", f"for={claimed}"),
            ("X-Real-IP", claimed)]
    for _ in range(4):  # connections to nodes that others could be mistaken on
        site.api(source=THIRD).publish("t", 1)
    site.client(user="near", source=NEAR, headers=lies)
    site.events("t", user="other", source=OTHER, headers=lies)
    for user, address in ("near", NEAR), ("other", OTHER):
        assert [each["address"] for each in site.sessions(user)] == [address]


def test_a_proxy_header_of_a_client_is_no_request(site):
    addresses = bytes([198, 51, 100, 7, 192, 0, 2, 1]) + struct.pack("!HH", 40000, 80)
    head = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + struct.pack("!H", len(addresses)) + addresses
    with RawClient(site.address) as connection:
        connection.send(head + request("/healthz"))
        assert b" 200 " not in connection.read_to_end()[0]


# -- nodes that go


def test_of_a_node_that_is_killed_clients_go_on_at_the_other(site):
    clients = site.both()
    for each in clients:
        each.sub("k/1")
    (bystander, reader), (other, node) = clients, site.nodes
    with Api(other.address, token=ADMIN) as publisher:
        kept = Kept()
        first = [publisher.publish("k/1", n) for n in range(10)]
        assert [kept.see(reader.next_msg())["pos"] for _ in first] == first
        node.kill()
        missed = [publisher.publish("k/1", n) for n in range(30)]
        assert reader.wait_closed() == 1006
        again = site.client()
        assert again.welcome["node"] == other.name
        resume(again, kept.since, "k/1")
        assert [again.next_msg()["pos"] for _ in missed] == missed
        assert site.taken_by() == {other.name}
        site.api().publish("k/1", "end")
        assert again.next_msg()["data"] == "end"
        assert [bystander.next_msg()["pos"] for _ in range(40)] == first + missed


def test_haproxy_sends_nobody_new_to_a_node_that_is_not_ready(begin):
    site = begin(Haproxy)
    held, _ = site.both()
    site.links[0].swallow()
    site.nodes[0].wait_ready(False)
    site.proxy.wait_state("fantail_ready", "n1", "DOWN")
    assert site.taken_by() == {"n2"}
    held.sub("x")
    site.links[0].restore()
    site.proxy.wait_state("fantail_ready", "n1", "UP")
    assert site.taken_by() == {"n1"}  # n2 has all the others


def test_behind_haproxy_feeds_are_served_while_no_node_is_ready(begin):
    site = begin(Haproxy)
    for link, name in zip(site.links, ("n1", "n2")):
        link.swallow()
        site.proxy.wait_state("fantail_ready", name, "DOWN")
    client = site.client()
    client.sub("x")
    client.refused({"op": "pub", "topic": "x", "data": 1}, 503)
    for link, name in zip(site.links, ("n1", "n2")):
        link.restore()
        site.proxy.wait_state("fantail_ready", name, "UP")
    site.client().pub("x", 2)
    assert client.take_where(lambda e: e["op"] == "msg")["data"] == 2


def test_nginx_leaves_out_a_node_that_said_503(begin):
    site = begin(Nginx)
    site.links[0].swallow()
    site.nodes[0].wait_ready(False)
    # Nobody is connected: they are asked in turn, and what one does not answer the other does.
    assert [site.api().request("/readyz").status for _ in range(4)] == [200] * 4
    assert site.taken_by() == {"n2"}


# -- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Whom the tests' clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


def test_tls_ends_at_the_proxy(begin, kind, authority):
    site = begin(kind, tls=authority.issue("proxy"))
    context = authority.context()
    origin = [("Origin", "https://%s:%d" % site.address)]
    client = site.client(tls=context, headers=origin)
    stream = site.events("s/1", tls=context)
    client.sub("s/1")
    client.pub("s/1", "sealed")
    assert client.next_msg()["data"] == stream.next()["data"] == "sealed"


def test_events_come_at_once_over_http_2(begin, kind, authority):
    site = begin(kind, tls=authority.issue("proxy"))
    publisher = site.client(tls=authority.context())
    url = "https://%s:%d/v1/events?topic=s/2" % site.address
    with subprocess.Popen(["curl", "-sSN", "--http2", "--cacert", str(authority.cert), "-m", "20", "-D", "-",
                           "-H", f"Authorization: Bearer {ADMIN}", url], stdout=subprocess.PIPE) as curl:
        try:
            assert curl.stdout.readline().split()[:2] == [b"HTTP/2", b"200"]
            assert read_data(curl.stdout)["op"] == "ok"
            for n in range(3):
                publisher.pub("s/2", n)
                assert read_data(curl.stdout)["data"] == n
        finally:
            curl.terminate()


def read_data(lines):
    """Returns the data of the next event in what curl writes."""
    for line in lines:
        if line.startswith(b"data: "):
            return json.loads(line[6:])
    raise AssertionError("the stream ended")
