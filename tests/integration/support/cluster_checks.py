"""What every node of a cluster must answer alike when all is over: history, last values, presence."""

from .api import Api, value_of
from .client import Client
from .wait import until

LAST = 20  # publications of a topic that are asked for


def of_history(node, ledger, topic, last=LAST):
    """Returns [(place, value)] of a topic's history, as one node has it."""
    connection = Api(node.address)
    try:
        found = connection.get(f"/v1/history?topic={topic}&last={last}")["messages"]
    finally:
        connection.close()
    return [(ledger.place(each["pos"]), (*each["data"], topic)) for each in found]


def of_retained(node, ledger, topics):
    """Returns {topic: (place, value)} of the last values, as a new subscriber of one node gets them."""
    with Client(node.address) as client:
        client.ok({"op": "sub", "topics": list(topics)})
        found = {}
        for _ in topics:
            got = client.next_msg()
            assert got["retained"] is True, got
            found[got["topic"]] = ledger.place(got["pos"]), (*got["data"], got["topic"])
        return found


def of_presence(node, topic):
    """Returns who is present, as one node has it; None while it does not know."""
    connection = Api(node.address)
    try:
        response = connection.request(f"/v1/presence?topic={topic}")
    finally:
        connection.close()
    if response.status == 503:
        return None
    answer = value_of(response)
    assert answer["count"] == len(answer["clients"]), answer
    return sorted(each["session"] for each in answer["clients"])


def check_history(nodes, ledger, topics, kept=None):
    """Every node has the same history of each topic, and where Redis lost nothing it is the ledger's. `kept`:
    what the policy of these topics keeps."""
    for topic in topics:
        found = [of_history(node, ledger, topic) for node in nodes]
        if kept or ledger.is_faithful:
            assert all(each == found[0] for each in found), (topic, found)
        for each in found:
            streams = {}
            for (stream, offset), value in each:
                assert offset > streams.get(stream, 0), (topic, each)
                streams[stream] = offset
                place = stream, offset
                assert value in (ledger.entries.get(place), ledger.seen.get(place)), (place, value)
        if ledger.is_faithful:
            wanted = sorted(ledger.by_topic[topic], key=lambda place: place[1])[-(kept or LAST):]
            assert [place for place, _ in found[0]] == wanted, (topic, found[0], wanted)


def check_retained(nodes, ledger, topics):
    """Every node gives the same last values, and where Redis lost nothing they are the ledger's."""
    topics = [topic for topic in topics if ledger.by_topic[topic]]
    found = [of_retained(node, ledger, topics) for node in nodes]
    assert all(each == found[0] for each in found), found
    for topic, (place, value) in found[0].items():
        assert value in (ledger.entries.get(place), ledger.seen.get(place)), (place, value)
        if ledger.is_faithful:
            assert place == max(ledger.by_topic[topic], key=lambda each: each[1]), (topic, place)


def check_presence(nodes, ledger, topic, seconds=10):
    """Every node says that those sessions are present which are."""
    def is_right():
        ledger.run(0.3)
        wanted = sorted(s.session for s in ledger.subscribers if topic in s.filters)
        return all(of_presence(node, topic) == wanted for node in nodes)

    until(is_right, "presence is the same everywhere", seconds)
