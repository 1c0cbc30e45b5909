"""Where the engine is looked for, what it says, and the plan to install one."""

from __future__ import annotations

import hashlib
import json
import socket
import tempfile
from pathlib import Path

import pytest

from dockerlab import engine, engine_install
from dockerlab.engine_install import choose, debian_packages, major, parse_policy, source_uris

BOOKWORM = {"ID": "debian", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}
NOBLE = {"ID": "ubuntu", "VERSION_CODENAME": "noble", "PRETTY_NAME": "Ubuntu 24.04 LTS"}
TRIXIE = {"ID": "debian", "VERSION_CODENAME": "trixie", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"}
SOURCES = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n\nTypes: deb\nURIs: http://mirror.example/debian-security\n"

POLICY_BOOKWORM = """\
docker.io:
  Installed: (none)
  Candidate: 20.10.24+dfsg1-1+deb12u1+b6
  Version table:
     20.10.24+dfsg1-1+deb12u1+b6 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
docker-compose:
  Installed: (none)
  Candidate: 1.29.2-3
  Version table:
     1.29.2-3 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
docker-compose-plugin:
  Installed: (none)
  Candidate: (none)
  Version table:
mmdebstrap:
  Installed: (none)
  Candidate: 1.3.5-7
  Version table:
     1.3.5-7 500
"""
POLICY_TRIXIE = """\
docker.io:
  Installed: (none)
  Candidate: 26.1.5+dfsg1-9+b9
docker-cli:
  Installed: (none)
  Candidate: 26.1.5+dfsg1-9+b9
docker-buildx:
  Installed: (none)
  Candidate: 0.13.1+ds1-3
docker-compose:
  Installed: (none)
  Candidate: 2.26.1-4
"""
POLICY_NOBLE = """\
docker.io:
  Installed: (none)
  Candidate: 28.2.2-0ubuntu1~24.04.1
docker-buildx:
  Installed: (none)
  Candidate: 0.21.3-0ubuntu1~24.04.1
docker-compose:
  Installed: (none)
  Candidate: 1.29.2-6ubuntu1
docker-compose-v2:
  Installed: (none)
  Candidate: 2.37.1+ds1-0ubuntu2~24.04.1
"""


@pytest.mark.parametrize(("version", "number"), [("5:27.1-1", 27), ("26.1.5+dfsg1", 26), ("v2.40", 2), ("", 0), ("(none)", 0)])
def test_major_ignores_the_epoch(version: str, number: int) -> None:
    assert major(version) == number


def test_policy_without_candidate_is_left_out() -> None:
    assert parse_policy(POLICY_BOOKWORM) == {
        "docker.io": "20.10.24+dfsg1-1+deb12u1+b6", "docker-compose": "1.29.2-3", "mmdebstrap": "1.3.5-7",
    }  # fmt: skip


def test_distribution_packages_must_be_new_and_complete() -> None:
    assert debian_packages(parse_policy(POLICY_BOOKWORM)) is None
    assert debian_packages(parse_policy(POLICY_TRIXIE)) == ("docker.io", "docker-cli", "docker-buildx", "docker-compose")
    assert debian_packages(parse_policy(POLICY_NOBLE)) == ("docker.io", "docker-buildx", "docker-compose-v2")
    assert debian_packages(parse_policy(POLICY_NOBLE.replace("docker-buildx", "other"))) is None


def test_dockers_own_repository_comes_first() -> None:
    plan = choose(NOBLE, parse_policy(POLICY_NOBLE), SOURCES, docker_repository=True, architecture="arm64")
    assert plan.packages == engine_install.DOCKER_PACKAGES
    text = plan.files[engine_install.SOURCES]
    assert "URIs: https://download.docker.com/linux/ubuntu\nSuites: noble\nComponents: stable" in text
    assert "Architectures: arm64" in text and engine_install.DOCKER_KEY in text


def test_then_the_distribution_with_no_file_written() -> None:
    plan = choose(TRIXIE, parse_policy(POLICY_TRIXIE), SOURCES)
    assert plan.packages[:4] == ("docker.io", "docker-cli", "docker-buildx", "docker-compose")
    assert not plan.files


def test_older_debian_takes_testing_from_its_own_mirror_and_pins_the_rest_away() -> None:
    plan = choose(BOOKWORM, parse_policy(POLICY_BOOKWORM), SOURCES)
    assert "mmdebstrap" in plan.packages and "docker-buildx" in plan.packages
    assert "URIs: http://mirror.example/debian\nSuites: testing\n" in plan.files[engine_install.SOURCES]
    everything, ours = plan.files[engine_install.PREFERENCES].strip().split("\n\n")
    assert everything.splitlines() == ["Package: *", "Pin: release a=testing", "Pin-Priority: -10"]
    assert "docker.io" in ours and "mmdebstrap" not in ours
    assert "dockerlab.sources" in str(plan)


def test_nothing_is_chosen_where_nothing_fits() -> None:
    old_ubuntu = {"ID": "ubuntu", "VERSION_CODENAME": "focal"}
    assert choose(old_ubuntu, parse_policy(POLICY_BOOKWORM), SOURCES) is None
    assert choose(BOOKWORM, {}, "") is None


def test_sources_in_both_formats() -> None:
    text = "# deb http://no.example/debian x main\ndeb [signed-by=/k] http://one.example/debian bookworm main\n"
    text += "\n\nEnabled: no\nTypes: deb\nURIs: http://off.example/debian\n\nTypes: deb\nURIs: http://a.example/debian http://b.example/debian\n"
    assert source_uris(text) == ["http://one.example/debian", "http://a.example/debian", "http://b.example/debian"]


class Recorder(engine_install.Machine):
    """A machine on which nothing happens: what would run is written down."""

    def __init__(self, *, fails: str = "", answers: tuple[str | None, ...] = (None, "Docker Engine 28")) -> None:
        self.said: list[str] = []
        super().__init__(self.said.append)
        self.commands: list[str] = []
        self.fails, self.replies = fails, list(answers)
        self.packages = {"bash"}

    def prefix(self) -> list[str]:
        return []

    def root(self, *command: str, text: str | None = None, env=None) -> str:
        line = " ".join(command)
        self.commands.append(line)
        if self.fails and self.fails in line:
            raise engine_install.InstallFailed(f"{line} failed")
        if " install " in line:
            self.packages |= {"docker.io", "containerd"}
        return ""

    def installed(self) -> set[str]:
        return set(self.packages)

    def release(self) -> dict[str, str]:
        return BOOKWORM

    def sources(self) -> str:
        return SOURCES

    def candidates(self) -> dict[str, str]:
        return parse_policy(POLICY_TRIXIE if any("update" in line for line in self.commands) else POLICY_BOOKWORM)

    def docker_repository(self, release) -> bool:
        return False

    def dockerd(self) -> bool:
        return False

    def answers(self) -> str | None:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def test_an_engine_that_answers_is_left_alone() -> None:
    machine = Recorder(answers=("Docker Engine 28",))
    assert engine_install.install(machine=machine) == "Docker Engine 28"
    assert machine.commands == [] and machine.said == ["Docker Engine 28 answers."]


def test_a_dry_run_says_and_changes_nothing() -> None:
    machine = Recorder()
    engine_install.install(machine=machine, dry_run=True)
    assert machine.commands == [] and "Debian testing" in machine.said[0]


def test_without_a_terminal_it_says_and_goes_ahead(monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    machine = Recorder(answers=(None, None, "Docker Engine 28"))
    assert engine_install.install(machine=machine) == "Docker Engine 28"
    assert any("--no-install-recommends docker.io" in line for line in machine.commands)
    assert machine.commands.index(f"tee {engine_install.PREFERENCES}") < next(i for i, c in enumerate(machine.commands) if "update" in c)


def test_at_a_terminal_no_means_no(monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    machine = Recorder()
    with pytest.raises(engine_install.InstallFailed, match="Nothing was changed"):
        engine_install.install(machine=machine)
    assert machine.commands == []


def test_a_failed_installation_takes_its_files_away() -> None:
    machine = Recorder(fails=" install ")
    with pytest.raises(engine_install.InstallFailed):
        engine_install.install(True, machine)
    assert any(line.startswith("rm -f") and engine_install.SOURCES in line and engine_install.PREFERENCES in line for line in machine.commands)


def test_remove_undoes_exactly_what_was_recorded(monkeypatch, tmp_path) -> None:
    record = tmp_path / "engine.json"
    monkeypatch.setattr(engine_install, "RECORD", record)
    machine = Recorder()
    monkeypatch.setattr(machine, "stop", lambda: machine.commands.append("stop"))
    with pytest.raises(engine_install.InstallFailed, match="did not install"):
        engine_install.remove(True, machine)
    record.write_text(json.dumps({"source": "x", "files": [engine_install.SOURCES], "packages": ["docker.io", "gone"], "user": ""}))
    machine.packages |= {"docker.io", "somebody-elses"}
    engine_install.remove(True, machine)
    purge = next(line for line in machine.commands if " purge " in line)
    assert purge.endswith("purge docker.io")
    assert f"rm -f {engine_install.SOURCES} {record}" in machine.commands and machine.commands[0] == "stop"


def test_docker_host_is_the_only_place_when_it_is_set(tmp_path: Path) -> None:
    places = engine.endpoints({"DOCKER_HOST": "tcp://10.0.0.1:2375"}, tmp_path)
    assert [(place.url, place.explicit) for place in places] == [("tcp://10.0.0.1:2375", True)]


def test_the_current_docker_context_is_found(tmp_path: Path) -> None:
    config = tmp_path / ".docker"
    meta = config / "contexts/meta" / hashlib.sha256(b"lab").hexdigest()
    meta.mkdir(parents=True)
    (config / "config.json").write_text(json.dumps({"currentContext": "lab"}))
    (meta / "meta.json").write_text(json.dumps({"Name": "lab", "Endpoints": {"docker": {"Host": "unix:///lab.sock"}}}))
    assert [place.url for place in engine.endpoints({}, tmp_path)] == ["unix:///lab.sock"]
    with pytest.raises(engine.EngineUnavailable, match="context other is chosen"):
        engine.endpoints({"DOCKER_CONTEXT": "other"}, tmp_path)


def test_sockets_of_other_engines_are_found_in_order() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a socket's path may not be longer than 107 bytes
        home, run = Path(short, "h"), Path(short, "r")
        paths = [run / "docker.sock", home / ".colima/default/docker.sock", home / ".orbstack/run/docker.sock", run / "podman/podman.sock"]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        (home / ".docker/run").mkdir(parents=True)
        (home / ".docker/run/docker.sock").write_text("no socket")
        found = [place.url for place in engine.endpoints({"XDG_RUNTIME_DIR": str(run)}, home)]
    ours = [url for url in found if short in url]
    assert ours == [f"unix://{path}" for path in paths]


def test_no_engine_is_one_sentence_each(monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(engine.EngineUnavailable) as caught:
        engine.connect()
    assert caught.value.what == "No Docker Engine answers at unix:///nowhere/docker.sock (DOCKER_HOST)."
    assert caught.value.fix == "Correct or unset DOCKER_HOST." and "\n" not in caught.value.why


def test_a_closed_socket_says_who_may_use_it() -> None:
    error = engine._unavailable([(engine.Endpoint("Docker", "unix:///s"), PermissionError(13, "Permission denied"))])
    assert "usermod -aG docker" in error.fix


@pytest.mark.parametrize(
    ("info", "store"),
    [
        ({"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}, "overlay2"),
        ({"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, "containerd"),
        ({"Driver": "vfs", "DriverStatus": None}, "vfs"),
    ],
)
def test_image_store_from_info(info, store) -> None:
    assert engine.image_store(info) == store


@pytest.mark.engine
def test_facts_of_the_running_engine(client) -> None:
    facts = engine.facts(client)
    assert facts.version == client.version()["Version"]
    assert tuple(map(int, facts.api_version.split("."))) >= (1, 44)
    assert facts.image_store in ("overlay2", "containerd") and facts.cpus >= 1 and facts.memory_bytes > 10**8
    assert facts.version in str(facts)
