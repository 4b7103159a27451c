"""Keep-alive: who is silent is pinged, who answers stays, who does not is closed with 4408."""

import time

import pytest

from support.echo import Echo
from support.raw import CLOSE, PING, PONG, frame

pytestmark = pytest.mark.slow

# limits.ping is 1 s here. The broker's clock of timers is coarse: a second more is no defect.
EARLY_S, PING_LATE_S, CLOSE_LATE_S = 0.8, 2.5, 4.5


@pytest.fixture
def echo(start, encoding, workers):
    """An echo on a broker that pings after a second of silence."""
    client = Echo(start(settings={"limits.ping": 1}, workers=workers).address, encoding)
    yield client
    client.close()


def test_a_silent_client_is_pinged_and_then_closed_with_4408(echo):
    began = time.monotonic()
    assert echo.read_frame().opcode == PING
    assert EARLY_S < time.monotonic() - began < PING_LATE_S
    code, _ = echo.read_close()
    assert code == 4408
    assert 2 * EARLY_S < time.monotonic() - began < CLOSE_LATE_S
    echo.wait_gone()


def test_a_client_that_answers_pings_stays(echo):
    began = time.monotonic()
    for _ in range(4):
        ping = echo.read_frame()
        assert ping.opcode == PING
        echo.send_frame(PONG, ping.payload)
    assert time.monotonic() - began > 4 * EARLY_S
    echo.still_works()


def test_a_client_that_answers_with_envelopes_stays(echo):
    for _ in range(3):
        assert echo.read_frame().opcode == PING
        echo.say({"op": "ping"})
        assert echo.next() == {"op": "pong"}
    echo.still_works()


@pytest.mark.parametrize("sign", [frame(PONG, b"unasked"), frame(PONG), frame(PING, b"mine")],
                         ids=["pong", "empty pong", "ping"])
def test_other_frames_of_the_client_are_signs_of_life(echo, sign):
    for _ in range(3):
        assert echo.control_frames_until(PING)[-1].opcode == PING
        echo.send(sign)
    echo.still_works()


def test_who_talks_is_not_pinged(echo):
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        echo.say({"op": "ping", "id": "x"})
        got = echo.read_frame()
        assert got.opcode == echo.opcode
    echo.still_works()


def test_a_feed_does_not_hide_that_a_reader_is_gone(start, clients, encoding):
    broker = start(settings={"limits.ping": 1})
    echo, publisher = Echo(broker.address, encoding), clients(broker)
    began = time.monotonic()
    while time.monotonic() - began < CLOSE_LATE_S + 1:
        publisher.pub(echo.topic, "tick")
        got = echo.read_frame()
        if got.opcode == CLOSE:
            break
    assert got.opcode == CLOSE and int.from_bytes(got.payload[:2], "big") == 4408
    echo.close()


def test_clients_that_pong_by_themselves_stay_connected(start, clients, encoding):
    broker = start(settings={"limits.ping": 1})
    client = clients(broker, encoding)
    client.sub("end")
    other = Echo(broker.address)
    for _ in range(3):
        ping = other.control_frames_until(PING)[-1]
        other.send_frame(PONG, ping.payload)
        client.ok({"op": "ping"})
    client.pub("end", "x")
    assert client.next_msg()["data"] == "x"
    other.close()
