"""The command `fantail` where connections break and scripts stop: nothing lost, nothing twice."""

import json
import random
import re
import select
import signal
import subprocess

import pytest

from support.broker import environment, program, run
from support.client import b64, position
from support.command import Command
from support.relay import Relay
from support.wait import until

DONE, FAILED, USAGE, NO_BROKER, TIMED_OUT = 0, 1, 2, 3, 4
MISSED = "may be missing"
WHOLE = "nothing was missed"


@pytest.fixture
def command(broker):
    """Starts `fantail` against the file's broker."""
    running = []

    def begin(*args, url=broker.ws_url, **kwargs):
        running.append(Command(*map(str, args), url=url, **kwargs))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture
def fantail(broker):
    """Runs `fantail` to its end, which must be a good one, and returns its output."""
    def begin(*args, url=broker.ws_url, code=DONE, **kwargs):
        result = run("-s", url, *map(str, args), name="fantail", **kwargs)
        assert result.returncode == code, result
        return result
    return begin


@pytest.fixture
def relay(broker):
    """A relay in front of the file's broker."""
    between = Relay(broker.address)
    yield between
    between.stop()


@pytest.fixture(params=[[], ["--msgpack"]], ids=["json", "msgpack"])
def speech(request):
    """The option that chooses the encoding."""
    return request.param


def numbers(sub):
    """The numbers that a `sub` has printed."""
    return [int(line) for line in sub.lines]


# -- where to begin

def test_since_prints_what_came_after_the_position_and_then_what_comes(command, connect, topic,
                                                                       speech):
    publisher = connect("json")
    positions = [publisher.pub(f"{topic}/{n % 3}", n) for n in range(10)]
    sub = command(*speech, "sub", f"{topic}/#", "--since", positions[3])
    until(lambda: len(sub.lines) >= 6, "six lines")
    publisher.pub(f"{topic}/x", 10)
    sub.expect_lines(*[str(n) for n in range(4, 11)])
    assert sub.interrupt() == DONE
    assert sub.errors == ""


def test_since_a_stream_that_is_gone_says_so_and_goes_on_live(command, connect, topic, speech):
    publisher = connect("json")
    publisher.pub(topic, "before")
    sub = command(*speech, "sub", topic, "--since", "gone.5")
    until(lambda: MISSED in sub.errors, "the warning")
    publisher.pub(topic, "after")
    sub.expect_lines("after")
    assert sub.interrupt() == DONE


def test_last_prints_the_latest_of_each_topic_and_then_what_comes(command, connect, topic, speech):
    publisher = connect("json")
    for n in range(6):
        publisher.pub(f"{topic}/{n % 2}", n)
    sub = command(*speech, "sub", f"{topic}/#", "--last", 2)
    until(lambda: len(sub.lines) >= 4, "four lines")
    publisher.pub(f"{topic}/0", 6)
    sub.expect_lines("2", "3", "4", "5", "6")


def test_every_prints_the_first_and_the_last_of_a_burst(command, connect, topic, speech):
    publisher = connect("json")
    sub = command(*speech, "sub", topic, "--every", 400)
    sub.listening(publisher, topic)
    for n in range(500):
        publisher.pub(topic, n)
    until(lambda: "499" in sub.lines, "the last one")
    assert len(sub.lines) < 100
    assert numbers(sub) == sorted(set(numbers(sub)))


# -- retained, ttl, key

def test_a_retained_value_is_there_for_who_comes_later(fantail, command, topic, speech):
    fantail(*speech, "pub", topic, '{"n":1}', "--retain")
    fantail(*speech, "pub", topic, '{"n":2}', "--retain")
    fantail(*speech, "pub", topic, '{"n":3}')
    verbose = command(*speech, "sub", "-v", f"{topic}/#")
    verbose.expect_lines(f'[retained] {topic} {{"n":2}}')
    whole = command(*speech, "sub", "--json", topic)
    until(lambda: whole.lines, "the last value")
    got = json.loads(whole.lines[0])
    assert (got["topic"], got["data"], got["retained"]) == (topic, {"n": 2}, True)
    fantail(*speech, "pub", topic, "null", "--retain")
    until(lambda: len(verbose.lines) == 2, "the null")
    assert verbose.lines[1] == f"{topic} null"
    later = command(*speech, "sub", "-v", topic)
    until(lambda: fantail("pub", topic, "again") and later.lines, "news")
    assert later.lines[0] == f"{topic} again"


def test_ttl_bounds_how_long_it_is_kept(fantail, topic, speech):
    fantail(*speech, "pub", topic, "short", "--ttl", "1", "--retain")
    fantail(*speech, "pub", topic, "long", "--ttl", "3600")
    until(lambda: fantail("history", topic).stdout == "long\n", "only one is left")
    assert fantail("sub", topic, "-W", "0.2").stdout == ""


def test_a_key_is_taken_once(fantail, connect, topic, speech):
    client = connect("json")
    client.sub(topic, "end")
    for _ in range(3):
        fantail(*speech, "pub", topic, "once", "--key", "k")
    fantail(*speech, "pub", topic, "other", "--key", "another")
    client.pub("end", 0)
    assert [m["data"] for m in client.msgs_until("end")] == ["once", "other"]


def test_a_key_over_lines_makes_repeating_safe(fantail, connect, topic, speech):
    client = connect("json")
    client.sub(topic, "end")
    fantail(*speech, "pub", topic, "-l", "--key", "k", stdin="0\n1\n2\n")
    fantail(*speech, "pub", topic, "-l", "--key", "k", stdin="0\n1\n2\n3\n")
    fantail(*speech, "pub", topic, "x", "--count", 3, "--key", "c")
    fantail(*speech, "pub", topic, "x", "--count", 4, "--key", "c")
    client.pub("end", 0)
    assert [m["data"] for m in client.msgs_until("end")] == [0, 1, 2, 3] + ["x"] * 4


# -- history

@pytest.fixture
def past(connect, topic):
    """A topic with a past: its publications and their positions, beside those of another topic."""
    publisher = connect("msgpack")
    data = ["text", {"n": [1]}, b"\x00\xff", "two\nlines", 5]
    positions = []
    for each in data:
        positions.append(publisher.pub(topic, each))
        publisher.pub(f"{topic}/other", "other")
    return positions


def test_history_prints_what_is_kept_oldest_first(fantail, topic, past, speech):
    lines = ["text", '{"n":[1]}', b64(b"\x00\xff"), '"two\\nlines"', "5"]
    assert fantail(*speech, "history", topic).stdout.splitlines() == lines
    assert fantail(*speech, "history", topic, "--last", 2).stdout.splitlines() == lines[3:]
    since = fantail(*speech, "history", topic, "--since", past[0], "--limit", 2)
    assert since.stdout.splitlines() == lines[1:3] and since.stderr == ""
    assert fantail(*speech, "history", topic, "--since", past[4]).stdout == ""
    verbose = fantail(*speech, "history", "-v", topic).stdout.splitlines()
    assert verbose == [f"{topic} {line}" for line in lines]


def test_history_prints_for_programs(fantail, topic, past, speech):
    whole = [json.loads(line)
             for line in fantail(*speech, "history", "--json", topic).stdout.splitlines()]
    assert all(isinstance(each.pop("at"), int) for each in whole)
    assert whole[0] == {"op": "msg", "topic": topic, "data": "text", "pos": past[0]}
    assert whole[2] == {"op": "msg", "topic": topic, "b64": b64(b"\x00\xff"), "pos": past[2]}
    assert fantail(*speech, "history", "--raw", topic, "--last", 2).stdout == "two\nlines5"


def test_history_of_a_topic_without_one_is_empty(fantail, topic, speech):
    result = fantail(*speech, "history", topic)
    assert (result.stdout, result.stderr) == ("", "")


def test_history_since_a_stream_that_is_gone_says_so(fantail, topic, past, speech):
    result = fantail(*speech, "history", topic, "--since", "gone.5")
    assert MISSED in result.stderr and len(result.stdout.splitlines()) == 5


def test_history_of_a_thousand_publications(fantail, connect, topic, speech):
    fantail(*speech, "pub", topic, "-l", stdin="".join(f"{n}\n" for n in range(1500)))
    lines = fantail(*speech, "history", topic, "--last", 1000).stdout.splitlines()
    assert lines == [str(n) for n in range(500, 1500)]
    assert len(fantail(*speech, "history", topic).stdout.splitlines()) == 100


@pytest.mark.parametrize("args", [
    ["sub", "t", "--since", "no position"], ["sub", "t", "--since"],
    ["sub", "t", "--since", "n.1", "--last", "1"], ["sub", "t", "--last", "0"],
    ["sub", "t", "--since", "n.1", "--resume", "f"], ["sub", "t", "--every", "3600001"],
    ["sub", "t", "--last", "4294967296"],
    ["history"], ["history", "t/#"], ["history", "a", "b"], ["history", "t", "-v", "--json"],
    ["history", "t", "--limit", "1"], ["history", "t", "--last", "1", "--since", "n.1"],
    ["history", "t", "--since", "x"], ["pub", "t", "x", "--key", ""], ["pub", "t", "x", "--ttl", "0"],
    ["pub", "t", "x", "--key", "k" * 129], ["pub", "t", "-l", "--key", "k" * 108],
], ids=" ".join)
def test_a_wrong_command_line_is_a_usage_error(fantail, args):
    result = fantail(*args, code=USAGE)
    assert result.stderr and result.stdout == ""


# -- breaks

@pytest.mark.deadline(120)
def test_a_cut_connection_loses_doubles_and_reorders_nothing(command, connect, relay, topic,
                                                              speech):
    total, cuts, dice = 6000, 4, random.Random(7)
    sub = command(*speech, "sub", f"{topic}/#", url=relay.ws_url)
    sub.listening(connect("json"), f"{topic}/x")
    pub = command("pub", f"{topic}/x", "-l", "--rate", "1500", stdin=True)
    pub.process.stdin.write("".join(f"{n}\n" for n in range(total)).encode())
    pub.process.stdin.close()
    for cut in range(cuts):
        seen = len(sub.lines) + dice.randrange(1, 400)
        until(lambda: len(sub.lines) >= min(seen, total), "more lines")
        relay.cut()
        until(lambda: sub.errors.count("trying again") > cut, "it has noticed")
        relay.restore()
        until(lambda: sub.errors.count(WHOLE) > cut, "it is back", 60)
    assert pub.wait(60) == DONE
    until(lambda: len(sub.lines) >= total, "everything", 60)
    assert numbers(sub) == list(range(total))
    assert MISSED not in sub.errors and "gap" not in sub.errors
    assert sub.errors.count(WHOLE) == cuts
    assert sub.interrupt() == DONE


@pytest.mark.deadline(90)
def test_what_a_break_was_too_long_for_is_reported_and_the_rest_comes(start, clients, speech,
                                                                      workers):
    broker = start({"journal.size": "1m"}, workers=workers)
    relay = Relay(broker.address)
    sub = Command(*speech, "sub", "t", url=relay.ws_url)
    try:
        publisher = clients(broker)
        sub.listening(publisher, "t")
        relay.cut()
        until(lambda: "trying again" in sub.errors, "it has noticed")
        for n in range(60):
            publisher.pub("t", f"{n} {'x' * 40000}")
        relay.restore()
        until(lambda: any(line.startswith("59 ") for line in sub.lines), "it has caught up", 60)
        got = [int(line.split()[0]) for line in sub.lines]
        assert got == list(range(got[0], 60)) and 0 < got[0] < 59
        assert MISSED in sub.errors and WHOLE not in sub.errors
        assert sub.interrupt() == DONE
    finally:
        sub.stop()
        relay.stop()


@pytest.mark.deadline(90)
def test_a_reader_that_was_too_slow_is_told_how_much_is_missing(start, clients, workers, speech):
    broker = start({"journal.size": "1m", "limits.queue": "128k"}, workers=workers)
    sub = subprocess.Popen([program("fantail"), "-s", broker.ws_url, *speech, "sub", "t"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    try:
        publisher = clients(broker)
        until(lambda: publisher.pub("t", "0") and select.select([sub.stdout], [], [], 0)[0],
              "it listens")
        count = 600  # of 50,000 bytes: more than a pipe, two sockets and the queue hold
        for n in range(count):
            publisher.pub("t", f"{n} {'x' * 50000}")
        publisher.pub("t", "end")
        lines = iter(sub.stdout.readline, b"end\n")
        got = [int(line.split()[0]) for line in lines if b"x" in line]
        sub.send_signal(signal.SIGINT)
        errors = sub.communicate(timeout=20)[1].decode()
        assert sub.returncode == DONE
        lost = [int(n) for n in re.findall(r"gap: (\d+) publications are missing", errors)]
        assert got == sorted(set(got)) and len(lost) == 1, errors
        assert len(got) + lost[0] == count
    finally:
        sub.kill()
        sub.wait()


@pytest.mark.deadline(120)
def test_a_broker_that_died_is_reported_and_its_new_life_is_followed(start, clients, workers,
                                                                     speech):
    first = start(workers=workers)
    relay = Relay(first.address)
    sub = Command(*speech, "sub", "t/#", url=relay.ws_url)
    try:
        publisher = clients(first)
        sub.listening(publisher, "t")
        publisher.pub("t/1", "first life")
        sub.expect_lines("first life")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        second = start(listen=(f"127.0.0.1:{first.port}",), workers=workers)
        publisher = clients(second)
        publisher.pub("t/2", "published meanwhile")
        until(lambda: MISSED in sub.errors, "it says that it cannot know", 45)
        publisher.pub("t/3", "second life")
        until(lambda: "second life" in sub.lines, "it goes on")
        assert WHOLE not in sub.errors
        relay.cut()
        publisher.pub("t/4", "behind its back")
        relay.restore()
        until(lambda: WHOLE in sub.errors, "the new stream can be resumed", 45)
        until(lambda: sub.lines[-1] == "behind its back", "what it has missed")
        assert sub.lines[0] == "first life" and sub.lines.count("second life") == 1
        assert sub.interrupt() == DONE
    finally:
        sub.stop()
        relay.stop()
        _forget_killed(start, first)


def _forget_killed(start, broker):
    """A broker that a test has killed owes no good end."""
    broker.process.returncode = 0


# -- scripts

def resumed(command, place, topic, *args):
    return command("sub", f"{topic}/#", "--resume", place, *args)


@pytest.mark.deadline(120)
def test_a_script_that_is_interrupted_gets_each_publication_once(command, connect, topic, tmp_path,
                                                                 speech):
    total, place, dice = 4000, tmp_path / "place", random.Random(11)
    sub = resumed(command, place, topic, *speech)
    until(place.exists, "its first position")
    pub = command("pub", f"{topic}/x", "-l", "--rate", "1000", stdin=True)
    pub.process.stdin.write("".join(f"{n}\n" for n in range(total)).encode())
    pub.process.stdin.close()
    got, runs = [], 0
    while True:
        wanted = min(dice.randrange(1, 500), total - len(got))
        until(lambda: len(sub.lines) >= wanted, f"{wanted} lines in run {runs}", 30)
        sub.process.send_signal(dice.choice([signal.SIGINT, signal.SIGTERM]))
        assert sub.wait() == DONE
        assert sub.errors == ""
        got += numbers(sub)
        runs += 1
        if len(got) >= total:
            break
        sub = resumed(command, place, topic, *speech)
    assert got == list(range(total)) and runs > 5
    assert pub.wait(60) == DONE
    assert [each.name for each in tmp_path.iterdir()] == ["place"]


def test_a_script_that_takes_a_few_at_a_time_gets_each_publication_once(fantail, connect, topic,
                                                                        tmp_path, speech):
    place, publisher = tmp_path / "place", connect("json")
    assert fantail(*speech, "sub", topic, "--resume", place, "-W", "0.5").stdout == ""
    assert position(place.read_text().rstrip("\n"))
    for n in range(100):
        publisher.pub(topic, n)
    got = []
    for count in (1, 2, 7, 30, 60):
        result = fantail(*speech, "sub", topic, "--resume", place, "-C", count)
        assert result.stderr == ""
        got += result.stdout.split()
    assert got == [str(n) for n in range(100)]
    assert fantail(*speech, "sub", topic, "--resume", place, "-W", "0.3").stdout == ""


def test_a_script_that_is_killed_loses_nothing(command, connect, topic, tmp_path):
    place, dice = tmp_path / "place", random.Random(3)
    sub = resumed(command, place, topic)
    until(place.exists, "its first position")
    publisher = connect("json")
    got, published = [], 0
    for _ in range(4):
        for _ in range(dice.randrange(50, 300)):
            publisher.pub(f"{topic}/x", published)
            published += 1
        until(lambda: sub.lines and numbers(sub)[-1] == published - 1, "all that is published")
        sub.process.kill()
        sub.process.wait()
        for reader in sub.readers:
            reader.join()
        got.append(numbers(sub))
        sub = resumed(command, place, topic)
    publisher.pub(f"{topic}/x", published)
    until(lambda: sub.lines and numbers(sub)[-1] == published, "the end")
    assert sub.interrupt() == DONE
    got.append(numbers(sub))
    for run_before, run_after in zip(got, got[1:]):
        assert run_after[0] <= run_before[-1] + 1, "something is missing between two runs"
    for each in got:
        assert each == list(range(each[0], each[-1] + 1))
    assert got[0][0] == 0


def test_a_file_from_another_life_of_the_broker_is_reported_and_renewed(fantail, connect, topic,
                                                                        tmp_path, speech):
    place = tmp_path / "place"
    place.write_text("another-life.7\n")
    result = fantail(*speech, "sub", topic, "--resume", place, "-W", "0.5")
    assert MISSED in result.stderr and result.stdout == ""
    connect("json").pub(topic, "news")
    result = fantail(*speech, "sub", topic, "--resume", place, "-C", "1")
    assert (result.stdout, result.stderr) == ("news\n", "")


def test_a_first_run_may_begin_with_the_past(fantail, connect, topic, tmp_path):
    place, publisher = tmp_path / "place", connect("json")
    for n in range(5):
        publisher.pub(topic, n)
    arguments = "sub", topic, "--resume", place, "--last", 2, "-W", "0.5"
    assert fantail(*arguments).stdout.split() == ["3", "4"]
    publisher.pub(topic, 5)
    assert fantail(*arguments).stdout.split() == ["5"]


def test_what_was_not_written_does_not_count(broker, fantail, connect, topic, tmp_path):
    place, publisher = tmp_path / "place", connect("json")
    fantail("sub", topic, "--resume", place, "-W", "0.3")
    for n in range(3):
        publisher.pub(topic, n)
    with open("/dev/full", "wb") as full:
        failed = subprocess.run(
            [program("fantail"), "-s", broker.ws_url, "sub", topic, "--resume", str(place)],
            stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=20, check=False)
    assert failed.returncode == FAILED and b"No space" in failed.stderr
    again = fantail("sub", topic, "--resume", place, "-C", 3)
    assert again.stdout.split() == ["0", "1", "2"]


def test_a_file_that_is_none_of_positions_is_left_alone(fantail, topic, tmp_path):
    place = tmp_path / "notes"
    place.write_text("buy milk\n")
    result = fantail("sub", topic, "--resume", place, code=FAILED)
    assert "buy milk" in result.stderr and place.read_text() == "buy milk\n"


def test_a_place_that_cannot_be_written_ends_with_an_error(fantail, topic, tmp_path):
    result = fantail("sub", topic, "--resume", tmp_path / "no" / "such" / "folder", code=FAILED)
    assert "No such file" in result.stderr
