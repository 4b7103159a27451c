"""A real browser: EventSource that comes back by itself, fetch and WebSocket from other origins."""

import json

import pytest

from support.chromium import Chromium, Site
from support.positions import publish
from support.relay import Relay
from support.tokens import hs256
from support.wait import until

SECRET = "a secret of thirty-two characters"
LISTEN = """
    seen = []; said = []; errors = 0
    source = new EventSource(%s)
    source.onmessage = e => seen.push([JSON.parse(e.data).data, e.lastEventId])
    source.onerror = e => errors++
    for (const kind of ["ok", "gap", "bye"])
        source.addEventListener(kind, e => said.push([kind, JSON.parse(e.data)]))
    null
"""


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of the file."""
    chromium = Chromium()
    yield chromium
    chromium.stop()


@pytest.fixture(scope="module")
def site():
    """A page of another origin."""
    page = Site()
    yield page
    page.stop()


@pytest.fixture
def relay():
    """Relays whose connections can be cut: relay(broker)."""
    opened = []

    def begin(broker):
        opened.append(Relay(broker.address))
        return opened[-1]

    yield begin
    for each in opened:
        each.stop()


def listen(browser, url):
    """Opens an EventSource, and waits until it has its ok or is given up."""
    browser.run(LISTEN % json.dumps(url))
    until(lambda: browser.run("said.length || source.readyState == 2"), "the stream begins or fails")
    return browser.run("source.readyState")


def seen_after(browser, count):
    """Waits for so many messages and returns their data."""
    until(lambda: browser.run("seen.length") >= count, f"{count} messages")
    return [data for data, _ in browser.run("seen")]


def fetch(browser, url, **options):
    """Fetches and returns [status, text], or null where the browser does not let the page see it."""
    return browser.run(f"fetch({json.dumps(url)}, {json.dumps(options)})"
                       ".then(async r => [r.status, await r.text()], () => null)")


def test_a_stream_that_breaks_is_resumed_by_the_browser_itself(start, clients, browser, relay):
    broker = start(workers=2)
    between, publisher = relay(broker), clients(broker)
    origin = f"http://127.0.0.1:{between.port}"
    browser.open(f"{origin}/healthz")
    assert listen(browser, "/v1/events?topic=t/%23&topic=u") == 1
    for first in range(0, 60, 30):
        publish(publisher, "t/a", range(first, first + 10))
        seen_after(browser, first + 10)
        between.cut()
        publish(publisher, lambda n: f"t/{n}", range(first + 10, first + 30))
        between.restore()
        assert seen_after(browser, first + 30) == list(range(first + 30))
    said = browser.run("said")
    assert [kind for kind, _ in said] == ["ok"] * 3
    assert [envelope.get("recovered") for _, envelope in said] == [None, True, True]
    assert browser.run("errors") == 2
    browser.run("source.close()")


def test_one_that_is_cut_before_its_first_message_misses_none(start, clients, browser, relay):
    broker = start()
    between, publisher = relay(broker), clients(broker)
    browser.open(f"http://127.0.0.1:{between.port}/healthz")
    assert listen(browser, "/v1/events?topic=t") == 1
    between.cut()
    publish(publisher, "t", ["meanwhile"])
    between.restore()
    assert seen_after(browser, 1) == ["meanwhile"]
    browser.run("source.close()")


def test_line_breaks_and_other_scripts_arrive_as_they_are(start, clients, browser):
    broker = start()
    browser.open(f"http://{broker.host}:{broker.port}/healthz")
    assert listen(browser, "/v1/events?topic=t&last=1") == 1
    values = ["a\nb\r\nc", "\u2028\u2029", "😀", {"\n": ["\r"]}, "data: x\n\n", "\ufeff"]
    publish(clients(broker), "t", values)
    assert seen_after(browser, len(values)) == values
    browser.run("source.close()")


def test_a_page_of_another_origin_gets_nothing(start, clients, browser, site):
    broker = start()
    base = f"http://{broker.host}:{broker.port}"
    browser.open(site.origin + "/")
    assert listen(browser, base + "/v1/events?topic=t") == 2
    client = clients(broker)
    client.sub("t")
    body = json.dumps({"topic": "t", "data": "foreign"})
    for kind in "application/json", "text/plain":
        assert fetch(browser, base + "/v1/publish", method="POST", body=body,
                     headers={"Content-Type": kind}) is None
    for mode in "cors", "no-cors":  # the second is sent without asking first
        fetch(browser, base + "/v1/topics/t", method="POST", body="x", mode=mode)
    assert browser.run(open_socket(broker)) == "error"
    client.pub("t", "end")
    assert client.next_msg()["data"] == "end"


def test_a_page_whose_origin_is_listed_gets_everything(start, clients, browser, site):
    broker = start(settings={"http.origins": f"https://a.example,{site.origin}",
                             "auth.mode": "token", "auth.secret": SECRET})
    base = f"http://{broker.host}:{broker.port}"
    token = hs256(SECRET, sub="ann", fantail={"sub": ["t/#"], "pub": ["t/#"]})
    bearer = {"Authorization": f"Bearer {token}"}
    browser.open(site.origin + "/")
    assert listen(browser, f"{base}/v1/events?topic=t/%23&token={token}") == 1
    status, text = fetch(browser, base + "/v1/publish", method="POST",
                         body=json.dumps({"topic": "t/a", "data": 1}),
                         headers={"Content-Type": "application/json", **bearer})
    assert status == 200 and json.loads(text)["pos"]
    assert seen_after(browser, 1) == [1]
    status, text = fetch(browser, base + "/v1/history?topic=t/a", headers=bearer)
    assert status == 200 and json.loads(text)["messages"][0]["data"] == 1
    status, text = fetch(browser, base + "/v1/history?topic=t/a")
    assert status == 401 and json.loads(text)["error"]["code"] == 401  # and the page can see why
    assert browser.run(open_socket(broker, f"fantail.bearer.{token}")) == "fantail.v1.json"
    assert browser.run(open_socket(broker, "fantail.bearer.x.y.z")) == "error"
    browser.run("source.close()")


def open_socket(broker, *more):
    """A script that opens a WebSocket and tells the subprotocol, or that it could not."""
    return (f"new Promise(done => {{ const ws = new WebSocket('{broker.ws_url}', "
            f"{json.dumps(['fantail.v1.json', *more])}); ws.onerror = e => done('error'); "
            "ws.onopen = e => { done(ws.protocol); ws.close() } })")
