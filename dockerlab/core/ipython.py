"""The notebook that this process is a kernel of, if it is one."""

from __future__ import annotations

import sys
from typing import Any


def shell() -> Any | None:
    """The running IPython shell; None outside one. IPython is not imported for this question."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
