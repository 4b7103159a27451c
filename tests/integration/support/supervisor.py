"""The supervisor's side of sd_notify(3), and a thread that is held as if it were stuck."""

import contextlib
import ctypes
import itertools
import os
import socket
import time
from pathlib import Path

HEARD_S = 20  # for what has to come
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # waits for threads, too


class Supervisor:
    """A datagram socket, by a path or an abstract name ("@…"), and what comes there."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.environment = {"NOTIFY_SOCKET": name}

    def hear(self, seconds=HEARD_S):
        """Returns the next message as a dict; None when none comes in this time."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            message = self.socket.recv(65536).decode()
        except TimeoutError:
            return None
        return dict(line.split("=", 1) for line in message.split("\n"))

    def expect(self, name, seconds=HEARD_S):
        """Passes by what the watchdog gets, and returns the next other message, which has this name."""
        ends = time.monotonic() + seconds
        while (message := self.hear(ends - time.monotonic())) == {"WATCHDOG": "1"} != {name: "1"}:
            assert time.monotonic() < ends, f"nothing but the watchdog's before {name}"
        assert message and message.get(name) == "1", f"{message} instead of {name}"
        return message

    def fill(self):
        """Leaves no room for another message, whoever sends it: each sender has a bound of its own, too."""
        with contextlib.ExitStack() as senders:
            while self._fill_as(senders.enter_context(
                    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))) > 0:
                pass

    def _fill_as(self, sender):
        sender.connect(self.socket.getsockname())
        sender.setblocking(False)
        for count in itertools.count():
            try:
                sender.send(b"FILL=1")
            except BlockingIOError:
                return count
        return None

    def empty(self):
        """Takes all that has come."""
        while self.hear(0):
            pass

    def close(self):
        """Closes the socket: nobody hears any more."""
        self.socket.close()


def threads(pid, name):
    """Returns the ids of a process's threads of this name."""
    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()
            if (task / "comm").read_text().strip() == name]


class Held:
    """Holds one thread of a child process, as a debugger does; the others go on."""

    def __init__(self, tid):
        self.tid = tid
        self._trace = ctypes.CDLL(None, use_errno=True).ptrace
        self._trace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]

    def _do(self, request):
        if self._trace(request, self.tid, None, None) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"ptrace({request:#x}): {os.strerror(number)}")

    def __enter__(self):
        self._do(PTRACE_SEIZE)
        self._do(PTRACE_INTERRUPT)
        os.waitpid(self.tid, WALL)
        return self

    def __exit__(self, *_):
        self._do(PTRACE_DETACH)
