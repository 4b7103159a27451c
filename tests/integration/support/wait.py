"""Waiting for what cannot be read from a socket: a condition, a deadline, and a pace."""

import select
import time

from .raw import DEADLINE_S

PACE_S = 0.01  # between two looks at /proc


def until(condition, what, timeout=DEADLINE_S):
    """Returns the condition's first true value; fails, naming `what`, when it does not come."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s")
        select.select([], [], [], PACE_S)
