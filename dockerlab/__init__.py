"""Docker fundamentals for ML deployment: the package behind the lessons.

The modules follow the flow of a lesson: `site` and `bases` say where images come from, `build` makes one,
`image` and `container` look at it, `measure` puts numbers in a table and `charts` draws it.
"""

import os
import sys
import sysconfig

__version__ = "0.1.0"

# So that `!dockerlab …` works in a notebook, whichever way its kernel was started.
_scripts = sysconfig.get_path("scripts")
if _scripts not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join([_scripts, os.environ.get("PATH", "")]).rstrip(os.pathsep)

if "IPython" in sys.modules and (_shell := sys.modules["IPython"].get_ipython()) is not None:
    from dockerlab.core import markup

    markup.in_notebooks(_shell)
