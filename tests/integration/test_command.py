"""The command `fantail`: sub and pub, for people and for pipes."""

import json
import signal
import socket
import subprocess
import time

import pytest

from support.broker import environment, program, run
from support.client import b64
from support.command import Command
from support.wait import until

DONE, FAILED, USAGE, NO_BROKER, TIMED_OUT = 0, 1, 2, 3, 4


@pytest.fixture
def command(broker):
    """Starts `fantail` against the file's broker."""
    running = []

    def begin(*args, url=broker.ws_url, **kwargs):
        running.append(Command(*args, url=url, **kwargs))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture
def fantail(broker):
    """Runs `fantail` to its end."""
    def begin(*args, url=broker.ws_url, **kwargs):
        return run(*(["-s", url] if url else []), *args, name="fantail", **kwargs)
    return begin


@pytest.fixture(params=[[], ["--msgpack"]], ids=["json", "msgpack"])
def speech(request):
    """The option that chooses the encoding."""
    return request.param


# -- sub

@pytest.mark.parametrize("data, line", [
    ("plain text", "plain text"), ("", ""), ("é 😀", "é 😀"), (5, "5"), (1.5, "1.5"),
    (None, "null"), (True, "true"), ([1, "a"], '[1,"a"]'), ({"a": {"b": None}}, '{"a":{"b":null}}'),
    ("two\nlines", '"two\\nlines"'), ('"', '"'), ("true", "true"), ([], "[]"), ({}, "{}"),
])
def test_sub_prints_the_data_a_line_each(command, connect, topic, speech, data, line):
    sub = command(*speech, "sub", f"{topic}/#")
    publisher = connect("msgpack")
    sub.listening(publisher, topic)
    publisher.pub(f"{topic}/x", data)
    sub.expect_lines(line)
    assert sub.interrupt() == DONE
    assert sub.errors == ""


def test_sub_verbose_prints_the_topic_before_the_data(command, connect, topic, speech):
    sub = command(*speech, "sub", "-v", f"{topic}/#")
    publisher = connect("json")
    sub.listening(publisher, topic)
    publisher.pub(f"{topic}/a b", {"n": 1})
    publisher.pub(f"{topic}/c", "text")
    sub.expect_lines(f'{topic}/a b {{"n":1}}', f"{topic}/c text")
    assert sub.interrupt() == DONE


def test_sub_json_prints_each_delivery_whole(command, connect, topic, speech):
    sub = command(*speech, "sub", "--json", f"{topic}/#")
    publisher = connect("msgpack")
    sub.listening(publisher, topic)
    first = publisher.pub(f"{topic}/a", {"n": [1, None]})
    second = publisher.pub(f"{topic}/b", b"\x00\xff")
    until(lambda: len(sub.lines) >= 2, "two lines")
    got = [json.loads(line) for line in sub.lines]
    assert all(isinstance(each.pop("at"), int) for each in got)
    assert got == [
        {"op": "msg", "topic": f"{topic}/a", "data": {"n": [1, None]}, "pos": first},
        {"op": "msg", "topic": f"{topic}/b", "b64": b64(b"\x00\xff"), "pos": second},
    ]
    assert sub.interrupt() == DONE


def test_sub_raw_writes_the_bytes_and_nothing_else(command, connect, topic, speech):
    sub = command(*speech, "sub", "--raw", f"{topic}/#")
    publisher = connect("msgpack")
    sub.listening(publisher, topic)
    for data in (b"\x00\xff\n", "é\n", b"", b"end"):
        publisher.pub(f"{topic}/x", data)
    until(lambda: sub.out.endswith(b"end"), "the last bytes")
    assert bytes(sub.out) == b"\x00\xff\n" + "é\n".encode() + b"end"
    assert sub.interrupt() == DONE


def test_sub_prints_bytes_as_base64(command, connect, topic, speech):
    sub = command(*speech, "sub", topic)
    publisher = connect("msgpack")
    sub.listening(publisher, topic)
    publisher.pub(topic, b"\x00\xff")
    sub.expect_lines(b64(b"\x00\xff"))


def test_sub_takes_several_filters(command, connect, topic):
    sub = command("sub", f"{topic}/a", f"{topic}/b/#")
    publisher = connect("json")
    sub.listening(publisher, f"{topic}/a")
    for name in ("a", "c", "b/1", "b"):
        publisher.pub(f"{topic}/{name}", name)
    sub.expect_lines("a", "b/1", "b")


def test_sub_ends_after_the_count(command, connect, topic, speech):
    sub = command(*speech, "sub", topic, "-C", "3")
    publisher = connect("json")
    numbers = iter(range(100000))
    until(lambda: publisher.pub(topic, next(numbers)) and sub.process.poll() is not None, "its end")
    assert sub.wait() == DONE
    first = int(sub.lines[0])
    assert sub.lines == [str(first + n) for n in range(3)]


def test_sub_gives_up_waiting_with_its_own_exit_code(command, topic):
    began = time.monotonic()
    sub = command("sub", topic, "-C", "1", "-W", "0.5")
    assert sub.wait() == TIMED_OUT
    assert 0.4 < time.monotonic() - began < 10
    assert sub.out == b""


def test_sub_with_a_bad_filter_fails_and_says_which(fantail):
    result = fantail("sub", "a/#/b", "-W", "10")
    assert result.returncode in (FAILED, USAGE)
    assert "a/#/b" in result.stderr and result.stdout == ""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_sub_ends_well_when_asked_to(command, connect, topic, sign):
    sub = command("sub", topic)
    sub.listening(connect("json"), topic)
    sub.process.send_signal(sign)
    assert sub.wait() == DONE
    assert sub.errors == ""


def test_a_pipe_that_closes_ends_sub_quietly(broker, connect, topic):
    shell = subprocess.Popen(
        ["sh", "-c", '"$1" -s "$2" sub "$3" | head -n 2', "sh", program("fantail"), broker.ws_url,
         topic], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    publisher = connect("json")
    until(lambda: publisher.pub(topic, "line") and shell.poll() is not None, "the pipe's end")
    out, err = shell.communicate(timeout=10)
    assert out == b"line\nline\n" and err == b""


# -- pub

@pytest.mark.parametrize("text, data", [
    ("5", 5), ("1.50", 1.5), ("null", None), ("true", True), ('"quoted"', "quoted"),
    ('{"a": [1, 2]}', {"a": [1, 2]}), ("text", "text"), ("two words", "two words"), ("", ""),
    ("{not json", "{not json"), ("01", "01"), ("é", "é"), ("NaN", "NaN"), ("1 2", "1 2"),
])
def test_pub_sends_json_where_it_parses_else_a_string(fantail, connect, topic, speech, text, data):
    client = connect("json")
    client.sub(topic)
    result = fantail(*speech, "pub", topic, text)
    assert (result.returncode, result.stdout, result.stderr) == (DONE, "", "")
    assert client.next_msg()["data"] == data


def test_pub_does_not_alter_the_text_of_json(fantail, connect, topic):
    client = connect("json")
    client.sub(topic)
    text = '{"b": 1.10, "a": 12345678901234567890123}'
    assert fantail("pub", topic, text).returncode == DONE
    assert text.encode() in client.next_payload()


def test_pub_of_lines_publishes_each_line_of_stdin(fantail, connect, topic, speech):
    client = connect("json")
    client.sub(topic)
    lines = ["first", '{"n":2}', "", "4", "last without newline"]
    result = fantail(*speech, "pub", topic, "-l", stdin="\n".join(lines))
    assert result.returncode == DONE, result
    got = [client.next_msg()["data"] for _ in range(5)]
    assert got == ["first", {"n": 2}, "", 4, "last without newline"]


def test_pub_of_ten_thousand_lines_loses_none(fantail, connect, topic, speech):
    client = connect("json")
    client.sub(topic)
    lines = "".join(f"{n}\n" for n in range(10000))
    assert fantail(*speech, "pub", topic, "-l", stdin=lines).returncode == DONE
    assert [client.next_msg()["data"] for _ in range(10000)] == list(range(10000))


def test_pub_of_lines_publishes_while_the_pipe_is_open(command, connect, topic):
    client = connect("json")
    client.sub(topic)
    pub = command("pub", topic, "-l", stdin=True)
    for n in range(3):
        pub.process.stdin.write(b"%d\n" % n)
        pub.process.stdin.flush()
        assert client.next_msg()["data"] == n
    pub.process.stdin.close()
    assert pub.wait() == DONE


def test_pub_of_a_file(fantail, connect, topic, tmp_path, speech):
    client = connect("msgpack")
    client.sub(topic)
    for content, data in ((b'{"a": 1}\n', {"a": 1}), (b"\xff\x00\xfe", b"\xff\x00\xfe"),
                          (b"some text", "some text")):
        file = tmp_path / "data"
        file.write_bytes(content)
        assert fantail(*speech, "pub", topic, "-f", str(file)).returncode == DONE
        assert client.next_msg()["data"] == data


def test_pub_of_a_file_that_is_missing_fails(fantail, topic):
    result = fantail("pub", topic, "-f", "/nonexistent/file")
    assert result.returncode == FAILED and "/nonexistent/file" in result.stderr


def test_pub_repeats_by_count(fantail, connect, topic, speech):
    client = connect("json")
    client.sub(topic, "end")
    assert fantail(*speech, "pub", topic, "again", "--count", "25").returncode == DONE
    client.pub("end", 0)
    assert [m["data"] for m in client.msgs_until("end")] == ["again"] * 25


def test_pub_keeps_to_its_rate(fantail, connect, topic):
    began = time.monotonic()
    assert fantail("pub", topic, "x", "--count", "21", "--rate", "20").returncode == DONE
    assert 0.9 < time.monotonic() - began < 5


def test_pub_to_a_topic_of_the_brokers_fails_and_says_why(fantail, speech):
    result = fantail(*speech, "pub", "$sys/x", "1")
    assert result.returncode == FAILED and "403" in result.stderr and result.stdout == ""


def test_pub_to_a_bad_topic_fails_and_names_it(fantail):
    result = fantail("pub", "a/+", "1")
    assert result.returncode in (FAILED, USAGE) and "a/+" in result.stderr


def test_what_pub_could_not_say_in_both_encodings_is_a_string(fantail, connect, topic):
    client = connect("json")
    client.sub(topic)
    assert fantail("pub", topic, "1e999").returncode == DONE
    assert client.next_msg()["data"] == "1e999"


# -- both

@pytest.mark.parametrize("args", [
    [], ["nonsense"], ["sub"], ["pub"], ["pub", "topic"], ["sub", "--nonsense", "t"],
    ["sub", "t", "-C", "x"], ["sub", "t", "-C"], ["pub", "t", "a", "b"], ["pub", "t", "a", "-l"],
    ["sub", "t", "-W", "-1"], ["pub", "t", "a", "--rate", "0"], ["sub", "t", "-v", "--json"],
], ids=" ".join)
def test_a_wrong_command_line_is_a_usage_error(fantail, args):
    result = fantail(*args)
    assert result.returncode == USAGE, result
    assert result.stderr and result.stdout == ""


def test_a_wrong_url_is_a_usage_error(fantail):
    assert fantail("sub", "t", url="nonsense://x").returncode == USAGE


@pytest.mark.parametrize("args", [["--help"], ["sub", "--help"], ["pub", "--help"],
                                  ["history", "--help"]], ids=" ".join)
def test_help_is_on_stdout(fantail, args):
    result = fantail(*args, url=None)
    assert result.returncode == DONE and "usage" in result.stdout.lower() and result.stderr == ""


@pytest.mark.parametrize("args", [["sub", "t"], ["pub", "t", "1"], ["history", "t"]],
                         ids=" ".join)
def test_without_a_broker_it_says_so(fantail, args):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/ws"
        result = fantail(*args, url=url)
    assert result.returncode == NO_BROKER, result
    assert url in result.stderr and result.stdout == ""


def test_what_is_no_broker_is_no_connection(fantail, broker):
    result = fantail("sub", "t", "-W", "10", url=broker.ws_url + "/nothing")
    assert result.returncode == NO_BROKER and "404" in result.stderr


def test_the_url_may_come_from_the_environment(fantail, broker, connect, topic):
    client = connect("json")
    client.sub(topic)
    env = {"FANTAIL_URL": broker.ws_url}
    assert fantail("pub", topic, "1", url=None, env=env).returncode == DONE
    assert client.next_msg()["data"] == 1


def test_pub_and_sub_of_the_command_meet(command, fantail, connect, topic, speech):
    sub = command("sub", f"{topic}/#", "-v")
    sub.listening(connect("json"), topic)
    for n in range(5):
        assert fantail(*speech, "pub", f"{topic}/{n}", f'{{"n":{n}}}').returncode == DONE
    sub.expect_lines(*[f'{topic}/{n} {{"n":{n}}}' for n in range(5)])


@pytest.mark.deadline(90)
def test_sub_comes_back_after_the_broker_was_away(start, clients, workers, speech):
    first = start(workers=workers)
    sub = Command(*speech, "sub", "t/#", url=first.ws_url)
    try:
        sub.listening(clients(first), "t")
        first.stop()
        second = start(listen=(f"127.0.0.1:{first.port}",), workers=workers)
        publisher = clients(second)
        # the wait before a new attempt is random, up to 20 s
        until(lambda: publisher.pub("t/again", "back") and sub.lines, "it is back", 45)
        assert sub.lines[0] == "back"
        assert "again" in sub.errors
        assert sub.interrupt() == DONE
    finally:
        sub.stop()


def test_version_is_the_brokers(fantail):
    version = run("--version").stdout.split()[1]
    result = fantail("--version", url=None)
    assert result.returncode == DONE and version in result.stdout
