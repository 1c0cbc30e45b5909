"""Docker fundamentals for ML deployment: the package behind the lessons.

The modules follow the flow of a lesson: `site` and `bases` say where images come from, `build` makes one,
`image` and `container` look at it, `measure` puts numbers in a table and `charts` draws it.
"""

__version__ = "0.1.0"
