"""docs/ground.toml is complete, says what the repository uses, and warns before an end: this file fails on a day, not only on a change."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from dockerlab.core.settings import ROOT
from dockerlab.course.authoring.regions import BuildError
from dockerlab.course.authoring.tables import ground
from dockerlab.images.base_images import recipes, site_layer
from dockerlab.lessons.lesson11_production import manifest_checks

THINGS = ground.read(ROOT)
FOLDERS = ("assets", "sources", "tests/labs", "dockerlab", "tools", ".devcontainer", ".github")
WORKFLOWS = (*sorted((ROOT / ".github/workflows").glob("*.yml")), ROOT / "assets/production/release.yml")
RECIPES = "dockerlab/images/base_images/recipes.py"
OWN = ("dockerlab-",)  # what the course builds itself
FROM = re.compile(
    r"""(?m)^\s*(?:FROM|ARG BASE=|COPY --from=|-?\s*image:|"image":)\s*(?:--\S+ )*["']?([\w./-]+:[\w.-]+)"""
)
PIN = re.compile(r"(?<![\w.])([A-Za-z][\w.-]*)(?:\[[a-z]+\])?==(\d[\w.]*)")
USES = re.compile(r"uses: ([\w./-]+)@([0-9a-f]{40}) # (v[\d.]+)")


def of(kind: str) -> dict[str, ground.Thing]:
    return {thing.label: thing for thing in THINGS if thing.kind == kind}


def texts(*folders: str) -> Iterator[tuple[str, str]]:
    """Path and text of each text file in these folders; a line break that a notebook's string spells out is one."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                try:
                    text = path.read_text(encoding="utf-8")
                except UnicodeDecodeError:
                    continue
                yield path.relative_to(ROOT).as_posix(), text.replace("\\n", "\n")


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return dict(texts(*FOLDERS))


class TestDue:
    """The rule, on days that are given."""

    TODAY = date(2030, 6, 1)

    def thing(self, ends: date | str, **more: date | str | None) -> ground.Thing:
        given = {"checked": self.TODAY - timedelta(days=10), "why": "since", **more}
        return ground.Thing("image", "base", "1", ("a",), ends, "https://example.org", **given)  # type: ignore[arg-type]

    def due(self, *things: ground.Thing) -> list[str]:
        return ground.due(list(things), self.TODAY)

    @pytest.mark.parametrize(
        ("days", "says"), [(61, ""), (60, "ends on"), (1, "ends on"), (0, "ended on"), (-400, "ended on")]
    )
    def test_it_warns_sixty_days_before_an_end(self, days: int, says: str) -> None:
        lines = self.due(self.thing(self.TODAY + timedelta(days=days)))
        assert len(lines) == bool(says) and all(f"base:1: {says}" in line for line in lines)

    @pytest.mark.parametrize(("month", "warned"), [("2030-07", True), ("2030-08", False), ("2030-05", True)])
    def test_a_month_counts_from_its_first_day(self, month: str, warned: bool) -> None:
        assert bool(self.due(self.thing(month))) == warned

    @pytest.mark.parametrize(("days", "warned"), [(30, False), (0, False), (-1, True)])
    def test_an_accepted_end_is_silent_until_its_day(self, days: int, warned: bool) -> None:
        lines = self.due(self.thing(date(2029, 1, 1), accepted_until=self.TODAY + timedelta(days=days)))
        assert bool(lines) == warned and all("was accepted until" in line for line in lines)

    @pytest.mark.parametrize("ends", ground.ENDLESS)
    def test_what_has_no_date_is_looked_up_again_after_a_year(self, ends: str) -> None:
        assert self.due(self.thing(ends, checked=self.TODAY - timedelta(days=365))) == []
        assert "last looked up" in self.due(self.thing(ends, checked=self.TODAY - timedelta(days=366)))[0]

    def test_nobody_looked_in_the_future(self) -> None:
        assert "yet to come" in self.due(self.thing("rolling", checked=self.TODAY + timedelta(days=1)))[0]


class TestComplete:
    """An entry that is not complete is refused, by name."""

    ENTRY = """\
[[thing]]
kind = "image"
name = "base"
version = "1"
used = ["a"]
ends = 2031-01-01
source = "https://example.org"
checked = 2030-06-01
"""

    def read(self, folder: Path, text: str) -> list[ground.Thing]:
        (folder / "docs").mkdir()
        (folder / ground.SOURCE).write_text(text)
        return ground.read(folder)

    def test_a_complete_entry_is_read(self, tmp_path: Path) -> None:
        (thing,) = self.read(tmp_path, self.ENTRY)
        assert (thing.label, thing.end, thing.used) == ("base:1", date(2031, 1, 1), ("a",))

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('name = "base"\n', "", "missing"),
            ('used = ["a"]', "used = []", "missing"),
            ('used = ["a"]', 'used = "a"', "no list"),
            ("checked", "chequed", "unknown keys"),
            ("2030-06-01", '"2030-06-01"', "without quotes"),
            ('version = "1"', "version = 1", "no text"),
            ("https:", "http:", "no https"),
            ('"image"', '"picture"', "no kind"),
            ('"image"', '"action"', "commit and a runtime"),
            ("2031-01-01", '"some day"', "neither a date"),
            ("2031-01-01", '"2031-13"', "neither a date"),
            ("2031-01-01", '"unknown"', "needs a `why`"),
            ("2031-01-01", '"rolling"', "needs a `why`"),
            ("checked", "accepted_until = 2030-07-01\nchecked", "needs a `why`"),
            ("checked", 'why = "a"\naccepted_until = 2030-11-29\nchecked', "more than 180 days"),
            ("[[thing]]", "[[thing]", "cannot be read"),
        ],
    )
    def test_an_entry_that_is_not_is_refused(self, tmp_path: Path, old: str, new: str, message: str) -> None:
        with pytest.raises(BuildError, match=message):
            self.read(tmp_path, self.ENTRY.replace(old, new, 1))

    def test_a_month_and_an_accepted_end_are_taken(self, tmp_path: Path) -> None:
        more = 'why = "a"\naccepted_until = 2030-11-28\nchecked'
        (thing,) = self.read(tmp_path, self.ENTRY.replace("2031-01-01", '"2030-02"').replace("checked", more))
        assert (thing.end, thing.accepted_until) == (date(2030, 2, 1), date(2030, 11, 28))

    def test_one_thing_has_one_entry(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="base:1 twice"):
            self.read(tmp_path, self.ENTRY * 2)


def test_nothing_that_the_course_stands_on_ends_within_sixty_days() -> None:
    lines = ground.due(THINGS, date.today())
    assert lines == [], "\n".join(["What the course stands on needs you:", *lines])


def test_the_page_depends_on_the_entries_alone() -> None:
    page = ground.render(THINGS)
    assert all(f"| `{thing.label}` | [{thing.ends}]({thing.source}) |" in page for thing in THINGS)
    assert all(f"## {title}\n" in page for title in ground.KINDS.values())


def test_the_readme_names_the_two_releases_and_their_ends() -> None:
    readme, releases = (ROOT / "README.md").read_text(encoding="utf-8"), of("release")
    (line,) = [line for line in readme.splitlines() if "Debian 12" in line and "Python 3.11" in line]
    assert "docs/ground.md" in readme
    assert {str(releases[name].ends) for name in ("Debian 12", "Python 3.11")} <= set(
        re.findall(r"\d{4}-\d\d-\d\d", line)
    )


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.label)
def test_used_names_exactly_the_files_that_hold_it(thing: ground.Thing, files: dict[str, str]) -> None:
    """For images and packages every file that holds the very words; for the others each pattern fits a file at least."""
    names = [path.relative_to(ROOT).as_posix() for path in ROOT.iterdir()] + list(files)
    assert [path for path in thing.used if not fnmatch.filter(names, path)] == []
    if thing.kind not in ("image", "package"):
        return
    words = re.escape(thing.label).replace("==", r"(?:\[[a-z]+\])?==")
    own = (ground.SOURCE, "dockerlab/course/authoring/tables/ground.py")
    holding = [
        path
        for path, text in files.items()
        if path not in own and re.search(rf"(?<![\w./-]){words}(?![\w-]|\.\d)", text)
    ]
    if thing.label in recipes.BASES and RECIPES not in holding:
        holding.append(RECIPES)  # it may put a name together
    assert [path for path in holding if not any(fnmatch.fnmatch(path, used) for used in thing.used)] == []
    assert [used for used in thing.used if not fnmatch.filter(holding, used)] == []


class TestImages:
    def test_every_base_has_its_entry(self) -> None:
        assert set(recipes.BASES) - set(of("image")) == set()

    def test_every_image_that_a_file_names_has_its_entry(self, files: dict[str, str]) -> None:
        found = {
            (path, name)
            for path, text in files.items()
            if path.startswith(("assets/", "sources/", "tests/labs/", ".devcontainer/", "dockerlab/course/"))
            for name in FROM.findall(text)
            if not name.startswith(OWN)
        }
        assert {name for _, name in found} >= {"postgres:15-bookworm", "redis:7-bookworm", recipes.DISTROLESS}
        assert sorted((path, name) for path, name in found if name not in of("image")) == []


class TestPackages:
    def test_every_pin_has_its_entry(self, files: dict[str, str]) -> None:
        found = {
            "==".join(pin)
            for path, text in files.items()
            if path.startswith(("assets/", "sources/", "tests/labs/", "dockerlab/lessons/"))
            for pin in PIN.findall(text)
        }
        assert found == set(of("package"))


class TestContinuousIntegration:
    def test_the_actions_are_those_of_the_table(self) -> None:
        found = {
            (f"{name}@{tag}", commit, path.relative_to(ROOT).as_posix())
            for path in WORKFLOWS
            for name, commit, tag in USES.findall(path.read_text(encoding="utf-8"))
        }
        known = {
            (thing.label, thing.commit, path)
            for thing in of("action").values()
            for used in thing.used
            for path in (file.relative_to(ROOT).as_posix() for file in WORKFLOWS)
            if fnmatch.fnmatch(path, used)
        }
        assert found <= known
        assert {label for label, _, _ in found} == set(of("action"))

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_every_action_is_pinned_to_a_commit_and_says_its_tag(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert len(re.findall(r"\buses:", text)) == len(USES.findall(text))

    def test_an_action_lasts_as_long_as_its_runtime(self) -> None:
        runtimes = {label: thing.ends for label, thing in of("runtime").items()}
        assert {thing.label: thing.ends for thing in of("action").values()} == {
            thing.label: runtimes.get(thing.runtime) for thing in of("action").values()
        }
        assert set(runtimes) == {thing.runtime for thing in of("action").values()}

    def test_the_machines_are_those_of_the_table(self) -> None:
        jobs = [
            job
            for path in WORKFLOWS
            for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        ]
        assert {job["runs-on"].replace("-", " ", 1) for job in jobs} == set(of("runner"))


class TestReleases:
    def test_python(self) -> None:
        tests = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
        matrix = {f"Python {version}" for version in tests["jobs"]["unit"]["strategy"]["matrix"]["python"]}
        assert matrix == {label for label in of("release") if label.startswith("Python ")}
        makefile = re.search(r"(?m)^PYTHON \?= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"))
        assert makefile and f"Python {makefile[1]}" in matrix
        assert recipes.SLIM.startswith(f"python:{makefile[1]}-")

    def test_debian_and_kubernetes(self) -> None:
        assert site_layer.SUITE in of("release")["Debian 12"].note
        assert f"Kubernetes {manifest_checks.KUBERNETES}" in of("release")

    def test_api_versions(self, files: dict[str, str]) -> None:
        found = {
            version
            for path, text in files.items()
            if path.startswith("dockerlab/lessons/lesson11_production/") and path.endswith(".py")
            for version in re.findall(r'"(?:apiVersion|AWSTemplateFormatVersion)": "([^"]+)"', text)
        }
        assert found == {thing.version for thing in of("api").values()}
