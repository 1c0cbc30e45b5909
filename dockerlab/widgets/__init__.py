"""Instruments: thin ipywidgets shells round the pure functions of the package. None is needed: each has a printed form."""

from dockerlab.widgets.console import ContainerConsole
from dockerlab.widgets.ladder import LadderChart
from dockerlab.widgets.layers import LayerExplorer
from dockerlab.widgets.limits import LimitSliders
from dockerlab.widgets.live import Instrument, close_all
from dockerlab.widgets.playground import DetectionPlayground
from dockerlab.widgets.predictor import CachePredictor
from dockerlab.widgets.stack import StackGraph
from dockerlab.widgets.timeline import BuildTimeline, compare_builds

__all__ = [
    "BuildTimeline", "CachePredictor", "ContainerConsole", "DetectionPlayground", "Instrument", "LadderChart", "LayerExplorer", "LimitSliders", "StackGraph",
    "close_all", "compare_builds",
]
