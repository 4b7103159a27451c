"""A broker that knows about tokens only: it says welcome, confirms what it is asked, and keeps what came."""

import asyncio
import http
import json
import threading

import websockets


class TokenServer:
    """Serves in a thread of its own. `script` is called with each connection after its welcome."""

    def __init__(self, script=None, ssl=None, refuse=None):
        self.script, self.refuse = script, refuse
        self.headers, self.envelopes = [], []
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ssl, started), daemon=True)
        self.thread.start()
        assert started.wait(10)

    def _run(self, ssl, started):
        asyncio.set_event_loop(self.loop)
        serving = websockets.serve(
            self._handle, "127.0.0.1", 0, ssl=ssl, process_request=self._look,
            subprotocols=["fantail.v1.json"])
        self.server = self.loop.run_until_complete(serving)
        self.port = self.server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def _look(self, _path, headers):
        self.headers.append(headers.get("Authorization"))
        if self.refuse:
            return http.HTTPStatus(self.refuse), [], b""
        return None

    async def _handle(self, connection, _path=None):
        await connection.send(json.dumps(
            {"op": "welcome", "version": 1, "session": "s", "node": "n", "user": None, "ping": 25,
             "limits": {"message": 65536, "topics": 1024, "queue": 1048576}}))
        if self.script:
            await self.script(connection, len(self.headers))
        token, is_subscribed = None, False
        async for message in connection:
            envelope = json.loads(message)
            self.envelopes.append(envelope)
            if "id" in envelope:
                await connection.send(json.dumps({"op": "ok", "id": envelope["id"], "pos": []}))
            # What is sent before a `sub` is answered is nobody's; and `auth` may come before it.
            is_subscribed = is_subscribed or envelope["op"] == "sub"
            token = envelope["token"] if envelope["op"] == "auth" else token
            if token and is_subscribed:
                await connection.send(json.dumps(
                    {"op": "msg", "topic": "t", "data": token, "at": 1}))

    def stop(self):
        """Ends all connections."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def url(self, scheme="ws", host="127.0.0.1"):
        return f"{scheme}://{host}:{self.port}"
