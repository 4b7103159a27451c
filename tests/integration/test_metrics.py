"""What the broker tells of itself: /metrics by an independent parser, /v1/stats, $sys/<node>/stats."""

import json
import re
import socket
import ssl
import subprocess
import time

import msgpack
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.broker import run
from support.raw import CLOSE, TEXT, RawClient, assert_refused, close_code, frame, request
from support.wait import until


class Scrape:
    """One reading of /metrics: families by name, samples by name and labels."""

    def __init__(self, raw, broker):
        self.response = raw(broker).ask(request("/metrics"))
        assert self.response.status == 200
        self.text = self.response.body.decode()
        self.families = {f.name: f for f in text_string_to_metric_families(self.text)}
        self.samples = {}
        for family in self.families.values():
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.samples, f"{key} twice"
                self.samples[key] = sample.value

    def get(self, name, **labels):
        """Returns a sample; 0 for a request that was not made yet."""
        key = name, frozenset(labels.items())
        if name == "fantail_http_requests_total":
            return self.samples.get(key, 0)
        return self.samples[key]

    def sum(self, name, **labels):
        """Adds up the samples that have these labels, whatever their others."""
        wanted = set(labels.items())
        return sum(v for (n, ls), v in self.samples.items() if n == name and wanted <= ls)


@pytest.fixture
def fresh(start, workers):
    """A broker of the test's own: on the file's, connections of the test before may still end."""
    return start(workers=workers)


@pytest.fixture
def scrape(raw, broker):
    """Reads /metrics of the file's broker."""
    return lambda: Scrape(raw, broker)


@pytest.fixture
def certificate(tmp_path):
    """Paths of a certificate for localhost and of its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return str(cert), str(key)


@pytest.fixture
def grown(scrape):
    """Waits until a counter has grown by so much since the test began, and not by more."""
    before = scrape()

    def wait(by, name, **labels):
        def growth():
            return scrape().get(name, **labels) - before.get(name, **labels)

        until(lambda: growth() >= by, f"{name} {labels} grows by {by}")
        assert growth() == by

    return wait


def test_metrics_are_text_that_another_parser_takes(scrape):
    metrics = scrape()
    assert metrics.response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert metrics.text.endswith("\n")
    for family in metrics.families.values():
        assert family.type in ("counter", "gauge", "histogram"), family
        assert family.documentation, family
        assert family.name.startswith(("fantail_", "process_")), family
    # The parser calls families of counters by their names without _total.
    assert metrics.text.count("# TYPE ") == len(metrics.families)
    assert metrics.text.count("# HELP ") == len(metrics.families)


def test_the_build_is_told(scrape):
    version = run("--version").stdout.split()[1]
    assert scrape().get("fantail_build_info", version=version) == 1


def test_the_process_is_told(broker, scrape):
    metrics = scrape()
    rss = broker.rss_bytes()
    assert 0.5 * rss < metrics.get("process_resident_memory_bytes") < 1.5 * rss
    assert abs(metrics.get("process_open_fds") - broker.descriptors()) <= 2
    assert metrics.get("process_max_fds") > metrics.get("process_open_fds")
    assert 0 < metrics.get("process_cpu_seconds_total") <= broker.cpu_seconds() + 0.02
    assert 0 <= time.time() - metrics.get("process_start_time_seconds") < 600


def test_publications_and_deliveries_are_counted(connect, grown, topic):
    readers = [connect("json"), connect("json"), connect("msgpack")]
    for reader in readers:
        reader.ok({"op": "sub", "topics": [topic]})
    writer, packer = connect("json"), connect("msgpack")
    for number in range(5):
        writer.ok({"op": "pub", "topic": topic, "data": f"{number:03}"})
    packer.ok({"op": "pub", "topic": topic, "data": 7})
    payloads = [[reader.next_payload() for _ in range(6)] for reader in readers]
    grown(5, "fantail_publications_received_total", encoding="json")
    grown(5 * 5, "fantail_publications_received_bytes_total", encoding="json")
    grown(1, "fantail_publications_received_total", encoding="msgpack")
    grown(1, "fantail_publications_received_bytes_total", encoding="msgpack")
    grown(12, "fantail_deliveries_total", encoding="json")
    grown(6, "fantail_deliveries_total", encoding="msgpack")
    grown(0, "fantail_deliveries_total", encoding="events")
    header = 2  # of a frame that is shorter than 126 bytes
    assert all(len(p) < 126 for reader in payloads for p in reader)
    for encoding, which in (("json", payloads[:2]), ("msgpack", payloads[2:])):
        grown(sum(len(p) + header for reader in which for p in reader),
              "fantail_deliveries_bytes_total", encoding=encoding)


def test_the_time_from_publish_to_write_is_observed(connect, scrape, topic):
    reader, writer = connect("json"), connect("json")
    reader.ok({"op": "sub", "topics": [topic]})
    before = scrape()
    for number in range(3):
        writer.ok({"op": "pub", "topic": topic, "data": number})
        reader.next_msg()
    name = "fantail_publish_to_write_seconds"
    after = until(lambda: (m := scrape()).get(f"{name}_count") - before.get(f"{name}_count") == 3
                  and m, "three observations")
    assert 0 < after.get(f"{name}_sum") - before.get(f"{name}_sum") < 10
    buckets = [s.value for s in after.families[name].samples if s.name == f"{name}_bucket"]
    assert buckets == sorted(buckets)
    assert after.get(f"{name}_bucket", le="+Inf") == after.get(f"{name}_count")


def test_refused_publications_and_errors_are_counted(connect, grown, topic):
    client = connect("json")
    client.send({"op": "pub", "id": 1, "topic": "a/+", "data": 1})
    client.send({"op": "pub", "id": 2, "topic": "$mine", "data": 1})
    client.send({"op": "pub", "id": 3, "topic": topic})
    assert [client.next()["code"] for _ in range(3)] == [400, 403, 400]
    grown(2, "fantail_publications_refused_total", reason="invalid")
    grown(1, "fantail_publications_refused_total", reason="forbidden")
    grown(2, "fantail_errors_total", code="400")
    grown(1, "fantail_errors_total", code="403")
    grown(0, "fantail_publications_received_total", encoding="json")


def test_a_key_that_was_used_is_counted_as_a_duplicate(connect, grown, topic):
    client = connect("json")
    for _ in range(3):
        client.ok({"op": "pub", "topic": topic, "data": 1, "key": topic})
    grown(2, "fantail_publications_duplicate_total")
    grown(3, "fantail_publications_received_total", encoding="json")


def test_a_stream_of_events_is_a_session_and_its_events_are_deliveries(connect, raw, broker, scrape,
                                                                      grown, topic):
    before = scrape()
    stream = raw(broker)
    stream.send(request(f"/v1/events?topic={topic}"))
    until(lambda: scrape().get("fantail_sessions", encoding="events") == 1, "the session is there")
    connect("json").pub(topic, "x")
    while b"event: ok" not in stream.buffer or b'"data":"x"' not in stream.buffer:
        stream.buffer += stream.socket.recv(4096)
    grown(1, "fantail_deliveries_total", encoding="events")
    begin = stream.buffer.rindex(b"id: ", 0, stream.buffer.index(b'"data":"x"'))
    size = stream.buffer.index(b"\n\n", begin) + 2 - begin
    grown(size, "fantail_deliveries_bytes_total", encoding="events")
    grown(1, "fantail_http_requests_total", route="events", status="200")
    stream.close()
    until(lambda: scrape().get("fantail_sessions", encoding="events") == 0, "the session is gone")
    opened = "fantail_sessions_opened_total"
    assert scrape().get(opened, encoding="events") - before.get(opened, encoding="events") == 1


def test_publications_over_http_count_as_any_other(raw, broker, grown, topic):
    body = json.dumps({"topic": topic, "data": 12345}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", len(body))]
    response = raw(broker).ask(request("/v1/publish", "POST", headers, body))
    assert response.status == 200
    grown(1, "fantail_publications_received_total", encoding="json")
    grown(5, "fantail_publications_received_bytes_total", encoding="json")
    grown(1, "fantail_http_requests_total", route="publish", status="200")


def test_sessions_and_subscriptions_come_and_go(fresh, clients, raw, topic):
    def now(name, **labels):
        return Scrape(raw, fresh).get(name, **labels)

    client = clients(fresh, "msgpack")
    client.ok({"op": "sub", "topics": [topic, topic + "/+"]})
    assert now("fantail_sessions", encoding="msgpack") == 1
    assert now("fantail_sessions_opened_total", encoding="msgpack") == 1
    assert now("fantail_subscriptions") == 2
    client.ok({"op": "unsub", "topics": [topic]})
    assert now("fantail_subscriptions") == 1
    client.socket.close()
    until(lambda: now("fantail_sessions", encoding="msgpack") == 0, "the session is gone")
    assert now("fantail_subscriptions") == 0
    assert now("fantail_sessions_opened_total", encoding="msgpack") == 1


def test_connections_are_told_by_worker_and_together(fresh, clients, raw, workers):
    opened = [clients(fresh, "json") for _ in range(8)]
    metrics = Scrape(raw, fresh)
    all_of_them = len(opened) + 1  # and that of the scrape
    assert metrics.get("fantail_connections") == all_of_them
    assert metrics.get("fantail_connections_accepted_total") == all_of_them
    assert metrics.sum("fantail_worker_connections") == all_of_them
    assert {f"{i}" for i in range(workers)} == {
        s.labels["worker"] for s in metrics.families["fantail_worker_connections"].samples}
    asking = raw(fresh)
    opened.pop().socket.close()
    until(lambda: Scrape(lambda _: asking, fresh).get("fantail_connections") == all_of_them,
          "one is gone, and one came to ask")


def test_workers_tick_and_their_lag_is_told(scrape, workers):
    first = scrape()
    name = "fantail_worker_ticks_total"
    for worker in map(str, range(workers)):
        until(lambda w=worker: scrape().get(name, worker=w) >= first.get(name, worker=w) + 2,
              "two ticks")
    last = scrape()
    for worker in map(str, range(workers)):
        lag = last.get("fantail_worker_lag_seconds_total", worker=worker)
        assert 0 <= last.get("fantail_worker_lag_max_seconds", worker=worker) <= lag + 1e-9
        assert last.get("fantail_worker_busy_seconds_total", worker=worker) > 0


def test_a_close_code_is_counted(raw, broker, grown):
    connection = raw(broker)
    connection.upgrade()
    connection.send(frame(TEXT + 1, b"\x80"))  # binary, where JSON is spoken
    while (got := connection.read_frame()).opcode != CLOSE:
        pass
    assert close_code(got.payload) == 1003
    grown(1, "fantail_close_codes_total", code="1003")


def test_requests_are_counted_by_route_and_status(raw, broker, scrape):
    before = scrape()
    connection = raw(broker)
    assert connection.ask(request("/healthz")).status == 200
    assert connection.ask(request("/healthz")).status == 200
    assert connection.ask(request("/nothing")).status == 404
    assert connection.ask(request("/metrics", "POST", [("Content-Length", "0")])).status == 405
    assert raw(broker).ask(request("/ws")).status == 426
    after = scrape()

    def growth(**labels):
        name = "fantail_http_requests_total"
        return after.get(name, **labels) - before.get(name, **labels)

    assert growth(route="healthz", status="200") == 2
    assert growth(route="none", status="404") == 1
    assert growth(route="metrics", status="405") == 1
    assert growth(route="websocket", status="426") == 1
    assert growth(route="metrics", status="200") == 1  # the one before; this one is not done yet
    count = "fantail_http_request_duration_seconds_count"
    assert after.get(count) - before.get(count) == 6


def test_an_upgrade_counts_as_a_request_without_a_duration(connect, scrape):
    before = scrape()
    connect("json")
    after = scrape()
    name, count = "fantail_http_requests_total", "fantail_http_request_duration_seconds_count"
    assert after.get(name, route="websocket", status="101") - before.get(
        name, route="websocket", status="101") == 1
    assert after.get(count) - before.get(count) == 1  # the scrape


def test_what_the_journal_remembers_is_told(start, clients, raw):
    broker = start()
    client = clients(broker, "json")
    for number in range(4):
        client.ok({"op": "pub", "topic": f"t/{number}", "data": "x" * 100})
    client.ok({"op": "pub", "topic": "t/0", "data": 1, "retain": True, "key": "k"})
    metrics = Scrape(raw, broker)
    assert metrics.get("fantail_journal_publications") == 5
    assert 5 * 100 < metrics.get("fantail_journal_bytes") < 5 * 1000
    assert 0 <= metrics.get("fantail_journal_oldest_age_seconds") < 60
    assert metrics.get("fantail_topics") == 4
    assert metrics.get("fantail_retained") == 1
    assert metrics.get("fantail_keys") == 1
    assert metrics.sum("fantail_forgotten_total") == 0
    until(lambda: Scrape(raw, broker).get("fantail_journal_oldest_age_seconds") >= 1,
          "the oldest one grows older")


def test_what_is_forgotten_is_counted(start, clients, raw):
    broker = start({"journal.topics": 10})
    client = clients(broker, "json")
    for number in range(15):
        client.ok({"op": "pub", "topic": f"t/{number}", "data": 1})
    metrics = Scrape(raw, broker)
    assert metrics.get("fantail_topics") == 10
    assert metrics.get("fantail_forgotten_total", what="topic") == 5


def test_connections_over_the_limit_are_counted(start, clients, raw):
    broker = start({"limits.connections": 2})
    clients(broker, "json")
    with raw(broker) as second:
        before = Scrape(lambda _: second, broker)
        assert_refused(raw(broker).ask(request("/ws", headers=[
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])), 503)
        after = Scrape(lambda _: second, broker)
        name = "fantail_connections_refused_total"
        assert after.get(name, reason="full") - before.get(name, reason="full") == 1


def test_connections_over_the_limit_of_an_address_are_counted(start, raw):
    broker = start({"limits.address_connections": 2})
    with raw(broker) as first, raw(broker):
        before = Scrape(lambda _: first, broker)
        assert_refused(raw(broker).ask(request("/healthz")), 429)
        after = Scrape(lambda _: first, broker)
        refused, limits = "fantail_connections_refused_total", "fantail_limit_refusals_total"
        assert after.get(refused, reason="address") - before.get(refused, reason="address") == 1
        assert after.get(limits, by="address", limit="connections") == 1
        assert after.sum(limits) == 1


def test_handshakes_that_fail_and_missing_proxy_headers_are_counted(start, raw, certificate):
    cert, key = certificate
    broker = start({"tls.listen": "127.0.0.1:0", "http.proxy_listen": "127.0.0.1:0",
                    "tls.cert": cert, "tls.key": key}, ready_lines=1)
    tls, proxied = (int(re.search(r":(\d+)/ ", broker.next_line(10))[1]) for _ in range(2))
    for port in (tls, proxied):
        with RawClient((broker.host, port)) as client:
            client.send(request("/healthz"))
            client.wait_gone()
    with socket.create_connection((broker.host, tls)) as plain:
        context = ssl.create_default_context(cafile=cert)
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(request("/healthz"))
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    metrics = Scrape(raw, broker)
    for reason, count in (("tls", 1), ("proxy", 1), ("full", 0), ("address", 0)):
        assert metrics.get("fantail_connections_refused_total", reason=reason) == count, reason
    assert metrics.get("fantail_http_requests_total", route="healthz", status="200") == 1


def test_refused_credentials_are_counted(start, raw):
    broker = start({"auth.mode": "token", "auth.secret": "0123456789abcdef0123456789abcdef"})
    path = "/v1/history?topic=a"
    assert_refused(raw(broker).ask(request(path)), 401)
    for token in ("x", "a.b.c"):
        bearer = [("Authorization", f"Bearer {token}")]
        assert_refused(raw(broker).ask(request(path, headers=bearer)), 401)
    metrics = Scrape(raw, broker)
    for reason, count in (("missing", 1), ("invalid", 2), ("expired", 0), ("subject", 0)):
        assert metrics.get("fantail_credentials_refused_total", reason=reason) == count, reason
    assert metrics.get("fantail_http_requests_total", route="history", status="401") == 3


def test_metrics_are_for_admins_where_the_operator_wants_it(start, raw):
    broker = start({"http.metrics_admin": "yes"})
    assert_refused(raw(broker).ask(request("/metrics")), 401, 403)
    by_name = request("/metrics").replace(b"Host: broker.example", b"Host: localhost")
    assert raw(broker).ask(by_name).status == 200


def test_head_of_metrics_has_no_body(raw, broker):
    response = raw(broker).ask(request("/metrics", "HEAD"), head=True)
    assert response.status == 200 and not response.body


# ---- /v1/stats


def ask_stats(client, *headers):
    """Asks for /v1/stats as somebody on this machine, who is an admin without a token."""
    by_name = request("/v1/stats", headers=headers)
    response = client.ask(by_name.replace(b"Host: broker.example", b"Host: localhost"))
    assert response.status == 200, response
    return response


def keys_of(metrics):
    """The keys that /v1/stats has for the families of /metrics."""
    names = (line.split()[2] for line in metrics.text.splitlines() if line.startswith("# TYPE"))
    return {n.removeprefix("fantail_").removesuffix("_total") for n in names} - {"build_info"}


def test_stats_are_the_same_figures_as_json(fresh, clients, raw, topic, workers):
    clients(fresh, "json").ok({"op": "sub", "topics": [topic]})
    Scrape(raw, fresh)
    response = ask_stats(raw(fresh))
    assert response.headers["content-type"].split(";")[0] == "application/json"
    stats, metrics = json.loads(response.body), Scrape(raw, fresh)
    assert set(stats) == keys_of(metrics) | {"node", "version", "at"}
    assert abs(stats["at"] / 1000 - time.time()) < 60
    for name in ("fantail_subscriptions", "fantail_topics", "fantail_journal_bytes"):
        assert stats[name.removeprefix("fantail_")] == metrics.get(name)
    for encoding in ("json", "msgpack", "events"):
        assert stats["sessions_opened"][encoding] == metrics.get(
            "fantail_sessions_opened_total", encoding=encoding)
    assert len(stats["worker_connections"]) == workers
    assert stats["publish_to_write_seconds"]["p50"] <= stats["publish_to_write_seconds"]["p99"]
    assert stats["http_requests"]["metrics"]["200"] >= 1


def test_stats_as_messagepack(raw, broker):
    response = ask_stats(raw(broker), ("Accept", "application/msgpack"))
    assert response.headers["content-type"] == "application/msgpack"
    stats = msgpack.unpackb(response.body, strict_map_key=True)
    assert stats["sessions"].keys() == {"json", "msgpack", "events"}


# ---- $sys/<node>/stats


def test_a_node_publishes_its_figures_while_somebody_listens(fresh, clients, encoding, raw):
    node = json.loads(ask_stats(raw(fresh)).body)["node"]
    client = clients(fresh, encoding)
    assert client.ok({"op": "sub", "topics": [f"$sys/{node}/stats"]})["op"] == "ok"
    first, second = client.next_msg(), client.next_msg()
    assert first["topic"] == second["topic"] == f"$sys/{node}/stats"
    assert "pos" not in first
    figures = second["data"]
    assert figures["node"] == node
    assert figures["at"] - first["data"]["at"] >= 900
    assert figures["sessions"][encoding] >= 1
    assert figures["rates"]["deliveries"] > 0
    assert figures["rates"].keys() < figures.keys()
    assert figures.keys() - {"rates"} == json.loads(
        ask_stats(raw(fresh)).body).keys()


def test_a_wildcard_brings_the_figures_to_every_worker(fresh, clients):
    listeners = [clients(fresh, "json") for _ in range(6)]
    for listener in listeners:
        listener.ok({"op": "sub", "topics": ["$sys/+/stats"]})
    ats = [{listener.next_msg()["data"]["at"] for _ in range(3)} for listener in listeners]
    assert set.intersection(*ats), "nobody got what the others did"


def test_nobody_may_publish_figures(connect):
    client = connect("json")
    client.send({"op": "pub", "id": 1, "topic": "$sys/x/stats", "data": 1})
    assert client.next()["code"] == 403
