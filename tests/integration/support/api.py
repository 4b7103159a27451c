"""Requests to the HTTP API, over a raw connection that is kept: JSON, MessagePack, or as it is."""

import json
import re
from urllib.parse import quote, urlencode

import msgpack

from .client import decode, encode
from .raw import RawClient, assert_refused

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
TYPES = {"json": "application/json", "msgpack": "application/msgpack"}


def message(path, method="GET", body=b"", headers=(), host="127.0.0.1"):
    """Builds a request; a Content-Length where there is a body, or the method wants one."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{n}: {v}" for n, v in headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def publish_message(value, encoding="json", accept=None, headers=()):
    """Builds a POST /v1/publish of one publication or an array."""
    headers = [("Content-Type", TYPES[encoding]), *headers]
    if accept:
        headers.append(("Accept", TYPES[accept]))
    return message("/v1/publish", "POST", encode(encoding, value), headers)


def pub(data=1, topic="t", headers=()):
    """Builds a publish of one value."""
    return publish_message({"topic": topic, "data": data}, headers=headers)


def topic_path(topic, **query):
    """Returns the path of a topic, with everything encoded that is not plain."""
    return f"/v1/topics/{quote(topic, safe='')}" + ("?" + urlencode(query) if query else "")


def value_of(response):
    """Decodes a response's body after its type, strictly."""
    kind = response.headers["content-type"].split(";")[0].strip()
    if kind == TYPES["msgpack"]:
        return decode("msgpack", response.body)
    assert kind == TYPES["json"], response
    return decode("json", response.body)


def refusal(response, *statuses):
    """Checks a refusal, in the encoding in which it came, and returns its message."""
    if response.headers.get("content-type") == TYPES["msgpack"]:
        error = msgpack.unpackb(response.body)["error"]
        response = response._replace(headers={**response.headers, "content-type": TYPES["json"]},
                                     body=json.dumps({"error": error}).encode())
    return assert_refused(response, *statuses)


def statuses(connection):
    """Reads to the end and returns the status of each response, and how it ended."""
    data, how = connection.read_to_end()
    return [int(s) for s in STATUS.findall(data)], how


class Api(RawClient):
    """One connection to the API. `token`: sent as a bearer with each request."""

    def __init__(self, address, token=None, headers=(), **kwargs):
        super().__init__(address, **kwargs)
        self.headers = [*headers, *([("Authorization", f"Bearer {token}")] if token else [])]

    def request(self, path, method="GET", body=b"", headers=()):
        """Sends a request and returns the response as it is."""
        return self.ask(message(path, method, body, [*self.headers, *headers]),
                        head=method == "HEAD")

    def get(self, path, headers=(), status=200):
        """Gets a value, decoded."""
        response = self.request(path, headers=headers)
        assert response.status == status, response
        return value_of(response)

    def post(self, path, value, encoding="json", accept=None, headers=(), status=200):
        """Posts a value in one encoding and returns the answer, decoded, in another."""
        headers = [("Content-Type", TYPES[encoding]), *headers]
        if accept:
            headers.append(("Accept", TYPES[accept]))
        response = self.request(path, "POST", encode(encoding, value), headers)
        assert response.status == status, response
        if accept:
            assert response.headers["content-type"] == TYPES[accept], response
        return value_of(response) if response.body else None

    def try_publish(self, value, encoding="json", headers=()):
        """Posts one publication or an array and returns the response as it is."""
        return self.ask(publish_message(value, encoding, headers=[*self.headers, *headers]))

    def publish(self, topic, data, **more):
        """Publishes one publication and returns its position."""
        return self.post("/v1/publish", {"topic": topic, "data": data, **more})["pos"]

    def refused(self, path, *statuses, method="GET", body=b"", headers=()):
        """Sends a request that must be refused and returns the message."""
        return refusal(self.request(path, method, body, headers), *statuses)

    def metrics(self):
        """Returns /metrics as {name with labels: number}."""
        response = self.request("/metrics")
        assert response.status == 200, response
        found = {}
        for line in response.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = re.fullmatch(r"(\w+(?:\{.*\})?) (\S+)", line).groups()
                assert name not in found, f"{name} twice"
                found[name] = float(value)
        return found
