"""Clients that ask for much over WebSocket and do not take the answers."""

import pytest

from support.echo import Echo
from support.wait import until

COUNT, SIZE = 100, 5000  # half a megabyte an answer
QUEUE = 1 << 20          # limits.queue, by default


@pytest.fixture
def ask(broker, api):
    """Gives the topic `h` a history, and returns how to ask for all of it."""
    api(broker).post("/v1/publish", [{"topic": "h", "data": "x" * SIZE}] * COUNT)
    return lambda n: {"op": "history", "id": n, "topic": "h", "last": COUNT}


def outbox_bytes(api, broker):
    return api(broker).metrics()["fantail_outbox_bytes"]


def test_one_message_of_many_requests_does_not_fill_the_memory(broker, api, ask, encoding):
    client = Echo(broker.address, encoding, receive_buffer=4096, deadline=60)
    client.say([ask(n) for n in range(900)])
    assert api(broker).request("/healthz").status == 200
    assert outbox_bytes(api, broker) < 2 * QUEUE
    answers = [client.next() for _ in range(900)]
    assert [each["id"] for each in answers] == list(range(900))
    good = [each for each in answers if each["op"] == "ok"]
    assert 0 < len(good) < 100 and answers[:len(good)] == good
    assert all(len(each["messages"]) == COUNT for each in good)
    assert {each["code"] for each in answers[len(good):]} == {429}
    client.still_works()
    client.close()


def test_one_message_of_many_mistakes_ends_it_when_no_error_is_read(start, api, encoding):
    broker = start(settings={"limits.queue": "64k"})
    client = Echo(broker.address, encoding, receive_buffer=4096, deadline=60)
    closed = 'fantail_close_codes_total{code="4508"}'

    def is_closed():
        return api(broker).metrics().get(closed, 0) == 1

    for _ in range(100):  # until the system's buffers are full
        if is_closed():
            break
        client.say([{}] * 15_000)
    until(is_closed, "it is closed")
    assert outbox_bytes(api, broker) < 64 * 1024
    client.close()


def test_messages_whose_answers_wait_are_read_later(broker, api, ask, encoding):
    client = Echo(broker.address, encoding, receive_buffer=4096, deadline=60)
    for n in range(60):
        client.say(ask(n))
    assert api(broker).request("/healthz").status == 200
    assert outbox_bytes(api, broker) < 2 * QUEUE
    for n in range(60):
        answer = client.next()
        assert (answer["id"], len(answer["messages"])) == (n, COUNT)
    client.close()


def test_who_takes_the_answers_may_ask_for_two_at_once(broker, ask, encoding):
    client = Echo(broker.address, encoding, deadline=60)
    for at in range(0, 20, 10):
        client.say([ask(n) for n in range(at, at + 2)])
        assert [client.next()["id"] for _ in range(2)] == [at, at + 1]
    client.still_works()
    client.close()
