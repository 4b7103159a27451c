"""RFC 6455 on the wire, in the groups of the well-known conformance suite, against publish and
subscribe as an echo: 1 framing, 2 pings, 3 reserved bits, 4 opcodes, 5 fragmentation."""

import itertools
import os

import pytest

from support.echo import Echo
from support.raw import (
    BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_code, close_payload, frame,
)


@pytest.fixture
def echo(broker, encoding):
    """An echo on the file's broker."""
    client = Echo(broker.address, encoding)
    yield client
    client.close()


# -- 1 framing

@pytest.mark.parametrize("size", [0, 1, 60, 70, 80, 125, 126, 127, 128, 1000, 16383, 16384, 32768,
                                  65000])
def test_messages_of_each_length_come_back(echo, size):
    text = "*" * size
    echo.send(echo.pub_frame(text))
    echo.expect(text)


def test_every_length_around_the_header_forms_comes_back(echo):
    empty = len(echo.pub(""))
    for size in (*range(110, 140), *range(65500, 65537)):
        text = "x" * max(0, size - empty - 8)
        echo.send(echo.pub_frame(text))
        echo.expect(text)


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x01\x02\x03"])
def test_any_mask_is_taken_off(echo, mask):
    for size in range(40):
        echo.send(echo.pub_frame("m" * size, mask=mask))
        echo.expect("m" * size)


def test_a_random_mask_is_taken_off_payloads_of_random_bytes(broker):
    echo = Echo(broker.address, "msgpack")
    for size in range(0, 3000, 37):
        data = os.urandom(size)
        echo.send(echo.pub_frame(data))
        echo.expect(data)
    echo.close()


@pytest.mark.parametrize("form", [16, 64])
def test_a_length_that_is_not_in_its_shortest_form_is_refused_or_read_right(echo, form):
    echo.send(echo.pub_frame("x", length=form))
    assert echo.outcome() in ("msg", 1002)


@pytest.mark.parametrize("split", [1, 2, 3, 5, 7, 64, 997])
def test_a_frame_may_come_in_segments_of_any_size(echo, split):
    data = echo.pub_frame("y" * 2000, length=16)
    for at in range(0, len(data), split):
        echo.send(data[at:at + split])
    echo.expect("y" * 2000)


def test_many_frames_may_come_in_one_segment(echo):
    echo.send(b"".join(echo.pub_frame(n) for n in range(500)))
    echo.expect(*range(500))


def test_an_unmasked_frame_is_a_protocol_error(broker, encoding):
    good, bad = Echo(broker.address, encoding), Echo(broker.address, encoding)
    bad.send(bad.pub_frame("x", masked=False))
    assert bad.outcome() == 1002
    good.still_works()
    good.close()
    bad.close()


# -- 2 pings and pongs

@pytest.mark.parametrize("payload", [b"", b"Hello", bytes(range(125)), b"\x00\xff\xfe\xfd",
                                     b"x" * 125], ids=len)
def test_a_ping_is_answered_with_its_payload(echo, payload):
    echo.send_frame(PING, payload)
    got = echo.read_frame()
    assert (got.opcode, got.payload) == (PONG, payload)


def test_a_ping_of_126_bytes_is_a_protocol_error(echo):
    echo.send_frame(PING, b"x" * 126)
    echo.expect_failed()


def test_a_ping_byte_by_byte_is_answered(echo):
    echo.send_bytewise(frame(PING, b"bit by bit"))
    assert echo.read_frame().payload == b"bit by bit"


@pytest.mark.parametrize("payload", [b"", b"unasked"])
def test_a_pong_that_was_not_asked_for_is_ignored(echo, payload):
    echo.send_frame(PONG, payload)
    echo.send_frame(PING, b"after")
    got = echo.read_frame()
    assert (got.opcode, got.payload) == (PONG, b"after")
    echo.still_works()


def test_ten_pings_one_after_another_are_answered_in_order(echo):
    for n in range(10):
        echo.send_frame(PING, b"%d" % n)
        assert echo.read_frame().payload == b"%d" % n


def test_each_of_a_burst_of_pings_is_answered_in_order(echo):
    sent = [b"%d" % n for n in range(100)]
    echo.send(b"".join(frame(PING, p) for p in sent))
    assert [echo.read_frame().payload for _ in sent] == sent
    echo.still_works()


def test_a_ping_with_a_payload_that_is_not_utf8_is_fine(echo):
    echo.send_frame(PING, b"\xff\xfe\xc0\x80")
    assert echo.read_frame().payload == b"\xff\xfe\xc0\x80"


# -- 3 reserved bits

@pytest.mark.parametrize("rsv", range(1, 8))
def test_a_reserved_bit_is_a_protocol_error(echo, rsv):
    echo.send(echo.pub_frame("x", rsv=rsv))
    assert echo.read_close()[0] == 1002


def test_after_a_protocol_error_the_connection_ends(echo):
    echo.send(echo.pub_frame("x", rsv=1))
    echo.expect_closed(1002)


@pytest.mark.parametrize("rsv", [1, 4, 7])
def test_what_came_before_a_reserved_bit_was_handled(echo, rsv):
    echo.send(echo.pub_frame("before"))
    echo.expect("before")
    echo.send_frame(PING, b"x", rsv=rsv)
    assert echo.read_close()[0] == 1002


@pytest.mark.parametrize("rsv", [1, 4])
def test_a_reserved_bit_on_a_close_is_a_protocol_error(echo, rsv):
    echo.send_frame(CLOSE, close_payload(1000), rsv=rsv)
    assert echo.read_close()[0] == 1002


# -- 4 opcodes

@pytest.mark.parametrize("payload", [b"", b"reserved"])
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_a_reserved_opcode_is_a_protocol_error(echo, opcode, payload):
    echo.send_frame(opcode, payload)
    echo.expect_closed(1002)


@pytest.mark.parametrize("opcode", [3, 11])
def test_a_reserved_opcode_after_a_good_message_is_a_protocol_error(echo, opcode):
    echo.still_works()
    echo.send(frame(opcode, b"x") + frame(PING, b"too late"))
    echo.expect_closed(1002)


# -- 5 fragmentation

@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_fragmented_control_frame_is_a_protocol_error(echo, opcode):
    echo.send(frame(opcode, b"\x03\xe8", fin=False) + frame(CONTINUATION, b"b"))
    echo.expect_closed(1002)


def test_a_message_in_two_fragments_is_taken_at_every_split(echo):
    payload = echo.pub("fragment")
    for at in range(len(payload) + 1):
        echo.send_frame(echo.opcode, payload[:at], fin=False)
        echo.send_frame(CONTINUATION, payload[at:])
        echo.expect("fragment")


def test_a_message_in_fragments_of_one_byte_is_taken(echo):
    payload = echo.pub("é" * 50)
    data = frame(echo.opcode, b"", fin=False)
    data += b"".join(frame(CONTINUATION, payload[n:n + 1], fin=False) for n in range(len(payload)))
    echo.send(data + frame(CONTINUATION, b""))
    echo.expect("é" * 50)


def test_empty_fragments_do_not_matter(echo):
    payload = echo.pub("x")
    parts = [frame(echo.opcode, b"", fin=False), frame(CONTINUATION, b"", fin=False),
             frame(CONTINUATION, payload, fin=False), frame(CONTINUATION, b"", fin=False),
             frame(CONTINUATION, b"")]
    echo.send(b"".join(parts))
    echo.expect("x")


@pytest.mark.parametrize("together", [True, False])
def test_a_ping_between_fragments_is_answered_before_the_message_is_whole(echo, together):
    payload = echo.pub("fragmented")
    first = frame(echo.opcode, payload[:5], fin=False) + frame(PING, b"between")
    last = frame(CONTINUATION, payload[5:])
    if together:
        echo.send(first + last)
        frames = echo.control_frames_until(echo.opcode)
        got = next((f for f in frames if f.opcode == PONG), None) or echo.read_frame()
        assert (got.opcode, got.payload) == (PONG, b"between")
    else:
        echo.send(first)
        got = echo.read_frame()
        assert (got.opcode, got.payload) == (PONG, b"between")
        echo.send(last)
        echo.expect("fragmented")


def test_pongs_and_pings_between_all_fragments_do_not_matter(echo):
    payload = echo.pub("z" * 20)
    for at, byte in enumerate(payload):
        opcode = CONTINUATION if at else echo.opcode
        echo.send(frame(opcode, bytes([byte]), fin=at == len(payload) - 1) + frame(PONG, b"p"))
    echo.expect("z" * 20)


def test_a_close_between_fragments_ends_the_connection(echo):
    payload = echo.pub("never")
    echo.send_frame(echo.opcode, payload[:5], fin=False)
    echo.send_frame(CLOSE, close_payload(1000))
    got = echo.read_frame()
    assert (got.opcode, close_code(got.payload)) == (CLOSE, 1000)
    echo.wait_gone()


@pytest.mark.parametrize("fin", [True, False])
def test_a_continuation_of_nothing_is_a_protocol_error(echo, fin):
    echo.send_frame(CONTINUATION, echo.pub("x"), fin=fin)
    echo.expect_closed(1002)


def test_a_continuation_after_a_whole_message_is_a_protocol_error(echo):
    echo.still_works()
    echo.send_frame(CONTINUATION, echo.pub("x"))
    echo.expect_closed(1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_new_message_inside_a_fragmented_one_is_a_protocol_error(echo, opcode):
    echo.send_frame(echo.opcode, echo.pub("x")[:4], fin=False)
    echo.send_frame(opcode, echo.pub("y"))
    echo.expect_closed(1002, 1003) if opcode != echo.opcode else echo.expect_closed(1002)


def test_fragmented_messages_of_many_clients_do_not_mix(broker):
    echoes = [Echo(broker.address, kind) for kind in ("json", "msgpack") * 5]
    payloads = [list(each.pub(n)) for n, each in enumerate(echoes)]
    for at in itertools.count():
        left = [(e, p) for e, p in zip(echoes, payloads) if at < len(p)]
        if not left:
            break
        for each, payload in left:
            opcode = CONTINUATION if at else each.opcode
            each.send_frame(opcode, bytes([payload[at]]), fin=at == len(payload) - 1)
    for n, each in enumerate(echoes):
        each.expect(n)
        each.close()
