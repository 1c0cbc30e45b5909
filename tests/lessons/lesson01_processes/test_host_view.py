"""A container seen from the engine's machine, with both versions of cgroups; the helper itself is tried on the real engine."""

from __future__ import annotations

from typing import Any

import docker
import pytest
from docker.errors import APIError

from dockerlab.core.errors import CourseError
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.lessons.lesson01_processes import host_view

ID = "3130110d1073" + "ab" * 26
OUTSIDE = {
    kind: f"{kind}:[{number}]"
    for number, kind in enumerate(("mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"), 11)
}
V1 = {
    "namespaces": [OUTSIDE | {"mnt": "mnt:[91]", "pid": "pid:[94]"}, OUTSIDE],
    "family": [[4242, "sleep", [4242, 1]], [4200, "containerd-shim", [4200]], [1, "systemd", [1]]],
    "cgroup": f"9:name=systemd:/docker/{ID}\n4:memory:/docker/{ID}\n0::/docker/{ID}",
    "files": {
        f"/sys/fs/cgroup/memory/docker/{ID}/memory.limit_in_bytes": "67108864",
        f"/sys/fs/cgroup/cpu/docker/{ID}/cpu.cfs_quota_us": "50000",
        f"/sys/fs/cgroup/cpu/docker/{ID}/cpu.cfs_period_us": "100000",
    },
}
V2 = V1 | {
    "cgroup": f"0::/system.slice/docker-{ID}.scope",
    "files": {
        f"/sys/fs/cgroup/system.slice/docker-{ID}.scope/{name}": value
        for name, value in (("memory.max", "67108864"), ("cpu.max", "50000 100000"))
    },
}


@pytest.mark.parametrize(
    ("facts", "path"),
    [(V1, "/docker/3130110d1073…"), (V2, "/system.slice/docker-3130110d1073….scope")],
    ids=["v1", "v2"],
)
def test_limits_are_read_from_both_versions(facts: dict[str, Any], path: str) -> None:
    view = host_view.parse(facts)
    assert (view.memory_limit(), view.cpu_limit()) == (64 * 2**20, 0.5)
    assert view.cgroup_path() == path
    assert view.limits()["where"].str.contains("3130110d1073…", regex=False).all()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/a/memory.max": "max", "/a/cpu.max": "max 100000"},
        {
            "/a/memory.limit_in_bytes": "9223372036854771712",
            "/a/cpu.cfs_quota_us": "-1",
            "/a/cpu.cfs_period_us": "100000",
        },
    ],
)
def test_no_limit_is_none(files: dict[str, str]) -> None:
    view = host_view.parse(V1 | {"files": files})
    assert view.memory_limit() is None and view.cpu_limit() is None


def test_equal_links_are_shared() -> None:
    view = host_view.parse(V1)
    assert view.shared() == ["uts", "ipc", "net", "cgroup", "user", "time"]
    table = view.namespaces()
    assert table.loc["pid", "so it is"] == "its own" and table.loc["net", "so it is"] == "shared"
    assert table.loc["pid", "in the container"] == "94"


def test_the_family_ends_with_the_first_process() -> None:
    view = host_view.parse(V1)
    assert view.process == host_view.Process(4242, "sleep", 1)
    assert list(view.ancestors()["process"]) == ["sleep", "containerd-shim", "systemd"]


@pytest.mark.engine
def test_a_real_container_is_a_process_of_the_machine(client: docker.DockerClient) -> None:
    base_images.ensure(base_images.SLIM, client)
    box = client.containers.run(
        base_images.SLIM,
        ["sleep", "60"],
        detach=True,
        labels=object_labels.labels(kind="test"),
        mem_limit="64m",
        nano_cpus=500_000_000,
    )
    try:
        view = host_view.look(client, box)
        assert view.process.name == "sleep" and view.process.inside == 1 and view.process.pid > 1
        assert view.family[-1].pid == 1
        assert {"mnt", "pid", "net", "uts", "ipc"}.isdisjoint(view.shared())
        assert (view.memory_limit(), view.cpu_limit()) == (64 * 2**20, 0.5)
        box.kill()
        box.wait(timeout=30)
        with pytest.raises(CourseError, match="does not run"):
            host_view.look(client, box)
    finally:
        box.remove(force=True)


@pytest.mark.engine
def test_an_engine_that_shows_its_machine_to_nobody_still_tells_what_is_inside(
    client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    base_images.ensure(base_images.SLIM, client)
    box = client.containers.run(
        base_images.SLIM, ["sleep", "60"], detach=True, labels=object_labels.labels(kind="test")
    )
    run = client.containers.run

    def strict(*args: Any, **options: Any) -> Any:
        if options.get("privileged"):
            raise APIError("privileged mode is not allowed")
        return run(*args, **options)

    collection = client.containers
    monkeypatch.setattr(collection, "run", strict)
    monkeypatch.setattr(type(client), "containers", property(lambda _: collection))
    try:
        view = host_view.look(client, box)
        assert view.process == host_view.Process(1, "sleep", 1) and view.shared() == []
        assert set(view.namespaces()["so it is"]) == {"not told by this engine"}
    finally:
        box.remove(force=True)
