"""Install and start a Docker Engine on Debian and Ubuntu, and undo that exactly.

`choose` is pure: from what apt says, it decides where engine, buildx and compose come from. `install` writes down what it is going to do
before it does it, so that `remove` takes away that and nothing else, also where the installation was killed half-way.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import getpass
import grp
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dockerlab.core.errors import CourseError
from dockerlab.core.polling import wait_until
from dockerlab.engine import connection, endpoint

OLDEST_ENGINE, OLDEST_COMPOSE = 26, 2
DOCKER_REPOSITORY = "https://download.docker.com/linux"
DOCKER_PACKAGES = (
    "docker-ce",
    "docker-ce-cli",
    "containerd.io",
    "docker-buildx-plugin",
    "docker-compose-plugin",
)
DEBIAN_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "docker-compose")
# What those packages need in the same version; nothing else of the newer suite may come in.
PINNED = (*DEBIAN_PACKAGES, "containerd", "tini-static")
ASKED = (*DEBIAN_PACKAGES, "docker-compose-v2", "mmdebstrap")
SOURCES = "/etc/apt/sources.list.d/dockerlab.sources"
PREFERENCES = "/etc/apt/preferences.d/dockerlab"
DOCKER_KEY = "/etc/apt/keyrings/dockerlab.asc"
# Of the key since 2017; it cannot be taken from the place that the key is to vouch for.
DOCKER_FINGERPRINT = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
RECORD = Path("/var/lib/dockerlab/engine.json")
LOG = "/var/log/dockerd.log"
LOG_BYTES = 5_000_000
START_SECONDS = 60
POLL_SECONDS = 0.5
# Asked for by name only because the engine's packages may leave them out; once there, they are like any other dependency.
SUPPORT = ("iptables", "ca-certificates")
# All that apt counts as a need: what a package depends on and what it recommends.
NEEDS = (
    "--recurse",
    "--installed",
    "--no-suggests",
    "--no-conflicts",
    "--no-breaks",
    "--no-replaces",
    "--no-enhances",
)
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
        (
            name
            for name in ("docker-compose-v2", "docker-compose")
            if major(candidates.get(name, "")) >= OLDEST_COMPOSE
        ),
        None,
    )
    if (
        major(candidates.get("docker.io", "")) < OLDEST_ENGINE
        or "docker-buildx" not in candidates
        or not compose
    ):
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
            f"the packages of {release.get('PRETTY_NAME', distribution)}",
            (*packages, "iptables", "ca-certificates", *extra),
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
    lines = [
        "Types: deb",
        f"URIs: {uri}",
        f"Suites: {suite}",
        f"Components: {component}",
        f"Signed-By: {key}",
    ]
    return "\n".join(lines + ([f"Architectures: {architecture}"] if architecture else [])) + "\n"


class Machine:
    """The commands and files that an installation touches; every change goes through `root`."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.say = say

    def prefix(self) -> list[str]:
        """[] as root, ["sudo", …] where sudo works. Raises InstallFailed elsewhere, and off Debian and Ubuntu."""
        if sys.platform != "linux" or not shutil.which("apt-get"):
            raise InstallFailed(
                "No Docker Engine answers, and this machine has no apt-get to install one.", ELSEWHERE
            )
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
        full = [
            *self.prefix(),
            *(["env", *(f"{key}={value}" for key, value in env.items())] if env else []),
            *command,
        ]
        done = subprocess.run(
            full,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
            raise InstallFailed(
                f"`{shlex.join(command)}` failed.", last, "Mend that and run `dockerlab engine` again."
            )
        return done.stdout

    def apt(self, *arguments: str) -> str:
        """apt-get, without questions."""
        return self.root(
            "apt-get",
            "-y",
            "-o",
            "DPkg::Lock::Timeout=300",
            *arguments,
            env={"DEBIAN_FRONTEND": "noninteractive"},
        )

    def look(self, *command: str) -> str:
        """The output of a command that changes nothing, in English. Raises InstallFailed."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
        if done.returncode:
            raise InstallFailed(
                f"`{shlex.join(command)}` failed.", " | ".join(done.stderr.strip().splitlines()[-3:])
            )
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file as root, with its folder: all of it, or nothing."""
        self.root("mkdir", "-p", str(Path(path).parent))
        self.root("tee", f"{path}.new", text=text)
        self.root("chmod", "644", f"{path}.new")
        self.root("sync", f"{path}.new")
        self.root("mv", f"{path}.new", path)

    def read(self, path: str) -> str:
        """A file's text; empty where there is none."""
        try:
            return Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def archives(self, package: str) -> list[str]:
        """What apt has downloaded of a package and not tidied away yet."""
        return [str(path) for path in Path("/var/cache/apt/archives").glob(f"{package}_*.deb")]

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return Path(path).exists()

    def user(self) -> str:
        """Whom the group docker has to take in: the user who is not root and not in it yet; else an empty string."""
        name = getpass.getuser()
        return "" if os.geteuid() == 0 or name in (self.group() or ()) else name

    def group(self) -> list[str] | None:
        """The members of the group docker; None where there is no such group."""
        try:
            return grp.getgrnam("docker").gr_mem
        except KeyError:
            return None

    def release(self) -> dict[str, str]:
        """/etc/os-release."""
        pairs = (
            line.split("=", 1)
            for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
            if "=" in line
        )
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

    def packages(self) -> dict[str, str]:
        """Package -> state and version, of all that are installed, half installed, or have left their settings behind."""
        lines = self.look(
            "dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n"
        ).splitlines()
        states = (line.split("\t") for line in lines if not line.startswith("un"))
        return {name: f"{state.strip()} {version}" for state, name, version in states}

    def manual(self) -> set[str]:
        """The packages that somebody asked for by name."""
        return _names(self.look("apt-mark", "showmanual"))

    def needed(self, names: Collection[str]) -> set[str]:
        """These packages and all installed ones that they need, directly or not."""
        lines = self.look("apt-cache", "depends", *NEEDS, *sorted(names)) if names else ""
        return _names("\n".join(line for line in lines.splitlines() if line and not line[0].isspace()))

    def simulate(self, *arguments: str) -> Steps:
        """What apt-get would do."""
        return parse_simulation(self.look("apt-get", "-s", "-y", "-o", "Debug::NoLocking=true", *arguments))

    def architecture(self) -> str:
        """Debian's name of this processor: amd64, arm64."""
        return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()

    def docker_repository(self, release: Mapping[str, str]) -> bool:
        """Whether Docker's own repository answers for this release; waits at most ten seconds."""
        url = (
            f"{DOCKER_REPOSITORY}/{release.get('ID', '')}/dists/{release.get('VERSION_CODENAME', '')}/Release"
        )
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status == 200 and b"Suite:" in answer.read(2000)
        except (OSError, urllib.error.URLError, ValueError):
            return False

    def docker_key(self, distribution: str) -> str:
        """The key that signs Docker's own repository. Raises InstallFailed where another one is served."""
        with urllib.request.urlopen(f"{DOCKER_REPOSITORY}/{distribution}/gpg", timeout=30) as answer:
            return verified_key(answer.read(1_000_000).decode("ascii", "replace"), DOCKER_FINGERPRINT)

    def dockerd(self) -> bool:
        """Whether the daemon is installed; a `docker` command alone, perhaps an old one in /usr/local/bin, proves nothing."""
        return any(
            Path(folder, "dockerd").exists()
            for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
        )

    def finds(self, *programs: str) -> bool:
        """Whether one of these programs is on the PATH."""
        return any(shutil.which(each) for each in programs)

    def answers(self) -> str | None:
        """What the engine says it is, or None. Raises EngineUnavailable where one runs that we may not use."""
        try:
            client = connection.connect(timeout=30)
        except endpoint.EngineUnavailable as error:
            if (
                "may not use it" in error.what
                or "DOCKER_HOST" in error.what
                or "docker context" in error.what
            ):
                raise
            return None
        with contextlib.closing(client):
            return str(connection.facts(client))

    def start(self) -> None:
        """Start dockerd until the machine stops: by systemd where it runs, else as a process of its own session, with a log that is cut."""
        if Path("/run/systemd/system").is_dir():
            self.root("systemctl", "start", "docker")
        else:
            self.root("sh", "-c", START_SCRIPT)

    def last_log(self) -> str:
        """The last line of the daemon's log."""
        try:
            return Path(LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
        except (OSError, IndexError):
            return "see `journalctl -u docker`"

    def stop(self) -> None:
        """Stop the daemon that `start` started and wait until it is gone."""
        if Path("/run/systemd/system").is_dir():
            self.root("systemctl", "stop", "docker.socket", "docker")
            return
        with contextlib.suppress(OSError, ValueError):
            pid = int(Path("/var/run/docker.pid").read_text(encoding="utf-8"))
            if (
                Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "dockerd"
            ):  # the number may be another's by now
                self.root("kill", str(pid))
                wait_until(lambda: not Path(f"/proc/{pid}").exists(), START_SECONDS, POLL_SECONDS)


# A log of more than LOG_BYTES is put aside before the start, in place of the one that was put aside before; while dockerd runs, only warnings are added.
START_SCRIPT = (
    f'if [ "$(wc -c <{LOG} 2>/dev/null || echo 0)" -gt {LOG_BYTES} ]; then mv {LOG} {LOG}.1; fi; '
    f"setsid dockerd --log-level=warn >>{LOG} 2>&1 </dev/null &"
)


def _names(text: str) -> set[str]:
    """Package names, one a line, without their architecture."""
    return {line.strip().partition(":")[0] for line in text.splitlines() if line.strip()}


@dataclass(frozen=True)
class Steps:
    """What apt-get says that it would do: new packages, those that get another version (with the one they have), and those that go."""

    new: tuple[str, ...]
    upgraded: Mapping[str, str]
    removed: tuple[str, ...]


def parse_simulation(text: str) -> Steps:
    """The lines `Inst`, `Remv` and `Purg` of `apt-get -s`; the version in brackets is the one that is installed."""
    found = re.findall(r"^(Inst|Remv|Purg) ([^\s:]+)\S*(?: \[([^\]]+)\])?", text, re.MULTILINE)
    installs = {name: version for what, name, version in found if what == "Inst"}
    return Steps(
        tuple(name for name, version in installs.items() if not version),
        {name: version for name, version in installs.items() if version},
        tuple(name for what, name, _ in found if what != "Inst" and name not in installs),
    )


# Headers, an empty line, base64, and perhaps a checksum: RFC 4880, section 6.2.
ARMOR = re.compile(
    r"^-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\n]*: [^\n]*\n)*\s*\n([A-Za-z0-9+/=\s]+?)(?:\n=[A-Za-z0-9+/]{4})?\s*^-----END",
    re.MULTILINE,
)


def verified_key(armored: str, fingerprint: str) -> str:
    """An OpenPGP key file that holds just the key with this fingerprint, written anew from what was checked.

    Raises InstallFailed where the file holds another key, also beside the right one: apt would trust each of them.
    """
    try:
        data = base64.b64decode("".join(ARMOR.findall(armored)[0].split()), validate=True)
        found = _fingerprints(data)
    except (IndexError, ValueError, binascii.Error):
        data, found = b"", ["none"]
    if found != [fingerprint]:
        raise InstallFailed(
            f"The key that signs Docker's packages should have the fingerprint {fingerprint}.",
            f"The one that is served has {', '.join(found)}.",
            "Nothing was installed from there: look at docs.docker.com/engine/install, or ask who administers your network.",
        )
    body = base64.encodebytes(data).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}-----END PGP PUBLIC KEY BLOCK-----\n"


def _fingerprints(data: bytes) -> list[str]:
    """The fingerprints of all primary keys (packets with tag 6) in OpenPGP data. Raises ValueError for what is none.

    Packet headers: RFC 4880, section 4.2; the fingerprint of a key of version 4, SHA-1 over 0x99, two octets of length and the packet: 12.2.
    """
    found, place = [], 0
    while place < len(data):
        head, place = data[place], place + 1
        if not head & 0x80:
            raise ValueError("no packet")
        if head & 0x40:
            tag, first = head & 0x3F, data[place] if place < len(data) else 0
            width = 1 if first < 192 else 2 if first < 224 else 5
            octets = data[place : place + width]
            size = (
                first
                if width == 1
                else ((first - 192) << 8) + octets[-1] + 192
                if width == 2
                else int.from_bytes(octets[1:], "big")
            )
            if width == 5 and first != 255:
                raise ValueError("a packet in parts")
        else:
            tag, width = head >> 2 & 0x0F, {0: 1, 1: 2, 2: 4, 3: 0}[head & 3]
            size = int.from_bytes(data[place : place + width], "big") if width else len(data) - place
        body, place = data[place + width : place + width + size], place + width + size
        if place > len(data):
            raise ValueError("cut off")
        if tag == 6:
            found.append(
                hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()
                if body[0] == 4
                else f"version {body[0]}"
            )
    return found


@dataclass
class Record:
    """What an installation is going to change, written before it does; what was there before decides what is undone."""

    source: str
    packages: list[str] = field(default_factory=list)  # new ones, as apt's simulation named them
    requested: list[str] = field(default_factory=list)  # those of them that we asked for by name
    before: dict[str, str] = field(default_factory=dict)  # every package of the machine: state and version
    automatic: list[str] = field(
        default_factory=list
    )  # requested ones that were there already, as what another package needs
    replaced: list[str] = field(default_factory=list)  # those that had to go, with a yes
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  # that were not there
    user: str = ""  # whom we add to the group docker
    group: bool = True  # whether that group was there
    finished: bool = True

    @classmethod
    def begin(cls, plan: Plan, files: Collection[str], machine: Machine, earlier: Record | None) -> Record:
        """The state before `plan`; what an earlier installation brought counts as ours still."""
        new = cls(plan.source, requested=list(plan.packages), before=machine.packages(), finished=False)
        new.files = sorted([*files, *(path for path in (LOG, f"{LOG}.1") if not machine.exists(path))])
        new.folders = sorted(
            {parent for path in (*files, str(RECORD)) if not machine.exists(parent := str(Path(path).parent))}
        )
        new.automatic = sorted(
            {name for name in plan.packages if new.before.get(name, "").startswith("ii")} - machine.manual()
        )
        new.user = machine.user() if any(name.startswith("docker") for name in plan.packages) else ""
        new.group = machine.group() is not None
        if earlier:
            new.before = earlier.before or {
                name: state for name, state in new.before.items() if name not in earlier.packages
            }
            for key in ("packages", "requested", "automatic", "replaced", "files", "folders"):
                setattr(new, key, sorted({*getattr(earlier, key), *getattr(new, key)}))
            new.user, new.group = new.user or earlier.user, new.group and earlier.group
        return new

    @classmethod
    def load(cls, machine: Machine) -> Record | None:
        """What was written last; None where nothing was."""
        data = json.loads(machine.read(str(RECORD)) or "{}")
        return cls(**{"requested": data.get("packages", []), **data}) if data else None

    def save(self, machine: Machine) -> None:
        """Write it, all or nothing."""
        machine.write(str(RECORD), json.dumps(asdict(self), indent=1))


def install(assume_yes: bool = False, machine: Machine | None = None, dry_run: bool = False) -> str:
    """Make an engine answer: find it, start it, or install and start it; returns what it is.

    It asks first, unless `assume_yes`; without a terminal to ask at it goes ahead only where CI=true.
    Raises InstallFailed, and EngineUnavailable where an engine runs that this user may not use.
    """
    machine = machine or Machine()
    if found := machine.answers():
        machine.say(f"{found} answers.")
        return found
    machine.prefix()
    earlier = _whole_record(machine, assume_yes, dry_run)
    if machine.dockerd():
        if not _agreed(
            "dockerd is installed but does not run. Start it, until this machine stops.",
            machine,
            assume_yes,
            dry_run,
        ):
            return ""
        machine.start()
        return _wait(machine)
    release = machine.release()
    if not machine.candidates():
        machine.apt("update")
    plan = choose(
        release,
        machine.candidates(),
        machine.sources(),
        machine.docker_repository(release),
        machine.architecture(),
    )
    if plan is None:
        raise InstallFailed(
            "No engine of version 26 or later can be installed from this machine's apt sources.", ELSEWHERE
        )
    rights = (
        f" Add {user} to the group docker, whose members have root's rights on this machine."
        if (user := machine.user())
        else ""
    )
    question = f"No Docker Engine answers. {plan} Then start dockerd.{rights} `dockerlab engine --remove` undoes all of it."
    if not _agreed(question, machine, assume_yes, dry_run):
        return ""
    carry_out(plan, release, machine, earlier)
    if not machine.answers():  # the packages start it themselves where an init system runs
        machine.start()
    return _wait(machine)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def install_browser(assume_yes: bool = False, machine: Machine | None = None, dry_run: bool = False) -> None:
    """Find Chromium, or install it for the browser tests, in the same record as the engine. Raises InstallFailed."""
    machine = machine or Machine()
    if machine.finds(*BROWSERS):
        return
    machine.prefix()
    earlier, plan = (
        _whole_record(machine, assume_yes, dry_run),
        Plan("the distribution", ("chromium", "fonts-dejavu-core")),
    )
    if _agreed(
        f"The browser tests need Chromium. {plan} `dockerlab engine --remove` undoes that too.",
        machine,
        assume_yes,
        dry_run,
    ):
        carry_out(plan, machine.release(), machine, earlier)


def _whole_record(machine: Machine, assume_yes: bool, dry_run: bool) -> Record | None:
    """What was installed before; an installation that was interrupted is undone first, after a yes."""
    record = Record.load(machine)
    if record is None or record.finished:
        return record
    if _agreed("An earlier installation was interrupted: undo that first.", machine, assume_yes, dry_run):
        _undo(record, machine)
    return None


def _agreed(what: str, machine: Machine, assume_yes: bool, dry_run: bool = False) -> bool:
    """Whether to go ahead; False in a dry run. Raises InstallFailed after a no, and where nobody can be asked."""
    machine.say(what)
    if dry_run:
        return False
    if not assume_yes and not sys.stdin.isatty() and os.environ.get("CI", "").lower() not in ("true", "1"):
        raise InstallFailed(
            "Nothing was changed.",
            "There is no terminal to ask at.",
            "Run the `dockerlab` command again with --yes, or set CI=true.",
        )
    if (
        not assume_yes
        and sys.stdin.isatty()
        and input("Go ahead? [Y/n] ").strip().lower() not in ("", "y", "yes")
    ):
        raise InstallFailed("Nothing was changed.", fix="Run the same command again when you are ready.")
    return True


def carry_out(
    plan: Plan, release: Mapping[str, str], machine: Machine, earlier: Record | None = None
) -> None:
    """Write the plan's files and install its packages, each recorded before it is done; a failure is undone.

    No package goes for it without a yes at a terminal.
    """
    files = dict(plan.files)
    if DOCKER_KEY in "".join(files.values()):
        files = {DOCKER_KEY: machine.docker_key(release["ID"]), **files}
    record = Record.begin(plan, files, machine, earlier)
    record.save(machine)
    try:
        for path, text in files.items():
            machine.write(path, text)
        machine.apt("update")
        if PREFERENCES in files and not debian_packages(machine.candidates()):
            raise InstallFailed("Debian testing does not hold an engine that installs here.", ELSEWHERE)
        arguments = ("--no-install-recommends", *plan.packages)
        steps = machine.simulate("install", *arguments)
        _agreed_to_lose(steps.removed, machine)
        if steps.upgraded:
            machine.say(
                f"apt also brings newer versions of {', '.join(steps.upgraded)}; they stay when the engine is removed."
            )
        record.packages = sorted({*record.packages, *steps.new})
        record.replaced = sorted({*record.replaced, *steps.removed})
        record.save(machine)
        machine.apt("install", *([] if steps.removed else ["--no-remove"]), *arguments)
        if record.user:
            machine.root("usermod", "-aG", "docker", record.user)
        if unasked := sorted({*record.automatic, *(set(SUPPORT) & set(steps.new))}):
            machine.root("apt-mark", "auto", *unasked)
    except BaseException:
        _undo(record, machine)
        raise
    record.finished = True
    record.save(machine)


def _agreed_to_lose(packages: Collection[str], machine: Machine) -> None:
    """Ask before packages go that conflict with the engine's. Raises InstallFailed after a no, and where nobody can be asked."""
    if not packages:
        return
    names = ", ".join(packages)
    machine.say(
        f"The engine's packages conflict with {names}: apt would remove that, and `dockerlab engine --remove` would install it again."
    )
    if not sys.stdin.isatty() or input(f"Remove {names}? [y/N] ").strip().lower() not in ("y", "yes"):
        raise InstallFailed(
            f"The engine was not installed, because {names} would have to go.",
            "Something on this machine may need it.",
            f"If nothing does, run `apt-get remove {' '.join(packages)}`, then this command again.",
        )


def _wait(machine: Machine, seconds: float = START_SECONDS) -> str:
    """What answers, once the engine does. Raises InstallFailed after `seconds`."""
    found: list[str] = []

    def answers() -> bool:
        found[:] = [machine.answers() or ""]
        return bool(found[0])

    if wait_until(answers, seconds, POLL_SECONDS):
        machine.say(f"{found[0]} answers.")
        return found[0]
    raise InstallFailed(
        f"dockerd was started but does not answer within {seconds:.0f} s.",
        f"Its last word: {machine.last_log()}.",
        "Inside a container start that container with --privileged; elsewhere read the log and run `dockerlab engine` again.",
    )


def remove(assume_yes: bool = False, machine: Machine | None = None) -> None:
    """Undo `install`: stop the engine, take away the packages and files that it added and that nothing else needs by now.

    Images and volumes stay in the engine's data folder. Raises InstallFailed where this engine was not installed by the course.
    """
    machine = machine or Machine()
    record = Record.load(machine)
    if record is None and machine.exists(
        str(RECORD.parent)
    ):  # killed before the record was there, so before anything else
        machine.root("rm", "-rf", str(RECORD.parent))
        return machine.say("Removed: an installation was interrupted before it had changed anything.")
    if record is None:
        raise InstallFailed(
            "The course did not install the engine of this machine.",
            f"There is no {RECORD}.",
            "Remove it the way it was installed.",
        )
    machine.prefix()
    going = set(record.packages)
    with contextlib.suppress(
        InstallFailed
    ):  # apt counts nothing while packages are half installed; they are counted again below
        going = _removable(record, machine)[0]
    what = [*sorted(going), *record.files, *([f"{record.user} from the group docker"] if record.user else [])]
    again = f" Install {', '.join(record.replaced)} again." if record.replaced else ""
    _agreed(
        f"Remove {', '.join(what) or 'the record of the installation'}.{again} Images stay in /var/lib/docker.",
        machine,
        assume_yes,
    )
    kept = _undo(record, machine)
    if kept:
        machine.say(
            f"{', '.join(sorted(kept))} stayed: other packages need that, or somebody has asked for it by name since."
        )
    machine.say("Removed.")
    return None


def _removable(record: Record, machine: Machine) -> tuple[set[str], set[str]]:
    """Of the packages that came with the engine: those that can go, and those that others need or somebody asked for since.

    Others are all packages that were installed later; for those, what is only recommended counts as needed too.
    """
    now = machine.packages()
    ours = {name for name in record.packages if name in now and now[name] != record.before.get(name)}
    # apt writes down what is automatic only at its end, so after a kill all that is new looks as if it had been asked for.
    asked = machine.manual() - (
        set(record.requested) - set(SUPPORT) if record.finished else set(record.packages)
    )
    later = set(now) - set(record.before) - set(record.packages) if record.before else set()
    going = ours - machine.needed({name for name in later | (ours & asked) if now[name].startswith("ii")})
    while going and (others := set(machine.simulate("purge", *sorted(going)).removed) - going):
        needed = machine.needed(others) & going
        if not needed:
            raise InstallFailed(
                f"apt would also remove {', '.join(sorted(others))}.",
                fix="Remove the packages of the engine by hand with `apt-get remove`.",
            )
        going -= needed
    return going, ours - going


def _undo(record: Record, machine: Machine) -> set[str]:
    """Take back what the record names, the record last, so that it can be begun again at any point; returns the packages that stay."""
    if not record.finished:
        _finish_dpkg(machine)
        if archives := [path for name in _torn(record, machine) for path in machine.archives(name)]:
            with contextlib.suppress(InstallFailed):
                machine.root("dpkg", "--unpack", *archives)
        if torn := _torn(
            record, machine
        ):  # what dpkg had unpacked of them before it was killed it no longer knows
            machine.root("dpkg", "--remove", "--force-remove-reinstreq", "--force-depends", *torn)
    going, kept = _removable(record, machine)
    if going & {"docker.io", "docker-ce"}:
        machine.stop()
    settings = {
        name for name in going if record.before.get(name, "").startswith("rc")
    }  # left by an earlier installation: they stay
    for what, names in (
        ("remove", going),
        ("purge", going - settings),
    ):  # all at once first, since what is half installed may need the other
        if names:
            machine.apt("-o", "APT::Get::AutomaticRemove=false", what, *sorted(names))
    machine.root("rm", "-f", *(each for path in record.files for each in (path, f"{path}.new")))
    if SOURCES in record.files:
        with contextlib.suppress(InstallFailed):  # without a network the lists are old, and that is all
            machine.apt("update")
    if not record.finished and record.automatic:
        machine.root("apt-mark", "auto", *record.automatic)
    if missing := sorted(
        name for name in record.replaced if not machine.packages().get(name, "").startswith("ii")
    ):
        machine.apt("install", "--no-remove", *missing)
    if record.user and record.user in (machine.group() or ()):
        machine.root("gpasswd", "--delete", record.user, "docker")
    if not record.group and machine.group() == [] and not kept & {"docker.io", "docker-ce"}:
        machine.root("groupdel", "docker")
    own = str(RECORD.parent)
    if folders := [folder for folder in record.folders if folder != own and machine.exists(folder)]:
        machine.root("rmdir", "--ignore-fail-on-non-empty", *folders)
    machine.root("rm", "-rf", own if own in record.folders else str(RECORD))
    return kept


def _torn(record: Record, machine: Machine) -> list[str]:
    """Packages that were killed while they were unpacked: "reinstall required", which apt does not touch."""
    return sorted(
        name
        for name, state in machine.packages().items()
        if name in record.packages and state.split()[0].endswith("R")
    )


def _finish_dpkg(machine: Machine) -> None:
    """Let dpkg end what was interrupted; apt refuses to work before. A dpkg that goes on without its apt is waited for."""

    def configured() -> bool:
        try:
            machine.root("dpkg", "--configure", "-a", env={"DEBIAN_FRONTEND": "noninteractive"})
        except InstallFailed as error:
            return "lock" not in error.why
        return True

    wait_until(configured, 300, POLL_SECONDS)
