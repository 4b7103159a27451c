"""Pages of other origins: what a browser is told, and what is refused before anything is done."""

import pytest

from support.api import message, refusal
from support.client import everything_since
from support.events import events_path
from support.raw import upgrade_request
from support.tokens import claims, hs256

SECRET = "a secret of thirty-two characters"
LISTED, WILD, FOREIGN = "https://app.example", "https://x.wild.example", "https://evil.example"
KIND = ("Content-Type", "application/json")
BODY = b'{"topic":"t","data":1}'


@pytest.fixture
def listing(start):
    """A broker that knows two origins by name."""
    return start(settings={"http.origins": f"{LISTED},https://*.wild.example"})


def post(connection, *fields, host="127.0.0.1"):
    return connection.ask(message("/v1/publish", "POST", BODY, [KIND, *fields], host))


def preflight(connection, path, origin, method="POST", fields="content-type, authorization"):
    return connection.request(path, "OPTIONS", headers=[
        ("Origin", origin), ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", fields)])


def allowed(response):
    """What a response says of origins: (origin, credentials)."""
    headers = response.headers
    assert "origin" in headers.get("vary", "").lower() or headers.get(
        "access-control-allow-origin") in (None, "*")
    return headers.get("access-control-allow-origin"), headers.get("access-control-allow-credentials")


@pytest.mark.parametrize("origin", [LISTED, WILD])
def test_an_origin_that_is_listed_is_told_so(listing, api, origin):
    connection = api(listing)
    for response in (post(connection, ("Origin", origin)), preflight(connection, "/v1/publish", origin),
                     connection.request("/v1/history?topic=a", headers=[("Origin", origin)]),
                     connection.request("/nowhere", headers=[("Origin", origin)])):
        assert response.status in (200, 204, 404), response
        assert allowed(response) == (origin, "true")


def test_a_preflight_names_what_may_be_sent(listing, api):
    for path in "/v1/publish", "/v1/topics/a/b", "/v1/events", "/v1/history":
        response = preflight(api(listing), path, LISTED)
        assert response.status == 204 and response.body == b""
        fields = response.headers["access-control-allow-headers"].lower()
        assert all(name in fields for name in ("authorization", "content-type", "last-event-id"))
        methods = response.headers["access-control-allow-methods"]
        assert ("POST" if "pub" in path or "topics" in path else "GET") in methods
        assert response.headers["access-control-max-age"] == "600"


def test_a_preflight_needs_no_token(start, api):
    broker = start(settings={"http.origins": LISTED, "auth.mode": "token", "auth.secret": SECRET})
    connection = api(broker)
    assert preflight(connection, "/v1/publish", LISTED).status == 204
    response = post(connection, ("Origin", LISTED))
    assert response.status == 401 and allowed(response) == (LISTED, "true")  # the page can see why
    token = hs256(SECRET, **claims(may_pub=["t"]))
    response = post(connection, ("Origin", LISTED), ("Authorization", f"Bearer {token}"))
    assert response.status == 200 and allowed(response) == (LISTED, "true")


@pytest.mark.parametrize("origin", [
    FOREIGN, "http://app.example", "https://app.example:8443", "https://app.example.evil.example",
    "https://evilapp.example", "https://wild.example", "https://xwild.example", "null", "file://",
    "https://app.example/", "https://app.example, https://evil.example", "https://a@app.example", "",
    "https://x.wild.example.evil.example", "https://evil.example/.wild.example",
])
def test_a_foreign_origin_is_refused_before_anything_is_done(listing, api, clients, raw, origin):
    client = clients(listing)
    client.sub("#")
    for refused in (post(api(listing), ("Origin", origin)),
                    preflight(api(listing), "/v1/publish", origin),
                    api(listing).request(events_path("a"), headers=[("Origin", origin)]),
                    api(listing).request("/v1/history?topic=a", headers=[("Origin", origin)]),
                    raw(listing).ask(upgrade_request(extra=[("Origin", origin)]))):
        refusal(refused, 403, 400)
        assert allowed(refused) == (None, None)
    assert everything_since(clients(listing), client, "end/cors") == []


def test_two_origins_are_none(listing, api):
    refusal(post(api(listing), ("Origin", LISTED), ("Origin", LISTED)), 400, 403)
    refusal(post(api(listing), ("Origin", LISTED), ("Origin", FOREIGN)), 400, 403)


@pytest.mark.parametrize("host, origin, is_same", [
    ("127.0.0.1:8080", "http://127.0.0.1:8080", True), ("127.0.0.1", "http://127.0.0.1", True),
    ("127.0.0.1:80", "http://127.0.0.1", True), ("localhost:8080", "http://localhost:8080", True),
    ("127.0.0.1:8080", "http://127.0.0.1:8081", False), ("127.0.0.1:8080", "http://127.0.0.1", False),
    ("127.0.0.1:8080", "http://localhost:8080", False), ("127.0.0.1", FOREIGN, False),
])
def test_the_brokers_own_origin_needs_no_list(start, api, host, origin, is_same):
    response = post(api(start()), ("Origin", origin), host=host)
    assert response.status == (200 if is_same else 403), response


def test_a_star_lets_everybody_in_without_credentials(start, api, raw):
    broker = start(settings={"http.origins": f"*,{LISTED}"})
    for origin in FOREIGN, "null", "http://anything.example:1":
        response = post(api(broker), ("Origin", origin))
        assert response.status == 200 and allowed(response)[0] in (origin, "*")
        assert allowed(response)[1] is None
        assert raw(broker).ask(upgrade_request(extra=[("Origin", origin)])).status == 101
    assert allowed(post(api(broker), ("Origin", LISTED))) == (LISTED, "true")


def test_who_sends_no_origin_may_be_kept_out(start, api, raw):
    broker = start(settings={"http.allow_no_origin": "no", "http.origins": LISTED})
    refusal(post(api(broker)), 403)
    refusal(raw(broker).ask(upgrade_request()), 403)
    assert post(api(broker), ("Origin", LISTED)).status == 200
    assert raw(broker).ask(upgrade_request(extra=[("Origin", LISTED)])).status == 101


def test_a_page_of_the_brokers_own_gets_what_it_asks_for_without_an_origin(start, api):
    """Browsers send none with a GET to the page's own host."""
    broker = start(settings={"http.allow_no_origin": "no"})
    for site, status in ("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("none", 403):
        response = api(broker).request("/v1/nodes", headers=[("Sec-Fetch-Site", site)])
        assert response.status == status, site
    twice = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")]
    api(broker).refused("/v1/nodes", 403, headers=twice)
