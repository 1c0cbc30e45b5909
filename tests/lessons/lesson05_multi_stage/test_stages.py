"""What ships of a stage, what stages do at the same time, and the charts of both; no engine but for one weighing."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from dockerlab.images import base_images
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.image_report import ImageReport, Layer
from dockerlab.lessons.lesson05_multi_stage import stages
from dockerlab.lessons.lesson05_multi_stage.charts import share_saved, stage_lanes, stage_weights

TEXT = """\
FROM a AS export
RUN make /out/model
FROM a AS packages
RUN pip install x
FROM b
COPY --from=packages /opt/venv /opt/venv
COPY --from=export --chmod=444 /out/model model/
COPY app app
"""


def test_shipped_adds_up_what_the_last_stage_copies() -> None:
    layers = [
        Layer("(base image)", 100),
        Layer("COPY /opt/venv /opt/venv", 70),
        Layer("COPY --chmod=444 /out/model model/", 9),
        Layer("COPY app app", 1),
    ]
    assert stages.shipped(TEXT, ImageReport("x", layers, {})) == {"packages": 70, "export": 9}


def test_shipped_reads_a_copy_as_the_history_has_it() -> None:
    text = "FROM a AS One\nARG X=1\nFROM b\nARG D=/y U=app\nCOPY --link --from=ONE --chown=$U:$U /x $D\n"
    text += 'COPY --from=0 ["/a b", "/c"]\n' + 2 * "COPY --from=0 /x /z\n"
    layers = [
        Layer("COPY --chown=app:app /x /y", 1),
        Layer("COPY /a b /c", 10),
        Layer("COPY /x /z", 100),
        Layer("COPY /x /z", 1000),
    ]
    assert stages.shipped(text, ImageReport("x", layers, {})) == {"one": 1111}


def _report(*steps: tuple[str, float, float, bool]) -> BuildReport:
    return BuildReport(
        "id",
        "t",
        [Step(name, started=begun, seconds=took, cached=cached) for name, begun, took, cached in steps],
    )


def test_time_together_is_the_overlap_of_what_ran() -> None:
    report = _report(
        ("[export 2/3] RUN a", 0, 50, True),
        ("[export 3/3] RUN b", 1, 6, False),
        ("[packages 2/2] RUN c", 3, 8, False),
    )
    assert stages.span(report, "export") == (1, 7)
    assert stages.together(report, "export", "packages") == 4
    assert stages.together(report, "export", "missing") == 0


def test_answers_are_read_from_the_last_line() -> None:
    said = 'a warning\n{"a.jpg": [[640, 480], [["ship", 0.9, 1, 2, 3, 4]]], "b.jpg": [[1, 1], []]}\n'
    answers = stages.read_answers(said, {"a.jpg"})
    assert (
        list(answers) == ["a.jpg"]
        and answers["a.jpg"].summary() == "1 ship"
        and answers["a.jpg"].width == 640
    )


def test_the_chart_of_stages_says_what_ships() -> None:
    axes = stage_weights({"packages": 3e8, "export": 2e9}, {"packages": 1.4e8, "export": 9.6e6}).axes[0]
    assert axes.get_title(loc="left") == "Of 2,300 MB in the stages, 150 MB ship"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["export", "packages"]
    assert "9.6 MB of 2,000 MB ship" in {text.get_text() for text in axes.texts}
    assert axes.get_xlim()[0] == 0


def test_the_chart_of_savings_measures_against_the_first_and_the_promise() -> None:
    axes = share_saved({"single": 1e9, "recipe": 4e8, "best": 1e8}, (50, 70)).axes[0]
    assert axes.get_title(loc="left") == "The recipe saves 60 %, the last form 90 %: 10 times smaller"
    assert axes.get_xlim() == (0, 100)
    assert {"60 % smaller: 400 MB", "90 % smaller: 100 MB", "promised: 50–70 %"} <= {
        text.get_text() for text in axes.texts
    }


def test_lanes_hold_what_ran_and_say_what_was_saved() -> None:
    report = _report(
        ("[export 2/2] RUN python export.py x", 0, 6, False),
        ("[packages 1/2] RUN a", 0, 90, True),
        ("[packages 2/2] RUN pip install", 1, 8, False),
        ("[stage-2 2/2] COPY --from=export /m m", 9, 0.1, False),
    )
    axes = stage_lanes(report).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["export", "packages", "last stage"]
    assert axes.get_title(loc="left") == "14.1 s of work are done in 9.1 s: stages run side by side"
    assert {text.get_text() for text in axes.texts} == {
        "RUN python export.py … 6.0 s",
        "RUN pip install … 8.0 s",
    }


def test_tests_are_laid_beside_the_code_and_seen(tmp_path: Path) -> None:
    stages.bring_tests(tmp_path, ["Dockerfile.tested"])
    assert (tmp_path / "tests/test_contract.py").is_file()
    assert "tests" not in (tmp_path / "Dockerfile.tested.dockerignore").read_text()


@pytest.mark.engine
def test_weighing_counts_what_a_container_sees(client: docker.DockerClient) -> None:
    base_images.ensure(base_images.SLIM, client)
    assert 8e7 < stages.seen_bytes(base_images.SLIM, client) < 2e8
