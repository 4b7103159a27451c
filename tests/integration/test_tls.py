"""https and wss: what is spoken and what is not, certificates that change, slow readers, junk."""

import asyncio
import json
import select
import shutil
import signal
import socket
import ssl
import subprocess
import warnings

import aiohttp
import pytest

from support.api import Api, pub, statuses, topic_path
from support.broker import run
from support.client import Client
from support.events import Events
from support.positions import TEXT_60K, flood
from support.raw import Gone, RawClient, request
from support.tls import Authority, common_name
from support.wait import until

TEXT = [("Content-Type", "text/plain")]
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """One authority for the file."""
    return Authority(tmp_path_factory.mktemp("ca"))


class Secure:
    """A broker with a TLS listener, and ways to connect to it."""

    def __init__(self, start, authority, folder, settings=None, issued=None, **kwargs):
        self.cert, self.key = folder / "server.pem", folder / "server.key"
        self.install(issued or authority.issue("first"))
        self.broker = start(ready_lines=2, settings={
            "tls.listen": "127.0.0.1:0", "tls.cert": self.cert, "tls.key": self.key,
            **(settings or {})}, **kwargs)
        assert self.broker.ready[1]["secure"] == "s"
        self.address = self.broker.address_of(1)
        self.context = authority.context()
        self.opened = []

    def install(self, issued):
        for source, target in zip(issued, (self.cert, self.key)):
            shutil.copy(source, target)

    def open(self, kind, *args, tls=None, **kwargs):
        """Opens a RawClient, an Api, a Client or an Events over TLS."""
        self.opened.append(kind(self.address, *args, tls=tls or self.context, **kwargs))
        return self.opened[-1]

    def still_well(self):
        with RawClient(self.address, tls=self.context) as connection:
            assert connection.ask(request("/healthz")).status == 200


@pytest.fixture
def secure(start, authority, tmp_path):
    """Starts such a broker: secure(workers=2)."""
    made = []

    def begin(**kwargs):
        made.append(Secure(start, authority, tmp_path, **kwargs))
        return made[-1]

    yield begin
    for each in made:
        for connection in each.opened:
            connection.socket.close()


# -- what is spoken


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("rsa", [False, True], ids=["ecdsa", "rsa"])
def test_everything_works_as_without_tls(secure, authority, clients, encoding, version, rsa):
    it = secure(workers=2, issued=authority.issue("rsa" if rsa else "ecdsa", rsa))
    context = authority.context(version, version)
    client = it.open(Client, encoding, tls=context)
    assert client.socket.version() == ("TLSv1.2" if version is V12 else "TLSv1.3")
    assert client.socket.selected_alpn_protocol() == "http/1.1"
    client.sub("t")
    plain = clients(it.broker)
    plain.sub("t")
    events = it.open(Events, "t", tls=context)
    api = it.open(Api, tls=context)
    pos = [client.pub("t", 1), plain.pub("t", 2), api.publish("t", 3)]
    assert api.request(topic_path("t"), "POST", b"four", TEXT).status == 200
    for each in client, plain:
        got = [each.next_msg() for _ in range(4)]
        assert [m["data"] for m in got] == [1, 2, 3, "four"] and [m["pos"] for m in got[:3]] == pos
    assert events.take(4) == [1, 2, 3, "four"]
    assert client.close() == 1000


def test_old_versions_are_refused(secure, authority):
    it = secure()
    warnings.simplefilter("ignore", DeprecationWarning)
    for version in ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1:
        context = authority.context(version, version, ciphers="ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            it.open(RawClient, tls=context)
    it.still_well()


def test_weak_ciphers_are_refused(secure, authority):
    it = secure(issued=authority.issue("weak", rsa=True))
    for ciphers in "AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "NULL-SHA256", "aNULL":
        context = authority.context(highest=V12, ciphers=f"{ciphers}:@SECLEVEL=0")
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            it.open(RawClient, tls=context)
    for ciphers in "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305":
        context = authority.context(highest=V12, ciphers=ciphers)
        assert it.open(RawClient, tls=context).ask(request("/healthz")).status == 200


@pytest.mark.parametrize("offered, selected", [
    (["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), ([], None),
    (["http/1.0", "http/1.1"], "http/1.1"),
])
def test_alpn_is_http_1_1(secure, authority, offered, selected):
    it = secure()
    connection = it.open(Api, tls=authority.context(alpn=offered))
    assert connection.socket.selected_alpn_protocol() == selected
    assert connection.request("/healthz").status == 200


def test_a_client_that_speaks_h2_alone_is_not_served_h2(secure, authority):
    it = secure()
    try:
        connection = it.open(RawClient, tls=authority.context(alpn=["h2"]))
        assert connection.socket.selected_alpn_protocol() is None
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        got, _ = statuses(connection)
        assert got in ([], [400], [505])
    except (ssl.SSLError, ConnectionResetError):
        pass  # no protocol in common is a reason to end
    it.still_well()


def test_curl_and_aiohttp_are_content(secure, authority):
    it = secure()
    url = f"https://127.0.0.1:{it.address[1]}"
    done = subprocess.run(["curl", "-sS", "--cacert", authority.cert, "-d", '{"topic":"t","data":1}',
                           "-H", "Content-Type: application/json", f"{url}/v1/publish"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["pos"], done.stderr

    async def ask():
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/v1/history?topic=t", ssl=it.context) as response:
                return await response.json()

    assert asyncio.run(ask())["messages"][0]["data"] == 1


def test_the_command_connects_with_wss(secure, authority):
    it = secure()
    client = it.open(Client)
    client.sub("t")
    result = run("-s", f"wss://127.0.0.1:{it.address[1]}/ws", "pub", "t", "1", name="fantail",
                 env={"SSL_CERT_FILE": str(authority.cert)})
    if result.returncode == 0:
        assert client.next_msg()["data"] == 1
    else:
        assert "tls" in result.stderr.lower() or "wss" in result.stderr, result.stderr


# -- sizes and speeds


def test_large_messages_go_both_ways(secure, encoding):
    it = secure(workers=2, settings={"limits.message": "4m", "limits.queue": "16m"})
    client, api = it.open(Client, encoding), it.open(Api)
    client.sub("t")
    for size in 16_383, 16_384, 16_385, 65_536, 1_000_000, 3_000_000:
        client.pub("t", "x" * size)
        assert len(client.next_msg()["data"]) == size
        assert api.request(topic_path("t"), "POST", b"y" * size, TEXT).status == 200
        assert client.next_msg()["data"] == "y" * size
    [last] = api.get("/v1/history?topic=t&last=1")["messages"][-1:]
    assert len(last["data"]) == 3_000_000


@pytest.mark.parametrize("kind", [Client, Events], ids=["websocket", "stream"])
def test_a_slow_reader_over_tls_is_parked_and_gets_everything(secure, clients, kind, workers):
    it = secure(workers=workers, settings={"limits.queue": "64k"})
    slow = it.open(kind, *(["t/#"] if kind is Events else []), receive_buffer=4096)
    if kind is Client:
        slow.sub("t/#")
    quick, publisher = it.open(Client), clients(it.broker)
    quick.sub("t/#")
    count = flood(publisher, "t/a", 8)
    assert [quick.next_msg()["data"][0] for _ in range(count)] == list(range(count))
    got = slow.take(count) if kind is Events else [slow.next_msg()["data"] for _ in range(count)]
    assert got == [[n, TEXT_60K] for n in range(count)]


def test_pipelined_requests_over_tls_are_answered_in_order(secure):
    it = secure()
    connection = it.open(Api)
    for _ in range(5):
        connection.send((pub(1) + request("/healthz") + request("/no")) * 100)
        assert [connection.read_response().status for _ in range(300)] == [200, 200, 404] * 100
    connection.send_bytewise(pub(2))
    assert connection.read_response().status == 200


def test_a_resumed_session_of_tls_is_a_connection_like_any_other(secure, authority):
    it = secure()
    context = authority.context(highest=V12)
    first = it.open(RawClient, tls=context)
    raw = socket.create_connection(it.address)
    with context.wrap_socket(raw, server_hostname="127.0.0.1",
                             session=first.socket.session) as second:
        second.sendall(request("/healthz"))
        assert second.recv(100).startswith(b"HTTP/1.1 200")


# -- junk, silence


@pytest.mark.parametrize("junk", [
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 1000, b"\xff" * 1000, b"\x16\x03\x01",
    b"\x16\x03\x01\xff\xff" + b"\x01" * 70_000, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    b"\x15\x03\x01\x00\x02\x02\x28", b"\x80\x2e\x01\x03\x01", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
], ids=["http", "nul", "ff", "begun", "long", "short hello", "alert", "ssl 2", "proxy"])
def test_junk_on_the_tls_port_ends_that_connection_alone(secure, junk):
    it = secure(settings={"http.header_timeout": 1})
    for end in True, False:
        with RawClient(it.address, deadline=8) as connection:
            try:
                connection.send(junk)
                if end:
                    connection.half_close()
                data, _ = connection.read_to_end()
                assert b"healthz" not in data and b"200 OK" not in data
            except (Gone, OSError):
                pass
    it.still_well()
    it.broker.check_running()


def test_a_hello_of_tls_on_the_plain_port_is_a_400_or_nothing(secure):
    it = secure()
    with RawClient(it.broker.address) as connection:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            it.context.wrap_socket(connection.socket, server_hostname="127.0.0.1")
    it.still_well()


def hello(context):
    """The first bytes that a client sends."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def test_half_a_handshake_runs_into_the_same_time_as_half_a_head(secure):
    it = secure(settings={"http.header_timeout": 1})
    held = it.broker.descriptors()
    whole = hello(it.context)
    mute = []
    for cut in 0, 1, 5, 50, len(whole) - 1, len(whole):
        mute.append(socket.create_connection(it.address))
        mute[-1].sendall(whole[:cut])
    shaken = [it.open(RawClient) for _ in range(3)]
    shaken[1].send(b"GET /he")
    until(lambda: it.broker.descriptors() <= held, "all of them are let go", 10)
    for each in mute:
        each.close()
    it.still_well()


def test_a_handshake_that_is_cut_at_any_byte_leaves_nothing(secure):
    it = secure(workers=2)
    held = it.broker.descriptors()
    whole = hello(it.context)
    for cut in range(0, len(whole), 3):
        raw = socket.create_connection(it.address)
        raw.sendall(whole[:cut])
        raw.close()
    until(lambda: it.broker.descriptors() <= held, "nothing is left")
    it.still_well()


def test_a_handshake_that_drips_does_not_hold_up_others(secure):
    it = secure(workers=1)
    slow = socket.create_connection(it.address)
    slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    whole = hello(it.context)
    for n in range(0, len(whole), 20):
        slow.sendall(whole[n:n + 20])
        if n % 100 == 0:
            it.still_well()
    select.select([slow], [], [], 5)
    assert slow.recv(10)[:1] == b"\x16"
    slow.close()


def test_many_handshakes_at_once_are_all_made(secure):
    it = secure(workers=2)
    opened = [it.open(Client, "msgpack") for _ in range(60)]
    for n, each in enumerate(opened):
        each.sub(f"own/{n}")
        each.pub(f"own/{n}", n)
        assert each.next_msg()["data"] == n


# -- certificates that change


def test_a_new_certificate_is_shown_to_newcomers_and_drops_nobody(secure, authority):
    it = secure(workers=2)
    client, events, api = it.open(Client), it.open(Events, "t"), it.open(Api)
    client.sub("t")
    assert common_name(client.socket) == "first"

    def reload(issued, event):
        it.install(issued)
        before = sum(f"event={event}" in x for x in it.broker.stderr_lines)
        it.broker.process.send_signal(signal.SIGHUP)
        until(lambda: sum(f"event={event}" in x for x in it.broker.stderr_lines) > before, event)

    reload(authority.issue("second"), "reloaded")
    shown = {common_name(it.open(RawClient).socket) for _ in range(10)}
    assert shown == {"second"}
    api.publish("t", 1)
    assert client.next_msg()["data"] == 1 and events.take(1) == [1]
    first, second = authority.issue("third"), authority.issue("fourth")
    reload((first[0], second[1]), "config_refused")  # a key that is not the certificate's
    assert common_name(it.open(RawClient).socket) == "second"
    reload(second, "reloaded")
    assert common_name(it.open(RawClient).socket) == "fourth"
    api.publish("t", 2)
    assert client.next_msg()["data"] == 2 and events.take(1) == [2]


@pytest.mark.parametrize("rsa", [True, False], ids=["from_rsa", "to_rsa"])
def test_a_new_certificate_of_another_kind_takes_the_place_of_the_old(secure, authority, rsa):
    it = secure(workers=2, issued=authority.issue("old", rsa=rsa))
    old = authority.context(highest=V12, ciphers="ECDHE-RSA-AES128-GCM-SHA256" if rsa
                            else "ECDHE-ECDSA-AES128-GCM-SHA256")
    with RawClient(it.address, tls=old) as connection:
        assert common_name(connection.socket) == "old"
    it.install(authority.issue("new", rsa=not rsa))
    it.broker.process.send_signal(signal.SIGHUP)
    until(lambda: "event=reloaded" in it.broker.stderr, "reloaded")
    for _ in range(10):
        with RawClient(it.address, tls=authority.context()) as connection:
            assert common_name(connection.socket) == "new"
        with pytest.raises(ssl.SSLError):  # it takes nothing but the old kind
            RawClient(it.address, tls=old)


@pytest.mark.parametrize("wrong", ["no cert", "no key", "missing", "garbage", "crossed",
                                   "encrypted"])
def test_a_certificate_that_is_wrong_stops_the_start(authority, tmp_path, wrong):
    one, other = authority.issue("one"), authority.issue("other")
    (tmp_path / "garbage").write_text("garbage")
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "ec", "-in", one[1], "-aes128", "-passout", "pass:x", "-out", locked],
                   check=True, capture_output=True)
    cert, key = {
        "no cert": ("", one[1]), "no key": (one[0], ""), "missing": (tmp_path / "none", one[1]),
        "garbage": (tmp_path / "garbage", one[1]), "crossed": (one[0], other[1]),
        "encrypted": (one[0], locked),
    }[wrong]
    args = ["--listen", "127.0.0.1:0", "--set", "tls.listen=127.0.0.1:0"]
    for name, value in ("cert", cert), ("key", key):
        if value:
            args += ["--set", f"tls.{name}={value}"]
    result = run(*args)
    assert result.returncode > 0 and not result.stdout
    assert "tls." in result.stderr and len(result.stderr.splitlines()) <= 2, result.stderr


def test_stopping_ends_tls_connections_in_time(secure):
    it = secure(workers=2)
    opened = [it.open(Client) for _ in range(30)]
    events = it.open(Events, "t")
    it.broker.process.send_signal(signal.SIGTERM)
    assert {each.wait_closed() for each in opened} == {1001}
    assert events.next("bye")["code"] == 1001
    assert it.broker.wait_gone() == 0
