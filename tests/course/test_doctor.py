"""Each precondition at its limits, and the whole table with and without an engine."""

from __future__ import annotations

import json
import subprocess

import pytest
import requests
from docker.models.containers import ContainerCollection

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import Site
from dockerlab.course import doctor, precondition
from dockerlab.engine import connection, endpoint, object_labels
from dockerlab.images.build_errors import BuildFailed

SITE = Site(index_url="https://index.example/simple")


@pytest.fixture
def offline(monkeypatch) -> None:
    def refuse(*_, **__):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests, "head", refuse)


@pytest.mark.parametrize(
    ("version", "status"), [("1.44", "ok"), ("1.51", "ok"), ("2.0", "ok"), ("1.43", "failed"), ("", "failed")]
)
def test_api_version(version, status) -> None:
    assert doctor.api_version(version).status == status


@pytest.mark.parametrize(
    ("url", "status"),
    [("unix:///var/run/docker.sock", "ok"), ("tcp://mira:s3cret-pw@192.0.2.7:2376", "warning")],
)
def test_the_endpoint_is_named(url, status) -> None:
    check = doctor.engine_address(url)
    assert check.status == status and url.rpartition("@")[2] in check.found and "s3cret-pw" not in check.found


@pytest.mark.parametrize(("size", "status"), [(16e9, "ok"), (3e9, "warning"), (1e9, "failed")])
def test_memory(size, status) -> None:
    assert doctor.memory(int(size)).status == status


@pytest.mark.parametrize(("free", "status"), [(15e9, "ok"), (14.9e9, "warning"), (4.9e9, "failed")])
def test_disk(monkeypatch, tmp_path, free, status) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": free}))
    check = doctor.disk_free(tmp_path / "not" / "there")
    assert check.status == status and bool(check.fix) == (status != "ok")


def test_store_cgroup_and_plugins() -> None:
    assert doctor.image_store("containerd").status == "ok" and doctor.image_store("vfs").status == "warning"
    assert doctor.cgroup("2").status == "ok" and doctor.cgroup("1").status == "warning"
    assert doctor.plugin("compose", "2.40.3", "w").status == "ok"
    assert doctor.plugin("compose", "1.29.2", "w").status == "warning"
    assert doctor.plugin("buildx", None, "w").found == "missing"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"], ""),
        (["name=seccomp,profile=builtin", "name=rootless"], "rootless"),
        (["name=userns"], "userns-remap"),
        (["name=selinux"], "SELinux"),
        ([], ""),
    ],
)
def test_other_rights_than_roots_are_said(options, words) -> None:
    check = doctor.rights(options)
    assert words in check.found and check.status == ("warning" if words else "ok")


@pytest.mark.engine
def test_a_folder_that_containers_do_not_see_is_named(client, tmp_path, monkeypatch) -> None:
    """As a VM does it: what the engine mounts under the same path is another, empty folder."""
    run = ContainerCollection.run
    elsewhere = {f"{tmp_path}/other": {"bind": "/probe"}}
    monkeypatch.setattr(
        ContainerCollection, "run", lambda *words, **options: run(*words, **options | {"volumes": elsewhere})
    )
    check = doctor.mounted(client, "temporary mounts", tmp_path)
    assert check.status == "failed" and str(tmp_path) in check.found and "TMPDIR" in check.fix
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(("code", "status"), [(200, "ok"), (404, "failed"), (503, "failed")])
def test_package_index_asks_the_sites_index_with_its_certificate(monkeypatch, code, status) -> None:
    asked = {}

    def head(url, **options):
        asked.update(options, url=url)
        return type("Answer", (), {"status_code": code})

    monkeypatch.setattr(requests, "head", head)
    assert (
        doctor.package_index(Site(index_url="https://index.example/simple", ca_bundle="/ca.pem")).status
        == status
    )
    assert asked["url"] == "https://index.example/simple/pip/" and asked["verify"] == "/ca.pem"


def test_package_index_out_of_reach(offline) -> None:
    check = doctor.package_index(SITE)
    assert check.status == "failed" and "ConnectionError" in check.found and "network" in check.fix


@pytest.mark.parametrize(("code", "status"), [(0, "ok"), (2, "failed")])
def test_without_a_site_index_uv_is_asked(monkeypatch, code, status) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(
        doctor.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, code, "", "error: no route"),
    )
    assert doctor.package_index(Site()).status == status


def test_certificate(tmp_path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    assert doctor.certificate(Site()).status == "ok"
    assert doctor.certificate(Site(ca_bundle=str(broken))).status == "failed"
    assert doctor.certificate(Site(ca_bundle=str(tmp_path / "missing"))).status == "failed"


def test_model(tmp_path) -> None:
    assert doctor.model_file().status == "ok"
    pointer = tmp_path / "harbour-n.pt"
    pointer.write_text("version https://git-lfs.github.com/spec/v1")
    assert doctor.model_file(pointer).status == "failed"


def test_without_an_engine_the_table_still_stands(offline) -> None:
    results = doctor.checks(SITE, None, CourseError("No engine.", fix="Run `make engine`."))
    names = [check.name for check in results]
    assert len(names) == len(set(names)) == 19
    assert results[0] == precondition.Check("engine", "failed", "No engine.", "Run `make engine`.")
    text = doctor.table(results)
    assert all(name in text for name in names) and "do: Run `make engine`." in text
    assert all(check.fix for check in results if check.status != "ok")


def test_main_fails_with_one_where_no_engine_answers(monkeypatch, capsys, offline) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(doctor, "load_site", lambda: SITE)
    assert doctor.run(as_json=True) == 1
    printed = json.loads(capsys.readouterr().out)
    assert {"name", "status", "found", "fix"} == set(printed[0]) and printed[0]["status"] == "failed"


@pytest.mark.engine
def test_with_an_engine_the_same_checks(client) -> None:
    results = {check.name: check for check in doctor.checks(SITE, client)}
    assert len(results) == 21
    assert results["endpoint"].found == f"{endpoint.address_of(client)}, on this machine"
    assert results["mounts"].status == results["temporary mounts"].status == "ok"
    assert results["engine"].status == results["API version"].status == results["builder"].status == "ok"


@pytest.mark.engine
def test_the_engines_buildkit_is_tried_and_leaves_no_image(client, monkeypatch) -> None:
    monkeypatch.setenv("DOCKERLAB_OWNER", "doctor-test")
    assert doctor.reaches_buildkit(client) == ""
    assert client.images.list(all=True, filters={"label": f"{object_labels.OWNER_LABEL}=doctor-test"}) == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (BuildFailed("The engine refused the build: no."), "The engine refused the build: no."),
        (requests.ConnectionError("gone"), "gone"),
    ],
)
def test_an_engine_that_does_not_build(monkeypatch, error, says) -> None:
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("dockerlab.images.build.build", refuse)
    assert doctor.reaches_buildkit(None) == says
    check = doctor.builder(says, connection.Builder("default", "docker"))
    assert check.status == "failed" and check.found == says.rstrip(".") and "Upgrade" in check.fix


@pytest.mark.parametrize(
    ("output", "errors", "status", "words"),
    [
        (
            "Name:   default\nDriver: docker\n\nNodes:\nName:             other\nStatus: running\n",
            "",
            "ok",
            "(default)",
        ),
        (
            "Name:   boat\nDriver: docker-container\n\nNodes:\nName: boat0\nStatus: inactive\n",
            "",
            "warning",
            "boat (docker-container driver)",
        ),
        (
            "Name: default\nDriver:\nError: Cannot connect: to it.\n",
            "",
            "warning",
            "default: Cannot connect: to it",
        ),
        ("", 'ERROR: no builder "boat" found\n', "warning", 'no builder "boat" found'),
    ],
)
def test_the_builder_of_the_command(monkeypatch, output, errors, status, words) -> None:
    monkeypatch.delenv("BUILDX_BUILDER", raising=False)
    check = doctor.builder("", connection.parse_builder(output, errors))
    assert (check.status, bool(check.fix)) == (status, status != "ok") and words in check.found
    assert status == "ok" or "docker buildx use" in check.fix
    monkeypatch.setenv("BUILDX_BUILDER", "boat")
    assert (
        status == "ok"
        or "Unset BUILDX_BUILDER" in doctor.builder("", connection.parse_builder(output, errors)).fix
    )


def test_without_buildx_python_still_builds() -> None:
    assert doctor.builder("", None).status == "ok"


def test_a_table_for_others_keeps_addresses_and_paths_out() -> None:
    results = [
        precondition.Check("engine", "ok", "Docker 28"),
        precondition.Check("package index", "ok", "https://packages.example/simple"),
        precondition.Check("certificate", "failed", "/etc/own.pem: OSError", "Point it at a file."),
    ]
    table = doctor.frame(results)
    assert table.loc["engine", "found"] == "Docker 28"
    assert "example" not in table.to_html() and "own.pem" not in table.to_html()
    assert table.loc["certificate", "what mends it"] == "Point it at a file."
