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
    client.sub("demo/#")
    topic = client.next_msg()["topic"]
    times = []
    while len(times) < 21:
        message = client.next_msg()
        if message["topic"] == topic:
            times.append(message["at"])
    assert 1500 < times[-1] - times[0] < 4000, times


def test_it_ends_well_when_interrupted(demo, connect):
    client = connect("json")
    client.sub("demo/#")
    client.next_msg()
    assert demo.interrupt() == 0
