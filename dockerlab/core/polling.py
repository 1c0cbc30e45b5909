"""Wait until something holds: the one loop of the course that asks again and again."""

from __future__ import annotations

import time
from typing import Any


def wait_until(ready: Any, timeout: float, interval: float = 0.02) -> bool:
    """Call `ready()` until it is true or `timeout` seconds have passed; the one polling loop of the course."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
