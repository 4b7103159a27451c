"""Frames and TCP: the size limit to the byte, resets, half-closes, and clients that vanish."""

import pytest

from support.client import encode, everything_since
from support.echo import Echo
from support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_payload, frame
from support.wait import until

LIMIT = 5000


@pytest.fixture
def small(start, workers):
    """A broker that takes messages of 5,000 bytes."""
    return start(settings={"limits.message": LIMIT}, workers=workers)


def padded(echo, size):
    """Returns a `pub` of exactly `size` bytes, and the data in it."""
    text = "p"
    while len(echo.pub(text)) < size:
        text += "p" * max(1, size - len(echo.pub(text)) - 2)
    while len(echo.pub(text)) > size:
        text = text[:-1]
    assert len(echo.pub(text)) == size
    return echo.pub(text), text


@pytest.fixture
def echo(small, encoding):
    """An echo on the small broker."""
    client = Echo(small.address, encoding)
    yield client
    client.close()


def test_a_message_of_exactly_the_limit_is_taken(echo):
    payload, text = padded(echo, LIMIT)
    echo.send_frame(echo.opcode, payload)
    echo.expect(text)
    echo.still_works()


def test_one_byte_more_than_the_limit_closes_with_1009(echo):
    echo.send_frame(echo.opcode, padded(echo, LIMIT + 1)[0])
    echo.expect_closed(1009)


@pytest.mark.parametrize("pieces", [2, 7, 500])
def test_a_fragmented_message_of_exactly_the_limit_is_taken(echo, pieces):
    payload, text = padded(echo, LIMIT)
    echo.send(fragmented(echo.opcode, payload, pieces))
    echo.expect(text)
    echo.still_works()


@pytest.mark.parametrize("pieces", [2, 7, 500])
def test_a_fragmented_message_of_one_byte_more_closes_with_1009(echo, pieces):
    echo.send(fragmented(echo.opcode, padded(echo, LIMIT + 1)[0], pieces))
    echo.expect_closed(1009)


def test_a_message_above_the_limit_is_refused_before_its_end(echo):
    payload = padded(echo, LIMIT + 1000)[0]
    echo.send_frame(echo.opcode, payload[:LIMIT], fin=False)
    echo.send_frame(CONTINUATION, payload[LIMIT:-1], fin=False)
    echo.expect_closed(1009)


def test_the_limit_is_for_each_message_and_not_for_their_sum(echo):
    payload, text = padded(echo, LIMIT - 500)
    echo.send(frame(echo.opcode, payload) * 20)
    echo.expect(*[text] * 20)


def test_nothing_of_a_message_above_the_limit_is_published(small, encoding):
    watcher, echo = Echo(small.address), Echo(small.address, encoding)
    watcher.say({"op": "sub", "topics": [echo.topic], "id": 1})
    assert watcher.next()["op"] == "ok"
    echo.send_frame(echo.opcode, padded(echo, LIMIT + 1)[0])
    echo.wait_gone()
    watcher.still_works()
    watcher.close()
    echo.close()


def fragmented(opcode, payload, pieces):
    """Returns a message as about this many frames."""
    size = -(-len(payload) // pieces)
    parts = [payload[at:at + size] for at in range(0, len(payload), size)]
    return b"".join(frame(CONTINUATION if n else opcode, part, fin=n == len(parts) - 1)
                    for n, part in enumerate(parts))


@pytest.mark.parametrize("first, second", [("json", BINARY), ("msgpack", TEXT)])
def test_the_wrong_kind_of_message_closes_with_1003_even_in_fragments(broker, first, second):
    echo = Echo(broker.address, first)
    echo.send(frame(second, b'{"op":"ping"', fin=False) + frame(CONTINUATION, b"}"))
    echo.expect_closed(1003)
    echo.close()


def test_an_empty_message_is_a_bad_envelope(broker, encoding):
    echo = Echo(broker.address, encoding)
    echo.send_frame(echo.opcode, b"")
    error = echo.next()
    assert (error["op"], error["code"]) == ("error", 400) and "id" not in error
    echo.still_works()
    echo.close()


def test_a_reset_harms_nobody_and_frees_the_connection(broker, encoding):
    echo = Echo(broker.address, encoding)
    echo.still_works()
    before = broker.descriptors()
    for _ in range(30):
        victim = Echo(broker.address, encoding)
        victim.send(victim.pub_frame("x") + victim.pub_frame("y")[:-3])
        victim.reset()
    until(lambda: broker.descriptors() <= before, "the broker lets go of reset connections")
    echo.still_works()
    echo.close()


def test_a_half_close_ends_the_connection(broker, encoding):
    echo = Echo(broker.address, encoding)
    echo.half_close()
    echo.wait_gone()
    echo.close()


@pytest.mark.parametrize("cut", [1, 2, 5, 8])
def test_a_connection_that_ends_inside_a_frame_publishes_nothing_of_it(broker, encoding, cut):
    watcher, echo = Echo(broker.address), Echo(broker.address, encoding)
    watcher.say({"op": "sub", "topics": [echo.topic], "id": 1})
    assert watcher.next()["op"] == "ok"
    echo.send(echo.pub_frame("whole") + echo.pub_frame("cut")[:-cut])
    echo.half_close()
    echo.wait_gone()
    watcher.expect("whole")
    watcher.still_works()
    watcher.close()
    echo.close()


def test_publications_before_a_reset_need_not_arrive_but_the_broker_stays(broker, connect, topic):
    subscriber, publisher = connect("json"), connect("json")
    subscriber.sub(f"{topic}/#", "end")
    for n in range(20):
        victim = Echo(broker.address)
        victim.send(b"".join(
            frame(TEXT, encode("json", {"op": "pub", "topic": f"{topic}/{n}", "data": k}))
            for k in range(50)))
        victim.reset()
    got = everything_since(publisher, subscriber, "end")
    for n in range(20):
        mine = [m["data"] for m in got if m["topic"] == f"{topic}/{n}"]
        assert mine == list(range(len(mine)))


def test_a_client_that_never_reads_its_replies_and_leaves_harms_nobody(broker, encoding):
    victim = Echo(broker.address, encoding, receive_buffer=4096)
    data = b"".join(victim.pub_frame("x" * 500) for _ in range(200))
    victim.send(data)
    victim.reset()
    echo = Echo(broker.address, encoding)
    echo.still_works()
    echo.close()


def test_control_frames_and_messages_in_one_segment_are_all_handled(broker, encoding):
    echo = Echo(broker.address, encoding)
    echo.send(frame(PONG) + echo.pub_frame(1) + frame(PING, b"a") + echo.pub_frame(2)
              + frame(PONG, b"z") + echo.pub_frame(3) + frame(CLOSE, close_payload(1000)))
    got, pongs = [], []
    while True:
        each = echo.read_frame()
        if each.opcode == CLOSE:
            break
        (pongs if each.opcode == PONG else got).append(each)
    assert len(got) == 3 and [p.payload for p in pongs] in ([b"a"], [])
    echo.wait_gone()
    echo.close()


def test_masks_may_be_zero(broker):
    echo = Echo(broker.address)
    echo.send(echo.pub_frame("plain", mask=b"\0\0\0\0"))
    echo.expect("plain")
    echo.close()
