"""`fantail bench`: that its rows run, and that it believes no broker what it cannot count itself."""

import json
import os
import shutil
from pathlib import Path

import pytest

from support.broker import program, run

LIAR = str(Path(__file__).parent / "support" / "lying_broker.py")
QUICK = ["--rounds", "1", "--seconds", "0.1"]
ROW_S = 50  # a row with 2,000 sanitized connections takes 5 s on a busy machine

DONE, FAILED, USAGE = 0, 1, 2


def bench(*args, broker=None, **kwargs):
    return run("bench", "--fantaild", broker or program("fantaild"), *QUICK, *args,
               name="fantail", timeout=ROW_S, **kwargs)


@pytest.mark.parametrize("speech", [[], ["--msgpack"]], ids=["json", "msgpack"])
@pytest.mark.parametrize("row, figures", [
    ("fanout-1", 1), ("fanout-32", 1), ("fanout-1k", 1), ("pairs-1000", 1), ("pairs-10", 1),
    ("rate", 3), ("flat", 8),
])
def test_a_row_sets_each_figure_beside_the_floor(row, figures, speech):
    done = bench("--json", *speech, row)
    assert done.returncode == DONE, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == figures
    for figure in found:
        assert figure["beside"] == "floor" and 0 < figure["busy"] <= 1.1
        assert figure["broker"] > 0 and figure["baseline"] > 0


@pytest.mark.parametrize("speech", [[], ["--msgpack"]], ids=["json", "msgpack"])
@pytest.mark.parametrize("row, beside", [
    ("parked", ["all read"]),
    ("resume", ["fan-out", "fan-out", ""]),
    ("resume-own", ["fan-out", "fan-out", ""]),
    ("resume-100", ["fan-out", "fan-out", ""]),
    ("resume-live", ["without", "without", "without", ""]),
])
def test_a_row_sets_the_broker_beside_itself(row, beside, speech):
    done = bench("--json", *speech, row)
    assert done.returncode == DONE, done.stderr
    found = json.loads(done.stdout)
    assert [figure["beside"] for figure in found] == beside
    for figure in found:
        assert figure["broker"] > 0
        assert (figure["baseline"] or 0) > 0 if figure["beside"] else figure["ratio"] is None


@pytest.mark.parametrize("speech", [[], ["--msgpack"]], ids=["json", "msgpack"])
def test_a_resume_of_nothing_is_set_beside_a_plain_sub(speech):
    done = bench("--json", *speech, "resume-none")
    assert done.returncode == DONE, done.stderr  # every resume said that it recovered
    found = json.loads(done.stdout)
    assert [figure["beside"] for figure in found] == ["plain sub", "plain sub"]
    for figure in found:
        assert figure["broker"] > 0 and figure["baseline"] > 0


def test_event_streams_are_set_beside_websockets():
    done = bench("--json", "events")
    assert done.returncode == DONE, done.stderr
    found = json.loads(done.stdout)
    assert [figure["beside"] for figure in found] == ["WebSocket", "WebSocket"]
    for figure in found:
        assert figure["broker"] > 0 and figure["baseline"] > 0


@pytest.mark.skipif(not (shutil.which("wrk") and shutil.which("nginx")),
                    reason="wrk and nginx are installed by `make bench`")
@pytest.mark.parametrize("row, what", [
    ("http-publish", ["requests/s", "CPU s/M publications"] * 2),
    ("http-batch", ["publications/s", "CPU s/M publications"]),
])
def test_publishing_over_http_is_set_beside_nginx(row, what, tmp_path):
    done = bench("--json", row, env={"TMPDIR": str(tmp_path)})
    assert done.returncode == DONE, done.stderr
    found = json.loads(done.stdout)
    assert [figure["figure"] for figure in found] == what
    for figure in found:
        assert figure["beside"] == "nginx 204"
        assert figure["broker"] > 0 and figure["baseline"] > 0
    assert not any(tmp_path.iterdir())  # where nginx and wrk had their files


REDIS = pytest.mark.skipif(not (shutil.which("redis-server") and shutil.which("redis-benchmark")),
                           reason="Redis is installed by `make bench`")


@REDIS
@pytest.mark.parametrize("speech", [[], ["--msgpack"]], ids=["json", "msgpack"])
@pytest.mark.parametrize("row, beside", [
    ("relay-latency", ["PUBLISH"] * 2),
    ("relay-ephemeral", ["PUBLISH -P 16", ""]),
    ("relay-receive", ["bare reader"] * 4),
    ("relay-heal", ["XREVRANGE", "", ""]),
])
def test_a_cluster_is_set_beside_its_redis(row, beside, speech, tmp_path):
    done = bench("--json", *speech, row, env={"TMPDIR": str(tmp_path)})
    assert done.returncode == DONE, done.stderr
    found = json.loads(done.stdout)
    assert [figure["beside"] for figure in found] == beside
    for figure in found:
        # Of those two there may be none: less than nothing, where the machine is noisy.
        assert figure["broker"] > 0 or figure["figure"] in ("% dropped", "busy: us later")
        assert (figure["baseline"] or 0) > 0 if figure["beside"] else figure["ratio"] is None
    assert not any(tmp_path.iterdir())  # where Redis had its files


@REDIS
def test_publishing_to_redis_is_set_beside_the_same_script(tmp_path):
    done = bench("--json", "relay-flat", env={"TMPDIR": str(tmp_path)})
    assert done.returncode == DONE, done.stderr
    one, batch, many = json.loads(done.stdout)
    assert one["beside"] == "script -P 16" and one["target_kind"] == "ratio at least"
    assert many["beside"] == f"script x {int(batch['broker'])}" and many["target_kind"] == "none"
    assert one["baseline"] > 0 and many["baseline"] > one["baseline"]  # a batch costs less


@REDIS
@pytest.mark.parametrize("row", ["relay-latency", "relay-flat", "relay-receive"])
def test_a_broker_that_is_no_node_fails_the_run(row):
    """It is as quick as it likes: what it accepts does not come to Redis, nor from there."""
    done = bench(row, broker=LIAR)
    assert done.returncode == FAILED
    assert f"{row} failed: " in done.stderr


def test_without_redis_its_rows_are_left_out(tmp_path):
    done = bench("--json", "relay-latency", "relay-flat", "relay-ephemeral", "relay-receive",
                 "relay-heal", env={"PATH": str(tmp_path)})
    assert done.returncode == DONE, done.stderr
    assert json.loads(done.stdout) == [] and done.stderr.count("there is no redis-server") == 5


NGINX = """#!/usr/bin/python3
import re, signal, socket, sys
with open(sys.argv[2] + "/nginx.conf") as conf:
    port = int(re.search("127.0.0.1:([0-9]+)", conf.read())[1])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", port))
listener.listen()
signal.pause()
"""
REPORT = "  10 requests in 1.00s, 2.0KB read\n"
RATE = "Requests/sec:     10.00\n"


@pytest.mark.parametrize("report, said", [
    (REPORT + RATE, "10 requests were answered, and 0 publications accepted"),
    (REPORT + "  Non-2xx or 3xx responses: 3\n" + RATE, "3 requests were refused"),
    (REPORT + "  Socket errors: connect 0, read 2, write 0, timeout 0\n" + RATE, "read 2"),
    ("hello\n", "wrk has no answers to report"),
])
def test_http_that_is_not_as_it_was_answered_fails_the_run(report, said, tmp_path):
    """With programs in the place of wrk and nginx: the one only reports, the other only listens."""
    for name, text in [("wrk", f"#!/bin/sh\ncat <<'.'\n{report}.\n"), ("nginx", NGINX)]:
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = bench("http-batch", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == FAILED
    assert "http-batch failed" in done.stderr and said in done.stderr


def test_without_wrk_and_nginx_their_rows_are_left_out(tmp_path):
    done = bench("--json", "http-publish", "http-batch", env={"PATH": str(tmp_path)})
    assert done.returncode == DONE, done.stderr
    assert json.loads(done.stdout) == [] and done.stderr.count("there is no wrk") == 2


@pytest.mark.parametrize("seconds", ["0.2", "1"])  # everything is kept; a part of it is
def test_readers_that_did_not_read_get_what_is_kept(seconds):
    done = bench("--json", "--seconds", seconds, "park")
    assert done.returncode == DONE, done.stderr
    assert [(figure["figure"], figure["beside"]) for figure in json.loads(done.stdout)] == [
        ("others' p50 us", "without"), ("others' p99 us", "without"), ("RSS MB grown", "without"),
        ("read again: CPU s/M", "")]


def test_the_table_has_a_line_for_each_figure():
    done = bench("fanout-1k", "pairs-10")
    assert done.returncode == DONE, done.stderr
    head, *lines = done.stdout.splitlines()
    assert "broker" in head and "beside" in head and len(lines) == 2
    assert all("floor" in line for line in lines)
    assert all("CPU s/M deliveries" in line and " x " in line for line in lines)


@pytest.mark.parametrize("row", ["fanout-1k", "flat"])
def test_another_broker_can_take_the_place_of_the_floor(row):
    done = bench("--json", "--other", program("fantaild"), row)
    assert done.returncode == DONE, done.stderr
    for figure in json.loads(done.stdout):
        assert figure["beside"] == "other" and figure["target_kind"] == "none"
        assert figure["broker"] > 0 and figure["baseline"] > 0


@pytest.mark.parametrize("row", ["fanout-1k", "resume", "events"])
def test_a_broker_that_tells_the_truth_passes(row):
    done = bench(row, broker=LIAR)
    assert done.returncode == DONE, done.stderr


@pytest.mark.parametrize("lie, said", [
    ("lose", "got sequence 20 where 19 comes next: lost"),
    ("double", "got sequence 19 where 20 comes next: doubled"),
    ("swap", "got sequence 20 where 19 comes next"),
    ("refuse", '"error": no more'),
    ("close", "closed with code 4508"),
])
def test_a_broker_that_lies_fails_the_run(lie, said):
    done = bench("fanout-1k", broker=LIAR, env={"LIE": lie})
    assert done.returncode == FAILED
    assert "fanout-1k failed: broker: connection" in done.stderr and said in done.stderr


@pytest.mark.parametrize("lie, said", [
    ("skip", "got sequence 6 where 5 comes next: lost"),
    ("repeat", "got sequence 4 where 5 comes next: doubled"),
    ("gap", 'got "gap"'),
    ("early", "got sequence 0 before its ok"),
    ("unrecovered", 'was not resumed: its ok has "recovered":false'),
    ("silent", 'was not resumed: its ok has no "recovered"'),
])
def test_a_broker_that_lies_to_those_who_resume_fails_the_run(lie, said):
    done = bench("resume", broker=LIAR, env={"LIE": lie})
    assert done.returncode == FAILED
    assert "resume failed: broker: connection" in done.stderr and said in done.stderr


@pytest.mark.parametrize("lie, said", [
    # The row begins one at a time. What is missing then is missed; in a burst, it is what comes next.
    ("lose", "got sequence 20 where 19 comes next: lost|1000 arrivals are missing"),
    ("double", "got sequence 19 where 20 comes next: doubled"),
    ("swap", "got sequence 20 where 19 comes next|1000 arrivals are missing"),
    ("misname", "got an event whose id is not its position"),
    ("babble", "got a line that no event has"),
])
def test_a_broker_that_lies_to_streams_of_events_fails_the_run(lie, said):
    done = bench("events", broker=LIAR, env={"LIE": lie})
    assert done.returncode == FAILED
    assert "events failed: broker: " in done.stderr
    assert any(each in done.stderr for each in said.split("|")), done.stderr


@pytest.mark.parametrize("broker, said", [
    ("/nowhere/fantaild", "cannot run /nowhere/fantaild: No such file"),
    ("/bin/true", "/bin/true ended before it said that it is ready"),
])
def test_a_broker_that_does_not_start_is_named(broker, said):
    done = bench("fanout-1k", broker=broker)
    assert done.returncode == FAILED
    assert said in done.stderr


@pytest.mark.parametrize("arguments, said", [
    (["--rounds", "0"], '--rounds cannot be "0": it is a number from 1 to 25'),
    (["--seconds", "soon"], '--seconds cannot be "soon": it is a number from 0.05 to 60'),
    (["fan"], 'a row cannot be "fan": --list shows the rows'),
])
def test_a_wrong_argument_is_named_with_what_would_be_right(arguments, said):
    done = bench(*arguments)
    assert done.returncode == USAGE
    assert said in done.stderr
