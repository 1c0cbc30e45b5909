"""The course's tables follow its lessons; every promise of the syllabus is kept by a cell that ran; every command is explained."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from dockerlab.core.settings import ROOT
from dockerlab.course import grading
from dockerlab.course.authoring import notebooks, tables
from dockerlab.course.authoring.regions import BuildError
from dockerlab.course.authoring.tables import coverage, ground, lessons, overview, reference, shell
from dockerlab.course.grading.judging import Criterion, Lab, Outcome

HELLO = """\
# %% [markdown]
# # Say hello: the first lesson
#
# **You will do**: greet an engine, twice; greet | nobody.
#
# **You need**: an engine, about 7 minutes of your time, 2 the first time.

# %%
client = connect()

# %% [markdown]
# ## 1. Greet

# %%
said = !docker run --rm {labels} -e NAME={name} \\
    dockerlab-hello:v1 python -c "print('--not-a-flag')"
greeting = client.containers.run("dockerlab-hello:v1")

# %%
print(said[0])

# %% [markdown]
# ## 2. Twice

# %%
image = client.images.get("dockerlab-hello:v1")
image.tag("dockerlab-hello", "v2")

# %% tags=["raises-exception"]
!docker rmi missing
1 / 0
"""
SECOND = '''\
# %% [markdown]
# # Ask again
#
# **You will do**: ask.
#
# **You need**: 5 minutes.

# %%
%%bash
docker ps -q | xargs -r docker rm --force
docker compose -p {project} up -d --build
# docker commented out

# %%
text = """
!docker never
"""
for move in (box.start, box.stop):
    move()
'''
COMMANDS = """
[[command]]
group = "Run"
name = "docker run"
does = "runs"
python = "client.containers.run(image, …)"
[[command]]
group = "Run"
name = "docker ps"
does = "lists"
none = "no need"
[[command]]
group = "Images"
name = "docker rmi"
does = "removes"
python = "image.tag(…)"
note = "so to say"
[[command]]
group = "Run"
name = "docker rm"
does = "removes a container"
python = "container.stop()"
[[command]]
group = "Stacks"
name = "docker compose up"
does = "starts a stack"
none = "no docker-py"
"""
SYLLABUS = """
[[line]]
text = "a container greets"
cell = "docker run"
[[line]]
text = "the greeting | is shown"
cell = "print(said[0])"
shows = "hello"
[[line]]
text = "the lab: it works"
cell = "works"
lab = true
"""


def stored(*outputs: object) -> list[nbformat.NotebookNode]:
    """What one code cell printed (text), or nothing."""
    return [nbformat.v4.new_output("stream", name="stdout", text=each) for each in outputs]


def build(root: Path, stem: str, outputs: list[list[nbformat.NotebookNode]]) -> None:
    """Write the notebook of a lesson as if it had been run, with these outputs."""
    made = notebooks.lesson((root / f"sources/notebooks/{stem}.py").read_text(), stem, stem)
    for number, (cell, out) in enumerate(
        zip([cell for cell in made.cells if cell.cell_type == "code"], outputs, strict=True), 1
    ):
        cell.execution_count, cell.outputs = number, out
    (root / "notebooks").mkdir(exist_ok=True)
    (root / f"notebooks/{stem}.ipynb").write_bytes(notebooks.dump(made))


def load(number: str) -> Lab:
    criterion = Criterion("works", "It works | well", "", "", "", "", lambda submission: Outcome(True, ""))
    return Lab(number, "hello", (criterion,))


@pytest.fixture
def course(tmp_path: Path) -> Path:
    for folder in ("notebooks", "syllabus", "labs/01_hello", "labs/02_ask"):
        (tmp_path / "sources" / folder).mkdir(parents=True)
    (tmp_path / "sources/notebooks/01_say_hello.py").write_text(HELLO)
    (tmp_path / "sources/notebooks/02_ask_again.py").write_text(SECOND)
    (tmp_path / "sources/commands.toml").write_text(COMMANDS)
    (tmp_path / "sources/syllabus/01.toml").write_text(SYLLABUS)
    (tmp_path / "sources/syllabus/02.toml").write_text(
        '[[line]]\ntext = "asks"\ncell = "docker ps"\nshows = "nobody"\n'
    )
    (tmp_path / "README.md").write_text(f"# It\n\n{overview.BEGIN}\nold\n{overview.END}\n\nthe rest\n")
    error = nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="by zero", traceback=[])
    build(tmp_path, "01_say_hello", [[], [], stored("hello you\n"), stored("x"), [error]])
    build(tmp_path, "02_ask_again", [stored("nobody\n"), []])
    return tmp_path


def write(course: Path) -> None:
    for path, content in tables.derived(course, load).items():
        (course / path).write_bytes(content)


class TestShell:
    """What a cell runs is found where it runs, and only there."""

    @pytest.mark.parametrize(
        ("cell", "expected"),
        [
            ("!docker ps -a", ["docker ps -a"]),
            ("out = !docker image prune --force --filter label=a", ["docker image prune --force --filter"]),
            (
                "!docker --context other compose -f a.yaml --profile dev up -d --wait",
                ["docker compose up --context -f --profile -d --wait"],
            ),
            ("!docker buildx imagetools inspect x --raw", ["docker buildx imagetools inspect --raw"]),
            (
                "!docker run -d -p 127.0.0.1:{port}:8000 --name={name} image uvicorn --host x",
                ["docker run -d -p --name"],
            ),
            ("!docker run {labels} --rm $options image sh -c 'exit 3'", ["docker run --rm"]),
            ("!docker exec -it box sh -c 'ls -l'", ["docker exec -it"]),
            ("!docker compose {project} exec -T api python -c 1", ["docker compose exec -T"]),
            (
                "!docker rm -f $(docker ps -aq --filter label=a) 2>/dev/null",
                ["docker ps -aq --filter", "docker rm -f"],
            ),
            ("!docker inspect --format '{{{{.State.Status}}}}' {box.name}", ["docker inspect --format"]),
            ('!echo "now: $(docker volume ls -q)"', ["docker volume ls -q"]),
            ("!cd build && DOCKER_BUILDKIT=0 docker build -t a . | tail -n 3", ["docker build -t"]),
            ("!echo n | timeout 5 docker system prune -a", ["docker system prune -a"]),
            ("!docker run -d \\\n  --name a \\\n  image --flag", ["docker run -d --name"]),
            ("%%bash\nset -e\nif docker info; then\n  docker stop a\nfi", ["docker info", "docker stop"]),
            ("%%bash\ncat <<EOF > x\ndocker in a file\nEOF\ndocker start a", ["docker start"]),
            ("%%bash\nclean() { docker rm a; }\nclean", ["docker rm"]),
            ("text = '''\n!docker never\n'''", []),
            ("!echo docker ps", []),
            ("!dockerlab doctor\nprint('docker ps')", []),
            ("!docker --version", ["docker --version"]),
        ],
    )
    def test_commands_and_flags(self, cell: str, expected: list[str]) -> None:
        found = [" ".join([command.name, *command.flags]) for command in shell.commands(cell)]
        assert sorted(found) == sorted(expected)

    def test_a_line_that_no_shell_would_take_names_its_cell(self) -> None:
        with pytest.raises(BuildError, match=r"05_x \[3\].*quot"):
            shell.commands('!docker run "open', "05_x [3]")


class TestCoverage:
    """Each line of the syllabus leads to a cell that ran and showed something."""

    def test_lines_link_to_their_cells_and_labs(self, course: Path) -> None:
        text = coverage.render(course, lessons.read(course), load)
        assert "## 01 [Say hello: the first lesson](01_say_hello.ipynb)" in text
        assert "| a container greets | [01\N{NO-BREAK SPACE}[2]](01_say_hello.ipynb#cell-id=01-003-" in text
        assert "| the greeting \\| is shown | [01\N{NO-BREAK SPACE}[3]](" in text
        assert "| the lab: it works | [lab 01](../labs/01_hello/lab.ipynb): It works \\| well |" in text

    def test_a_kept_promise_is_no_problem(self, course: Path) -> None:
        assert tables.problems(course, load) == []

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ('text = "a"\ncell = "nowhere"', "no code cell of 01_say_hello holds 'nowhere'"),
            ('text = "a"\ncell = "print(said"\nshows = "bye"', "its output does not hold 'bye'"),
            ('text = "a"\ncell = "no such key"\nlab = true', "lab 01 has no criterion"),
        ],
    )
    def test_a_broken_promise_is_named(self, course: Path, line: str, problem: str) -> None:
        (course / "sources/syllabus/01.toml").write_text(f"[[line]]\n{line}\n")
        found = tables.problems(course, load)
        assert len(found) == 1 and problem in found[0] and "01.toml, line 1 (a)" in found[0]
        if "shows" not in line:
            assert "| a | — |" in coverage.render(course, lessons.read(course), load)

    @pytest.mark.parametrize(
        "line",
        [
            'text = "a"',
            'cell = "a"',
            'text = "a"\ncell = "b"\nshow = "c"',
            'text = "a"\ncell = ""',
            "text = ",
        ],
    )
    def test_an_entry_that_is_not_complete_is_refused(self, course: Path, line: str) -> None:
        (course / "sources/syllabus/01.toml").write_text(f"[[line]]\n{line}\n")
        with pytest.raises(BuildError, match="01.toml"):
            tables.derived(course, load)

    def test_a_lesson_without_lines_is_named(self, course: Path) -> None:
        (course / "sources/syllabus/02.toml").unlink()
        assert tables.problems(course, load) == [
            "sources/syllabus/02.toml: missing, though 02_ask_again is there"
        ]
        (course / "sources/syllabus/02.toml").write_text("")
        assert tables.problems(course, load) == ["sources/syllabus/02.toml: holds no line"]

    def test_what_the_notebook_must_bear_out(self, course: Path) -> None:
        (course / "sources/syllabus/01.toml").write_text(
            '[[line]]\ntext = "a"\ncell = "client = connect()"\n[[line]]\ntext = "b"\ncell = "docker rmi"\n'
        )
        assert [line.split(": ")[-1] for line in tables.problems(course, load)] == [
            "neither the cell nor a later one of its step shows anything"
        ]
        path = course / "notebooks/01_say_hello.ipynb"
        whole = json.loads(path.read_text())
        for change, problem in (
            (lambda cells: cells[-1]["metadata"].pop("tags"), "ended in an error"),
            (lambda cells: cells[-1].update(execution_count=None), "not run from top to bottom"),
            (lambda cells: cells[-1].update(source="other"), "built from another text"),
        ):
            notebook = json.loads(json.dumps(whole))
            change(notebook["cells"])
            path.write_text(json.dumps(notebook))
            assert problem in tables.problems(course, load)[-1]
        path.unlink()
        assert tables.problems(course, load)[-1].endswith("01_say_hello is not built")

    def test_tables_count_as_text_without_their_html(self) -> None:
        cell = nbformat.v4.new_code_cell()
        cell.outputs = [
            nbformat.v4.new_output("display_data", {"text/html": "<td>A &amp; B</td>", "text/plain": "plain"})
        ]
        assert (
            "A & B" in lessons.text(cell)
            and "plain" in lessons.text(cell)
            and "<td>" not in lessons.text(cell)
        )


class TestReference:
    """Each command has its row; each row has its command and, where it names one, its docker-py call."""

    def test_rows_hold_flags_calls_and_places(self, course: Path) -> None:
        notebook = nbformat.reads(reference.render(course, lessons.read(course)).decode(), as_version=4)
        nbformat.validate(notebook)
        assert {cell.cell_type for cell in notebook.cells} == {"markdown"}
        assert [cell.source.splitlines()[0] for cell in notebook.cells] == [
            "# Command reference",
            "## Run",
            "## Images",
            "## Stacks",
        ]
        rows = "\n".join(cell.source for cell in notebook.cells).splitlines()
        run = next(row for row in rows if "`docker run`" in row)
        assert [flag for flag in ("--rm", "-e") if f">{flag}</code>" in run] == [
            "--rm",
            "-e",
        ] and "not-a-flag" not in run
        assert (
            "`client.containers.run(image, …)` [01\N{NO-BREAK SPACE}[2]](01_say_hello.ipynb#cell-id=01-003-"
            in run
        )
        listing = next(row for row in rows if "`docker ps`" in row)
        assert (
            "-q</code> | lists | none: no need | [02\N{NO-BREAK SPACE}[1]](02_ask_again.ipynb#cell-id=02-001-"
            in listing
        )
        assert ", so to say |" in next(row for row in rows if "`docker rmi`" in row)
        assert "[02\N{NO-BREAK SPACE}[2]]" in next(row for row in rows if "`docker rm`" in row)

    def test_what_is_missing_or_too_much_is_named(self, course: Path) -> None:
        toml = course / "sources/commands.toml"
        toml.write_text(
            COMMANDS.replace('"docker ps"', '"docker pause"').replace("image.tag(", "image.history(")
        )
        assert tables.problems(course, load) == [
            "sources/commands.toml: `docker ps` is missing; it is run in 02_ask_again [1]",
            "sources/commands.toml: `docker pause` is run in no lesson",
            "sources/commands.toml: `docker rmi` names image.history(…), which no lesson calls",
        ]

    @pytest.mark.parametrize(
        "change",
        [
            ('none = "no need"', ""),
            ('does = "lists"', ""),
            ('name = "docker ps"', 'name = "docker run"'),
            ("none", "nine"),
        ],
    )
    def test_an_entry_that_is_not_complete_is_refused(self, course: Path, change: tuple[str, str]) -> None:
        (course / "sources/commands.toml").write_text(COMMANDS.replace(*change, 1))
        with pytest.raises(BuildError, match="commands.toml"):
            tables.derived(course, load)

    @pytest.mark.parametrize(
        ("python", "code", "found"),
        [
            ("client.images.get(…)", "engine_client.images.get('a').tag('b')", True),
            ("image.tag(…)", "engine_client.images.get('a').tag('b')", True),
            ("image.get(…)", "client.images.get('a')", False),
            ("container.stop()", "move = [box.stop]", True),
            ("container.stop()", "box.stopped()", False),
            ("client.df()", "frame.df()", False),
            ("client.df()", "client.df()", True),
            ("build(context)", "report = build('.')", True),
        ],
    )
    def test_calls_are_recognised(self, course: Path, python: str, code: str, found: bool) -> None:
        (course / "sources/notebooks/01_say_hello.py").write_text(f"# %%\n{code}\n")
        (course / "sources/notebooks/02_ask_again.py").unlink()
        assert (reference.made_in(python, reference.calls(lessons.read(course))) is not None) == found


class TestOverview:
    """The table of lessons in the README."""

    def test_title_deed_and_minutes(self, course: Path) -> None:
        text = overview.splice((course / "README.md").read_text(), lessons.read(course))
        assert (
            text.startswith("# It\n") and text.endswith(f"{overview.END}\n\nthe rest\n") and "old" not in text
        )
        assert (
            "| 01 [Say hello: the first lesson](notebooks/01_say_hello.ipynb) | greet an engine, twice | 7 |"
            in text
        )
        assert "| 02 [Ask again](notebooks/02_ask_again.ipynb) | ask | 5 |" in text

    def test_a_readme_without_markers_stays(self, course: Path) -> None:
        assert overview.splice("# It\n", lessons.read(course)) == "# It\n"
        with pytest.raises(BuildError, match="both"):
            overview.splice(f"# It\n{overview.BEGIN}\n", lessons.read(course))

    @pytest.mark.parametrize("lost", ["**You will do**", "7 minutes"])
    def test_an_opening_must_say_both(self, course: Path, lost: str) -> None:
        (course / "sources/notebooks/01_say_hello.py").write_text(HELLO.replace(lost, "nothing"))
        with pytest.raises(BuildError, match="01_say_hello"):
            tables.derived(course, load)


class TestGround:
    """What the course stands on; tests/repository/test_ground.py has the rules of an entry and of the calendar."""

    ENTRIES = """\
[[thing]]
kind = "action"
name = "actions/checkout"
version = "v6"
commit = "0123456789abcdef"
runtime = "node 24"
used = ["one.yml", "two.yml"]
ends = 2028-04-30
source = "https://example.org/runtimes"
checked = 2026-11-30

[[thing]]
kind = "release"
name = "Debian"
version = "12"
used = ["Makefile"]
ends = "2026-10"
source = "https://example.org/debian"
checked = 2026-11-30
accepted_until = 2027-01-31
why = "this | that"
note = "bookworm"
"""

    def test_each_kind_has_its_heading_and_each_thing_its_row(self, course: Path) -> None:
        (course / "docs").mkdir()
        (course / ground.SOURCE).write_text(self.ENTRIES)
        assert "docs/ground.md: missing" in tables.stale(course, load)
        write(course)
        assert tables.stale(course, load) == []
        page = (course / tables.GROUND).read_text()
        assert page.index(f"## {ground.KINDS['release']}") < page.index(f"## {ground.KINDS['action']}")
        assert f"## {ground.KINDS['package']}" not in page
        assert (
            "| `Debian 12` | [2026-10](https://example.org/debian) | `Makefile` | 2026-11-30 "
            "| accepted until 2027-01-31; this \\| that; bookworm |" in page
        )
        assert "| `one.yml`, `two.yml` | 2026-11-30 | runs on node 24, commit `0123456789ab` |" in page
        (course / ground.SOURCE).write_text(self.ENTRIES.replace("bookworm", "trixie"))
        assert tables.stale(course, load) == ["docs/ground.md: its table differs from its source"]

    def test_an_entry_that_is_not_complete_is_refused(self, course: Path) -> None:
        (course / "docs").mkdir()
        (course / ground.SOURCE).write_text(self.ENTRIES.replace('why = "this | that"\n', ""))
        with pytest.raises(BuildError, match="Debian: it needs a `why`"):
            tables.derived(course, load)


def test_a_table_that_no_longer_fits_is_stale(course: Path) -> None:
    assert len(tables.stale(course, load)) == 3
    write(course)
    assert tables.stale(course, load) == []
    source = course / "sources/notebooks/01_say_hello.py"
    source.write_text(
        source.read_text().replace("# # Say hello", "# # Say hi").replace("docker rmi", "docker rmi --force")
    )
    assert [line.split(":")[0] for line in tables.stale(course, load)] == [
        "notebooks/SYLLABUS.md",
        "notebooks/A1_command_reference.ipynb",
        "README.md",
    ]


def test_only_what_has_a_source_is_made(tmp_path: Path) -> None:
    assert tables.derived(tmp_path, load) == {}


def test_nbval_finds_nothing_to_run_in_the_reference(course: Path) -> None:
    write(course)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "-q", str(course / tables.REFERENCE)],
        capture_output=True, text=True, cwd=course, timeout=120,
    )  # fmt: skip
    assert "no tests ran" in done.stdout, done.stdout


@pytest.mark.parametrize("lesson", lessons.read(ROOT), ids=lambda lesson: lesson.stem)
def test_this_course_keeps_its_promises(lesson: lessons.Lesson) -> None:
    assert list(coverage.problems(ROOT, lesson, grading.load)) == []


def test_this_course_explains_its_commands() -> None:
    assert list(reference.problems(ROOT, lessons.read(ROOT))) == []


def test_the_links_of_this_course_lead_somewhere() -> None:
    ids = {f"{lesson.stem}.ipynb#cell-id={cell.id}" for lesson in lessons.read(ROOT) for cell in lesson.cells}
    texts = [
        content.decode()
        for path, content in tables.derived(ROOT, grading.load).items()
        if path.parent.name == "notebooks"
    ]
    links = [link for text in texts for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert len(links) > 50
    assert [link for link in links if link not in ids and not (ROOT / "notebooks" / link).exists()] == []
