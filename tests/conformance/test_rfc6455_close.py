"""RFC 6455 on the wire, continued: 6 UTF-8, 7 close handling, 9 limits, 10 segmentation."""

import pytest

from support.broker import Broker
from support.echo import Echo
from support.raw import BINARY, CLOSE, CONTINUATION, PING, TEXT, close_payload, frame
from support.suites import utf8_cases

GOOD_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.fixture
def echo(broker, encoding):
    """An echo on the file's broker."""
    client = Echo(broker.address, encoding)
    yield client
    client.close()


@pytest.fixture
def text_echo(broker):
    """An echo that speaks in text messages."""
    client = Echo(broker.address, "json")
    yield client
    client.close()


# -- 6 UTF-8

@pytest.mark.parametrize("text", ["", "Hello", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\u007f",
                                  "\ud7ff\ue000\ufffd\ufffe\uffff\U00010000\U0010ffff"])
def test_valid_text_comes_back(text_echo, text):
    text_echo.send(text_echo.pub_frame(text))
    text_echo.expect(text)


def test_valid_text_comes_back_when_fragmented_inside_every_character(text_echo):
    text = "µ€😀é日本"
    payload = text_echo.pub(text)
    for at in range(len(payload) + 1):
        text_echo.send_frame(TEXT, payload[:at], fin=False)
        text_echo.send_frame(CONTINUATION, payload[at:])
        text_echo.expect(text)


@pytest.mark.parametrize("fragments", [1, 2, "bytes"])
def test_text_that_is_not_utf8_closes_with_1007(broker, fragments):
    seen = 0
    for name, valid, text in utf8_cases():
        if valid:
            continue
        echo = Echo(broker.address)
        payload = b'{"op":"ping","x":"' + text + b'"}'
        if fragments == 1:
            echo.send_frame(TEXT, payload)
        elif fragments == 2:
            at = 18 + len(text) // 2
            echo.send(frame(TEXT, payload[:at], fin=False) + frame(CONTINUATION, payload[at:]))
        else:
            parts = [frame(CONTINUATION if n else TEXT, payload[n:n + 1], fin=False)
                     for n in range(len(payload))]
            echo.send(b"".join(parts) + frame(CONTINUATION, b""))
        code, _ = echo.read_close()
        assert code == 1007, (name, text)
        echo.close()
        seen += 1
    assert seen > 100


def test_text_that_is_utf8_is_no_reason_to_close(broker):
    echo = Echo(broker.address)
    for name, valid, text in utf8_cases():
        if not valid or any(c < 0x20 or c in b'"\\' for c in text):
            continue
        echo.send_frame(TEXT, b'{"op":"ping","id":"x","x":"' + text + b'"}')
        assert echo.next() == {"op": "ok", "id": "x"}, (name, text)
    echo.close()


def test_text_that_ends_inside_a_character_closes_with_1007(text_echo):
    text_echo.send_frame(TEXT, b'{"op":"ping"}\xe2\x82')
    text_echo.expect_closed(1007)


def test_bytes_that_are_not_utf8_are_fine_in_a_binary_message(broker):
    echo = Echo(broker.address, "msgpack")
    echo.send(echo.pub_frame(b"\xff\xfe\xc0\x80"))
    echo.expect(b"\xff\xfe\xc0\x80")
    echo.close()


# -- 7 close handling

def test_a_close_is_answered_and_the_connection_ends(echo):
    echo.send_frame(CLOSE, close_payload(1000))
    assert echo.read_close()[0] == 1000
    data, how = echo.read_to_end()
    assert data == b"" and how == "eof"


def test_a_close_without_a_code_is_answered(echo):
    echo.send_frame(CLOSE, b"")
    assert echo.read_close()[0] in (1000, 1005)
    echo.wait_gone()


@pytest.mark.parametrize("reason", [b"", b"bye", "schön 😀".encode(), b"x" * 123], ids=len)
def test_a_close_may_carry_a_reason(echo, reason):
    echo.send_frame(CLOSE, close_payload(1000, reason))
    assert echo.read_close()[0] == 1000
    echo.wait_gone()


@pytest.mark.parametrize("code", GOOD_CODES)
def test_a_code_that_may_be_sent_is_echoed(echo, code):
    echo.send_frame(CLOSE, close_payload(code))
    assert echo.read_close()[0] in (code, 1000)
    echo.wait_gone()


@pytest.mark.parametrize("code", BAD_CODES)
def test_a_code_that_may_not_be_sent_is_a_protocol_error(echo, code):
    echo.send_frame(CLOSE, close_payload(code))
    echo.expect_closed(1002)


@pytest.mark.parametrize("payload", [b"\x03", b"\x00"])
def test_a_close_payload_of_one_byte_is_a_protocol_error(echo, payload):
    echo.send_frame(CLOSE, payload)
    echo.expect_closed(1002)


def test_a_close_payload_of_126_bytes_is_a_protocol_error(echo):
    echo.send_frame(CLOSE, close_payload(1000, b"x" * 124))
    echo.expect_failed()


@pytest.mark.parametrize("reason", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"ok\xe2\x82"])
def test_a_reason_that_is_not_utf8_is_an_error(echo, reason):
    echo.send_frame(CLOSE, close_payload(1000, reason))
    echo.expect_closed(1007, 1002)


def test_what_follows_a_close_is_ignored(broker, encoding):
    watcher, echo = Echo(broker.address, encoding), Echo(broker.address, encoding)
    watcher.say({"op": "sub", "topics": [echo.topic], "id": 1})
    assert watcher.next()["op"] == "ok"
    echo.send(frame(CLOSE, close_payload(1000)) + echo.pub_frame("late") + frame(PING, b"late"))
    assert echo.read_close()[0] == 1000
    echo.wait_gone()
    watcher.still_works()
    watcher.close()


def test_what_came_before_a_close_counts(broker, encoding):
    watcher, echo = Echo(broker.address, encoding), Echo(broker.address, encoding)
    watcher.say({"op": "sub", "topics": [echo.topic], "id": 1})
    assert watcher.next()["op"] == "ok"
    echo.send(echo.pub_frame("last words") + frame(CLOSE, close_payload(1000)))
    echo.wait_gone()
    watcher.expect("last words")
    watcher.close()


def test_two_closes_are_answered_once(echo):
    echo.send(frame(CLOSE, close_payload(1000)) + frame(CLOSE, close_payload(1001)))
    assert echo.read_close()[0] == 1000
    assert echo.read_to_end()[0] == b""


def test_a_close_that_is_cut_short_harms_nobody(broker, echo):
    echo.send(frame(CLOSE, close_payload(1000, b"reason"))[:-3])
    echo.half_close()
    echo.wait_gone()
    other = Echo(broker.address)
    other.still_works()
    other.close()


# -- 9 limits

@pytest.fixture(scope="module")
def large_broker():
    """A broker for large messages."""
    broker = Broker(settings={"limits.message": 5 << 20, "limits.queue": 32 << 20})
    yield broker
    broker.stop()


@pytest.mark.parametrize("size", [1 << 16, 1 << 18, 1 << 20, 1 << 22])
def test_large_messages_come_back(large_broker, encoding, size):
    echo = Echo(large_broker.address, encoding)
    echo.send(echo.pub_frame("L" * size))
    echo.expect("L" * size)
    echo.close()


@pytest.mark.parametrize("piece", [64, 1024, 65536])
def test_large_messages_come_back_from_fragments(large_broker, encoding, piece):
    echo = Echo(large_broker.address, encoding)
    payload = echo.pub("F" * (1 << 20))
    parts = [frame(CONTINUATION if at else echo.opcode, payload[at:at + piece],
                   fin=at + piece >= len(payload), mask=b"mask")
             for at in range(0, len(payload), piece)]
    echo.send(b"".join(parts))
    echo.expect("F" * (1 << 20))
    echo.close()


@pytest.mark.parametrize("length", [64 << 20, 1 << 62])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_frame_that_claims_more_than_the_limit_is_refused_before_it_came(
        large_broker, opcode, length):
    before = large_broker.rss_bytes()
    echo = Echo(large_broker.address, "json" if opcode == TEXT else "msgpack")
    head = bytes([0x80 | opcode, 0x80 | 127]) + length.to_bytes(8, "big") + b"mask"
    echo.send(head + b"x" * 100000)
    assert echo.read_close()[0] in (1009, 1002)
    echo.wait_gone()
    assert large_broker.rss_bytes() - before < 32 << 20
    echo.close()


def test_a_length_with_its_top_bit_set_is_refused(large_broker, encoding):
    echo = Echo(large_broker.address, encoding)
    echo.send(bytes([0x80 | echo.opcode, 0xFF]) + b"\xff" * 8 + b"mask" + b"x" * 1000)
    echo.expect_failed()
    echo.close()


# -- 10 segmentation

def test_a_conversation_byte_by_byte_is_understood(echo):
    echo.send_bytewise(echo.pub_frame("slow") + frame(PING, b"p"))
    frames = echo.control_frames_until(echo.opcode)
    if len(frames) == 1:
        assert echo.read_frame().payload == b"p"
    echo.send_bytewise(frame(CLOSE, close_payload(1000)))
    assert echo.read_close()[0] == 1000
    echo.wait_gone()


def test_thousands_of_small_messages_in_a_row_come_back(large_broker, encoding):
    echo = Echo(large_broker.address, encoding)
    for begin in range(0, 4000, 200):
        echo.send(b"".join(echo.pub_frame(n, mask=b"\1\2\3\4") for n in range(begin, begin + 200)))
        echo.expect(*range(begin, begin + 200))
    echo.close()
