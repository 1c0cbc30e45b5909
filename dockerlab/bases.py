"""Make the base images of the course present: already here, pulled, from a mirror, from a bundle, or made from Debian.

Dockerfiles name plain public images. Where no registry answers, a stand-in is put under the same name: a root file
system of Debian packages (mmdebstrap), labelled as a stand-in, with the site's certificate and package index in it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import docker
from docker.errors import APIError, ImageNotFound

from dockerlab import engine
from dockerlab.errors import CourseError
from dockerlab.site import Site, load_site

SUITE = "bookworm"
STANDINS = Path(__file__).parent / "standins"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
STANDIN_LABEL = "dockerlab.standin"
DOCS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
BUILDPACK = (
    "autoconf automake bzip2 ca-certificates curl default-libmysqlclient-dev dpkg-dev file g++ gcc git gnupg imagemagick libbz2-dev libc6-dev "
    "libcurl4-openssl-dev libdb-dev libevent-dev libffi-dev libgdbm-dev libglib2.0-dev libgmp-dev libjpeg-dev libkrb5-dev liblzma-dev "
    "libmagickcore-dev libmagickwand-dev libmaxminddb-dev libncurses5-dev libncursesw5-dev libpng-dev libpq-dev libreadline-dev libsqlite3-dev "
    "libssl-dev libtool libwebp-dev libxml2-dev libxslt-dev libyaml-dev make mercurial openssh-client patch procps subversion tk-dev unzip "
    "uuid-dev wget xz-utils zlib1g-dev"
).split()


class BaseMissing(CourseError):
    """A base image is not on the engine and could not be brought there."""


@dataclass(frozen=True)
class Base:
    """One public image and how its stand-in is made."""

    name: str
    packages: tuple[str, ...]
    variant: str = "minbase"
    python: bool = False
    differs: str = ""
    keep: tuple[str, ...] = ()  # of variant "extract": paths that stay; empty: all but NOT_IN_DISTROLESS
    files: tuple[tuple[str, str], ...] = ()  # file in dockerlab/standins, its place in the image
    commands: tuple[str, ...] = ()  # shell lines of the hook, run in the unpacked root
    changes: tuple[str, ...] = ('CMD ["bash"]',)


@dataclass(frozen=True)
class BaseState:
    """Where a base came from: here, pull, mirror, bundle or debian; seconds taken to bring it."""

    name: str
    source: str
    seconds: float


_PYTHON = ("python3.11", "python3.11-venv", "ca-certificates", "netbase", "tzdata")
_PYTHON_CHANGES = ('CMD ["python3"]', "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV LANG=C.UTF-8")
SLIM = "python:3.11-slim-bookworm"
FULL = "python:3.11-bookworm"
DEBIAN = "debian:bookworm-slim"
REGISTRY = "registry:2"
DISTROLESS = "gcr.io/distroless/python3-debian12:nonroot"
_LIBC = ("ld-linux*", "libc", "libm", "libdl", "libpthread", "libresolv", "libnss_dns", "libnss_files")
BASES: dict[str, Base] = {
    base.name: base
    for base in (
        Base(SLIM, _PYTHON, python=True, differs="the interpreter is Debian's python3.11", changes=_PYTHON_CHANGES),
        Base(DISTROLESS, ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "zlib1g", "libssl3", "ca-certificates", "tzdata"),
             variant="extract", differs="made of the same Debian packages, without its own build",
             changes=('ENTRYPOINT ["/usr/bin/python3.11"]', "USER 65532", "WORKDIR /home/nonroot", "ENV LANG=C.UTF-8",
                      "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
        Base(DEBIAN, ("ca-certificates",)),
        Base(REGISTRY, ("docker-registry", "libc6", "busybox", "ca-certificates"), variant="extract",
             differs="the registry is Debian's docker-registry with busybox, not Alpine",
             keep=("usr/bin/docker-registry", "bin/busybox", "lib64", "lib/ld-linux*", *(f"lib/*/{name}.so*" for name in _LIBC)),
             files=(("registry.sh", "entrypoint.sh"), ("registry.yml", "etc/docker/registry/config.yml")),
             commands=("mv usr/bin/docker-registry bin/registry", "chroot . /bin/busybox --install -s /bin", "mkdir -p var/lib/registry",
                       "printf 'root:x:0:0:root:/root:/bin/sh\\n' > etc/passwd", "printf 'root:x:0:\\n' > etc/group",
                       "printf 'hosts: files dns\\n' > etc/nsswitch.conf", "chmod 755 entrypoint.sh"),
             changes=('ENTRYPOINT ["/entrypoint.sh"]', 'CMD ["/etc/docker/registry/config.yml"]', "EXPOSE 5000", "VOLUME /var/lib/registry",
                      "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
        Base(FULL, (*_PYTHON, *BUILDPACK), python=True, differs="the interpreter is Debian's python3.11", changes=_PYTHON_CHANGES),
    )
}
COURSE_BASES = (SLIM, DISTROLESS, FULL)
# What distroless leaves out and `--variant=extract` brings in as somebody's dependency.
NOT_IN_DISTROLESS = (
    "bin/* sbin/* usr/sbin/* usr/bin/[!p]* usr/bin/p[!y]* usr/share/perl* usr/lib/*/perl* usr/share/bash* usr/share/debconf usr/lib/dpkg "
    "usr/share/dpkg usr/lib/apt usr/lib/systemd lib/systemd usr/lib/*/gconv usr/lib/locale "
    "usr/share/ca-certificates usr/share/zoneinfo/right usr/share/zoneinfo/posix etc/pam* lib/*/security usr/share/pam* usr/share/common-licenses "
    "usr/lib/python3.11/lib2to3 usr/lib/python3.11/pydoc_data usr/lib/python3.11/turtle.py usr/lib/python3.11/idlelib "
    "lib/*/libapt* usr/lib/*/libapt* usr/lib/*/libdb-5* lib/*/libsystemd* usr/lib/*/libgnutls* usr/lib/*/libp11* usr/lib/*/libunistring* "
    "usr/lib/*/libstdc++.so.6.*.py usr/share/gdb usr/share/gcc lib/udev lib/init usr/share/python3 usr/share/menu"
).split()


def present(client: docker.DockerClient, name: str) -> bool:
    """Whether the engine holds this image. Asks the engine."""
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def standin_note(client: docker.DockerClient, name: str) -> str:
    """One sentence about a base: official, or a stand-in and how it differs. Asks the engine."""
    label = (client.images.get(name).labels or {}).get(STANDIN_LABEL)
    return f"{name} is a stand-in made from Debian packages: {label}." if label else f"{name} is the image that its publisher made."


def ensure(name: str, client: docker.DockerClient, site: Site | None = None, source: str | None = None) -> BaseState:
    """Make one base present on the engine; the first source that works wins.

    `source` is one of site.BASES_SOURCES. Raises BaseMissing when none works.
    """
    site = site or load_site()
    source = source or site.bases_source
    if present(client, name):
        return BaseState(name, "here", 0.0)
    started, failures = time.monotonic(), []
    tries = ("pull", "mirror", "bundle", "debian") if source == "auto" else (source,)
    for each in tries:
        try:
            _SOURCES[each](name, client, site)
            return BaseState(name, each, time.monotonic() - started)
        except (CourseError, APIError, OSError, subprocess.SubprocessError) as error:
            failures.append(f"{each}: {str(error).strip().splitlines()[0]}")
    raise BaseMissing(f"The base image {name} is not on the engine.", "; ".join(failures) + ".", "Connect to a network and run `dockerlab bases`.")


def ensure_all(client: docker.DockerClient | None = None, site: Site | None = None, source: str | None = None,
               names: Iterable[str] = COURSE_BASES, say: Callable[[str], None] = print) -> list[BaseState]:
    """Make every base of the course present, two at a time, and say where each came from."""
    client, site = client or engine.connect(timeout=900), site or load_site()
    with ThreadPoolExecutor(2) as pool:
        states = []
        for state in pool.map(lambda name: ensure(name, client, site, source), names):
            say(f"{state.name}: {state.source}" + (f", {state.seconds:.0f} s" if state.seconds else ""))
            states.append(state)
    return states


def _pull(name: str, client: docker.DockerClient, site: Site) -> None:
    repository, _, tag = name.rpartition(":")
    client.images.pull(repository, tag=tag)


def _mirror(name: str, client: docker.DockerClient, site: Site) -> None:
    """Pull through the class's registry and tag with the public name."""
    if not site.registry_mirror:
        raise CourseError("no registry_mirror is set")
    path = name if "/" in name else f"library/{name}"
    repository, _, tag = f"{urlsplit(site.registry_mirror).netloc or site.registry_mirror}/{path}".rpartition(":")
    image = client.images.pull(repository, tag=tag)
    image.tag(*name.rsplit(":", 1))


def _bundle(name: str, client: docker.DockerClient, site: Site) -> None:
    """Load a `docker save` file that somebody handed round."""
    if not site.bases_bundle or not Path(site.bases_bundle).is_file():
        raise CourseError("no bases_bundle is set")
    with Path(site.bases_bundle).open("rb") as file:
        client.images.load(file)
    if not present(client, name):
        raise CourseError("the bundle does not hold it")


def _debian(name: str, client: docker.DockerClient, site: Site) -> None:
    """Make the stand-in from Debian packages with mmdebstrap."""
    if name not in BASES:
        raise CourseError(f"there is no recipe for {name}")
    if not shutil.which("mmdebstrap"):
        raise CourseError("mmdebstrap is not installed (apt-get install mmdebstrap)")
    base = BASES[name]
    with tempfile.TemporaryDirectory(prefix="dockerlab-base-") as folder:
        root, hook = Path(folder) / "root.tar", "extract" if base.variant == "extract" else "customize"
        hooks = Path(folder) / "customize.sh"
        hooks.write_text(_customize(base, client, site, Path(folder)), encoding="utf-8")
        hooks.chmod(0o755)
        packages = base.packages if base.variant == "extract" else (*base.packages, "usr-is-merged")
        command = ["mmdebstrap", "--quiet", f"--variant={base.variant}", f"--include={','.join(packages)}", "--aptopt=Acquire::Languages none", "--aptopt=APT::Install-Recommends false",
                   f"--{hook}-hook={hooks} \"$1\""]
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in DOCS] + ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
        if base.variant != "extract":  # merged /usr from the start, so that the usrmerge package and its perl stay out
            command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
        command += ["--skip=check/empty", SUITE, str(root), *debian_sources()]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
        if done.returncode:
            raise CourseError("mmdebstrap failed: " + " | ".join(done.stderr.strip().splitlines()[-3:]))
        labels = engine.labels(kind="base") | {STANDIN_LABEL: base.differs or "Debian packages only"}
        changes = [f'LABEL {key}="{value}"' for key, value in labels.items()] + list(base.changes)
        repository, _, tag = name.rpartition(":")
        client.api.import_image_from_file(str(root), repository=repository, tag=tag, changes=changes)


def _customize(base: Base, client: docker.DockerClient, site: Site, folder: Path) -> str:
    """The script that mmdebstrap runs on the unpacked root: pip, certificate, index, and what to leave out."""
    lines = ["#!/bin/sh", "set -e", 'root="$1"']
    if base.python:
        pip, uv = folder / "pip.conf", folder / "uv.toml"
        pip.write_text(_pip_conf(client, site), encoding="utf-8")
        uv.write_text(_uv_toml(client, site), encoding="utf-8")
        lines += [
            'rm -f "$root/usr/lib/python3.11/EXTERNALLY-MANAGED"',
            'for name in python python3 python3.11; do ln -sf /usr/bin/python3.11 "$root/usr/local/bin/$name"; done',
            f'mkdir -p "$root/etc/uv" && cp "{uv}" "$root/etc/uv/uv.toml" && cp "{pip}" "$root/etc/pip.conf"',
            'chroot "$root" sh -c "python3.11 $(chroot "$root" sh -c "ls /usr/share/python-wheels/pip-*.whl")/pip --disable-pip-version-check '
            'install -q --root-user-action ignore --no-index --find-links /usr/share/python-wheels --prefix /usr/local pip setuptools"',
            '[ -x "$root/usr/local/bin/pip" ] || { [ ! -d "$root/usr/local/local" ] || cp -a "$root/usr/local/local/." "$root/usr/local/"; rm -rf "$root/usr/local/local"; }',
        ]
    if base.keep:  # tmp holds apt's settings, without which mmdebstrap's clean-up would empty the package lists of this machine
        keep = " ".join((*base.keep, "etc/apt", "var/lib/apt", "var/cache/apt", "usr/share/ca-certificates"))
        lines += ['cd "$root"', "mkdir .keep", f'for path in {keep}; do [ ! -e "$path" ] || cp -a --parents "$path" .keep; done',
                  "find . -xdev -mindepth 1 -maxdepth 1 ! -name .keep ! -name tmp ! -name dev ! -name proc ! -name sys -exec rm -rf {} +",
                  "mv .keep/* .", "rmdir .keep", "mkdir -p -m 1777 var/tmp", "mkdir -p bin root"]
    elif base.variant == "extract":
        lines += ['cd "$root"', f"rm -rf {' '.join(NOT_IN_DISTROLESS)}", "mkdir -p tmp home/nonroot var/lib/dpkg var/tmp etc usr/bin",
                  "chmod 1777 tmp var/tmp", "chown 65532:65532 home/nonroot", "ln -sf python3.11 usr/bin/python3", "ln -sf python3.11 usr/bin/python",
                  "printf 'root:x:0:0:root:/root:/sbin/nologin\\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\\n' > etc/passwd",
                  "printf 'root:x:0:\\nnonroot:x:65532:\\n' > etc/group", "printf 'hosts: files dns\\n' > etc/nsswitch.conf"]
    else:
        # The official images carry no byte code of the standard library either.
        lines += ['find "$root" -xdev -name __pycache__ -type d -prune -exec rm -rf {} +']
        lines += ['rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/*.log "$root"/var/log/apt']
    bundle = "$root/etc/ssl/certs/ca-certificates.crt"
    if site.ca_bundle:
        lines += ['mkdir -p "$root/etc/ssl/certs"', f'cp "{site.ca_bundle}" "{bundle}"']
    elif base.variant == "extract":  # nothing was configured there, so no package has put the authorities together
        lines += ['mkdir -p "$root/etc/ssl/certs"', f'cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "{bundle}"']
    lines += [line for name, place in base.files for line in (f'mkdir -p "$root/{Path(place).parent}"', f'cp "{STANDINS / name}" "$root/{place}"')]
    return "\n".join([*lines, 'cd "$root"', *base.commands]) + "\n"


def _pip_conf(client: docker.DockerClient, site: Site) -> str:
    """pip's settings inside a stand-in: the site's index, its certificate, and trust in the class's own wheel index."""
    lines = ["[global]", "disable-pip-version-check = true", "root-user-action = ignore"]
    if site.index_url:
        lines.append(f"index-url = {site.index_url}")
    if site.ca_bundle:
        lines.append("cert = /etc/ssl/certs/ca-certificates.crt")
    gateway = bridge_gateway(client)
    return "\n".join([*lines, f"trusted-host = {gateway}" if gateway else ""]) + "\n"


def _uv_toml(client: docker.DockerClient, site: Site) -> str:
    """The same for uv, which does not read pip's settings and brings certificate authorities of its own."""
    gateway = bridge_gateway(client)
    lines = ["system-certs = true"] if site.ca_bundle else []
    lines += [f'allow-insecure-host = ["{gateway}"]'] if gateway else []
    return "\n".join([*lines, *(["[[index]]", f'url = "{site.index_url}"', "default = true"] if site.index_url else [])]) + "\n"


def bridge_gateway(client: docker.DockerClient) -> str:
    """The address of the host as containers on the default bridge see it, or "". Asks the engine."""
    try:
        settings = client.api.inspect_network("bridge")["IPAM"]["Config"]
    except (APIError, KeyError):
        return ""
    return next((entry["Gateway"] for entry in settings or [] if "Gateway" in entry), "")


def debian_sources() -> list[str]:
    """`deb` lines for SUITE, its updates and its security fixes, from the mirrors that this machine itself uses.

    Empty where this machine is not Debian: mmdebstrap then takes its own default.
    """
    uris = [uri.rstrip("/") for uri in _apt_uris()]
    mirror = next((uri for uri in uris if uri.endswith("/debian")), "")
    security = next((uri for uri in uris if uri.endswith("/debian-security")), "")
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines = [f"deb {signed}{mirror} {SUITE} main", f"deb {signed}{mirror} {SUITE}-updates main"] if mirror else []
    return lines + ([f"deb {signed}{security} {SUITE}-security main"] if mirror and security else [])


def _apt_uris() -> list[str]:
    """Every URI in this machine's apt sources, in both of apt's formats (sources.list(5))."""
    uris = []
    for file in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if file.is_file():
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                words = line.split()
                if words and words[0] in ("URIs:", "deb"):
                    uris += [word for word in words[1:] if word.startswith(("http://", "https://"))]
    return uris


_SOURCES: dict[str, Callable[[str, docker.DockerClient, Site], None]] = {"pull": _pull, "mirror": _mirror, "bundle": _bundle, "debian": _debian}
