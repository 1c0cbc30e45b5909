"""Cases of .dockerignore from the public record, by number; data/cases/ignore holds the files, and what `docker buildx build` brought by each."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import pytest

from dockerlab.images import context_contents, image
from dockerlab.images.build import build
from dockerlab.images.build_errors import BuildFailed
from dockerlab.images.cache_model import BuildDiary
from dockerlab.images.ignore_rules import BadPattern, IgnoreRules

CASES = (Path(__file__).parents[1] / "data") / "cases" / "ignore"
SENT = json.loads((CASES / "sent.json").read_text(encoding="utf-8"))


def _folder(parent: Path, rules: bytes) -> Path:
    for name in (CASES / "tree.txt").read_text(encoding="utf-8").splitlines():
        (parent / name).parent.mkdir(parents=True, exist_ok=True)
        (parent / name).write_text("x")
    (parent / ".dockerignore").write_bytes(rules)
    (parent / "Dockerfile").write_text("FROM scratch\nCOPY . /ctx/\n")
    return parent


@pytest.mark.parametrize("case", sorted(SENT))
def test_what_is_sent(case: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path, (CASES / f"{case}.dockerignore").read_bytes())
    sent = [path for path in IgnoreRules.of(folder).walk(folder) if (folder / path).is_file()]
    assert sorted(sent) == SENT[case]
    shown = context_contents.contents(folder)
    assert sorted(shown.loc[shown["sent"], "path"]) == SENT[case]


@pytest.mark.engine
@pytest.mark.parametrize("case", ["I02_all_but_py", "I06_deep_file_back", "I07_dockerfile_listed"])
def test_what_a_build_brings(case: str, tmp_path: Path, client: docker.DockerClient) -> None:
    build(
        _folder(tmp_path, (CASES / f"{case}.dockerignore").read_bytes()),
        tag="dockerlab-test-case:ignore",
        client=client,
    )
    brought = image.inspect("dockerlab-test-case:ignore", client).paths()
    client.images.remove("dockerlab-test-case:ignore", force=True)
    assert brought == [f"ctx/{path}" for path in SENT[case]]


@pytest.mark.engine
def test_I07_a_remark_in_a_listed_dockerfile_leaves_copy_in_the_cache(
    tmp_path: Path, client: docker.DockerClient
) -> None:
    folder = _folder(tmp_path, b"Dockerfile\n.dockerignore\n")
    diary = BuildDiary(folder, "dockerlab-test-case:remark", client)
    diary.build()
    (folder / "Dockerfile").write_text("# a remark\nFROM scratch\nCOPY . /ctx/\n")
    diary.build()
    client.images.remove("dockerlab-test-case:remark", force=True)
    assert [(each.ran, each.agrees) for each in diary.explain()] == [(False, True)]


@pytest.mark.parametrize("rules", ["[abc\n", "a\\\n", "!\n", "![\n", "x\n[a-\n"])
def test_I28_what_docker_refuses_is_refused(rules: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path, rules.encode())
    with pytest.raises(BadPattern, match="cannot be read"):
        context_contents.contents(folder)


@pytest.mark.engine
def test_I28_a_build_refuses_it_too(tmp_path: Path, client: docker.DockerClient) -> None:
    with pytest.raises(BuildFailed, match="cannot be read"):
        build(_folder(tmp_path, b"[abc\n"), client=client)
