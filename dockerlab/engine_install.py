"""Install and start a Docker Engine on Debian and Ubuntu, and undo that exactly.

`choose` is pure: from what apt says, it decides where engine, buildx and compose come from. `install` carries the plan out
and records every package and file that it added, so that `remove` takes away those and no others.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockerlab import engine
from dockerlab.errors import CourseError

OLDEST_ENGINE, OLDEST_COMPOSE = 26, 2
DOCKER_REPOSITORY = "https://download.docker.com/linux"
DOCKER_PACKAGES = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")
DEBIAN_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "docker-compose")
# What those packages need in the same version; nothing else of the newer suite may come in.
PINNED = (*DEBIAN_PACKAGES, "containerd", "tini-static")
ASKED = (*DEBIAN_PACKAGES, "docker-compose-v2", "mmdebstrap")
SOURCES = "/etc/apt/sources.list.d/dockerlab.sources"
PREFERENCES = "/etc/apt/preferences.d/dockerlab"
DOCKER_KEY = "/etc/apt/keyrings/dockerlab.asc"
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
RECORD = Path("/var/lib/dockerlab/engine.json")
LOG = "/var/log/dockerd.log"
START_SECONDS = 60
ELSEWHERE = (
    "The course needs a Docker Engine, version 26 or later, with buildx and compose, and installs one by itself only on "
    "Debian and Ubuntu as root or with sudo. On macOS install Docker Desktop, OrbStack or Colima; on Windows install Docker "
    "Desktop with its WSL 2 back end and work inside WSL; on another Linux follow docs.docker.com/engine/install, or ask the "
    "person who administers this machine."
)


class InstallFailed(CourseError):
    """The engine could not be installed, started or removed."""


@dataclass(frozen=True)
class Plan:
    """Where the engine comes from, what is installed, and the files that are written first (path -> text)."""

    source: str
    packages: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """What will be done, for the person who is asked."""
        written = f", after writing {' and '.join(self.files)}" if self.files else ""
        return f"Install {', '.join(self.packages)} from {self.source}{written}."


def major(version: str) -> int:
    """The first number of a Debian version, its epoch left out: `5:27.1-1` -> 27; 0 where there is none."""
    found = re.match(r"(?:\d+:)?v?(\d+)", version)
    return int(found[1]) if found else 0


def parse_policy(text: str) -> dict[str, str]:
    """Package -> candidate version, from `apt-cache policy` in the C locale; packages without one are left out."""
    candidates, package = {}, ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            package = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            candidates[package] = line.split(":", 1)[1].strip()
    return candidates


def debian_packages(candidates: Mapping[str, str]) -> tuple[str, ...] | None:
    """What to install from the distribution, or None where its engine or compose is too old or buildx is missing."""
    compose = next(
        (name for name in ("docker-compose-v2", "docker-compose") if major(candidates.get(name, "")) >= OLDEST_COMPOSE), None
    )
    if major(candidates.get("docker.io", "")) < OLDEST_ENGINE or "docker-buildx" not in candidates or not compose:
        return None
    client = ("docker-cli",) if "docker-cli" in candidates else ()
    return ("docker.io", *client, "docker-buildx", compose)


def choose(
    release: Mapping[str, str],
    candidates: Mapping[str, str],
    sources: str,
    docker_repository: bool = False,
    architecture: str = "amd64",
) -> Plan | None:
    """The first source that holds engine, buildx and compose; None where there is none. Pure.

    `release` is /etc/os-release, `candidates` comes from `parse_policy`, `sources` is the text of the machine's apt sources and
    `docker_repository` says whether Docker's own repository answers for this release.
    """
    extra = ("mmdebstrap",) if "mmdebstrap" in candidates else ()
    distribution, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    if docker_repository and distribution in ("debian", "ubuntu") and codename:
        text = _deb822(f"{DOCKER_REPOSITORY}/{distribution}", codename, "stable", DOCKER_KEY, architecture)
        return Plan("Docker's own repository", (*DOCKER_PACKAGES, *extra), {SOURCES: text})
    if packages := debian_packages(candidates):
        return Plan(
            f"the packages of {release.get('PRETTY_NAME', distribution)}", (*packages, "iptables", "ca-certificates", *extra)
        )
    mirror = next((uri for uri in source_uris(sources) if uri.rstrip("/").endswith("/debian")), "")
    if distribution == "debian" and mirror:
        pins = "Package: *\nPin: release a=testing\nPin-Priority: -10\n\n"
        pins += f"Package: {' '.join(PINNED)}\nPin: release a=testing\nPin-Priority: 600\n"
        text = _deb822(mirror, "testing", "main", DEBIAN_KEYRING)
        return Plan(
            "Debian testing (everything else of it pinned away)",
            (*DEBIAN_PACKAGES, "iptables", "ca-certificates", *extra),
            {SOURCES: text, PREFERENCES: pins},
        )
    return None


def source_uris(text: str) -> list[str]:
    """Every URI of enabled apt sources, in both formats of sources.list(5): one line each, and deb822 stanzas."""
    uris: list[str] = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.lstrip().startswith("#")]
        if any(re.fullmatch(r"enabled:\s*no", line.strip(), re.IGNORECASE) for line in lines):
            continue
        for line in lines:
            if re.match(r"(deb|uris:)\s", line.strip(), re.IGNORECASE):
                uris += re.findall(r"(?:https?|mirror\+https?|file):/\S+", line)
    return uris


def _deb822(uri: str, suite: str, component: str, key: str, architecture: str = "") -> str:
    lines = ["Types: deb", f"URIs: {uri}", f"Suites: {suite}", f"Components: {component}", f"Signed-By: {key}"]
    return "\n".join(lines + ([f"Architectures: {architecture}"] if architecture else [])) + "\n"


class Machine:
    """The commands and files that an installation touches; every change goes through `root`."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.say = say

    def prefix(self) -> list[str]:
        """[] as root, ["sudo", …] where sudo works. Raises InstallFailed elsewhere, and off Debian and Ubuntu."""
        if sys.platform != "linux" or not shutil.which("apt-get"):
            raise InstallFailed("No Docker Engine answers, and this machine has no apt-get to install one.", ELSEWHERE)
        if os.geteuid() == 0:
            return []
        if shutil.which("sudo"):
            if subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
                return ["sudo", "-n"]
            if sys.stdin.isatty():
                return ["sudo"]
        raise InstallFailed("No Docker Engine answers, and you may not install one here.", ELSEWHERE)

    def root(self, *command: str, text: str | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run a command with root's rights and return its output. Raises InstallFailed with the last lines that it wrote."""
        full = [*self.prefix(), *(["env", *(f"{key}={value}" for key, value in env.items())] if env else []), *command]
        done = subprocess.run(
            full, input=text, stdin=subprocess.DEVNULL if text is None else None, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
            raise InstallFailed(f"`{shlex.join(command)}` failed.", last, "Mend that and run `dockerlab engine` again.")
        return done.stdout

    def apt(self, *arguments: str) -> str:
        """apt-get, without questions."""
        return self.root(
            "apt-get", "-y", "-o", "DPkg::Lock::Timeout=300", *arguments, env={"DEBIAN_FRONTEND": "noninteractive"}
        )

    def write(self, path: str, text: str) -> None:
        """Write a file as root, with its folder."""
        self.root("mkdir", "-p", str(Path(path).parent))
        self.root("tee", path, text=text)
        self.root("chmod", "644", path)

    def release(self) -> dict[str, str]:
        """/etc/os-release."""
        pairs = (line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line)
        return {key: value.strip("\"'") for key, value in pairs}

    def sources(self) -> str:
        """The text of all apt sources, one empty line between files."""
        files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
        return "\n\n".join(
            file.read_text(encoding="utf-8", errors="replace")
            for file in files
            if file.suffix in (".list", ".sources") and file.is_file()
        )

    def candidates(self) -> dict[str, str]:
        """What apt would install now."""
        done = subprocess.run(
            ["apt-cache", "policy", *ASKED], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
        )
        return parse_policy(done.stdout)

    def installed(self) -> set[str]:
        """Names of installed packages."""
        done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n"], capture_output=True, text=True)
        return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("ii")}

    def architecture(self) -> str:
        """Debian's name of this processor: amd64, arm64."""
        return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()

    def docker_repository(self, release: Mapping[str, str]) -> bool:
        """Whether Docker's own repository answers for this release; waits at most ten seconds."""
        url = f"{DOCKER_REPOSITORY}/{release.get('ID', '')}/dists/{release.get('VERSION_CODENAME', '')}/Release"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status == 200 and b"Suite:" in answer.read(2000)
        except (OSError, urllib.error.URLError, ValueError):
            return False

    def docker_key(self, distribution: str) -> str:
        """The key that signs Docker's own repository."""
        with urllib.request.urlopen(f"{DOCKER_REPOSITORY}/{distribution}/gpg", timeout=30) as answer:
            return answer.read().decode()

    def dockerd(self) -> bool:
        """Whether the daemon is installed; a `docker` command alone, perhaps an old one in /usr/local/bin, proves nothing."""
        return any(
            Path(folder, "dockerd").exists() for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
        )

    def answers(self) -> str | None:
        """What the engine says it is, or None. Raises EngineUnavailable where one runs that we may not use."""
        try:
            client = engine.connect(timeout=30)
        except engine.EngineUnavailable as error:
            if "may not use it" in error.what or "DOCKER_HOST" in error.what or "docker context" in error.what:
                raise
            return None
        with contextlib.closing(client):
            return str(engine.facts(client))

    def start(self) -> None:
        """Start dockerd: by systemd where it runs, else as a process of its own session."""
        if Path("/run/systemd/system").is_dir():
            self.root("systemctl", "enable", "--now", "docker")
        else:
            self.root("sh", "-c", f"setsid dockerd >>{LOG} 2>&1 </dev/null &")

    def last_log(self) -> str:
        """The last line of the daemon's log."""
        try:
            return Path(LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
        except (OSError, IndexError):
            return "see `journalctl -u docker`"

    def stop(self) -> None:
        """Stop the daemon that `start` started and wait until it is gone."""
        if Path("/run/systemd/system").is_dir():
            self.root("systemctl", "disable", "--now", "docker.socket", "docker")
            return
        with contextlib.suppress(OSError, ValueError):
            pid = int(Path("/var/run/docker.pid").read_text(encoding="utf-8"))
            self.root("kill", str(pid))
            deadline = time.monotonic() + START_SECONDS
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                time.sleep(0.2)


def install(assume_yes: bool | None = None, machine: Machine | None = None, dry_run: bool = False) -> str:
    """Make an engine answer: find it, start it, or install and start it; returns what it is.

    At a terminal it asks first, unless `assume_yes`; without one it says what it does and goes ahead.
    Raises InstallFailed, and EngineUnavailable where an engine runs that this user may not use.
    """
    machine = machine or Machine()
    if found := machine.answers():
        machine.say(f"{found} answers.")
        return found
    machine.prefix()
    if machine.dockerd():
        if not _agreed("dockerd is installed but does not run. Start it.", machine, assume_yes, dry_run):
            return ""
        machine.start()
        return _wait(machine)
    release = machine.release()
    if not machine.candidates():
        machine.apt("update")
    plan = choose(release, machine.candidates(), machine.sources(), machine.docker_repository(release), machine.architecture())
    if plan is None:
        raise InstallFailed("No engine of version 26 or later can be installed from this machine's apt sources.", ELSEWHERE)
    if not _agreed(
        f"No Docker Engine answers. {plan} Then start dockerd. `dockerlab engine --remove` undoes it.",
        machine,
        assume_yes,
        dry_run,
    ):
        return ""
    carry_out(plan, release, machine)
    if not machine.answers():  # the packages start it themselves where an init system runs
        machine.start()
    return _wait(machine)


def _agreed(what: str, machine: Machine, assume_yes: bool | None, dry_run: bool) -> bool:
    machine.say(what)
    if dry_run:
        return False
    if assume_yes is None and sys.stdin.isatty() and input("Go ahead? [Y/n] ").strip().lower() not in ("", "y", "yes"):
        raise InstallFailed("Nothing was changed.", fix="Run `dockerlab engine` again when you are ready.")
    return True


def carry_out(plan: Plan, release: Mapping[str, str], machine: Machine) -> None:
    """Write the plan's files, install its packages and record both; a failure takes the files away again."""
    files = dict(plan.files)
    if DOCKER_KEY in "".join(files.values()):
        files = {DOCKER_KEY: machine.docker_key(release["ID"]), **files}
    before = machine.installed()
    record = {"source": plan.source, "files": sorted(files), "packages": [], "user": ""}
    machine.write(str(RECORD), json.dumps(record))
    try:
        for path, text in files.items():
            machine.write(path, text)
        machine.apt("update")
        if PREFERENCES in files and not debian_packages(machine.candidates()):
            raise InstallFailed("Debian testing does not hold an engine that installs here.", ELSEWHERE)
        machine.apt("install", "--no-install-recommends", *plan.packages)
        if os.geteuid():
            record["user"] = getpass.getuser()
            machine.root("usermod", "-aG", "docker", record["user"])
    except BaseException:
        _undo({**record, "packages": sorted(machine.installed() - before)}, machine)
        raise
    record["packages"] = sorted(machine.installed() - before)
    machine.write(str(RECORD), json.dumps(record, indent=1))


def _wait(machine: Machine, seconds: float = START_SECONDS) -> str:
    """Poll until the engine answers. Raises InstallFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := machine.answers():
            machine.say(f"{found} answers.")
            return found
        time.sleep(0.5)
    raise InstallFailed(
        f"dockerd was started but does not answer within {seconds:.0f} s.",
        f"Its last word: {machine.last_log()}.",
        "Inside a container start that container with --privileged; elsewhere read the log and run `dockerlab engine` again.",
    )


def remove(assume_yes: bool | None = None, machine: Machine | None = None) -> None:
    """Undo `install`: stop the engine, take away the packages and files that it added, and no others.

    Images and volumes stay in the engine's data folder. Raises InstallFailed where this engine was not installed by the course.
    """
    machine = machine or Machine()
    if not RECORD.is_file():
        raise InstallFailed(
            "The course did not install the engine of this machine.",
            f"There is no {RECORD}.",
            "Remove it the way it was installed.",
        )
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    machine.prefix()
    _agreed(
        f"Remove {', '.join([*record['packages'], *record['files']])}. Images stay in /var/lib/docker.",
        machine,
        assume_yes,
        False,
    )
    machine.stop()
    _undo(record, machine)
    machine.say("Removed.")


def _undo(record: Mapping[str, object], machine: Machine) -> None:
    packages = sorted(set(record["packages"]) & machine.installed())
    if packages:
        machine.apt("purge", *packages)
    if record["user"]:
        with contextlib.suppress(InstallFailed):
            machine.root("gpasswd", "--delete", str(record["user"]), "docker")
    machine.root("rm", "-f", *record["files"], str(RECORD))
    if record["files"]:
        machine.apt("update")
