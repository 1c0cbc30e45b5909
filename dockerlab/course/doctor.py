"""Every precondition of the course: what was found, whether it is enough, and the command that mends it."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import requests
from docker.errors import DockerException

from dockerlab.containers import swarm
from dockerlab.core.errors import CourseError
from dockerlab.core.settings import BUILD, LOCAL_FILE, ROOT, Site, load_site
from dockerlab.course import cleanup
from dockerlab.course.grading.progress import state_file
from dockerlab.course.precondition import Check, Status
from dockerlab.engine import (
    connection,
    endpoint,
    error_messages,
    installation,
    object_labels,
    process_marks,
)
from dockerlab.images import base_images

if TYPE_CHECKING:
    import pandas as pd

MIN_API = (1, 44)
GB = 1_000_000_000
DISK_GB = (15, 5)
MEMORY_GB = (4, 2)
PRIVATE = ("endpoint", "mounts", "temporary mounts", "package index", "certificate", "folders")
# What the parts of Docker are called in Docker's own repository, in Ubuntu and in Debian, and their oldest version that works.
PACKAGES = {
    "docker": (("docker-ce-cli", "docker-cli", "docker.io"), 0),
    "buildx": (("docker-buildx-plugin", "docker-buildx"), 0),
    "compose": (("docker-compose-plugin", "docker-compose-v2", "docker-compose"), 2),
}
_OTHER_ENGINE = "`docker context ls`, and choose one with `docker context use NAME` or DOCKER_HOST"
_DISK_THERE = "Look there: `docker system df`, and `df -h` in a shell of that machine."
# Names in SecurityOptions -> what they mean.
OTHER_RIGHTS = {
    "rootless": "a user's own (rootless)",
    "userns": "root's, with user namespaces (userns-remap)",
    "selinux": "root's, with SELinux",
}
MARKS = {"ok": "✓ ok", "warning": "! warning", "failed": "✗ failed"}


def checks(
    site: Site | CourseError, client: docker.DockerClient | None, problem: CourseError | None = None
) -> list[Check]:
    """Look at every precondition. Asks the engine, unless `client` is None; `problem` then says why there is none.

    `site` may be the error that its settings could not be read with: the rest is then examined with the defaults.
    """
    found, valid = _engine_checks(client, problem), site if isinstance(site, Site) else Site()
    here = (settings(site), package_index(valid), certificate(valid), model_file(), folders())
    return [*found, *_leftovers(client), *_mounts(client), *_bases(client, valid), *here]


def _engine_checks(client: docker.DockerClient | None, problem: CourseError | None) -> list[Check]:
    names = (
        "API version",
        "image store",
        "rights",
        "builder",
        "cgroup version",
        "docker command",
        "buildx",
        "compose",
        "disk free",
        "memory",
    )
    facts = None
    if client is not None:
        try:
            facts = connection.facts(client)
        except (DockerException, requests.RequestException) as error:
            problem = CourseError("The engine stopped answering.", f"{error}.", "Run `make engine`.")
    if facts is None:
        fix = problem.fix if problem else "Run `make engine`."
        unknown = [
            Check(name, "warning", "not known without an engine", fix)
            for name in names
            if name != "disk free"
        ]
        return [
            Check("engine", "failed", problem.what if problem else "none answers", fix),
            *unknown,
            disk_free(Path.home()),
        ]
    place = engine_address(endpoint.address_of(client))
    return [
        Check("engine", "ok", f"{facts.name} {facts.version} on {facts.operating_system}"),
        place,
        api_version(facts.api_version),
        image_store(facts.image_store),
        rights(facts.security_options),
        builder(reaches_buildkit(client), connection.builder_in_use()),
        cgroup(facts.cgroup_version),
        docker_command(facts.engine_id, *connection.command_reaches()),
        plugin("buildx", facts.buildx, "some cells of the lessons need it"),
        plugin("compose", facts.compose, "the lesson on stacks needs it"),
        disk_free(Path(facts.root_dir or "/"))
        if place.status == "ok"
        else Check("disk free", "warning", "not known: another machine's", _DISK_THERE),
        memory(facts.memory_bytes),
    ]


def engine_address(url: str) -> Check:
    """Where the engine listens; a warning where that is another machine, which the course then fills, prunes and stops things on."""
    if endpoint.is_local(url):
        return Check("endpoint", "ok", f"{url}, on this machine")
    return Check(
        "endpoint",
        "warning",
        f"{url}, on another machine",
        "If you did not mean that one: unset DOCKERLAB_REMOTE, and `docker context use default`.",
    )


def api_version(version: str) -> Check:
    """The engine's API must know what the course asks of it: 1.44, Docker 25."""
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers >= MIN_API:
        return Check("API version", "ok", version)
    return Check(
        "API version",
        "failed",
        version or "none",
        "Upgrade the engine to Docker 26 or later (API 1.44 is the oldest that works).",
    )


def image_store(store: str) -> Check:
    """Both stores work; any other storage driver is slow or untried."""
    if store in ("overlay2", "containerd"):
        return Check("image store", "ok", store)
    return Check(
        "image store",
        "warning",
        store or "unknown",
        "Use overlay2 or the containerd store: other drivers are slow or untried.",
    )


def rights(options: Sequence[str]) -> Check:
    """Whose rights the engine has, by the `SecurityOptions` of its `/info`: the lessons show the ids of a rootful engine without user namespaces."""
    names = {option.partition("name=")[2].partition(",")[0] for option in options}
    if not (other := [words for name, words in OTHER_RIGHTS.items() if name in names]):
        return Check("rights", "ok", "root's, without user namespaces")
    fix = "The course was not tried so: users, /proc and host mounts differ from what lessons 01, 07 and 09 show."
    return Check("rights", "warning", " and ".join(other), fix)


def _mounts(client: docker.DockerClient | None) -> list[Check]:
    """Whether a container reads a file that this machine mounts into it: from the course's folder, and from that for temporary files."""
    if client is None:
        return [Check("mounts", "warning", "not known without an engine", "Run `make engine`.")]
    if not endpoint.is_local(endpoint.address_of(client)):
        return [
            Check(
                "mounts",
                "warning",
                "not tried: another machine's",
                "Cells that mount a folder of this machine need an engine on it.",
            )
        ]
    if not base_images.present(client, base_images.SLIM):
        return [
            Check("mounts", "warning", f"not known before {base_images.SLIM} is here", "Run `make bases`.")
        ]
    return [
        mounted(client, "mounts", BUILD),
        mounted(client, "temporary mounts", Path(tempfile.gettempdir())),
    ]


def mounted(client: docker.DockerClient, name: str, parent: Path) -> Check:
    """One of `_mounts`: a word in a new folder below `parent`, as a container reads it. Asks the engine."""
    word, found = uuid.uuid4().hex, ""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="dockerlab-doctor-", dir=parent) as folder:
            Path(folder).chmod(0o755)
            (Path(folder) / "word").write_text(word, encoding="utf-8")
            found = client.containers.run(
                base_images.SLIM,
                ["cat", "/probe/word"],
                remove=True,
                network_mode="none",
                labels=object_labels.labels(kind="doctor"),
                volumes={folder: {"bind": "/probe", "mode": "ro"}},
            ).decode()
    except OSError as error:  # of a checkout that is read-only, `folders` says what follows
        status: Status = "failed" if name.startswith("temporary") else "warning"
        return Check(
            name,
            status,
            f"{parent} cannot be written: {error.strerror}",
            "Give yourself the right to write there.",
        )
    except (DockerException, requests.RequestException) as error:
        found = str(error)
    if found == word:
        return Check(name, "ok", f"containers read what lies in {parent}")
    move = (
        "set TMPDIR to a folder below your home"
        if name.startswith("temporary")
        else "move the course below your home"
    )
    return Check(
        name,
        "failed",
        f"containers do not read what lies in {parent}",
        f"A VM (Colima, Docker Desktop), Docker from snap or SELinux keeps it from them: share that folder there, or {move}.",
    )


def reaches_buildkit(client: docker.DockerClient) -> str:
    """What keeps the engine from building with BuildKit, "" where it does. Builds an image without any file there, and removes it."""
    from dockerlab.images.build import build  # pandas, which the command line does not need for the rest
    from dockerlab.images.build_report import BuildReport

    def tried() -> BuildReport:
        with process_marks.folder("doctor") as folder:
            (Path(folder) / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
            return build(
                folder,
                tag=f"{object_labels.NAME_PREFIX}doctor:{uuid.uuid4().hex[:10]}",
                labels={object_labels.KIND_LABEL: "doctor"},
                client=client,
            )

    try:
        report = tried()
        client.images.remove(report.tag)
    except CourseError as error:
        return error.what
    except (DockerException, requests.RequestException) as error:
        return f"{error}"
    return "" if report.steps else "it answers, but not as BuildKit"


def builder(problem: str, chosen: connection.Builder | None) -> Check:
    """Builds go to the engine's own BuildKit: from Python always, from the `docker` command unless another builder is chosen.

    `problem` is what keeps the engine's BuildKit from building; `chosen` is the builder of the `docker` command, None without buildx.
    """
    if problem:
        return Check(
            "builder",
            "failed",
            problem[:160].rstrip("."),
            "Upgrade the engine to Docker 26 or later; its log says more.",
        )
    if chosen is None:
        return Check(
            "builder", "ok", "the engine's own BuildKit (from Python; the `docker` command has no buildx)"
        )
    if chosen.problem or chosen.driver != "docker":
        found = (
            f"{chosen.name or 'the chosen one'}: {chosen.problem.rstrip('.')}"
            if chosen.problem
            else f"{chosen.name} ({chosen.driver} driver)"
        )
        name = os.environ.get("BUILDX_BUILDER")
        fix = "Unset BUILDX_BUILDER" if name else "Run `docker buildx use $(docker context show)`"
        return Check(
            "builder",
            "warning",
            found[:160],
            f"{fix}: another builder has a cache of its own, and its images do not come to the engine.",
        )
    return Check("builder", "ok", f"the engine's own BuildKit ({chosen.name})")


def cgroup(version: str) -> Check:
    """Limits work on both versions; engines from 29 on call version 1 deprecated."""
    if version == "2":
        return Check("cgroup version", "ok", "2")
    fix = "The course works so; new engines want version 2: boot with systemd.unified_cgroup_hierarchy=1."
    return Check("cgroup version", "warning", version or "none", fix)


def docker_command(engine_id: str, reached: str, problem: str) -> Check:
    """Lessons use the `docker` command beside docker-py: both must reach the same engine. `problem` is what the command says."""
    name = "docker command"
    if not shutil.which("docker"):
        return Check(name, "failed", "missing", _install("docker", "the lessons use it"))
    if reached and reached == engine_id:
        return Check(name, "ok", "reaches the same engine")
    if reached:
        return Check(name, "failed", "reaches another engine than docker-py does", f"Run {_OTHER_ENGINE}.")
    _, fix = error_messages.advice(problem)
    return Check(
        name,
        "failed",
        problem[:160].rstrip(".") or "does not answer",
        fix or f"Run `docker info`, which says more; then {_OTHER_ENGINE}.",
    )


def plugin(name: str, version: str | None, why: str) -> Check:
    """A plugin of the `docker` command, version 2 or later for compose."""
    if version and not (name == "compose" and int(version.split(".")[0]) < 2):
        return Check(name, "ok", version)
    return Check(name, "warning", version or "missing", _install(name, why))


def _install(name: str, why: str) -> str:
    """The command that installs a part of Docker here, where apt has it."""
    names, oldest = PACKAGES[name]
    candidates = {}
    if shutil.which("apt-cache"):
        done = subprocess.run(
            ["apt-cache", "policy", *names],
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
        candidates = installation.parse_policy(done.stdout)
    package = next(
        (
            each
            for each in names
            if installation.major(candidates.get(each, "")) >= oldest and each in candidates
        ),
        "",
    )
    if package:
        return f"Run `{'' if os.geteuid() == 0 else 'sudo '}apt-get install {package}`: {why}."
    return f"Install {names[0]} as docs.docker.com/engine/install says: {why}."


def disk_free(folder: Path) -> Check:
    """Free space of the file system that holds the engine's data, or of this machine where that folder is elsewhere (a VM)."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GB
    return _enough(
        "disk free",
        free,
        DISK_GB,
        "Run `dockerlab clean`, then look at what else lies there with `docker system df`.",
        f" in {folder}",
    )


def memory(size: int) -> Check:
    """Memory that the engine can give to containers, in bytes."""
    return _enough(
        "memory",
        size / GB,
        MEMORY_GB,
        "Give the engine's machine more memory (Docker Desktop: Settings, Resources).",
    )


def _enough(name: str, gigabytes: float, limits: tuple[int, int], fix: str, where: str = "") -> Check:
    warn, fail = limits
    status: Status = "failed" if gigabytes < fail else "warning" if gigabytes < warn else "ok"
    return Check(
        name,
        status,
        f"{gigabytes:.0f} GB{where}",
        "" if status == "ok" else f"At least {warn} GB is wanted. {fix}",
    )


def _leftovers(client: docker.DockerClient | None) -> list[Check]:
    """What this learner's processes left on the engine and in the folder for temporary files when they were killed."""
    if client is None:
        return [Check("leftovers", "warning", "not known without an engine", "Run `make engine`.")]
    try:
        things, left_swarm = str(cleanup.left_by_the_dead(client)), swarm.left_behind(client)
    except (DockerException, requests.RequestException) as error:
        return [Check("leftovers", "warning", str(error), "Run `make engine`.")]
    folders = len(process_marks.dead_folders())
    found = [
        things,
        "a swarm and its services" * left_swarm,
        f"{folders} temporary folder{'' if folders == 1 else 's'}" * bool(folders),
    ]
    if any(found):
        return [
            Check(
                "leftovers",
                "warning",
                f"of processes that were killed: {', '.join(filter(None, found))}",
                "Run `dockerlab clean`.",
            )
        ]
    return [Check("leftovers", "ok", "none")]


def _bases(client: docker.DockerClient | None, site: Site) -> list[Check]:
    if client is None:
        return [
            Check(
                "bases",
                "warning",
                "not known without an engine",
                "Run `make engine`, then `dockerlab bases`.",
            )
        ]
    try:
        missing = [name for name in base_images.COURSE_BASES if not base_images.present(client, name)]
        stale = [
            name
            for name in base_images.COURSE_BASES
            if name not in missing and not base_images.suits(client, name, site)
        ]
    except CourseError as error:
        return [Check("bases", "warning", error.what, error.fix)]
    except (DockerException, requests.RequestException) as error:
        return [Check("bases", "warning", str(error), "Run `make engine`.")]
    if missing:
        return [Check("bases", "warning", f"missing: {', '.join(missing)}", "Run `dockerlab bases`.")]
    if stale:
        return [
            Check(
                "bases",
                "warning",
                f"without the settings that this site has now: {', '.join(stale)}",
                "Run `dockerlab bases`.",
            )
        ]
    return [Check("bases", "ok", f"{len(base_images.COURSE_BASES)} present")]


def package_index(site: Site, timeout: float = 10) -> Check:
    """Whether the package index that builds will use answers within `timeout` seconds."""
    if not site.index_url:
        return _default_index(timeout)
    url, verify = site.index_url, site.ca_bundle or True
    fix = "Connect to a network, or set DOCKERLAB_INDEX_URL to an index that answers here."
    try:
        answer = requests.head(f"{url}/pip/", timeout=timeout, verify=verify, allow_redirects=True)
    except requests.exceptions.SSLError:
        return Check(
            "package index",
            "failed",
            f"{url}: its certificate is not trusted",
            "Set DOCKERLAB_CA_BUNDLE to your site's CA file.",
        )
    except (requests.RequestException, OSError) as error:
        return Check("package index", "failed", f"{url}: {type(error).__name__}", fix)
    if answer.status_code < 400:
        return Check("package index", "ok", url)
    return Check("package index", "failed", f"{url}: HTTP {answer.status_code}", fix)


def _default_index(timeout: float) -> Check:
    """Whether uv can look a package up where nobody told it which index to ask."""
    own = ROOT / ".venv-uv" / "bin" / "uv"  # where `make setup` puts it
    uv = shutil.which("uv") or (str(own) if own.is_file() else "")
    if not uv:
        return Check(
            "package index",
            "warning",
            "the public one; not tried, because uv is not on the PATH",
            "Run `make setup`.",
        )
    command = [
        uv,
        "pip",
        "install",
        "--dry-run",
        "--no-deps",
        "--refresh-package",
        "six",
        "--reinstall",
        "--python",
        sys.executable,
        "six",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout + 20)
    except subprocess.TimeoutExpired:
        return Check(
            "package index",
            "failed",
            "no answer",
            "Connect to a network, or set DOCKERLAB_INDEX_URL to an index that answers here.",
        )
    if done.returncode == 0:
        return Check("package index", "ok", "the public one")
    return Check(
        "package index",
        "failed",
        done.stderr.strip().splitlines()[-1][:120] if done.stderr.strip() else "no answer",
        "Connect to a network, or set DOCKERLAB_INDEX_URL to an index that answers here.",
    )


def certificate(site: Site) -> Check:
    """The CA file that is added to bases; none is needed on the open internet."""
    if not site.ca_bundle:
        return Check("certificate", "ok", "the system's own")
    try:
        count = len(ssl.create_default_context(cafile=site.ca_bundle).get_ca_certs())
    except (OSError, ssl.SSLError) as error:
        reason = (
            (error.strerror or "it holds no certificate")
            if not isinstance(error, ssl.SSLError)
            else "it holds no certificate"
        )
        return Check(
            "certificate",
            "failed",
            f"{site.ca_bundle}: {reason}",
            "Set DOCKERLAB_CA_BUNDLE to a file of PEM certificates that you may read.",
        )
    return Check("certificate", "ok", f"{site.ca_bundle} ({count} authorities)")


def model_file(file: Path = ROOT / "assets/model/harbour-n.pt") -> Check:
    """The trained model is there and is no pointer to a large file that was not fetched."""
    size = file.stat().st_size if file.is_file() else 0
    if size > 1_000_000:
        return Check("model", "ok", f"{file.name}, {size / 1e6:.1f} MB")
    return Check("model", "failed", f"{file.name}: {size} bytes", "Run `git checkout -- assets/model`.")


def settings(site: Site | CourseError) -> Check:
    """Whether course.local.toml and the variables of this site can be understood."""
    if isinstance(site, CourseError):
        return Check("settings", "failed", " ".join(part for part in (site.what, site.why) if part), site.fix)
    return Check("settings", "ok", LOCAL_FILE if (ROOT / LOCAL_FILE).exists() else "the defaults")


def folders() -> Check:
    """What the course writes: build files in the checkout, your progress in your home; both can be elsewhere."""
    wanted = {"DOCKERLAB_BUILD": BUILD, "DOCKERLAB_STATE": state_file().parent}
    closed = {name: folder for name, folder in wanted.items() if not _writable(folder)}
    if not closed:
        return Check("folders", "ok", "can be written")
    fix = f"Copy the course to a folder that you can write to, or set {' and '.join(closed)} to one."
    return Check("folders", "warning", f"cannot be written: {', '.join(map(str, closed.values()))}", fix)


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def table(results: Sequence[Check]) -> str:
    """The checks as aligned text; what mends a check stands below it."""
    width = max(len(check.name) for check in results)
    lines = []
    for check in results:
        lines.append(f"{check.name:<{width}}  {MARKS[check.status]:<9}  {check.found}")
        if check.fix:
            lines.append(f"{'':<{width}}  {'':<9}  do: {check.fix}")
    return "\n".join(lines)


def frame(results: Sequence[Check]) -> pd.DataFrame:
    """The checks as a table for a notebook, which others will read: addresses and paths of your site stay out of it."""
    import pandas as pd  # half a second that the command line does not need

    rows = [
        (
            each.name,
            MARKS[each.status].replace(" ", "\u00a0"),
            "" if each.name in PRIVATE else each.found,
            each.fix,
        )
        for each in results
    ]
    return pd.DataFrame(rows, columns=["", "state", "found", "what mends it"]).set_index("").rename_axis(None)


def run(as_json: bool = False, build: bool = False) -> int:
    """Print every precondition, as JSON where that is asked for; 1 where one failed. `build` adds small real builds, which take minutes."""
    client, problem = None, None
    try:
        client = connection.connect(timeout=30)
    except CourseError as error:
        problem = error
    site: Site | CourseError
    try:
        site = load_site()
    except CourseError as error:
        site = error
    results = checks(site, client, problem)
    if build and client is not None and isinstance(site, Site):
        from dockerlab.course import doctor_build

        results += doctor_build.checks(site, client)
    print(json.dumps([asdict(check) for check in results], indent=1) if as_json else table(results))
    return int(any(check.status == "failed" for check in results))
