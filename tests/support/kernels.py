"""The kernel of a notebook, one cell at a time, so that a test can interrupt it or kill it in the middle of one."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager


class Kernel:
    """A running kernel of this very environment."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client
        self.killed = False

    def begin(self, code: str) -> str:
        """Send a cell and return at once."""
        return self.client.execute(code, allow_stdin=False)

    def outputs(self, cell: str, timeout: float = 120) -> list[dict[str, Any]]:
        """What the cell put out, when it is done: the content of each message with its type. Ends early where the kernel was killed."""
        found, deadline = [], time.monotonic() + timeout
        while time.monotonic() < deadline and not self.killed:
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != cell:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return found
            if message["msg_type"] in ("stream", "error", "display_data", "execute_result"):
                found.append({"type": message["msg_type"], **message["content"]})
        if self.killed:
            return found
        raise TimeoutError(f"The cell was not done after {timeout} s.")

    def run(self, code: str, timeout: float = 120) -> list[dict[str, Any]]:
        """Send a cell and wait for its outputs."""
        return self.outputs(self.begin(code), timeout)

    def interrupt(self) -> None:
        """What the stop button does."""
        self.manager.interrupt_kernel()

    def kill(self) -> None:
        """What a machine does that has no memory left."""
        self.killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.manager.provisioner.pgid, signal.SIGKILL)


@contextlib.contextmanager
def kernel(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Kernel]:
    """Start a kernel in this folder with these variables added; it ends with the block."""
    manager = KernelManager(kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager())
    manager.start_kernel(cwd=str(folder), env={**os.environ, **(env or {})})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
