"""SIGTERM and SIGINT: every client gets a CLOSE 1001, every socket ends, the process is gone."""

import signal
import time

import pytest

from support.client import encode
from support.echo import Echo
from support.raw import CLOSE, TEXT, Gone, RawClient, close_code, frame, request, upgrade_request

GONE_S = 2.0
CLIENTS = 200


def assert_sockets_end(clients, began):
    """Every connection ends within the time, whatever it still holds."""
    for each in clients:
        each.wait_gone(max(0.05, GONE_S - (time.monotonic() - began)))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_two_hundred_clients_get_1001_and_the_process_is_gone(start, sign, workers):
    broker = start(workers=workers)
    echoes = [Echo(broker.address, kind) for kind in ("json", "msgpack") * (CLIENTS // 2)]
    began = time.monotonic()
    broker.process.send_signal(sign)
    for each in echoes:
        code, _ = each.read_close(GONE_S)
        assert code == 1001
        each.send_frame(CLOSE, code.to_bytes(2, "big"))
    assert_sockets_end(echoes, began)
    assert time.monotonic() - began < GONE_S
    assert broker.wait_gone(began) == 0


def test_clients_that_do_not_answer_the_close_delay_nobody(start, workers):
    broker = start(workers=workers)
    echoes = [Echo(broker.address) for _ in range(CLIENTS)]
    began = time.monotonic()
    broker.process.send_signal(signal.SIGTERM)
    assert {each.read_close(GONE_S)[0] for each in echoes} == {1001}
    assert_sockets_end(echoes, began)
    assert broker.wait_gone(began) == 0


def test_clients_that_do_not_read_delay_nobody(start, encoding, workers):
    broker = start(workers=workers)
    deaf = [Echo(broker.address, encoding, receive_buffer=4096) for _ in range(20)]
    publisher = Echo(broker.address)
    for each in deaf:
        for n in range(20):
            publisher.say({"op": "pub", "topic": each.topic, "data": "x" * 40000})
    publisher.still_works()
    began = time.monotonic()
    broker.process.send_signal(signal.SIGTERM)
    assert broker.wait_gone(began) == 0
    publisher.close()
    for each in deaf:
        each.reset()


def test_what_was_accepted_before_the_signal_is_delivered_before_the_close(start, workers):
    broker = start(workers=workers)
    subscriber, publisher = Echo(broker.address), Echo(broker.address)
    subscriber.say({"op": "sub", "topics": ["t"], "id": 1})
    assert subscriber.next()["op"] == "ok"
    for n in range(100):
        publisher.say({"op": "pub", "topic": "t", "data": n, "id": n})
    for n in range(100):
        assert publisher.next()["id"] == n
    broker.process.send_signal(signal.SIGTERM)
    subscriber.expect(*range(100))
    assert subscriber.read_close()[0] == 1001
    subscriber.close()
    publisher.close()


def test_open_requests_and_idle_sockets_end_too(start, workers):
    broker = start(workers=workers)
    begun = [b"", b"GET /heal", b"GET /ws HTTP/1.1\r\nHost: x\r\n", upgrade_request()[:-2]]
    halves = []
    for data in begun * 5:
        halves.append(RawClient(broker.address))
        halves[-1].send(data)
    kept = RawClient(broker.address)
    assert kept.ask(request("/healthz")).status == 200
    began = time.monotonic()
    broker.process.send_signal(signal.SIGTERM)
    assert_sockets_end([*halves, kept], began)
    assert broker.wait_gone(began) == 0


def test_frames_that_are_half_there_do_not_delay_it(start, encoding, workers):
    broker = start(workers=workers)
    echoes = [Echo(broker.address, encoding) for _ in range(10)]
    for n, each in enumerate(echoes):
        each.send(each.pub_frame("x" * 3000, fin=n % 2 == 0)[:10 + n * 200])
    began = time.monotonic()
    broker.process.send_signal(signal.SIGTERM)
    for each in echoes:
        assert each.read_close(GONE_S)[0] == 1001
    assert_sockets_end(echoes, began)
    assert broker.wait_gone(began) == 0


def test_new_connections_are_not_taken_any_more(start, workers):
    broker = start(workers=workers)
    echo = Echo(broker.address)
    broker.process.send_signal(signal.SIGTERM)
    assert echo.read_close(GONE_S)[0] == 1001
    try:
        with RawClient(broker.address) as late:
            response = late.ask(upgrade_request())
            assert response.status == 503
    except (ConnectionRefusedError, ConnectionResetError, Gone):
        pass  # not listening any more is the plainest answer
    echo.close()


def test_a_second_signal_does_no_harm(start):
    broker = start()
    echo = Echo(broker.address)
    began = time.monotonic()
    broker.process.send_signal(signal.SIGTERM)
    assert echo.read_close(GONE_S)[0] == 1001
    if broker.process.poll() is None:
        broker.process.send_signal(signal.SIGINT)
    assert broker.wait_gone(began) == 0
    echo.close()


def test_a_broker_can_be_stopped_at_once_and_started_again(start):
    for _ in range(3):
        broker = start()
        broker.stop()


def test_publishers_at_full_speed_do_not_delay_it(start, workers):
    broker = start(workers=workers)
    echoes = [Echo(broker.address) for _ in range(4)]
    burst = b"".join(
        frame(TEXT, encode("json", {"op": "pub", "topic": "flood", "data": n}))
        for n in range(2000))
    for each in echoes:
        each.send(burst)
    began = time.monotonic()
    broker.process.send_signal(signal.SIGTERM)
    for each in echoes:
        try:
            while (got := each.read_frame(GONE_S)).opcode != CLOSE:
                pass
            assert close_code(got.payload) == 1001
        except Gone:
            pass  # what it had not read yet can cost it the CLOSE: TCP then sends a reset
    assert broker.wait_gone(began) == 0
