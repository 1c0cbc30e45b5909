"""The rules of .dockerignore are Docker's: against recorded answers of moby/patternmatcher, and against `docker build` itself.

tests/data/ignore_rules.json holds random files, paths, and what moby/patternmatcher (ignorefile.ReadAll, MatchesUsingParentResults) and
Go's filepath.Match made of them; the patterns were drawn from pieces that people write and from those that trip a matcher.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from dockerlab.images import ignore_rules
from dockerlab.images.build import build
from dockerlab.images.ignore_rules import BadPattern, IgnoreRules

RECORDED = json.loads(
    (Path(__file__).parents[1] / "data").joinpath("ignore_rules.json").read_text(encoding="utf-8")
)


def _state(rules: IgnoreRules, path: str) -> str:
    """What the patterns alone make of a path, as MatchesUsingParentResults does."""
    matched, above = False, []
    try:
        for part in itertools.accumulate(path.split("/"), lambda folder, name: f"{folder}/{name}"):
            matched, above = rules.step(part, above)
    except BadPattern:
        return "bad"
    return "out" if matched else "sent"


def test_as_patternmatcher() -> None:
    wrong = []
    for text, paths, wanted in RECORDED["lists"]:
        try:
            rules = IgnoreRules.parse(text)
            got = [_state(rules, path) for path in paths]
        except BadPattern:
            got = ["refused"]
        if got != wanted:
            wrong.append((text, paths, wanted, got))
    assert len(RECORDED["lists"]) > 300 and not wrong


def test_as_filepath_match() -> None:
    def one(pattern: str, name: str) -> str:
        try:
            return "yes" if ignore_rules.glob(pattern, name) else "no"
        except BadPattern:
            return "bad"

    wrong = [
        (pattern, names, wanted)
        for pattern, names, wanted in RECORDED["names"]
        if [one(pattern, name) for name in names] != wanted
    ]
    assert len(RECORDED["names"]) > 50 and not wrong


def test_what_a_folder_is_does_not_matter_to_a_pattern_but_what_is_above_does() -> None:
    rules = IgnoreRules.parse("**/node_modules\n!apps/web/node_modules/pkg/keep.js\n")
    assert rules.excludes("apps/web/node_modules/pkg/index.js") and rules.excludes("node_modules")
    assert not rules.excludes("apps/web/node_modules/pkg/keep.js") and not rules.excludes("apps/web")


def test_a_folder_that_nothing_can_take_back_is_passed_over() -> None:
    """fsutil does not look into it, although this exception would match there."""
    assert IgnoreRules.parse("**/b\n!a/*/**\n").excludes("a/b/x")


def test_a_file_that_is_not_utf_8() -> None:
    rules = IgnoreRules.parse(b"t\xe4rget\n")
    assert rules.excludes(b"t\xe4rget".decode(errors="surrogateescape")) and not rules.excludes("tärget")


def test_a_line_longer_than_docker_reads_is_refused() -> None:
    assert IgnoreRules.parse("a" * 65_535).excludes("a" * 65_535)
    with pytest.raises(BadPattern):
        IgnoreRules.parse("a" * 65_536)


def test_the_list_beside_the_dockerfile_comes_first(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a\n")
    assert IgnoreRules.of(tmp_path, "prod.Dockerfile").excludes("a")
    (tmp_path / "prod.Dockerfile.dockerignore").write_text("b\n")
    rules = IgnoreRules.of(tmp_path, "prod.Dockerfile")
    assert rules.excludes("b") and not rules.excludes("a")


def test_a_walk_names_folders_links_and_files_in_order(tmp_path: Path) -> None:
    for name in ("a/deep/x.py", "a/y.txt", "empty", "b/z.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x") if "." in name else (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("a")
    assert list(IgnoreRules().walk(tmp_path)) == [
        "a",
        "a/deep",
        "a/deep/x.py",
        "a/y.txt",
        "b",
        "b/z.txt",
        "empty",
        "link",
    ]
    assert list(IgnoreRules.parse("*\n!**/*.py\n").walk(tmp_path)) == ["a", "a/deep", "a/deep/x.py"]
    assert list(IgnoreRules.parse("a\nempty\n").walk(tmp_path)) == ["b", "b/z.txt", "link"]


# What follows is compared with `docker build` itself.

NAMES = (
    "a.py",
    "b.pyc",
    "README.md",
    "notes.md",
    ".env",
    "x",
    "Data",
    "data",
    "a1.txt",
    "b1.txt",
    "#hash",
    "!bang",
    "w*d",
    "node_modules",
    "é",
)
PIECES = (
    "*",
    "**",
    "*.py",
    "*.pyc",
    "?1.txt",
    "[ab]1.txt",
    "[^a]1.txt",
    "*.md",
    "src",
    "apps",
    "deep",
    "**.pyc",
    "x*",
)


@pytest.fixture(scope="module")
def tag(client: docker.DockerClient) -> Iterator[str]:
    name = f"dockerlab-test-ignore:{uuid.uuid4().hex[:8]}"
    yield name
    for each in client.images.list(name):
        client.images.remove(each.id, force=True)


def _tree(folder: Path, choice: random.Random) -> None:
    """Some sixty files, four folders deep at most."""
    places = [
        folder,
        *(
            folder / place
            for place in ("src", "src/deep", "apps", "apps/web", "apps/web/node_modules", "apps/web/deep/src")
        ),
    ]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    for place in places:
        for name in choice.sample(NAMES, 9):
            if not (place / name).exists():
                (place / name).write_text("x")


def _rules(choice: random.Random) -> str:
    def line() -> str:
        path = "/".join(choice.choice((*PIECES, *NAMES)) for _ in range(choice.choice((1, 1, 2, 2, 3))))
        return choice.choice(("", "", "!", "!", "/")) + path + choice.choice(("", "", "/"))

    return (
        "\n".join([choice.choice(("*", "**", "src", "", "")), *(line() for _ in range(choice.randint(1, 5)))])
        + "\n"
    )


@pytest.mark.engine
def test_as_docker_build(tmp_path: Path, client: docker.DockerClient, tag: str) -> None:
    """Random rules, one folder each, by `docker build`: 100 named contexts of one build."""
    choice = random.Random(12)
    _tree(tmp_path / "tree", choice)
    text, options = ["FROM scratch"], []
    wanted: set[str] = set()
    for number in range(100):
        folder = tmp_path / f"c{number}"
        shutil.copytree(tmp_path / "tree", folder)
        (folder / ".dockerignore").write_text(_rules(choice), encoding="utf-8")
        wanted |= {f"{number}/{path}" for path in IgnoreRules.of(folder).walk(folder)}
        options += ["--build-context", f"c{number}={folder}"]
        text.append(f"COPY --from=c{number} / /{number}/")
    (tmp_path / "Dockerfile").write_text("\n".join(text))
    subprocess.run(
        ["docker", "buildx", "build", "--builder", "default", "--quiet", "-t", tag, *options, str(tmp_path)],
        check=True,
        capture_output=True,
    )
    got = _paths(client, tag) - {str(number) for number in range(100)}
    wrong = {path.partition("/")[0] for path in got ^ wanted}
    assert len(wanted) > 1000
    assert {
        (tmp_path / f"c{number}/.dockerignore").read_text(encoding="utf-8"): sorted(
            path for path in got ^ wanted if path.startswith(f"{number}/")
        )
        for number in wrong
    } == {}


@pytest.mark.engine
def test_a_build_of_the_course_brings_what_docker_build_brings(
    tmp_path: Path, client: docker.DockerClient, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G02: links, pipes, sockets, modes, old times, empty folders, a list that is a link."""
    (tmp_path / "sub").mkdir(mode=0o700)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a").write_text("x")
    (tmp_path / "sub/b").write_text("y")
    (tmp_path / "sub/b").chmod(0o4755)
    os.link(tmp_path / "a", tmp_path / "hard")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "dangling").symlink_to("/nowhere")
    os.mkfifo(tmp_path / "pipe")
    os.utime(tmp_path / "a", (-5, -5))
    (tmp_path / "sub/list").write_text("ignored\n")
    (tmp_path / "ignored").write_text("z")
    (tmp_path / ".dockerignore").symlink_to("sub/list")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /ctx/\n")
    with socket.socket(socket.AF_UNIX) as door:
        monkeypatch.chdir(tmp_path)  # a socket's path may have 108 characters at most
        door.bind("door")
        subprocess.run(
            ["docker", "buildx", "build", "--builder", "default", "--quiet", "-t", tag, str(tmp_path)],
            check=True,
            capture_output=True,
        )
        wanted = _entries(client, tag)
        build(tmp_path, tag=tag, client=client)
    assert _entries(client, tag) == wanted
    assert {name.removeprefix("ctx/") for name in wanted} >= {
        "a",
        "hard",
        "link",
        "dangling",
        "pipe",
        "door",
        "empty",
        "sub/b",
    }
    assert "ctx/ignored" not in wanted


def _entries(client: docker.DockerClient, tag: str) -> dict[str, tuple[object, ...]]:
    """What stands below /ctx in a container of the image: type, mode, size, link target and whole seconds (the engine reads no time before 1970 from a tar)."""
    container = client.containers.create(tag, "none")
    try:
        file = io.BytesIO(b"".join(container.get_archive("/ctx")[0]))
    finally:
        container.remove()
    with tarfile.open(fileobj=file) as archive:
        return {
            each.name: (
                each.type,
                each.mode,
                each.size,
                each.linkname,
                0 if each.isdir() else max(0, int(each.mtime)),
            )
            for each in archive
        }


def _paths(client: docker.DockerClient, tag: str) -> set[str]:
    """Every path of the image, folders too."""
    file = io.BytesIO(b"".join(client.images.get(tag).save()))
    with tarfile.open(fileobj=file) as archive:
        layers = json.loads(archive.extractfile("manifest.json").read())[0]["Layers"]
        found: set[str] = set()
        for name in layers:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                found |= {entry.name.strip("/") for entry in layer}
    return found
