"""Requests that are cut short, slow, or whose sender is gone."""

import select
import socket

import pytest

from support.api import message, pub, statuses
from support.client import everything_since
from support.raw import Gone, RawClient, request, upgrade_request
from support.wait import until

SHORT = {"http.header_timeout": 1, "http.body_timeout": 1}


def test_a_request_that_is_cut_at_any_byte_publishes_nothing_and_leaves_nothing(start, clients):
    broker = start(workers=2)
    client = clients(broker)
    client.sub("#")
    held = broker.descriptors()
    sent = pub({"a": "b"}, "cut", [("Accept", "*/*"), ("Expect", "100-continue")])
    for n in range(len(sent)):
        with RawClient(broker.address) as connection:
            connection.send(sent[:n])
            connection.half_close()
            got, how = statuses(connection)
            assert all(s == 100 or 400 <= s < 500 for s in got) and len(got) <= 2, (n, got)
            assert how == "eof", n
        with RawClient(broker.address) as connection:
            connection.send(sent[:n])
            connection.reset()
    assert everything_since(clients(broker), client, "end/cut") == []
    until(lambda: broker.descriptors() <= held + 1, "every connection is gone")  # the publisher's


def test_connections_that_are_gone_are_no_connections(start, api, clients):
    broker = start(workers=2)
    for n in range(200):
        with RawClient(broker.address) as connection:
            connection.send([b"", b"GET", pub(1)[:-1], pub(1), upgrade_request(),
                             message("/v1/events?topic=a")][n % 6])
            if n % 2:
                connection.reset()
    one = api(broker)

    def open_now():
        return one.metrics()["fantail_connections"]

    until(lambda: open_now() == 1, "only this connection is left")
    assert one.metrics()["fantail_subscriptions"] == 0


@pytest.mark.parametrize("begin", [b"", b"POST /v1/pub", pub(1)[:60], pub(1)[:-1]],
                         ids=["nothing", "half a line", "half a head", "half a body"])
def test_a_sender_that_falls_silent_is_let_go(start, raw, begin):
    broker = start(settings=SHORT)
    connection = raw(broker, deadline=8)
    connection.send(begin)
    got, how = statuses(connection)
    assert how == "eof" and got in ([], [408])
    if begin.endswith(b"data\":1"):
        assert got == [408]


@pytest.mark.parametrize("at", [30, -5], ids=["head", "body"])
def test_a_sender_that_drips_is_let_go_too(start, raw, at):
    broker = start(settings=SHORT)
    connection = raw(broker, deadline=8)
    sent = pub("x" * 60_000)
    at = at if at > 0 else sent.index(b"\r\n\r\n") + 10
    connection.send(sent[:at])
    until(lambda: dripped(connection, sent, at), "the broker has had enough", 8)


def dripped(connection, sent, at):
    """Sends one byte more, and says whether the broker has ended the connection or refused."""
    try:
        connection.send(sent[at:at + 1])
    except Gone:
        return True
    if select.select([connection.socket], [], [], 0.05)[0]:
        got, _ = statuses(connection)
        assert got in ([], [408])
        return True
    return False


def test_a_kept_connection_gets_time_for_each_request_anew(start, api):
    broker = start(settings=SHORT)
    connection = api(broker)
    for n in range(5):
        sent = pub(n)
        connection.send(sent[:40])
        select.select([connection.socket], [], [], 0.4)  # five are longer than one head may take
        connection.send(sent[40:])
        assert connection.read_response().status == 200


def test_who_leaves_before_the_answer_has_still_published(broker, connect, topic):
    client = connect()
    client.sub(topic)
    for n in range(50):
        with RawClient(broker.address) as connection:
            connection.send(pub(n, topic))
            connection.half_close()
            assert client.next_msg()["data"] == n


def test_a_connection_in_the_middle_of_a_request_does_not_delay_the_end(start, raw):
    broker = start()
    for begin in b"POST /v1/publish HTT", pub(1)[:-1], message("/v1/events?topic=a"):
        raw(broker).send(begin)
    assert raw(broker).ask(request("/healthz")).status == 200
    broker.stop()


def test_sockets_without_a_word_are_no_burden(start):
    broker = start(settings=SHORT)
    held = broker.descriptors()
    mute = [socket.create_connection(broker.address) for _ in range(100)]
    until(lambda: broker.descriptors() <= held, "they are let go", 8)
    for each in mute:
        each.close()


def test_the_last_answer_is_for_slow_readers_too(start, api):
    """A connection that ends is not cut off while its peer is still reading."""
    broker = start(settings={"limits.queue": "32m", "limits.message": "1m"})
    one = api(broker)
    for n in range(10):
        one.publish("large", f"{n}" * 900_000)
    with RawClient(broker.address, receive_buffer=65536, deadline=60) as slow:
        slow.send(message("/v1/history?topic=large&last=10", headers=[("Connection", "close")]))
        got = bytearray()
        while piece := slow.socket.recv(60_000):
            got += piece
            select.select([], [], [], 0.015)  # more than two seconds for all of it
    head, _, body = bytes(got).partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert len(body) > 9_000_000


def test_answers_that_nobody_reads_are_few(start, api):
    broker = start()
    one = api(broker)
    for n in range(20):
        one.publish("large", f"{n:060000}")
    held = broker.rss_bytes()
    deaf = [RawClient(broker.address, receive_buffer=4096) for _ in range(4)]

    def ask():
        for each in deaf:
            each.send(message("/v1/history?topic=large") * 64)  # 64 answers of half a MiB
        for _ in range(3):
            one.get("/healthz")

    assert broker.peak_bytes(ask) - held < 40 << 20
    for each in deaf[1:]:
        each.reset()
    sizes = {len(deaf[0].read_response().body) for _ in range(64)}
    assert len(sizes) == 1 and sizes.pop() > 400000
    deaf[0].close()
