#!/usr/bin/python3
"""A broker that speaks just enough JSON for `fantail bench`, and lies as LIE says.

The bench has to notice each of these: `lose`, `double`, `swap`, `refuse`, `close`; of a resume `skip`,
`repeat`, `gap`, `early`, `unrecovered`, `silent`; and of events `misname`, `babble`; anything else is the
truth. Takes the place of fantaild (`--fantaild`), so its arguments are ignored.
"""

import asyncio
import json
import os
import re
import struct

LIE = os.environ.get("LIE", "")
LIE_AT = 20  # the publication that is lied about: late enough that all is under way

subscribers = {}
offset = 0
held_back = []
streams = set()  # the subscribers that get events instead of frames
kept = []  # the frames of all publications, the first at offset 1; the bench resumes on one topic alone


def frame(payload, opcode=1):
    """A server's WebSocket frame."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)
    return bytes([0x80 | opcode]) + length + payload


def envelope(**keys):
    return frame(json.dumps(keys).encode())


def event(message):
    """The event of a publication whose frame this is."""
    payload = message[4 if message[1] == 126 else 2:].decode()
    pos = json.loads(payload).get("pos")
    if LIE == "misname" and offset == LIE_AT:
        pos += "0"
    babble = "hello\n" if LIE == "babble" and offset == LIE_AT else ""
    return f"{babble}id: {pos}\ndata: {payload}\n\n".encode()


async def read_envelope(reader):
    """Reads one masked frame of a client."""
    size = (await reader.readexactly(2))[1] & 127
    if size == 126:
        size = struct.unpack(">H", await reader.readexactly(2))[0]
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return json.loads(bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))


def copies(message):
    """The frames that a subscriber gets for this publication: one, if there is no lie."""
    if offset == LIE_AT + 1 and held_back:
        return [message, held_back.pop()]
    if offset != LIE_AT:
        return [message]
    if LIE == "swap":
        held_back.append(message)
    return {"lose": [], "double": [message, message], "swap": [],
            "refuse": [envelope(op="error", code=500, message="no more")],
            "close": [frame(struct.pack(">H", 4508), 8)]}.get(LIE, [message])


def publish(writer, request):
    global offset
    offset += 1
    pos = f"liar.{offset}"
    text = json.dumps({"op": "msg", "topic": request["topic"], "data": request["data"], "at": 1,
                       "pos": pos}, separators=(",", ":"))
    message = frame(text.encode())
    kept.append(message)
    for each in copies(message):
        for subscriber in subscribers.get(request["topic"], []):
            subscriber.write(event(each) if subscriber in streams else each)
    if "id" in request:
        writer.write(envelope(op="ok", id=request["id"], pos=pos))


def resume(request):
    """The ok, and what comes behind it."""
    begin = int(request["since"][0].partition(".")[2])
    ok = {"op": "ok", "id": request["id"], "pos": [f"liar.{begin}"], "recovered": True}
    gap = envelope(op="gap", reason="slow", lost=1, pos=[f"liar.{begin + 1}"])
    replay = kept[begin:]
    if LIE == "silent":
        del ok["recovered"]
    if LIE == "unrecovered":
        ok["recovered"] = False
    frames = [envelope(**ok)] + {
        "skip": replay[:5] + replay[6:], "repeat": replay[:5] + replay[4:],
        "gap": [gap] + replay[1:]}.get(LIE, replay)
    if LIE == "early":
        frames[:2] = reversed(frames[:2])
    return b"".join(frames)


def answer(writer, request):
    """Does what a session asks for."""
    if request["op"] == "sub" and "since" in request:
        writer.write(resume(request))
    elif request["op"] == "sub":
        for topic in request["topics"]:
            subscribers.setdefault(topic, []).append(writer)
        writer.write(envelope(op="ok", id=request["id"], pos=[f"liar.{offset}"]))
    elif request["op"] == "pub":
        publish(writer, request)
    else:
        for topic in request.get("topics", []):
            if writer in subscribers.get(topic, []):
                subscribers[topic].remove(writer)
        writer.write(envelope(op="ok", id=request["id"]))


async def serve(reader, writer):
    try:
        asked = re.match(rb"GET /v1/events\?topic=(\S+) ", await reader.readuntil(b"\r\n\r\n"))
        if asked:
            streams.add(writer)
            subscribers.setdefault(asked[1].decode(), []).append(writer)
            writer.write(b'HTTP/1.1 200 OK\r\n\r\nevent: ok\ndata: {"op":"ok"}\n\n')
            await reader.read()
            return
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
                     + envelope(op="welcome", version=1, ping=25))
        while True:
            answer(writer, await read_envelope(reader))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"fantaild liar ready at http://127.0.0.1:{port}/ (ws://127.0.0.1:{port}/ws)", flush=True)
    await server.serve_forever()


asyncio.run(main())
