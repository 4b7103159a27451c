"""Reads the test suites under tests/data, which others wrote, case by case."""

import binascii
import json
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "data"


def json_cases(kind):
    """Returns the files of JSONTestSuite that begin with y (valid), n (invalid) or i (either)."""
    files = sorted((DATA / "json").glob(f"{kind}_*.json"))
    assert len(files) > 30, f"{DATA}/json has only {len(files)} files {kind}_*.json"
    return files


def msgpack_cases():
    """Yields (name, the value or None for an ext, the encodings of it)."""
    suite = json.loads((DATA / "msgpack-test-suite.json").read_text())
    for group, cases in suite.items():
        for case in cases:
            kind = next(k for k in case if k != "msgpack")
            encodings = [binascii.unhexlify(e.replace("-", "")) for e in case["msgpack"]]
            yield f"{group} {kind}", kind, case[kind], encodings


def utf8_cases():
    """Yields (name, is it valid, the bytes) of utf8tests.txt."""
    for line in (DATA / "utf8tests.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, kind, rest = line.split(":", 2)
        kind = kind.strip()
        if kind == "valid":
            yield name, True, rest.encode()
        else:
            yield name, kind == "valid hex", bytes.fromhex(rest.split(":")[0].replace(" ", ""))


def topic_cases():
    """Yields (filter, topic, expected) of topic_match.tsv."""
    escapes = {"\\t": "\t", "\\n": "\n", "\\0": "\0", "\\\\": "\\"}

    def plain(text):
        out, i = "", 0
        while i < len(text):
            pair = text[i:i + 2]
            out += escapes.get(pair, text[i])
            i += 2 if pair in escapes else 1
        return out

    lines = (DATA / "topic_match.tsv").read_text().split("\n")
    for line in lines:
        cells = line.split("\t")
        if len(cells) >= 3 and cells[2] in ("0", "1", "INVALID_FILTER", "INVALID_TOPIC"):
            yield plain(cells[0]), plain(cells[1]), cells[2]
