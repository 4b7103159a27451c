"""The usual people of a cluster under load, the policies of their topics, and how their account is closed."""

from .cluster_checks import check_history, check_presence, check_retained

GROUPS = range(1, 7)
NAMES = ("a", "b", "h", "r")
TOPICS = [f"f/{n}/{name}" for n in GROUPS for name in NAMES]
ROOM = "room/1"
KEPT = 8
RULES = {"f/+/h": {"history": KEPT}, "room/+": {"presence": "yes"}, "live/#": {"ephemeral": "yes"}}
FILTERS = (["f/1/a", ROOM], ["f/+/a", "f/3/#"], ["f/#"], ["#"], ["f/2/+", "f/1/b", ROOM])


def extras(topic):
    """What else a publication of a topic says."""
    return {"retain": True} if topic.endswith("r") else {}


def hire(ledger, haste=None, rate=300, lazy=False):
    """Publishers and subscribers of all kinds on all nodes; works until all of these are subscribed."""
    for n in range(4):
        kind = ledger.http_publisher if n == 3 else ledger.publisher
        encoding = () if n == 3 else (("json", "msgpack")[n % 2],)
        kind(*encoding, topics=TOPICS[5 * n:] + TOPICS[:5 * n], at=n, rate=rate, extras=extras)
    for n in range(10):
        ledger.subscriber(("json", "msgpack")[n % 2], FILTERS[n % 5], at=n % 3, haste=haste,
                          lazy=lazy and n % 4 == 1)
    for n in range(3):
        ledger.event_reader(FILTERS[n + 1], at=n, haste=haste, lazy=lazy and n == 1)
    ledger.subscribed()


def assert_even(ledger, nodes, seconds=60, least=200, presence_s=10):
    """All is answered and delivered, the account is even, and all nodes say the same. `presence_s` 0: they
    need not say yet who is present."""
    ledger.settle(seconds)
    wrong = ledger.account()
    assert not wrong, "\n".join(map(str, [*wrong[:20], ledger.status()]))
    assert len(ledger.entries) > least, ledger.status()
    check_history(nodes, ledger, [t for t in TOPICS if t.endswith("h")], kept=KEPT)
    check_history(nodes, ledger, [t for t in TOPICS if t.endswith("a")])
    check_retained(nodes, ledger, [t for t in TOPICS if t.endswith("r")])
    if presence_s:
        check_presence(nodes, ledger, ROOM, presence_s)
    ledger.close()


def assert_nothing_admitted(ledger):
    """Nobody was told that something is missing."""
    assert sum(s.unrecovered for s in ledger.subscribers) == 0, ledger.status()
    assert not any(s.gaps for s in ledger.subscribers), ledger.status()
