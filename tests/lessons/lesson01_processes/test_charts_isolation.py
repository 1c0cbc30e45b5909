"""The charts of lesson 01 say what they were given, and nothing in them overlaps or is cut."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg

from dockerlab.lessons.lesson01_processes import charts


def test_start_times_label_what_is_measured_and_what_is_cited() -> None:
    fig = charts.start_times(
        {"process": [0.001, 0.002, 0.0015], "container": [0.3, 0.5, 0.4]}, {"VM": 29.3}, "finding"
    )
    axes = fig.axes[0]
    assert axes.get_title(loc="left") == "finding" and axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.texts] == ["1.5 ms", "400 ms", "29.3 s, cited"]
    assert "logarithmic" in axes.get_xlabel()
    # every bar begins at the left edge, and every start is inside
    assert {bar.get_x() for bar in axes.patches} == {axes.get_xlim()[0]} and axes.get_xlim()[0] <= 0.001


def test_every_text_of_the_stacks_fits_its_block() -> None:
    fig = charts.stacks()
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    words = {text.get_text() for axes in fig.axes for text in axes.texts}
    assert {"guest kernel", "kernel with hypervisor", "kernel: namespaces, cgroups"} <= words
    for axes in fig.axes:
        boxes = [patch.get_window_extent() for patch in axes.patches]
        for text in axes.texts[: len(boxes)]:
            extent = text.get_window_extent(canvas.get_renderer())
            inside = [
                box.x0 - 1 <= extent.x0
                and extent.x1 <= box.x1 + 1
                and box.y0 - 1 <= extent.y0
                and extent.y1 <= box.y1 + 1
                for box in boxes
            ]
            assert any(inside), text.get_text()
