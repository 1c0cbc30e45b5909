"""Instruments: thin ipywidgets shells round the pure functions of the package. None is needed: each has a printed form."""

from dockerlab.notebook.widgets.console import ContainerConsole
from dockerlab.notebook.widgets.ladder import LadderChart
from dockerlab.notebook.widgets.layers import LayerExplorer
from dockerlab.notebook.widgets.limits import LimitSliders
from dockerlab.notebook.widgets.live import Instrument, close_all
from dockerlab.notebook.widgets.playground import DetectionPlayground
from dockerlab.notebook.widgets.predictor import CachePredictor
from dockerlab.notebook.widgets.stack import StackGraph
from dockerlab.notebook.widgets.timeline import BuildTimeline, compare_builds

__all__ = [
    "BuildTimeline",
    "CachePredictor",
    "ContainerConsole",
    "DetectionPlayground",
    "Instrument",
    "LadderChart",
    "LayerExplorer",
    "LimitSliders",
    "StackGraph",
    "close_all",
    "compare_builds",
]
