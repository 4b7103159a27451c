"""`fantail demo`: this machine's own live figures, ten times a second, through the broker."""

import json

import pytest

from support.command import Command
from support.wait import until


@pytest.fixture
def demo(broker):
    """The feeder, publishing to the file's broker."""
    feeder = Command("demo", url=broker.ws_url)
    yield feeder
    feeder.stop()


def test_sub_sees_the_processor_figures(demo, broker, speech_of_sub):
    sub = Command(*speech_of_sub, "sub", "demo/+/cpu/#", "-C", "20", "-W", "20", "-v",
                  url=broker.ws_url)
    assert sub.wait(30) == 0, sub.errors + demo.errors
    assert len(sub.lines) == 20
    for line in sub.lines:
        topic, _, data = line.partition(" ")
        assert topic.startswith("demo/") and "/cpu/" in topic + "/"
        json.loads(data)


@pytest.fixture(params=[[], ["--msgpack"]], ids=["json", "msgpack"])
def speech_of_sub(request):
    """The option that chooses the encoding."""
    return request.param


def test_each_figure_has_a_topic_of_its_own_below_the_host(demo, broker, connect, encoding):
    client = connect(encoding)
    client.sub("demo/#")
    topics = set()
    kinds = {"cpu", "memory", "load", "net"}

    def all_kinds():
        topics.add(client.next_msg()["topic"])
        return kinds <= {t.split("/")[2] for t in topics if t.count("/") >= 2}

    until(all_kinds, f"figures of {kinds}, not only {topics}", 20)
    hosts = {t.split("/")[1] for t in topics}
    assert len(hosts) == 1, hosts
    assert len(topics) > 4


def test_it_publishes_ten_times_a_second(demo, broker, connect):
    client = connect("json")
    client.sub("demo/+/load")
    times = [client.next_msg()["at"] for _ in range(21)]
    assert 1500 < times[-1] - times[0] < 4000, times


def test_it_ends_well_when_interrupted(demo, connect):
    client = connect("json")
    client.sub("demo/+/load")
    client.next_msg()
    assert demo.interrupt() == 0


def test_counters_are_there_for_who_comes_late_and_come_again_when_they_move(demo, broker, connect, encoding):
    early = connect("json")
    early.sub("demo/+/load")
    early.next_msg()
    client = connect(encoding)
    client.sub("demo/+/kernel/#")
    seen = {}

    def many():
        message = client.next_msg()
        before = seen.setdefault(message["topic"], message)
        return len(seen) > 300 and before is not message and before["retained"]

    until(many, "hundreds of counters, of which one moves", 20)
    retained = [m for m in seen.values() if m.get("retained")]
    assert len(retained) > 300
    assert all(m["data"].keys() == {"value", "change"} for m in retained)
