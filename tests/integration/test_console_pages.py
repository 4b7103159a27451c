"""The console's files: who gets them, in which form, under which policy, and when not again."""

import base64
import gzip
import hashlib
import re
import signal
from html.parser import HTMLParser

import pytest

from support.api import message, refusal
from support.broker import ROOT
from support.raw import upgrade_request
from support.tokens import claims, hs256
from support.wait import until

SECRET = "a secret of thirty-two characters"
PAGE, CONFIG = "/", "/console/config.json"
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
          "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
          "frame-ancestors 'none'")
TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
         "svg": "image/svg+xml", "txt": "text/plain; charset=utf-8", "png": "image/png"}
GZIP = ("Accept-Encoding", "gzip")
EXAMPLES = sorted((ROOT / "clients/js/examples").glob("*.html"))


class Page(HTMLParser):
    """What a page loads, what it has inside, and whether something is in it that no policy allows."""

    def __init__(self, text):
        super().__init__()
        self.paths, self.forbidden = [], []
        self.inside, self.inline = None, {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.paths += [value for name, value in attrs if name in ("src", "href")]
        self.forbidden += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.inside = tag if tag in self.inline and "src" not in dict(attrs) else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.inline[self.inside].append(data)


def parts_of(connection):
    """Gets the page, the examples' client, and everything that they are made of, by path."""
    found = {PAGE: connection.request(PAGE)}
    todo = Page(found[PAGE].body.decode()).paths + ["/console/licenses.txt", "/examples/fantail.js"]
    while todo:
        path = todo.pop()
        if path not in found:
            found[path] = connection.request(path)
            text = found[path].body.decode() if path.endswith(".js") else ""
            folder = path.rpartition("/")[0]
            todo += [re.sub(r"[^/]+/\.\./", "", f"{folder}/{name}").replace("/./", "/")
                     for name in re.findall(r'["\'](\.{1,2}/[\w./-]+\.js)["\']', text)]
    return found


# -- what is served


def test_the_page_and_all_that_it_loads_are_there(broker, api):
    parts = parts_of(api(broker))
    assert parts[PAGE].headers["content-type"] == "text/html; charset=utf-8"
    assert parts[PAGE].body.startswith(b"<!doctype html>") and b"<noscript>" in parts[PAGE].body
    assert {path.rpartition(".")[2] for path in parts} >= {"/", "js", "css", "svg"}
    for path, response in parts.items():
        assert response.status == 200, (path, response)
        if path != PAGE:
            assert response.headers["content-type"] == TYPES[path.rpartition(".")[2]], path
        headers = response.headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-cache"
        assert headers["vary"] == "Accept-Encoding" and re.fullmatch(r'"[\w-]+"', headers["etag"])


def test_nothing_is_loaded_from_anywhere_else_and_nothing_stands_inline(broker, api):
    parts = parts_of(api(broker))
    page = Page(parts[PAGE].body.decode())
    assert page.forbidden == [] and page.inline == {"script": [], "style": []}
    assert all(path.startswith(("/console/", "/examples/")) for path in parts if path != PAGE)
    for path, response in parts.items():
        if not path.endswith(".txt"):
            assert set(re.findall(rb"https?://[\w.-]+", response.body)) <= {b"http://www.w3.org"}


def test_those_whose_work_the_page_holds_are_named(broker, api):
    text = api(broker).request("/console/licenses.txt").body.decode()
    assert "preact" in text and "MIT" in text and "node_modules" not in text


@pytest.mark.parametrize("file", EXAMPLES, ids=[file.stem for file in EXAMPLES])
def test_an_example_is_served_as_it_is_and_allowed_what_stands_in_it(broker, api, file):
    connection = api(broker)
    response = connection.request(f"/examples/{file.stem}")
    assert response.status == 200 and response.body == file.read_bytes()
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page, policy = Page(response.body.decode()), POLICY
    assert page.forbidden == [] and page.inline["script"]
    for kind, contents in page.inline.items():
        sources = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
                   for text in contents]
        policy = policy.replace(f"{kind}-src 'self'", " ".join([f"{kind}-src 'self'", *sources]))
    assert response.headers["content-security-policy"] == policy
    loaded = re.findall(r'(?:from|import) "(/[^"]+)"', "".join(page.inline["script"]))
    for path in {*page.paths, *loaded}:
        if path.startswith("/"):
            assert connection.request(path).status == 200, path


def test_there_are_examples_and_the_client_that_they_load(broker, api):
    assert EXAMPLES
    response = api(broker).request("/examples/fantail.js")
    assert response.headers["content-type"] == TYPES["js"] and b"export{" in response.body


def test_a_query_changes_nothing(broker, api):
    connection = api(broker)
    assert connection.request("/?token=x").body == connection.request(PAGE).body


def test_head_has_the_same_headers_and_no_body(broker, api):
    connection = api(broker)
    for path in PAGE, "/console/main.js":
        for headers in (), (GZIP,):
            full, head = (connection.request(path, method, headers=headers).headers
                          for method in ("GET", "HEAD"))
            assert {**full, "date": ""} == {**head, "date": ""}


def test_other_methods_are_not_for_pages(broker, api):
    connection = api(broker)
    for method in "POST", "PUT", "DELETE", "PATCH":
        for path in PAGE, CONFIG, "/console/main.js":
            response = connection.request(path, method)
            refusal(response, 405)
            assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert connection.request(PAGE, "OPTIONS").status == 204


@pytest.mark.parametrize("path", [
    "/console", "/console/", "/console/index.html", "/index.html", "/console//main.js", "//",
    "//console/main.js", "/./console/main.js", "/console/../console/main.js", "/console/..",
    "/console/%6dain.js", "/console/main.js/", "/console/main.js%00", "/console/main.js.gz",
    "/console/main%2ejs", "/Console/main.js", "/console/MAIN.JS", "/console/../../etc/passwd",
    "/console/%2e%2e/%2e%2e/etc/passwd", "/console\\main.js", "/console/main.tsx", "/console/pages.def",
    "/console/config.json/", "/examples/dashboard.html", "/examples", "/examples/", "/examples/..",
    "/%2f", "/;", "/console/main",
])
def test_what_is_not_a_file_is_a_404(broker, api, path):
    connection = api(broker)
    refusal(connection.request(path), 404)
    refusal(connection.request(path, "POST"), 404)
    assert connection.request(PAGE).status == 200


def test_there_is_no_websocket_at_the_page(broker, raw):
    assert "/ws" in refusal(raw(broker).ask(upgrade_request("/")), 404)


def test_many_requests_at_once_are_answered_in_their_order(broker, api):
    connection = api(broker)
    paths = [PAGE, "/console/main.js", "/console/none", CONFIG, "/console/main.css"]
    lengths = [len(connection.request(path).body) for path in paths]
    connection.send(b"".join(message(path) for path in paths) * 200)
    for _ in range(200):
        assert [len(connection.read_response().body) for _ in paths] == lengths


# -- compressed, and not again


@pytest.mark.parametrize("accepted, is_packed", [
    ("gzip", True), ("gzip, deflate, br, zstd", True), ("deflate;q=1, gzip;q=0.2", True), ("*", True),
    ("GZIP", True), ("br", False), ("gzip;q=0", False), ("gzip;q=0, *", False), ("identity", False),
    ("*;q=0", False), ("", False),
])
def test_who_takes_gzip_gets_it(broker, api, accepted, is_packed):
    connection = api(broker)
    plain = connection.request("/console/main.js")
    assert "content-encoding" not in plain.headers
    response = connection.request("/console/main.js", headers=[("Accept-Encoding", accepted)])
    assert response.headers.get("content-encoding") == ("gzip" if is_packed else None)
    assert (gzip.decompress(response.body) if is_packed else response.body) == plain.body
    assert (response.headers["etag"] == plain.headers["etag"]) == (not is_packed)
    assert len(response.body) < len(plain.body) or not is_packed


@pytest.mark.parametrize("sent, is_known", [
    (["{tag}"], True), (["W/{tag}"], True), (["*"], True), (['"other", {tag}'], True),
    (['"other"', "{tag}"], True), (['"other"'], False), (["{other form}"], False), ([""], False),
    (["W/"], False), (["{tag}x"], False),
])
@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_what_a_client_has_is_not_sent_again(broker, api, form, sent, is_known):
    connection = api(broker)
    other, own = ([] if form == "gzip" else [GZIP]), ([GZIP] if form == "gzip" else [])
    tags = {"{tag}": connection.request("/console/main.js", headers=own).headers["etag"],
            "{other form}": connection.request("/console/main.js", headers=other).headers["etag"]}
    for name, tag in tags.items():
        sent = [value.replace(name, tag) for value in sent]
    headers = [*own, *(("If-None-Match", value) for value in sent)]
    for method in "GET", "HEAD":
        response = connection.request("/console/main.js", method, headers=headers)
        assert response.status == (304 if is_known else 200)
        assert response.headers["etag"] == tags["{tag}"]
        if is_known:
            assert not {"content-length", "content-type", "content-encoding"} & set(response.headers)
            assert response.headers["cache-control"] == "no-cache" and not response.body
            assert response.headers["content-security-policy"] == POLICY
    assert connection.request(PAGE).status == 200  # nothing was left over on the connection


# -- to whom


def test_a_page_needs_no_token_and_looks_at_none(start, api):
    broker = start(settings={"auth.mode": "token", "auth.secret": SECRET,
                             "http.allow_no_origin": "no"})
    for token in None, "garbage", hs256(SECRET, **claims(admin=True)):
        connection = api(broker, token=token)
        assert connection.request(PAGE).status == 200
        assert connection.get(CONFIG) == {"ws": "/ws", "auth": True}
        connection.refused("/v1/nodes", 401, 403)
    assert 'reason="invalid"} 0' in api(broker).request("/metrics").body.decode()


@pytest.mark.parametrize("settings, expected", [
    ({}, {"version": "0.1.0", "node": "n1", "ws": "/ws", "auth": False}),
    ({"http.path": "/live"}, {"version": "0.1.0", "node": "n1", "ws": "/live", "auth": False}),
    ({"auth.mode": "token", "auth.secret": SECRET, "auth.anonymous_sub": "news/#"},
     {"version": "0.1.0", "node": "n1", "ws": "/ws", "auth": True}),
])
def test_the_page_is_told_what_it_cannot_know(start, api, settings, expected):
    connection = api(start(settings={"node": "n1", **settings}))
    assert connection.get(CONFIG) == expected
    response = connection.request(CONFIG)
    assert response.headers["cache-control"] == "no-store" and "etag" not in response.headers
    assert connection.request(CONFIG, headers=[("Accept", "application/msgpack")]).headers[
        "content-type"] == "application/json"


def test_through_a_proxy_a_token_is_needed_for_the_console(start, api):
    connection = api(start(settings={"http.trusted_proxies": "127.0.0.1"}))
    assert connection.get(CONFIG)["auth"] is False
    assert connection.get(CONFIG, headers=[("X-Forwarded-For", "203.0.113.9")])["auth"] is True


def test_pages_from_elsewhere_get_nothing_of_it(start, api):
    listed, foreign = "https://app.example", "https://evil.example"
    connection = api(start(settings={"http.origins": listed}))
    for path in PAGE, CONFIG, "/console/main.js":
        refusal(connection.request(path, headers=[("Origin", foreign)]), 403)
        response = connection.request(path, headers=[("Origin", listed)])
        assert response.status == 200
        assert response.headers["access-control-allow-origin"] == listed
        assert "Origin" in response.headers["vary"]
        assert connection.request(path, headers=[("Origin", "http://127.0.0.1")]).status == 200


@pytest.mark.parametrize("host, is_ours", [
    ("localhost:8080", True), ("127.0.0.1:8080", True), ("box", True), ("box.lan:8080", True),
    ("evil.example", False), ("evil.example:8080", False), ("localhost.evil.example", False)])
def test_an_open_broker_is_no_page_of_a_name_that_was_led_here(start, raw, host, is_ours):
    """DNS rebinding: what could ask nothing afterwards is told so at once."""
    broker = start(settings={"http.origins": "http://box.lan:8080"})
    for path in PAGE, CONFIG, "/console/main.js":
        sent = message(path, host=host, headers=[("Accept-Language", "de")])
        response = raw(broker).ask(sent)
        assert response.status == 200 if is_ours else refusal(response, 403), response


def test_where_people_sign_in_any_name_leads_to_the_page(start, raw):
    broker = start(settings={"auth.mode": "token", "auth.secret": SECRET})
    for path in PAGE, CONFIG:
        sent = message(path, host="feeds.example", headers=[("Accept-Language", "de")])
        assert raw(broker).ask(sent).status == 200


def test_it_can_be_switched_off_and_on_again(start, api, tmp_path):
    file = tmp_path / "fantail.conf"
    file.write_text("[http]\nconsole = no\n")
    broker = start(args=["-c", str(file)])
    connection = api(broker)
    for path in PAGE, CONFIG, "/console/main.js", "/console/icon.svg":
        for method in "GET", "HEAD", "POST", "OPTIONS":
            assert connection.request(path, method).status == 404
    assert connection.request("/healthz").status == 200
    file.write_text("[http]\nconsole = yes\n")
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: connection.request(PAGE).status == 200, "the console is on again")


def test_requests_of_pages_are_counted_as_such(start, api):
    connection = api(start())
    tag = connection.request(PAGE).headers["etag"]
    connection.request("/console/main.js")
    connection.request(PAGE, headers=[("If-None-Match", tag)])
    figures = connection.metrics()
    counted = {status: figures.get(f'fantail_http_requests_total{{route="console",status="{status}"}}')
               for status in ("200", "304")}
    assert counted == {"200": 2, "304": 1}
