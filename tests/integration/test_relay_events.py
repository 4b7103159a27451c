"""Event streams that hop between two nodes and break off in the middle of replays: the account stays even."""

import os

import pytest

from support.cluster_ledger import ClusterLedger

SOAK = os.environ.get("FANTAIL_SOAK") == "1"
RESUMES = 20000 if SOAK else 800
FILTERS = (["#"], ["e/+/a"], ["e/1/#", "e/4/b"], ["e/#"])
TOPICS = [f"e/{n}/{name}" for n in range(1, 9) for name in "ab"]


@pytest.mark.deadline(600 if SOAK else 120)
def test_event_streams_that_break_off_while_they_replay_get_everything_once(redis, start_node):
    nodes = [start_node(redis.url, f"node{n}") for n in (1, 2)]
    ledger = ClusterLedger([node.address for node in nodes])
    for n in range(3):
        ledger.publisher(("json", "msgpack")[n % 2], TOPICS[n:] + TOPICS[:n], at=n, rate=500)
    for n in range(12):
        # Most take a few events of a replay and leave, so that they are further in some streams than in others.
        ledger.event_reader(FILTERS[n % 4], at=n, haste=(3, 8, 40)[n % 3])
    ledger.subscribed()
    seconds = 0
    while sum(s.resumes for s in ledger.subscribers) < RESUMES:
        assert seconds < (400 if SOAK else 60), ledger.status()
        ledger.run(1)
        seconds += 1
    ledger.settle()
    wrong = ledger.account()
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert sum(s.unrecovered for s in ledger.subscribers) == 0, ledger.status()
    assert not any(s.gaps for s in ledger.subscribers), ledger.status()
    assert sum(s.repeated for s in ledger.subscribers) == 0, ledger.status()
    assert all(len(s.got) > 200 for s in ledger.subscribers)
    ledger.close()
