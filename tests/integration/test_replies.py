"""Clients that ask for much over WebSocket and do not take the answers."""

import pytest

from support.echo import Echo
from support.raw import CLOSE, close_code
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
    closed = 'fantail_close_codes_total{code="4508"}'
    before = api(broker).metrics().get(closed, 0)
    client.say([ask(n) for n in range(900)])
    until(lambda: api(broker).metrics().get(closed, 0) > before, "it is closed")
    assert outbox_bytes(api, broker) < 2 * QUEUE
    while (last := client.read_frame()).opcode != CLOSE:
        pass
    assert close_code(last.payload) == 4508
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


def test_who_takes_the_answers_may_ask_for_many_at_once(broker, ask, encoding):
    client = Echo(broker.address, encoding, deadline=60)
    for at in range(0, 20, 10):
        client.say([ask(n) for n in range(at, at + 2)])
        assert [client.next()["id"] for _ in range(2)] == [at, at + 1]
    client.still_works()
    client.close()
