"""What a service manager hears by sd_notify(3): ready, reloading, stopping, and the watchdog's food."""

import signal
import time

import pytest

from support.client import Client
from support.supervisor import Held, Supervisor, threads
from support.wait import until

PERIOD_S = 1.5  # of the watchdog, where silence is waited for
CALM_S = 8.0  # where it has to be kept on a busy machine, four times over


@pytest.fixture(params=["path", "abstract"])
def supervisor(request, tmp_path):
    """A supervisor, by each kind of name."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@fantail-{tmp_path}"
    listener = Supervisor(name)
    yield listener
    listener.close()


@pytest.fixture
def watchdog(tmp_path):
    """A supervisor that wants to be fed."""
    listener = Supervisor(str(tmp_path / "notify"))
    listener.environment["WATCHDOG_USEC"] = str(int(PERIOD_S * 1e6))
    yield listener
    listener.close()


def test_ready_is_told_with_every_listener_once_it_serves(start, supervisor):
    broker = start(listen=("127.0.0.1:0", "[::1]:0"), env=supervisor.environment)
    message = supervisor.expect("READY")
    assert message["STATUS"] == "Serving at " + ", ".join(
        f"http://{ready['address']}:{ready['port']}/" for ready in broker.ready)
    Client(broker.address).socket.close()


def test_a_reload_is_told_with_its_moment_and_ends_with_ready(start, supervisor, tmp_path):
    file = tmp_path / "fantail.conf"
    file.write_text("[limits]\nping = 20s\n")
    broker = start(args=["-c", str(file)], env=supervisor.environment)
    serving = supervisor.expect("READY")["STATUS"]
    before = time.monotonic()
    broker.process.send_signal(signal.SIGHUP)
    message = supervisor.expect("RELOADING")
    assert before <= int(message["MONOTONIC_USEC"]) / 1e6 <= time.monotonic()
    assert supervisor.expect("READY")["STATUS"] == serving

    file.write_text("[limits]\nping = soon\n")
    broker.process.send_signal(signal.SIGHUP)
    supervisor.expect("RELOADING")
    assert supervisor.expect("READY")["STATUS"].startswith(serving + ", as before: the new config")


def test_stopping_is_told_before_the_clients_are(start, supervisor, clients):
    broker = start(env=supervisor.environment)
    supervisor.expect("READY")
    clients(broker)
    broker.process.send_signal(signal.SIGTERM)
    supervisor.expect("STOPPING")
    assert broker.process.wait(20) == 0
    assert supervisor.hear(0) is None


def test_a_broker_without_a_watchdog_feeds_none(start, supervisor):
    supervisor.environment.update(WATCHDOG_USEC="200000", WATCHDOG_PID="1")
    broker = start(env=supervisor.environment)
    supervisor.expect("READY")
    assert supervisor.hear(PERIOD_S) is None
    broker.process.send_signal(signal.SIGTERM)
    supervisor.expect("STOPPING")


@pytest.mark.parametrize("count", [1, 3], ids=["one_worker", "three_workers"])
def test_the_watchdog_is_fed_within_its_period(start, watchdog, count):
    watchdog.environment["WATCHDOG_USEC"] = str(int(CALM_S * 1e6))
    start(workers=count, env=watchdog.environment)
    watchdog.expect("READY")
    for _ in range(3):
        assert watchdog.hear(CALM_S) == {"WATCHDOG": "1"}


@pytest.mark.parametrize("stuck", [0, 1, 2])
def test_one_worker_that_is_stuck_stops_the_feeding(start, watchdog, stuck):
    broker = start(workers=3, env=watchdog.environment)
    watchdog.expect("READY")
    assert watchdog.hear() == {"WATCHDOG": "1"}
    [tid] = threads(broker.pid, f"worker {stuck}")
    with Held(tid):
        watchdog.empty()
        # What the loop did before counts once more at most; then the period passes without a word.
        if watchdog.hear(PERIOD_S):
            assert watchdog.hear(PERIOD_S) is None
    assert watchdog.hear() == {"WATCHDOG": "1"}


def test_a_reload_does_not_starve_the_watchdog(start, watchdog):
    broker = start(env=watchdog.environment)
    watchdog.expect("READY")
    broker.process.send_signal(signal.SIGHUP)
    watchdog.expect("RELOADING")
    watchdog.expect("READY")
    assert watchdog.hear() == {"WATCHDOG": "1"}


def test_a_watchdog_of_this_very_process_is_fed(start, watchdog):
    """WATCHDOG_PID is only known to who starts it: a shell that becomes the broker."""
    script = 'export WATCHDOG_PID=$$; exec "$@"'
    broker = start(env=watchdog.environment, under=["sh", "-c", script, "sh"])
    watchdog.expect("READY")
    assert watchdog.hear() == {"WATCHDOG": "1"}
    assert broker.process.poll() is None


@pytest.mark.parametrize("name, event", [
    ("relative/path", "notify_ignored"),
    ("vsock:2:1234", "notify_ignored"),
    ("/" + 107 * "x", "notify_ignored"),
    ("/nowhere/at/all", "notify_failed"),
])
def test_a_supervisor_that_is_not_there_changes_nothing(start, name, event):
    broker = start(env={"NOTIFY_SOCKET": name})
    until(lambda: f"event={event}" in broker.stderr, f"the log says {event}")
    Client(broker.address).socket.close()


@pytest.mark.parametrize("period", ["", "0", "-5", "soon", "1s", "99999999999999999999"])
def test_a_period_that_is_none_is_logged(start, watchdog, period):
    watchdog.environment["WATCHDOG_USEC"] = period
    broker = start(env=watchdog.environment)
    watchdog.expect("READY")
    until(lambda: "event=notify_ignored variable=WATCHDOG_USEC" in broker.stderr, "the log says so")


def test_a_supervisor_that_does_not_read_does_not_hold_the_broker(start, supervisor, clients):
    broker = start(env=supervisor.environment)
    supervisor.expect("READY")
    supervisor.fill()
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: "event=notify_failed" in broker.stderr, "the log says that it was not heard")
    until(lambda: "event=reloaded" in broker.stderr, "it has reloaded")
    clients(broker)
    supervisor.empty()
