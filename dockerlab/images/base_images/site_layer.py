"""The site's settings inside a base: the package index, certificate authorities and the apt mirror, as one layer under the public name.

Why there: the Dockerfiles of the course are those of any textbook, and a learner types a plain `docker build`. From outside, only the
proxy variables reach a RUN step that does not ask for them (`dockerlab.images.build` passes them on, and so does the command from its
config.json). A build argument needs an ARG, a secret a --mount in the Dockerfile, a named context a flag for each command. What pip,
uv, apt and OpenSSL read in the base works for all: for both builds, for `docker run`, on both image stores.

A base that was made from Debian packages gets the settings while it is made. On one that was pulled, or came from a mirror or a file,
they are a layer on top; the image as it came keeps a second name, `original-for-dockerlab/NAME`, from which the layer is made again when
the settings change, and which gets the public name back by `give_back`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import tarfile
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound, NotFound

from dockerlab.core import tars
from dockerlab.core.errors import CourseError
from dockerlab.core.settings import Site
from dockerlab.engine import object_labels, process_marks
from dockerlab.images.base_images.recipes import Base

SITE_LABEL = "dockerlab.site"  # a digest of the settings that are in a base
LAYER_LABEL = "dockerlab.site-layer"  # on a base that has them as a layer on top
STANDIN_LABEL = "dockerlab.standin"
ORIGINALS = "original-for-dockerlab/"  # not our prefix: what lies there is the publisher's, and `dockerlab clean` leaves it
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
SUITE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def takes(base: Base) -> bool:
    """Whether builds install anything on this base; the others have neither pip nor apt."""
    return base.variant != "extract"


def wanted(client: docker.DockerClient, site: Site) -> str:
    """A digest of what the site's settings put into a base, "" where they put nothing there. Asks the engine."""
    told = [site.index_url, site.apt_mirror, bridge_gateway(client) if site.wheels() else ""]
    authorities = _authorities(site)
    if not any((*told, authorities)):
        return ""
    return hashlib.sha256(
        "\n".join([*told, *(hashlib.sha256(each).hexdigest() for each in authorities)]).encode()
    ).hexdigest()[:16]


def suits(client: docker.DockerClient, base: Base, site: Site) -> bool:
    """Whether a base that is on the engine has this site's settings in it. Asks the engine."""
    return not takes(base) or (client.images.get(base.name).labels or {}).get(SITE_LABEL, "") == wanted(
        client, site
    )


def apply(client: docker.DockerClient, base: Base, site: Site) -> None:
    """Put the site's settings into a base that is on the engine; does so once for the same settings. Asks the engine."""
    from dockerlab.images.build import build  # which needs pandas: not for `dockerlab --help`

    image, original = client.images.get(base.name), ORIGINALS + base.name
    before = image
    if LAYER_LABEL not in (image.labels or {}):
        image.tag(*original.rsplit(":", 1))
    else:
        with contextlib.suppress(ImageNotFound):
            image = client.images.get(original)
    labels = image.labels or {}
    digest = wanted(client, site)
    if labels.get(SITE_LABEL, "") == digest:
        image.tag(*base.name.rsplit(":", 1))
    else:
        anew = STANDIN_LABEL in labels or LAYER_LABEL in labels
        with process_marks.folder("site") as folder:
            write(
                Path(folder) / "root",
                files(base, site, bridge_gateway(client), _bundle_of(client, image.id), anew),
            )
            start = original if LAYER_LABEL not in labels else base.name
            (Path(folder) / "Dockerfile").write_text(f"FROM {start}\nCOPY root/ /\n", encoding="utf-8")
            build(
                folder,
                tag=base.name,
                labels=object_labels.labels(kind="base") | {SITE_LABEL: digest, LAYER_LABEL: "1"},
                client=client,
            )
    if LAYER_LABEL in (before.labels or {}):
        with contextlib.suppress(APIError):  # in use, or the same again
            if not client.images.get(before.id).tags:
                client.images.remove(before.id, noprune=True)


def give_back(client: docker.DockerClient) -> list[str]:
    """Give the image back to every name of a base on which this learner put a layer of settings; returns the names. Asks the engine."""
    given, mine = [], object_labels.owner()
    for image in client.images.list():
        for original in [tag for tag in image.tags if tag.startswith(ORIGINALS)]:
            name = original.removeprefix(ORIGINALS)
            with contextlib.suppress(ImageNotFound):
                if client.images.get(name).labels.get(object_labels.OWNER_LABEL, mine) != mine:
                    continue
            image.tag(*name.rsplit(":", 1))
            client.images.remove(original, noprune=True)
            given.append(name)
    return sorted(given)


def files(
    base: Base, site: Site, gateway: str, bundle: bytes = b"", anew: bool = False
) -> dict[str, bytes | Path]:
    """What the layer holds: path -> content, or the target of a link.

    `bundle` holds the authorities that the base has; `anew` also writes what older settings may have put there.
    """
    found: dict[str, bytes | Path] = {}
    if base.python and (anew or site.index_url or site.ca_bundle or site.wheels()):
        found |= {
            "etc/pip.conf": pip_conf(site, gateway).encode(),
            "etc/uv/uv.toml": uv_toml(site, gateway).encode(),
        }
    known = set(_CERTIFICATE.findall(bundle))
    if added := [each for each in _authorities(site) if each not in known]:
        # One file each where update-ca-certificates looks for them, should a build install that package or run it.
        found |= {
            f"usr/local/share/ca-certificates/dockerlab-{hashlib.sha256(each).hexdigest()[:12]}.crt": each
            + b"\n"
            for each in added
        }
        found[BUNDLE] = (bundle.rstrip() + b"\n" if bundle else b"") + b"\n".join(added) + b"\n"
        found["usr/lib/ssl/cert.pem"] = Path(f"/{BUNDLE}")  # where OpenSSL looks besides the hashed names
    if site.ca_bundle:
        found["etc/apt/apt.conf.d/99dockerlab-site"] = apt_conf().encode()
    if site.apt_mirror or (anew and mirrors(site)):
        found["etc/apt/sources.list.d/debian.sources"] = apt_sources(mirrors(site)).encode()
        found["etc/apt/sources.list"] = b"# See sources.list.d/debian.sources.\n"
    return found


def write(root: Path, content: dict[str, bytes | Path]) -> None:
    """Write these files below `root`, readable for all, whatever the umask."""
    root.mkdir(mode=0o755)
    for place, what in content.items():
        file = root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, Path):
            file.symlink_to(what)
        else:
            file.write_bytes(what)
            file.chmod(0o644)
    for folder in root.rglob("*"):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)


def pip_conf(site: Site, gateway: str) -> str:
    """pip's settings inside a base: the site's index, its certificate, and trust in the class's own wheel index. Pure."""
    lines = ["[global]", "disable-pip-version-check = true", "root-user-action = ignore"]
    if site.index_url:
        lines.append(f"index-url = {site.index_url}")
    if site.ca_bundle:
        lines.append(f"cert = /{BUNDLE}")
    return "\n".join([*lines, f"trusted-host = {gateway}" if gateway else ""]) + "\n"


def uv_toml(site: Site, gateway: str) -> str:
    """The same for uv, which does not read pip's settings and brings certificate authorities of its own. Pure."""
    lines = ["system-certs = true"] if site.ca_bundle else []
    lines += [f'allow-insecure-host = ["{gateway}"]'] if gateway else []
    return (
        "\n".join(
            [
                *lines,
                *(["[[index]]", f'url = "{site.index_url}"', "default = true"] if site.index_url else []),
            ]
        )
        + "\n"
    )


def apt_conf() -> str:
    """apt's settings inside a base where the site has certificate authorities of its own. Pure."""
    return f'Acquire::https::CaInfo "/{BUNDLE}";\n'


def apt_sources(uris: list[str]) -> str:
    """The file debian.sources (sources.list(5), deb822) for an archive and, where there is one, its security archive. Pure."""
    suites = (f"{SUITE} {SUITE}-updates", f"{SUITE}-security")
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {which}\nComponents: main\nSigned-By: {KEYRING}\n"
        for uri, which in zip(uris, suites, strict=False)
    )


def mirrors(site: Site) -> list[str]:
    """The Debian archive to use and, where there is one, its security archive: the site's, else those of this machine's apt, else none."""
    if site.apt_mirror:
        return [uri.rstrip("/") for uri in site.apt_mirror.split()]
    uris = [uri.rstrip("/") for uri in _apt_uris()]
    main, security = (
        next((uri for uri in uris if uri.endswith(end)), "") for end in ("/debian", "/debian-security")
    )
    return [uri for uri in (main, security) if uri] if main else []


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


def bridge_gateway(client: docker.DockerClient) -> str:
    """The address of the host as containers on the default bridge see it, or "". Asks the engine."""
    try:
        settings = client.api.inspect_network("bridge")["IPAM"]["Config"]
    except (APIError, KeyError):
        return ""
    return next((entry["Gateway"] for entry in settings or [] if "Gateway" in entry), "")


def _authorities(site: Site) -> list[bytes]:
    """The site's certificate authorities, each in PEM. Raises CourseError where the file holds none."""
    if not site.ca_bundle:
        return []
    try:
        found = _CERTIFICATE.findall(Path(site.ca_bundle).read_bytes())
    except OSError as error:
        raise CourseError(
            f"ca_bundle is {site.ca_bundle}, which cannot be read.",
            f"{error.strerror}.",
            "Set it to a file of PEM certificates.",
        ) from error
    if not found:
        raise CourseError(
            f"ca_bundle is {site.ca_bundle}, which holds no certificate.",
            fix="Set it to a file of PEM certificates.",
        )
    return list(dict.fromkeys(each.replace(b"\r\n", b"\n") for each in found))


def _bundle_of(client: docker.DockerClient, image_id: str) -> bytes:
    """The certificate authorities that an image has, b"" for none. Asks the engine: a container is made and never started."""
    container = client.containers.create(image_id, ["none"], labels=object_labels.labels(kind="doctor"))
    try:
        pieces, _ = client.api.get_archive(container.id, f"/{BUNDLE}")
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
            member = next((each for each in archive if each.isfile()), None)
            return tars.content(archive, member) if member else b""
    except NotFound:
        return b""
    finally:
        container.remove(force=True)
