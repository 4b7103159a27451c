"""A bad night: faults of Redis, of links and of nodes in a random order, some at a time, under load.

Everything is drawn from one seed. Each fault begins, lasts for a while in which others begin, and is over;
nothing blocks the loop of the ledger, which is the load.
"""

import os
import random
import signal
import threading
import time

from redis.exceptions import RedisError

from .cluster import Node
from .redis_link import RedisLink

AT_ONCE = 2  # faults at a time
END_S = 20  # for a node to end
SLACK_S = 0.8  # between one and the next, about


class Night:
    """The cluster and what happens to it."""

    def __init__(self, seed, servers, args, count=3, workers=1, loses=False):
        self.random = random.Random(seed)
        self.servers, self.args, self.workers, self.loses = servers, args, workers, loses
        self.links = [RedisLink(server) for server in servers]
        self.number = 0
        self.nodes, self.gone = [], []
        self.ledger = None
        self.log = []
        self.is_killed = False
        self.busy = set()  # what has a fault now: servers, nodes, links
        for n in range(count):
            self.nodes.append(self.make_node(is_linked=n == 0))
        for node in self.nodes:
            node.wait_ready(seconds=20)

    def make_node(self, is_linked):
        """Starts a node; a linked one reaches Redis through links."""
        self.number += 1
        urls = [each.url for each in (self.links if is_linked else self.servers)]
        node = Node(urls, f"n{self.number}", args=self.args, workers=self.workers)
        node.is_linked = is_linked
        return node

    # -- the faults: each takes hold of somebody and yields until it is over

    def _server(self):
        """Takes hold of a server that has no fault; None: there is none."""
        free = [each for each in self.servers if each not in self.busy]
        return self.random.choice(free) if free else None

    def _on_server(self, act):
        server = self._server()
        if server is None:
            return
        self.busy.add(server)
        try:
            yield from act(server)
        finally:
            self.busy.discard(server)

    def _seconds(self, least, most):
        """Waits, as long as the draw says."""
        end = time.monotonic() + self.random.uniform(least, most)
        while time.monotonic() < end:
            yield

    def _call(self, function, *args):
        """Lets a thread do what blocks."""
        failed = []

        def run():
            try:
                function(*args)
            except Exception as error:  # pylint: disable=broad-except
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive():
            yield
        thread.join()
        if failed:
            raise failed[0]

    @staticmethod
    def _command(server, *words):
        """Tells a server something; that it does not answer is part of the night."""
        client = server.client(socket_timeout=0.5)
        try:
            client.execute_command(*words)
        except RedisError:
            pass
        finally:
            client.close()

    def kill_connections(self):
        def act(server):
            kinds = self.random.choice((["pubsub"], ["normal"], ["pubsub", "normal"]))
            for _ in range(self.random.randint(1, 4)):
                for kind in kinds:
                    yield from self._call(self._command, server, "CLIENT", "KILL", "TYPE", kind, "SKIPME",
                                          "yes")
                yield from self._seconds(0.05, 0.5)
        return self._on_server(act)

    def freeze_redis(self):
        def act(server):
            server.freeze()
            try:
                yield from self._seconds(0.1, self.random.choice((1, 2, 6)))
            finally:
                if server.process.poll() is None:
                    server.thaw()
        return self._on_server(act)

    def restart_redis(self):
        def act(server):
            server.kill()
            yield from self._seconds(0, 1.5)
            yield from self._call(server.start)
        return self._on_server(act)

    def flap_redis(self):
        def act(server):
            for _ in range(4):
                server.kill()
                yield from self._call(server.start)
                yield from self._seconds(0.2, 0.5)
        return self._on_server(act)

    def empty_redis(self):
        def act(server):
            yield from self._call(server.restart, True)
        return self._on_server(act)

    def swallow(self):
        index = self.random.randrange(len(self.links))
        link = self.links[index]
        if link in self.busy or self.servers[index] in self.busy:
            return
        self.busy.add(link)
        way = self.random.choice(((True, False), (False, True), (True, True)))
        link.swallow(*way)
        try:
            yield from self._seconds(0.2, 6)
        finally:
            link.restore()
            self.busy.discard(link)

    def cut_link(self):
        self.random.choice(self.links).cut()
        yield

    def limit_output(self):
        def act(server):
            limit = "client-output-buffer-limit"
            yield from self._call(self._command, server, "CONFIG", "SET", limit, "pubsub 8kb 4kb 1")
            yield from self._seconds(0.5, 3)
            yield from self._call(self._command, server, "CONFIG", "SET", limit, "pubsub 32mb 8mb 60")
        return self._on_server(act)

    def pause_clients(self):
        def act(server):
            milliseconds = self.random.randint(100, 3000)
            kind = self.random.choice(("ALL", "WRITE"))
            yield from self._call(self._command, server, "CLIENT", "PAUSE", milliseconds, kind)
            yield from self._seconds(0.1, 1)
        return self._on_server(act)

    def sleep_redis(self):
        def act(server):
            yield from self._call(self._command, server, "DEBUG", "SLEEP",
                                  self.random.choice((0.2, 0.5, 1, 3.5)))
        return self._on_server(act)

    def _free_node(self):
        free = [each for each in self.nodes if each not in self.busy]
        # Two stay as they are: clients have to be somewhere.
        return self.random.choice(free) if len(free) > 1 else None

    def _replace(self, node):
        """A new one, under a new name, in its place."""
        made = []
        yield from self._call(lambda: made.append(self.make_node(node.is_linked)))
        self.nodes[self.nodes.index(node)] = made[0]
        self.gone.append(node)
        self.ledger.addresses = [each.address for each in self.nodes]

    def kill_node(self):
        node = self._free_node()
        if node is None:
            return
        self.busy.add(node)
        self.is_killed = True
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
        yield from self._seconds(0, 2)
        yield from self._replace(node)

    @staticmethod
    def _end(node):
        """Ends a node as an operator would. That it is gone in time is for other tests: here the machine is
        full."""
        node.process.send_signal(signal.SIGTERM)
        node.process.wait(END_S)
        node.stop()

    def end_node(self):
        node = self._free_node()
        if node is None:
            return
        self.busy.add(node)
        yield from self._call(self._end, node)
        yield from self._replace(node)

    def freeze_node(self):
        node = self._free_node()
        if node is None:
            return
        self.busy.add(node)
        os.kill(node.pid, signal.SIGSTOP)
        try:
            yield from self._seconds(0.1, 6)
        finally:
            os.kill(node.pid, signal.SIGCONT)
            self.busy.discard(node)

    def slow_worker(self):
        """A thread of a node hardly gets the processor, beside one that takes all that it can."""
        node = self._free_node()
        if node is None:
            return
        self.busy.add(node)
        thread = int(self.random.choice(os.listdir(f"/proc/{node.pid}/task")))
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
        try:
            yield from self._seconds(0.5, 5)
        finally:
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
            self.busy.discard(node)

    FAULTS = (kill_connections, kill_connections, freeze_redis, freeze_redis, restart_redis, flap_redis,
              swallow, swallow, cut_link, limit_output, pause_clients, sleep_redis, kill_node, end_node,
              freeze_node, slow_worker)

    # -- the night

    def draw(self):
        """Begins the next fault."""
        faults = self.FAULTS + ((Night.empty_redis,) if self.loses else ())
        fault = self.random.choice(faults)
        return fault.__name__, fault(self)

    def run(self, seconds):
        """Lets faults happen for so long; all of them are over at the end."""
        begun = time.monotonic()
        going, due = [], begun
        while time.monotonic() < begun + seconds or going:
            now = time.monotonic()
            if now >= due and len(going) < AT_ONCE and now < begun + seconds:
                name, fault = self.draw()
                self.log.append(f"{now - begun:.1f} {name}")
                going.append(fault)
                due = now + self.random.expovariate(1 / SLACK_S)
            going = [each for each in going if next(each, each) is not each]
            self.ledger.turn()
            for node in self.nodes:
                if node not in self.busy:
                    node.check_running()
        for node in self.nodes:
            while not node.is_ready():
                self.ledger.turn()
                assert time.monotonic() < begun + seconds + 60, (node.name, node.stderr[-3000:])

    def close(self):
        """Ends all of it; each node that was not killed must end well."""
        try:
            for node in self.nodes + self.gone:
                if node.process.poll() is None:
                    self._end(node)
                elif node.process.returncode != -signal.SIGKILL:
                    node.stop()
        finally:
            for node in self.nodes + self.gone:
                if node.process.poll() is None:
                    node.kill()
            for link in self.links:
                link.stop()
