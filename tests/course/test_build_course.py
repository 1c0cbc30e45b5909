"""Sources become lessons, labs and solutions, and `--check` tells by content when they no longer match."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path, PurePath
from types import ModuleType

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.course import workspace
from dockerlab.course.authoring import notebooks, regions
from dockerlab.course.authoring.regions import BuildError, derive

DATA = Path(__file__).parents[1] / "data" / "course"


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "build_course", Path(__file__).parents[2] / "tools" / "build_course.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_course"] = module
    spec.loader.exec_module(module)
    return module


tool = _tool()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("course") / "it"
    shutil.copytree(DATA, root)
    assert tool.main([], root) == 0
    return root


@pytest.fixture
def course(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "it"))


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# regions


def test_a_region_gives_solution_and_starter() -> None:
    text = "a\n  # --- solution\n  b\n  # --- starter\n  # c\n  #   d\n  #\n  # # e\n  # --- end\nf\n"
    assert derive(text, "x") == regions.Derived("a\n  b\nf\n", "a\n  c\n    d\n\n  # e\nf\n")


def test_a_region_without_starter_leaves_nothing() -> None:
    assert derive("# --- solution\na\n# --- end\nb\n", "x") == regions.Derived("a\nb\n", "b\n")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a\n# --- solution\nb\n", 2, "never closed"),
        ("# --- solution\na\n# --- solution\nb\n# --- end\n", 3, "inside"),
        ("a\n# --- end\n", 2, "without a region"),
        ("# --- starter\n# a\n# --- end\n", 1, "without a region"),
        ("# --- solution\n\n# --- end\n", 3, "empty"),
        ("# --- solution\na\n# --- starter\n# --- end\n", 4, "empty"),
        ("# --- solution\na\n# --- starter\nb\n# --- end\n", 4, "not behind"),
        ("# --- solution\na\n# --- starter\n# b\n# --- starter\n# c\n# --- end\n", 5, "second"),
        ("# --- solution of mine\na\n# --- end\n", 1, "after the mark"),
    ],
)
def test_a_broken_region_names_file_and_line(text: str, line: int, what: str) -> None:
    with pytest.raises(BuildError, match=f"^app.py:{line}: .*{what}"):
        derive(text, "app.py")


def test_a_region_may_not_cross_cells() -> None:
    with pytest.raises(BuildError, match="lab.py:3: a cell begins inside"):
        derive("# --- solution\na\n# %%\n# --- end\n", "lab.py", cells=True)


def test_a_python_starter_that_does_not_compile_is_an_error() -> None:
    source = b"def f():\n    # --- solution\n    return 1\n    # --- end\n"
    with pytest.raises(BuildError, match="the starter is not Python"):
        regions.derive_bytes(source, PurePath("app.py"), "app.py")


def test_a_lab_gets_files_of_the_course_unchanged(tmp_path: Path) -> None:
    for name, text in {
        "assets/api/app/main.py": "# --- solution\n",
        "assets/model.bin": "m",
        "sources/labs/01_x/Dockerfile": "FROM scratch\n",
        "sources/labs/01_x/include.toml": '"app" = "assets/api/app"\n"model/m.bin" = "assets/model.bin"\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    solved, starter = workspace.derived_files(tmp_path / "sources/labs/01_x", tmp_path)
    assert (
        solved
        == starter
        == {
            PurePath("Dockerfile"): b"FROM scratch\n",
            PurePath("app/main.py"): b"# --- solution\n",
            PurePath("model/m.bin"): b"m",
        }
    )
    (tmp_path / "assets/model.bin").unlink()
    with pytest.raises(BuildError, match=r"01_x/include.toml: there is no assets/model.bin"):
        workspace.derived_files(tmp_path / "sources/labs/01_x", tmp_path)


# lessons


def test_a_lesson_is_executed_in_its_folder_with_stable_ids(built: Path) -> None:
    notebook = json.loads((built / "notebooks/01_say_hello.ipynb").read_text())
    text, hello, error, answer = notebook["cells"]
    assert [cell["id"][:7] for cell in notebook["cells"]] == ["01-000-", "01-001-", "01-002-", "01-003-"]
    assert hello["outputs"][0]["text"] == ["hello from notebooks\n"]
    assert error["outputs"][0]["ename"] == "ValueError"
    assert [hello["execution_count"], error["execution_count"], answer["execution_count"]] == [1, 2, 3]
    assert set(notebook["metadata"]) == {"dockerlab", "kernelspec", "language_info"}
    assert "version" not in notebook["metadata"]["language_info"]
    assert hello["metadata"] == {} and answer["metadata"] == {"tags": ["nbval-ignore-output"]}


def test_the_same_source_gives_the_same_bytes(course: Path) -> None:
    path = course / "notebooks/01_say_hello.ipynb"
    before = path.read_bytes()
    path.unlink()
    assert tool.main(["01_say"], course) == 0
    assert path.read_bytes() == before
    assert before.endswith(b"}\n")


def test_an_error_names_lesson_and_cell_and_writes_nothing(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = course / "notebooks/01_say_hello.ipynb"
    before = path.read_bytes()
    _edit(course / "sources/notebooks/01_say_hello.py", "6 * 7", "1 / 0")
    assert tool.main(["01_say"], course) == 1
    assert "01_say_hello, cell 3: ZeroDivisionError: division by zero" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert sorted(item.name for item in path.parent.iterdir()) == [path.name]


def test_widget_state_and_views_are_dropped(tmp_path: Path) -> None:
    notebook = notebooks.lesson("# %%\n1\n", "01_x", "01_x.py")
    notebook.metadata["widgets"] = {"state": {}}
    view = {tool.WIDGET_VIEW: {"model_id": "1"}}
    output = {"output_type": "display_data", "metadata": {}}
    notebook.cells[0].outputs = [
        tool.nbformat.from_dict(output | {"data": view | extra}) for extra in ({"text/plain": "a"}, {})
    ]
    tool.clean(notebook, "01_x", tmp_path)
    assert "widgets" not in notebook.metadata
    assert [item.data for item in notebook.cells[0].outputs] == [{"text/plain": "a"}]


@pytest.mark.parametrize("tags", ['["nbval-ignore-output"]', ""])
def test_the_path_of_this_checkout_never_stays(tmp_path: Path, tags: str) -> None:
    notebook = notebooks.lesson(f"# %% {f'tags={tags}' if tags else ''}\n1\n", "01_x", "01_x.py")
    notebook.cells[0].outputs = [tool.nbformat.v4.new_output("stream", name="stdout", text=f"{tmp_path}/a")]
    if tags:
        assert tool.clean(notebook, "01_x", tmp_path).cells[0].outputs[0].text == "a"
    else:
        with pytest.raises(BuildError, match="01_x, cell 0 prints the path"):
            tool.clean(notebook, "01_x", tmp_path)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("1 + 1;", "`;`"),
        ("x = f(\n    1,\n);  # hide", "`;`"),
        ("from tqdm.auto import trange", "tqdm"),
        ("from IPython.display import clear_output", "clear_output"),
        ("import subprocess\nsubprocess.run(['ls'])", "capture"),
        ("subprocess.run(['ls'], capture_output=False)", "capture"),
        ("subprocess.check_call(['ls'])", "capture"),
        ("1  # NBVAL_IGNORE_OUTPUT", "nbval comment"),
        ("def", "not Python"),
    ],
)
def test_code_that_nbval_cannot_compare_is_refused(code: str, what: str) -> None:
    with pytest.raises(BuildError, match=f"here.*{what}"):
        notebooks.lint(code, "here")


@pytest.mark.parametrize(
    "code",
    [
        "print('a;')",
        "x = 1  # no;",
        "a = 1; b = 2",
        "subprocess.run(['ls'], capture_output=True)",
        "!docker ps",
        "%%bash\nls;\n",
        "'tqdm'",
    ],
)
def test_honest_code_passes(code: str) -> None:
    notebooks.lint(code, "here")


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(BuildError, match="cell 0: tag hide"):
        notebooks.lesson('# %% tags=["hide"]\n1\n', "01_x", "01_x.py")


# labs


def test_a_lab_gives_starter_and_solution(built: Path) -> None:
    labs, solutions = built / "labs/01_tiny", built / "solutions/01_tiny"
    assert (labs / "app/main.py").read_text().endswith("    raise NotImplementedError\n")
    assert (solutions / "app/main.py").read_text().endswith("    return 2 * number\n")
    assert (labs / "Dockerfile").read_text() == "FROM scratch\nCOPY app /app\n"
    assert (solutions / "Dockerfile").read_text() == "FROM scratch\nUSER 1000\nCOPY app /app\n"
    assert (labs / "compose.yaml").read_text().splitlines()[2:] == [
        "    # name the image here",
        '    image: ""',
    ]
    source = built / "sources/labs/01_tiny/picture.bin"
    assert (
        source.read_bytes() == (labs / "picture.bin").read_bytes() == (solutions / "picture.bin").read_bytes()
    )
    assert not list(built.rglob("__pycache__")) and not list(built.rglob(".building-*"))


def test_the_starter_notebook_is_not_executed_and_the_solution_is(built: Path) -> None:
    starter = json.loads((built / "labs/01_tiny/lab.ipynb").read_text())
    solution = json.loads((built / "solutions/01_tiny/lab.ipynb").read_text())
    assert [len(starter["cells"]), len(solution["cells"])] == [3, 4]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in starter["cells"])
    assert solution["cells"][3]["outputs"][0]["text"] == ["42\n"]
    assert starter["cells"][2]["id"] == solution["cells"][3]["id"]
    assert "42" not in "".join(starter["cells"][1]["source"])


# freshness


def test_what_was_built_is_fresh(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tool.stale(built)) == []
    assert tool.main(["--check"], built) == 0


@pytest.mark.parametrize(
    ("source", "old", "new", "stale"),
    [
        ("notebooks/01_say_hello.py", "6 * 7", "6 * 8", ["notebooks/01_say_hello.ipynb"]),
        ("notebooks/01_say_hello.py", "# # Say", "# # Say  ", ["notebooks/01_say_hello.ipynb"]),
        (
            "labs/01_tiny/Dockerfile",
            "USER 1000",
            "USER 1001",
            ["labs/01_tiny/lab.ipynb", "solutions/01_tiny/Dockerfile", "solutions/01_tiny/lab.ipynb"],
        ),
    ],
)
def test_a_changed_source_makes_its_products_stale(
    course: Path, source: str, old: str, new: str, stale: list[str]
) -> None:
    _edit(course / "sources" / source, old, new)
    assert [line.split(": ")[0] for line in tool.stale(course)] == stale
    assert tool.main(["--check"], course) == 1


def test_a_product_edited_by_hand_is_stale(course: Path) -> None:
    _edit(course / "notebooks/01_say_hello.ipynb", "6 * 7", "6 * 9")
    (course / "labs/01_tiny/Dockerfile").write_text("FROM other\n")
    (course / "solutions/01_tiny/stray.txt").write_text("")
    lines = list(tool.stale(course))
    assert lines == [
        "notebooks/01_say_hello.ipynb: cell 3 differs from its source (source)",
        "labs/01_tiny/Dockerfile: differs from its source",
        "solutions/01_tiny/stray.txt: has no source",
    ]


def test_an_unexecuted_cell_an_error_and_an_orphan_are_stale(course: Path) -> None:
    path = course / "notebooks/01_say_hello.ipynb"
    notebook = json.loads(path.read_text())
    shutil.copy(path, course / "notebooks/99_gone.ipynb")
    notebook["cells"][1]["execution_count"] = None
    path.write_text(json.dumps(notebook))
    assert list(tool.stale(course)) == [
        "notebooks/01_say_hello.ipynb: cell 1 was never executed",
        "notebooks/99_gone.ipynb: has no source",
    ]
    notebook["cells"][1] |= {"execution_count": 1, "outputs": notebook["cells"][2]["outputs"]}
    path.write_text(json.dumps(notebook))
    assert list(tool.stale(course, ["01_say"])) == ["notebooks/01_say_hello.ipynb: cell 1 holds an error"]


def test_an_unknown_name_is_an_error(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["77"], course) == 1
    assert "No lesson or lab is called 77" in capsys.readouterr().err


# the learner's copy


def test_reset_keeps_the_learners_version(course: Path) -> None:
    mine = course / "labs/01_tiny/Dockerfile"
    mine.write_text("FROM mine\n")
    assert workspace.reset("1", course) == course / "labs/.saved/01-1"
    assert mine.read_text() == "FROM scratch\nCOPY app /app\n"
    assert (course / "labs/.saved/01-1/Dockerfile").read_text() == "FROM mine\n"
    assert workspace.reset("01", course) is None
    assert workspace.files(course / "labs/01_tiny") == workspace.starter_files("01_tiny", course)


def test_solve_puts_the_executed_solution_in_place(course: Path) -> None:
    assert workspace.solve("01", course) == course / "labs/.saved/01-1"
    assert workspace.files(course / "labs/01_tiny") == workspace.files(course / "solutions/01_tiny")
    assert workspace.reset("01", course) == course / "labs/.saved/01-2"
    assert list(tool.stale(course)) == []


def test_building_a_lab_again_keeps_what_a_learner_wrote(course: Path) -> None:
    (course / "labs/01_tiny/notes.txt").write_text("mine")
    assert tool.main(["01_tiny", "--starters-only"], course) == 0
    assert (course / "labs/.saved/01-1/notes.txt").read_text() == "mine"


def test_an_unknown_lab_names_the_known_ones(course: Path) -> None:
    with pytest.raises(CourseError, match="no lab '9'.*Labs: 01"):
        workspace.find("9", course)


def test_tables_are_made_and_checked_without_running_anything(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (course / "sources/commands.toml").write_text("")
    assert tool.main(["--check"], course) == 1
    assert "notebooks/A1_command_reference.ipynb: missing" in capsys.readouterr().out
    assert tool.main(["--tables"], course) == 0
    assert (
        tool.main(["--check"], course) == 0
    )  # and the reference does not count as a notebook without a source
    (course / "sources/commands.toml").write_text("[[command]]\n")
    assert (
        tool.main(["01_tiny", "--starters-only"], course) == 0
    )  # who builds one thing is not stopped by another's table
    assert "The tables stay as they were." in capsys.readouterr().err
    assert tool.main(["--tables"], course) == 1
