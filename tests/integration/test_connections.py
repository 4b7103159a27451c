"""The cap on connections: a 503 beyond it, and no harm from running out of descriptors."""

import pytest

from support.broker import run
from support.client import Client
from support.echo import Echo
from support.raw import (
    CLOSE, PING, PONG, Gone, RawClient, assert_refused, close_payload, request, upgrade_request,
)
from support.wait import until

DESCRIPTORS = 64


def test_beyond_the_cap_a_client_gets_a_503_with_a_body(start, raw, encoding, workers):
    broker = start(settings={"limits.connections": 20}, workers=workers)
    held = [Echo(broker.address, encoding) for _ in range(20)]
    for _ in range(10):
        assert_refused(raw(broker).ask(upgrade_request()), 503)
    for each in held:
        each.still_works()
        each.close()


def test_beyond_the_cap_one_request_is_answered_and_no_place_is_kept(start, raw):
    broker = start(settings={"limits.connections": 5})
    held = [Echo(broker.address) for _ in range(5)]
    connection = raw(broker)
    response = connection.ask(request("/healthz"))
    assert (response.status, response.headers["connection"]) == (200, "close")
    connection.wait_gone()
    for each in held:
        each.close()


def test_a_place_that_becomes_free_is_given_again(start, raw, encoding, workers):
    broker = start(settings={"limits.connections": 20}, workers=workers)
    held = [Echo(broker.address, encoding) for _ in range(20)]
    assert_refused(raw(broker).ask(upgrade_request()), 503)

    def welcomed():
        connection = raw(broker)
        return connection if connection.ask(upgrade_request()).status == 101 else None

    for each in held[:3]:
        each.send_frame(CLOSE, close_payload(1000))
        each.wait_gone()
        until(welcomed, "the place of the closed connection is given again")
        assert_refused(raw(broker).ask(upgrade_request()), 503)
    for each in held[3:]:
        each.still_works()
        each.close()


def test_refused_clients_do_not_use_places_up(start, raw, workers):
    broker = start(settings={"limits.connections": 5}, workers=workers)
    for _ in range(50):
        with RawClient(broker.address) as connection:
            assert connection.ask(upgrade_request(sec_websocket_version="8")).status in (400, 426)
        with RawClient(broker.address) as connection:
            connection.send(b"GET /ws HTTP/1.1\r\n")
            connection.reset()
    until(lambda: raw(broker).ask(request("/healthz")).status == 200, "a place is free again")
    with Client(broker.address) as client:
        assert client.ok({"op": "ping"})


@pytest.mark.parametrize("workers", [1, 2], indirect=True)
def test_running_out_of_descriptors_neither_spins_nor_floods(start, raw, workers):
    broker = start(settings={"limits.ping": 1}, descriptors=DESCRIPTORS, workers=workers)
    watcher = Echo(broker.address)
    attempts, welcomed, refused = [], 0, 0
    for _ in range(200):
        attempts.append(RawClient(broker.address))
    for each in attempts:
        try:
            each.send(upgrade_request())
            response = each.read_response()
        except Gone:
            continue
        if response.status == 101:
            welcomed += 1
        else:
            assert_refused(response, 503)
            refused += 1
    assert welcomed > 0 and refused > 100, (welcomed, refused)
    spent = broker.cpu_seconds()
    for _ in range(2):  # two pings: two seconds of rest
        ping = watcher.control_frames_until(PING)[-1]
        watcher.send_frame(PONG, ping.payload)
    assert broker.cpu_seconds() - spent < 0.5
    assert len(broker.stderr_lines) < 150, "\n".join(broker.stderr_lines[-20:])
    watcher.still_works()
    for each in attempts:
        each.reset()
    until(lambda: raw(broker).ask(request("/healthz")).status == 200, "healthz answers again")
    watcher.close()


def test_more_connections_than_descriptors_cannot_be_asked_for():
    result = run("--listen", "127.0.0.1:0", "--set", "limits.connections=10000",
                 descriptors=DESCRIPTORS)
    assert result.returncode > 0 and result.stdout == ""
    assert "10000" in result.stderr and str(DESCRIPTORS) in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_thousands_of_short_connections_leave_nothing_behind(broker, raw):
    assert raw(broker).ask(request("/healthz")).status == 200
    before = broker.descriptors()
    for n in range(600):
        with RawClient(broker.address) as connection:
            if n % 3 == 0:
                assert connection.ask(request("/healthz")).status == 200
            elif n % 3 == 1:
                connection.upgrade()
                connection.read_message()
    until(lambda: broker.descriptors() <= before, "every short connection is gone")
