"""Wait until something holds: the one loop of the course that asks again and again."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(ready: Callable[..., object], timeout: float, interval: float = 0.02) -> bool:
    """Call `ready()` every `interval` seconds until it is true; False where that takes longer than `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
