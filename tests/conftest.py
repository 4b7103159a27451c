"""Fixtures of the black-box tests. Each test has a deadline; each broker is judged when it ends."""

import itertools
import os
import signal

import pytest

from support.api import Api
from support.broker import Broker
from support.client import Client
from support.cluster import Node
from support.events import Events
from support.raw import RawClient
from support.redis import Redis

TEST_S = 60  # far above the slowest test: what hangs should say where it hangs

# Tests that are handed to a process at a time, and which part of all, from the first, one by one.
PIECE = 20
ONE_BY_ONE = 0.05

_numbers = itertools.count(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Has those begin first that take seconds, so that in the end no process waits for another's."""
    items.sort(key=lambda item: not any(map(item.get_closest_marker, ("slow", "deadline"))))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hands out few tests at a time: xdist's own way gives each process hundreds to begin with."""
    from xdist.scheduler import LoadScheduling

    class Pieces(LoadScheduling):
        def schedule(self):
            if self.collection is None and self._check_nodes_have_same_collection():
                self.collection = list(self.node2collection.values())[0]
                self.pending[:] = range(len(self.collection))
            for node in self.nodes:
                self.check_schedule(node)

        def check_schedule(self, node, duration=0):
            if node.shutting_down:
                return
            begun = 1 - len(self.pending) / max(len(self.collection), 1)
            if len(self.node2pending[node]) < 2:  # it runs one only when it knows the next
                self._send_tests(node, 1 if begun < ONE_BY_ONE else PIECE)
            if len(self.node2pending[node]) < 2:
                self._send_tests(node, 1)
            if not self.pending:
                node.shutdown()

    return Pieces(config, log)


@pytest.fixture(autouse=True)
def deadline(request):
    """Fails a test that hangs, with the line where it hung."""
    marker = request.node.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else TEST_S

    def give_up(*_):
        raise TimeoutError(f"this test took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["json", "msgpack"])
def encoding(request):
    """One of the two encodings."""
    return request.param


@pytest.fixture(scope="module", params=[1, 2], ids=["one_worker", "two_workers"])
def workers(request):
    """How many workers the broker has."""
    return request.param


@pytest.fixture(scope="module")
def module_broker(workers):
    """A broker with default limits for all tests of a file."""
    broker = Broker(workers=workers)
    yield broker
    broker.stop()


@pytest.fixture
def broker(module_broker):
    """The file's broker, checked before and after the test."""
    module_broker.check_running()
    yield module_broker
    module_broker.check_running()


@pytest.fixture
def start():
    """Starts brokers with options of their own; each must end well."""
    brokers = []

    def begin(*args, **kwargs):
        brokers.append(Broker(*args, **kwargs))
        return brokers[-1]

    yield begin
    try:
        for each in brokers:
            each.stop()
    finally:
        for each in brokers:
            if each.process.poll() is None:
                each.kill()


@pytest.fixture
def clients():
    """Opens clients and closes their sockets afterwards: clients(broker, "json")."""
    opened = []

    def begin(broker, *args, **kwargs):
        opened.append(Client(broker.address, *args, **kwargs))
        return opened[-1]

    yield begin
    for each in opened:
        each.socket.close()


@pytest.fixture
def connect(broker, clients):
    """Opens clients of the file's broker: connect("json")."""
    return lambda *args, **kwargs: clients(broker, *args, **kwargs)


@pytest.fixture
def raw():
    """Opens raw connections and closes them afterwards: raw(broker)."""
    opened = []

    def begin(broker, **kwargs):
        opened.append(RawClient(broker.address, **kwargs))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


@pytest.fixture
def api():
    """Opens connections to the HTTP API and closes them afterwards: api(broker, token="…")."""
    opened = []

    def begin(broker, *args, **kwargs):
        opened.append(Api(broker.address, *args, **kwargs))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


@pytest.fixture
def stream():
    """Opens event streams and closes them afterwards: stream(broker, "a/#", last=1)."""
    opened = []

    def begin(broker, *args, **kwargs):
        opened.append(Events(broker.address, *args, **kwargs))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


@pytest.fixture
def start_redis():
    """Starts Redis servers of the test's own: start_redis(aof=True)."""
    servers = []

    def begin(*args, **kwargs):
        servers.append(Redis(*args, **kwargs))
        return servers[-1]

    yield begin
    for each in servers:
        each.close()


@pytest.fixture
def redis(start_redis):
    """A Redis server of the test's own, empty."""
    return start_redis()


@pytest.fixture
def start_node():
    """Starts nodes of a cluster and waits until they are ready: start_node(redis.url, "n1"). Each that is
    not killed must end well."""
    nodes = []

    def begin(*args, **kwargs):
        nodes.append(Node(*args, **kwargs))
        nodes[-1].wait_ready()
        return nodes[-1]

    yield begin
    try:
        for each in nodes:
            if each.process.returncode is None:
                each.stop()
    finally:
        for each in nodes:
            if each.process.poll() is None:
                each.kill()


@pytest.fixture
def topic():
    """A topic that no other test uses."""
    return f"t/{os.getpid()}/{next(_numbers)}"
