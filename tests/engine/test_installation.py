"""The plan to install an engine, and that it is undone exactly, wherever it was killed."""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dockerlab.engine import installation
from dockerlab.engine.installation import (
    DOCKER_FINGERPRINT,
    InstallFailed,
    choose,
    debian_packages,
    major,
    parse_policy,
    parse_simulation,
    source_uris,
    verified_key,
)

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


@pytest.mark.parametrize(
    ("version", "number"), [("5:27.1-1", 27), ("26.1.5+dfsg1", 26), ("v2.40", 2), ("", 0), ("(none)", 0)]
)
def test_major_ignores_the_epoch(version: str, number: int) -> None:
    assert major(version) == number


def test_policy_without_candidate_is_left_out() -> None:
    assert parse_policy(POLICY_BOOKWORM) == {
        "docker.io": "20.10.24+dfsg1-1+deb12u1+b6", "docker-compose": "1.29.2-3", "mmdebstrap": "1.3.5-7",
    }  # fmt: skip


def test_distribution_packages_must_be_new_and_complete() -> None:
    assert debian_packages(parse_policy(POLICY_BOOKWORM)) is None
    assert debian_packages(parse_policy(POLICY_TRIXIE)) == (
        "docker.io",
        "docker-cli",
        "docker-buildx",
        "docker-compose",
    )
    assert debian_packages(parse_policy(POLICY_NOBLE)) == ("docker.io", "docker-buildx", "docker-compose-v2")
    assert debian_packages(parse_policy(POLICY_NOBLE.replace("docker-buildx", "other"))) is None


def test_dockers_own_repository_comes_first() -> None:
    plan = choose(NOBLE, parse_policy(POLICY_NOBLE), SOURCES, docker_repository=True, architecture="arm64")
    assert plan.packages == installation.DOCKER_PACKAGES
    text = plan.files[installation.SOURCES]
    assert "URIs: https://download.docker.com/linux/ubuntu\nSuites: noble\nComponents: stable" in text
    assert "Architectures: arm64" in text and installation.DOCKER_KEY in text


def test_then_the_distribution_with_no_file_written() -> None:
    plan = choose(TRIXIE, parse_policy(POLICY_TRIXIE), SOURCES)
    assert plan.packages[:4] == ("docker.io", "docker-cli", "docker-buildx", "docker-compose")
    assert not plan.files


def test_older_debian_takes_testing_from_its_own_mirror_and_pins_the_rest_away() -> None:
    plan = choose(BOOKWORM, parse_policy(POLICY_BOOKWORM), SOURCES)
    assert "mmdebstrap" in plan.packages and "docker-buildx" in plan.packages
    assert "URIs: http://mirror.example/debian\nSuites: testing\n" in plan.files[installation.SOURCES]
    everything, ours = plan.files[installation.PREFERENCES].strip().split("\n\n")
    assert everything.splitlines() == ["Package: *", "Pin: release a=testing", "Pin-Priority: -10"]
    assert "docker.io" in ours and "mmdebstrap" not in ours
    assert "dockerlab.sources" in str(plan)


def test_nothing_is_chosen_where_nothing_fits() -> None:
    old_ubuntu = {"ID": "ubuntu", "VERSION_CODENAME": "focal"}
    assert choose(old_ubuntu, parse_policy(POLICY_BOOKWORM), SOURCES) is None
    assert choose(BOOKWORM, {}, "") is None


def test_sources_in_both_formats() -> None:
    text = (
        "# deb http://no.example/debian x main\ndeb [signed-by=/k] http://one.example/debian bookworm main\n"
    )
    text += "\n\nEnabled: no\nTypes: deb\nURIs: http://off.example/debian\n\nTypes: deb\nURIs: http://a.example/debian http://b.example/debian\n"
    assert source_uris(text) == [
        "http://one.example/debian",
        "http://a.example/debian",
        "http://b.example/debian",
    ]


# What apt knows: package -> what it depends on, recommends, and conflicts with.
DEPENDS = {
    "docker.io": ("containerd", "iptables"), "docker-compose": ("docker-cli",), "containerd": ("runc",), "iptables": ("libnftnl11",),
    "ca-certificates": ("openssl",), "ufw": ("iptables",), "old-podman-docker": ("podman",),
}  # fmt: skip
RECOMMENDS = {"wget": ("ca-certificates",), "docker.io": ("ca-certificates",)}
CONFLICTS = {"docker.io": ("old-podman-docker",)}


class Killed(BaseException):
    """SIGKILL: nothing runs after it."""


@dataclass
class World:
    """A Debian machine, as far as an installation can see it."""

    packages: dict[str, str] = field(default_factory=lambda: {"bash": "ii 5", "openssl-tool": "rc 1"})
    manual: set[str] = field(default_factory=lambda: {"bash"})
    files: dict[str, str] = field(default_factory=lambda: {"/etc/apt/sources.list": "deb"})
    folders: set[str] = field(default_factory=lambda: {"/etc/apt/sources.list.d", "/etc/apt/preferences.d"})
    group: list[str] | None = None
    interrupted: bool = False

    def install(self, *names: str) -> None:
        """As a person does with apt-get."""
        for _ in AptMachine(self, None).apt_install(names):
            pass


class AptMachine(installation.Machine):
    """Does to a World what the commands would do to a machine; dies before step number `dies_at`, also between two packages."""

    def __init__(self, world: World, dies_at: int | None = None, user: str = "") -> None:
        self.said: list[str] = []
        super().__init__(self.said.append)
        self.world, self.left, self.name, self.commands = world, dies_at, user, []
        self.running = False

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    # --- what changes the machine ---
    def prefix(self) -> list[str]:
        return []

    def root(self, *command: str, text: str | None = None, env=None) -> str:
        self.step()
        self.commands.append(" ".join(command))
        world, (program, *rest) = self.world, command
        match program:
            case "mkdir":
                world.folders.add(rest[-1])
            case "tee":
                world.files[rest[0]] = ""  # killed here it is empty
                self.step()
                world.files[rest[0]] = text or ""
            case "mv":
                world.files[rest[1]] = world.files.pop(rest[0])
            case "rm":
                for path in rest[1:]:
                    world.files = {
                        name: content
                        for name, content in world.files.items()
                        if name != path and not name.startswith(f"{path}/")
                    }
                    world.folders.discard(path)
            case "rmdir":
                for path in rest[1:]:
                    assert path in world.folders
                    if not any(name.startswith(f"{path}/") for name in world.files):
                        world.folders.remove(path)
            case "usermod":
                world.group.append(rest[-1])
            case "gpasswd":
                world.group.remove(rest[1])
            case "groupdel":
                world.group = None
            case "apt-mark":
                world.manual -= set(rest[1:])
            case "dpkg" if rest[0] == "--remove":
                assert "--force-remove-reinstreq" in rest
                world.packages |= dict.fromkeys(rest[3:], "rc 1")
                world.manual -= set(rest[3:])
            case "dpkg" if rest[0] == "--unpack":
                for path in rest[1:]:
                    self.unpacked(Path(path).name.partition("_")[0])
            case "dpkg":
                world.interrupted = False
                for name in [name for name, state in world.packages.items() if state.startswith("iU")]:
                    if all(world.packages.get(need, "").startswith("ii") for need in DEPENDS.get(name, ())):
                        self.configure(name)
            case "apt-get":
                self.apt_get(rest)
            case "chmod" | "sync":
                assert rest[-1] in world.files
            case _:
                raise AssertionError(command)
        return ""

    def apt_get(self, rest: list[str]) -> None:
        words = [
            word for index, word in enumerate(rest) if not word.startswith("-") and rest[index - 1] != "-o"
        ]
        if words[0] == "update":
            return
        if self.world.interrupted or any(state.startswith("iHR") for state in self.world.packages.values()):
            raise InstallFailed("apt-get failed.", "dpkg was interrupted")
        if words[0] == "install":
            assert not (self.lost(words[1:]) and "--no-remove" in rest)
            for _ in self.apt_install(words[1:]):
                self.step()
        else:
            going = self.dependants(words[1:])
            broken = {name for name, state in self.world.packages.items() if state.startswith("iU")} - going
            assert not broken, f"unmet dependencies of {broken}"
            for name in sorted(going):
                self.step()
                if words[0] == "purge":
                    del self.world.packages[name]
                else:
                    self.world.packages[name] = "rc 1"
                self.world.manual.discard(name)

    def closure(self, names) -> list[str]:
        found: list[str] = []
        for name in names:
            found += [each for each in (*self.closure(DEPENDS.get(name, ())), name) if each not in found]
        return found

    def lost(self, names) -> set[str]:
        enemies = {
            enemy
            for name in self.closure(names)
            for enemy in CONFLICTS.get(name, ())
            if enemy in self.world.packages
        }
        return self.dependants(enemies)

    def dependants(self, names) -> set[str]:
        going = {name for name in names if name in self.world.packages}
        while more := {
            name
            for name in self.world.packages
            if name not in going and going & set(DEPENDS.get(name, ())) and self.ii(name)
        }:
            going |= more
        return going

    def ii(self, name: str) -> bool:
        return self.world.packages.get(name, "rc")[0] == "i"

    def apt_install(self, names):
        world = self.world
        world.interrupted = True
        for name in self.lost(names):
            yield
            world.packages[name] = "rc 1"
        new = [name for name in self.closure(names) if not self.ii(name)]
        for name in reversed(new):  # apt may unpack a package before what it needs
            yield
            world.packages[name] = "iHR 1"
            world.files[f"/usr/bin/{name}.dpkg-new"] = ""
            world.manual.add(name)  # until apt writes its own list, at its end
            yield
            self.unpacked(name)
        for name in new:
            yield
            self.configure(name)
        world.manual = (world.manual - set(new)) | set(names)
        world.interrupted = False

    def unpacked(self, name: str) -> None:
        self.world.packages[name] = "iU 1"
        self.world.files.pop(f"/usr/bin/{name}.dpkg-new", None)

    def configure(self, name: str) -> None:
        self.world.packages[name] = "ii 1"
        if name == "docker.io" and self.world.group is None:
            self.world.group = []

    # --- what looks at it ---
    def look(self, *command: str) -> str:
        world = self.world
        match command[0]:
            case "dpkg-query":
                return "".join(
                    f"{state.split()[0]} \t{name}\t{state.split()[1]}\n"
                    for name, state in world.packages.items()
                )
            case "apt-mark":
                return "\n".join(world.manual)
            case "apt-cache":
                roots = [name for name in command[2:] if not name.startswith("-")]
                found: set[str] = set()
                while roots:
                    if (name := roots.pop()) not in found and self.ii(name):
                        found.add(name)
                        roots += [*DEPENDS.get(name, ()), *RECOMMENDS.get(name, ())]
                return "".join(f"{name}\n  Depends: x\n" for name in found)
            case "apt-get":
                if world.interrupted:
                    raise InstallFailed("apt-get failed.", "dpkg was interrupted")
                words = [word for word in command[5:] if not word.startswith("-")]
                if words[0] == "purge":
                    return "".join(f"Purg {name} [1]\n" for name in self.dependants(words[1:]))
                new = [name for name in self.closure(words[1:]) if not self.ii(name)]
                return "".join(f"Remv {name} [1]\n" for name in self.lost(words[1:])) + "".join(
                    f"Inst {name} (1 Debian [amd64])\n" for name in new
                )
        raise AssertionError(command)

    def read(self, path: str) -> str:
        return self.world.files.get(path, "")

    def archives(self, package: str) -> list[str]:
        return [f"/var/cache/apt/archives/{package}_1_amd64.deb"]

    def exists(self, path: str) -> bool:
        return path in self.world.files or path in self.world.folders

    def user(self) -> str:
        return "" if self.name in (self.world.group or ()) else self.name

    def group(self) -> list[str] | None:
        return self.world.group

    def release(self) -> dict[str, str]:
        return BOOKWORM

    def sources(self) -> str:
        return SOURCES

    def candidates(self) -> dict[str, str]:
        return parse_policy(POLICY_TRIXIE if installation.SOURCES in self.world.files else POLICY_BOOKWORM)

    def docker_repository(self, release) -> bool:
        return False

    def dockerd(self) -> bool:
        return self.ii("docker.io")

    def finds(self, *programs: str) -> bool:
        return any(self.ii(program) for program in programs)

    def answers(self) -> str | None:
        return "Docker Engine 28" if self.running else None

    def start(self) -> None:
        self.step()
        self.world.files.setdefault(installation.LOG, "started")
        self.running = True

    def stop(self) -> None:
        self.step()


@pytest.fixture(autouse=True)
def no_ci(monkeypatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)


@pytest.fixture
def terminal(monkeypatch):
    """A person at a terminal who gives these answers, in order."""

    def answers(*words: str) -> None:
        replies = list(words)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("builtins.input", lambda prompt: replies.pop(0))

    return answers


def test_an_engine_that_answers_is_left_alone() -> None:
    machine = AptMachine(World())
    machine.running = True
    assert installation.install(machine=machine) == "Docker Engine 28"
    assert machine.commands == [] and machine.said == ["Docker Engine 28 answers."]


def test_a_dry_run_says_and_changes_nothing() -> None:
    machine = AptMachine(World(), user="ann")
    installation.install(machine=machine, dry_run=True)
    assert machine.commands == [] and "Debian testing" in machine.said[0]
    assert "Add ann to the group docker, whose members have root's rights" in machine.said[0]


def test_without_a_terminal_nothing_is_installed_unasked(monkeypatch) -> None:
    world = World()
    with pytest.raises(InstallFailed, match="Nothing was changed") as caught:
        installation.install(machine=AptMachine(world))
    assert "--yes" in caught.value.fix and world == World()
    monkeypatch.setenv("CI", "true")
    assert installation.install(machine=AptMachine(world)) == "Docker Engine 28"
    monkeypatch.delenv("CI")
    with pytest.raises(InstallFailed, match="Nothing was changed"):
        installation.remove(machine=AptMachine(world))
    assert "docker.io" in world.packages


def test_at_a_terminal_no_means_no(terminal) -> None:
    terminal("n")
    world = World()
    with pytest.raises(InstallFailed, match="Nothing was changed"):
        installation.install(machine=AptMachine(world))
    assert world == World()


def test_an_installed_daemon_is_started_and_not_enabled(monkeypatch) -> None:
    machine = AptMachine(World(packages={"docker.io": "ii 1"}))
    installation.install(True, machine)
    assert "until this machine stops" in machine.said[0] and installation.Record.load(machine) is None
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(installation.Machine, "root", lambda self, *command: commands.append(command))
    monkeypatch.setattr(installation.Path, "is_dir", lambda self: True)
    installation.Machine().start()
    installation.Machine().stop()
    assert commands == [("systemctl", "start", "docker"), ("systemctl", "stop", "docker.socket", "docker")]


def test_what_is_recorded_comes_before_what_is_done() -> None:
    machine = AptMachine(World(), user="ann")
    installation.install(True, machine)
    record = f"mv {installation.RECORD}.new {installation.RECORD}"
    first, second, third = (number for number, line in enumerate(machine.commands) if line == record)
    install = next(number for number, line in enumerate(machine.commands) if " install " in line)
    assert first < machine.commands.index(f"tee {installation.SOURCES}.new") and second < install < third
    assert "--no-remove --no-install-recommends docker.io" in machine.commands[install]


def worlds() -> dict[str, World]:
    """Machines of several histories."""
    taken = World(group=["ann", "bob"], folders={"/etc/apt/sources.list.d", "/etc/apt/keyrings"})
    again = World(
        packages={"bash": "ii 5", "docker.io": "rc 1", "iptables": "ii 1", "libnftnl11": "ii 1"},
        group=[],
        files={installation.LOG: "old"},
    )
    return {"bare": World(), "a docker group was there": taken, "an engine was there once": again}


@pytest.mark.parametrize("history", worlds())
@pytest.mark.parametrize("user", ["", "ann"])
def test_killed_at_any_step_a_removal_undoes_exactly(history: str, user: str) -> None:
    step, finished = 0, False
    while not finished:
        world = worlds()[history]
        machine = AptMachine(world, dies_at=step, user=user)
        with contextlib.suppress(Killed):
            finished = bool(installation.install(True, machine))
        _gone(world, history, user)
        step += 1
    assert step > 50


@pytest.mark.parametrize("history", worlds())
def test_a_removal_that_is_killed_can_be_begun_again(history: str) -> None:
    step, finished = 0, False
    while not finished:
        world = worlds()[history]
        installation.install(True, AptMachine(world, user="ann"))
        try:
            installation.remove(True, AptMachine(world, dies_at=step, user="ann"))
            finished = True
        except Killed:
            pass
        _gone(world, history, "ann")
        step += 1
    assert step > 10


@pytest.mark.parametrize("step", range(0, 50, 7))
def test_after_an_interrupted_installation_the_next_one_begins_anew(step: int) -> None:
    world = World()
    with pytest.raises(Killed):
        installation.install(True, AptMachine(world, dies_at=step))
    assert installation.install(True, AptMachine(world)) == "Docker Engine 28"
    _gone(world, "bare", "")


def _gone(world: World, history: str, user: str) -> None:
    """Remove, unless that was done to its end, and compare the machine with what it was."""
    machine = AptMachine(world, user=user)
    if machine.exists(str(installation.RECORD.parent)):
        installation.remove(True, machine)
    assert not world.interrupted
    world.interrupted = False
    assert world == worlds()[history]


def test_what_came_later_stays_with_all_that_it_needs() -> None:
    world = World()
    installation.install(True, AptMachine(world))
    world.install("ufw", "wget")
    machine = AptMachine(world)
    installation.remove(True, machine)
    assert set(world.packages) == {
        "bash",
        "openssl-tool",
        "ufw",
        "iptables",
        "libnftnl11",
        "wget",
        "ca-certificates",
        "openssl",
    }
    assert "ca-certificates, iptables, libnftnl11, openssl stayed" in machine.said[-2]
    assert "iptables" not in machine.said[0]


def test_what_somebody_asked_for_since_stays() -> None:
    world = World()
    installation.install(True, AptMachine(world))
    world.install("runc", "iptables")
    installation.remove(True, AptMachine(world))
    assert set(world.packages) == {"bash", "openssl-tool", "runc", "iptables", "libnftnl11"}


def test_members_of_the_group_that_came_later_keep_it() -> None:
    world = World()
    installation.install(True, AptMachine(world, user="ann"))
    world.group.append("bob")
    installation.remove(True, AptMachine(world, user="ann"))
    assert world.group == ["bob"]


def with_conflict() -> World:
    return World(packages={"bash": "ii 5", "podman": "ii 1", "old-podman-docker": "ii 1"})


def test_a_conflict_is_named_and_nothing_goes_unasked(terminal) -> None:
    world = with_conflict()
    with pytest.raises(InstallFailed, match="old-podman-docker would have to go"):
        installation.install(True, AptMachine(world))  # --yes does not cover this
    assert world == with_conflict()
    terminal("y", "n")
    with pytest.raises(InstallFailed, match="old-podman-docker would have to go"):
        installation.install(False, AptMachine(world))
    assert world == with_conflict()


def test_what_had_to_go_comes_back(terminal) -> None:
    step, finished = 0, False
    while not finished:
        terminal("y", "y", "y")
        world = with_conflict()
        with contextlib.suppress(Killed):
            finished = bool(installation.install(False, AptMachine(world, dies_at=step)))
        machine = AptMachine(world)
        if machine.exists(str(installation.RECORD.parent)):
            installation.remove(True, machine)
        assert world.packages == with_conflict().packages and world.files == with_conflict().files
        step += 1


def test_the_browser_is_asked_for_recorded_and_removed_too() -> None:
    world = World()
    with pytest.raises(InstallFailed, match="Nothing was changed"):
        installation.install_browser(machine=AptMachine(world))
    installation.install_browser(True, AptMachine(world, user="ann"))
    assert "chromium" in world.packages and world.group is None
    before = copy.deepcopy(world)
    installation.install_browser(machine=AptMachine(world))  # it is there: no question
    assert world == before
    installation.install(True, AptMachine(world, user="ann"))
    assert world.group == ["ann"]
    _gone(world, "bare", "ann")


def test_a_second_installation_keeps_the_record_of_the_first() -> None:
    world = World()
    installation.install(True, AptMachine(world))
    AptMachine(world).apt_get(["purge", "docker.io"])  # by hand
    installation.install(True, AptMachine(world))
    _gone(world, "bare", "")


def test_the_record_of_an_older_course_is_understood() -> None:
    old = json.dumps(
        {"source": "x", "files": [installation.SOURCES], "packages": ["docker.io", "gone"], "user": ""}
    )
    world = World(
        packages={"bash": "ii 5", "docker.io": "ii 1"},
        manual={"bash", "docker.io"},
        files={str(installation.RECORD): old},
    )
    installation.remove(True, AptMachine(world))
    assert world.packages == {"bash": "ii 5"} and world.files == {}


def test_nothing_is_removed_that_the_course_did_not_install() -> None:
    with pytest.raises(InstallFailed, match="did not install"):
        installation.remove(True, AptMachine(World()))


def test_a_failed_installation_is_undone(monkeypatch) -> None:
    world = World()
    machine = AptMachine(world)
    monkeypatch.setattr(
        machine, "apt_install", lambda names: (_ for _ in ()).throw(InstallFailed("apt-get failed."))
    )
    with pytest.raises(InstallFailed, match="apt-get failed"):
        installation.install(True, machine)
    assert world == World()


def test_a_simulation_is_read() -> None:
    text = """NOTE: This is only a simulation!
Remv podman-docker [4.3.1+ds1-8+b1]
Remv containerd [1.6.20] [docker.io:amd64 ]
Inst libc6 [2.36-9] (2.36-10 Debian-Security:12/stable-security [amd64])
Inst containerd.io:amd64 (1.7 Docker [amd64])
Conf libc6 (2.36-10 Debian-Security:12/stable-security [amd64])
Purg iptables [1.8.9]
"""
    steps = parse_simulation(text)
    assert steps.new == ("containerd.io",) and steps.upgraded == {"libc6": "2.36-9"}
    assert steps.removed == ("podman-docker", "containerd", "iptables")


# The example keys of RFC 9580 (appendix A.1, version 4) and of nobody.
SAMPLE = """-----BEGIN PGP PUBLIC KEY BLOCK-----
Comment: a sample

xjMEU/NfCxYJKwYBBAHaRw8BAQdAPwmJlL3ZFu1AUxl5NOSofIBzOhKA1i+AEJku
Q+47JAY=
-----END PGP PUBLIC KEY BLOCK-----
"""
SAMPLE_FINGERPRINT = "C959BDBAFA32A2F89A153B678CFDE12197965A9A"


def armored(data: bytes) -> str:
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{base64.encodebytes(data).decode()}-----END PGP PUBLIC KEY BLOCK-----\n"


def test_a_key_is_known_by_its_fingerprint() -> None:
    clean = verified_key(SAMPLE, SAMPLE_FINGERPRINT)
    assert clean == armored(base64.b64decode(SAMPLE.split("\n\n")[1].split("-----")[0]))
    assert verified_key(clean, SAMPLE_FINGERPRINT) == clean
    with pytest.raises(InstallFailed, match=DOCKER_FINGERPRINT) as caught:
        verified_key(SAMPLE, DOCKER_FINGERPRINT)
    assert SAMPLE_FINGERPRINT in caught.value.why


def test_a_second_key_is_refused_and_text_around_the_block_is_dropped() -> None:
    data = base64.b64decode(SAMPLE.split("\n\n")[1].split("-----")[0])
    other = bytes([*data[:-1], data[-1] ^ 1])
    old_header = bytes([0x98, len(data) - 2]) + data[2:]  # the same packet with the older form of a header
    assert verified_key(armored(old_header), SAMPLE_FINGERPRINT)
    for bad in (
        armored(data + other),
        armored(other),
        armored(data[:-3]),
        armored(b"\x01" + data),
        "<html>",
        "",
    ):
        with pytest.raises(InstallFailed):
            verified_key(bad, SAMPLE_FINGERPRINT)
    assert verified_key(SAMPLE + armored(other), SAMPLE_FINGERPRINT) == armored(data)


def test_what_dockers_repository_serves_is_taken_by_its_fingerprint_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(
        installation.urllib.request,
        "urlopen",
        lambda url, timeout: asked.append(url) or io.BytesIO(SAMPLE.encode()),
    )
    with pytest.raises(InstallFailed, match=f"should have the fingerprint {DOCKER_FINGERPRINT}") as caught:
        installation.Machine().docker_key("debian")
    assert SAMPLE_FINGERPRINT in caught.value.why and "Nothing was installed from there" in caught.value.fix
    monkeypatch.setattr(installation, "DOCKER_FINGERPRINT", SAMPLE_FINGERPRINT)
    assert installation.Machine().docker_key("debian") == verified_key(SAMPLE, SAMPLE_FINGERPRINT) != SAMPLE
    assert asked == [f"{installation.DOCKER_REPOSITORY}/debian/gpg"] * 2


@pytest.mark.parametrize(("size", "moved"), [(5_000_001, True), (5_000_000, False), (None, False)])
def test_a_long_log_is_put_aside_before_the_daemon_starts(
    tmp_path: Path, size: int | None, moved: bool
) -> None:
    log = tmp_path / "dockerd.log"
    if size is not None:
        log.write_bytes(b"x" * size)
    Path(tmp_path, "dockerd").write_text('#!/bin/sh\necho "$@"\n')
    Path(tmp_path, "dockerd").chmod(0o755)
    script = (
        installation.START_SCRIPT.replace(installation.LOG, str(log)).replace("setsid ", "").removesuffix("&")
    )
    subprocess.run(["sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert log.read_text().endswith("--log-level=warn\n") and Path(f"{log}.1").exists() is moved
    assert log.stat().st_size < 100 or not moved
