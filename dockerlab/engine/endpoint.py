"""Where an engine listens, by the rules of the `docker` command: DOCKER_HOST, TLS variables, contexts, and a connection to it.

The rules are those of docker/cli 28 (cli/command/cli.go, cli/flags/options.go, opts/hosts.go, cli/context/docker/load.go); the tests
hold them against the installed command. Go reads names in JSON without regard to case and null as empty, and so does this.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

from dockerlab.core.errors import CourseError

PROBE_SECONDS = 30
PORT = 2375  # where a TCP address names none, as the docker command has it, with TLS too
OLDEST_API = "1.24"  # to ask an engine which one it has
# The variables and what config.json calls them: docker/cli, cli/config/configfile, ParseProxyConfig.
PROXIES = {
    "HTTP_PROXY": "httpProxy",
    "HTTPS_PROXY": "httpsProxy",
    "NO_PROXY": "noProxy",
    "FTP_PROXY": "ftpProxy",
    "ALL_PROXY": "allProxy",
}
_CHOICE = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
_MARK = ".dockerlab"  # in a folder of settings that this package made


class EngineUnavailable(CourseError):
    """No Docker Engine answers."""


class RemoteEngine(EngineUnavailable):
    """The engine that is chosen is not on this machine, and nobody said that the course may use it."""


@dataclass(frozen=True)
class Endpoint:
    """One place where an engine may listen; `explicit` when the reader named it, so that no other is tried.

    `tls` says whether TLS is spoken, with the PEM files of `tls_folder` (ca, cert, key; each may be missing), and `verify` whether
    the engine's certificate is checked. `context` is the docker context that it came from.
    """

    name: str
    url: str
    explicit: bool = False
    tls_folder: Path | None = None
    tls: bool = False
    verify: bool = True
    context: str = ""

    @property
    def local(self) -> bool:
        """Whether the engine is on this machine, or in a virtual machine that is part of a product here and listens on a socket."""
        return is_local(self.url)

    def file(self, part: str) -> str | None:
        """The path of one of the PEM files, None where there is none."""
        path = self.tls_folder / f"{part}.pem" if self.tls_folder else None
        return str(path) if path and path.is_file() else None


def endpoints(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> list[Endpoint]:
    """Where to look, in the order of the `docker` command, then where other engines put their sockets.

    A context without a host stands for the default, as it does for the command. Raises EngineUnavailable when the chosen context
    is broken, or an address cannot be understood.
    """
    home = home or Path(environ.get("HOME") or Path.home())
    config = _config(environ, home)
    tls = bool(environ.get("DOCKER_TLS") or environ.get("DOCKER_TLS_VERIFY"))

    def secured(name: str, url: str) -> Endpoint:
        folder = Path(environ.get("DOCKER_CERT_PATH") or config) if tls else None
        verify = bool(environ.get("DOCKER_TLS_VERIFY")) or not tls
        return Endpoint(name, url, True, tls_folder=folder, tls=tls, verify=verify)

    if environ.get("DOCKER_HOST"):
        url = normal(environ["DOCKER_HOST"], "DOCKER_HOST", tls)
        found = secured("DOCKER_HOST", url) if url.startswith("tcp:") else Endpoint("DOCKER_HOST", url, True)
        return [_checked(found)]
    name = environ.get("DOCKER_CONTEXT") or current_context(config)
    if name not in ("", "default"):
        found = _context_endpoint(config, name)
        if found.url:
            return [found]
    elif tls:  # the command then leaves the socket alone
        return [_checked(secured("DOCKER_TLS_VERIFY", normal("", "", True)))]
    return _sockets(environ, home)


def _sockets(environ: Mapping[str, str], home: Path) -> list[Endpoint]:
    """The sockets that exist here, the docker command's own first. Machines of Podman and Lima: those with the default name."""
    runtime = environ.get("XDG_RUNTIME_DIR") or (f"/run/user/{os.getuid()}" if hasattr(os, "getuid") else "")
    xdg = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    machines = home / ".local/share/containers/podman/machine"
    sockets = [
        ("Docker", Path("/var/run/docker.sock")),
        ("rootless Docker", Path(runtime) / "docker.sock"),
        *(
            ("Colima", folder / "default/docker.sock")
            for folder in (Path(environ.get("COLIMA_HOME") or home / ".colima"), xdg / "colima")
        ),
        ("OrbStack", home / ".orbstack/run/docker.sock"),
        ("Rancher Desktop", home / ".rd/docker.sock"),
        ("Docker Desktop", home / ".docker/run/docker.sock"),
        ("Docker Desktop", home / ".docker/desktop/docker.sock"),
        ("Lima", Path(environ.get("LIMA_HOME") or home / ".lima") / "docker/sock/docker.sock"),
        ("Podman", Path(runtime) / "podman/podman.sock"),
        ("Podman", Path("/run/podman/podman.sock")),
        ("Podman machine", Path(environ.get("TMPDIR") or "/tmp") / "podman/podman-machine-default-api.sock"),
        *(
            ("Podman machine", machines / each)
            for each in ("podman.sock", "qemu/podman.sock", "applehv/podman.sock")
        ),
    ]
    found = [Endpoint(name, f"unix://{path}") for name, path in sockets if _is_socket(path)]
    return (
        [*found, Endpoint("Docker Desktop", "npipe:////./pipe/docker_engine")] if os.name == "nt" else found
    )


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:
        return False


def normal(address: str, name: str = "DOCKER_HOST", tls: bool = False) -> str:
    """The address as the docker command completes it: no scheme means TCP, no host this machine, no port 2375. Pure.

    `http://` and `https://`, which docker-py takes, mean TCP too. Raises EngineUnavailable for what is none of these.
    """
    address = address.strip()
    if not address:
        return "tcp://localhost:2376" if tls else "unix:///var/run/docker.sock"
    scheme, separator, rest = address.partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("tcp", address)
    if scheme in ("http", "https"):
        scheme, rest = "tcp", rest.rstrip("/")
    if scheme == "unix":
        return (
            f"unix://{'/' + rest.lstrip('/') if rest else '/var/run/docker.sock'}"
            if not rest.startswith("~")
            else address
        )
    if scheme not in ("tcp", "ssh"):
        return address
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname or ("localhost" if scheme == "tcp" else ""), parts.port
        if scheme == "ssh":
            if not host or parts.password is not None:
                raise ValueError(
                    "it has no host" if not host else "the ssh command takes no password from an address"
                )
            return f"ssh://{parts.netloc}{parts.path.rstrip('/')}"
        if address.startswith("/"):
            raise ValueError("a socket is written unix:///path")
    except ValueError as error:
        raise EngineUnavailable(
            f"{name} is {address}, which is no address of an engine.",
            f"{str(error)[0].upper()}{str(error)[1:]}.",
            f"Correct or unset {name}: unix:///path, tcp://host:port or ssh://user@host.",
        ) from error
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"tcp://{login}{f'[{host}]' if ':' in host else host}:{port or PORT}{parts.path.rstrip('/')}"


def is_local(url: str) -> bool:
    """Whether this address is on this machine: a socket, a pipe, the loopback, or an address that this machine itself has."""
    if not url.startswith(("tcp:", "ssh:", "http:", "https:")):
        return True
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost") or host == "host.docker.internal":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as own,
    ):
        own.bind((host, 0))  # only an address of this machine can be bound, and nothing is sent
        return True
    return False


def field(document: Any, name: str, kind: type, default: Any = None) -> Any:
    """A field of a JSON object as Go reads it: whatever the case of its name; `default` where it is missing, null or of another type."""
    if not isinstance(document, dict):
        return default
    found = document.get(
        name, next((value for key, value in document.items() if key.casefold() == name.casefold()), None)
    )
    return found if isinstance(found, kind) else default


def configuration(config: Path) -> Any:
    """What the docker command's config.json holds; None where it cannot be read, which the command too only warns of."""
    try:
        return json.loads((config / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _config(environ: Mapping[str, str], home: Path | None = None) -> Path:
    """The folder of the docker command's own settings."""
    return Path(
        environ.get("DOCKER_CONFIG") or (home or Path(environ.get("HOME") or Path.home())) / ".docker"
    )


def current_context(config: Path) -> str:
    """The context that is chosen in config.json, "" for the default."""
    name: str = field(configuration(config), "currentContext", str, "")
    return name


def _context_endpoint(config: Path, name: str) -> Endpoint:
    """Read one docker context from its metadata, stored under the SHA-256 of its name; its url is "" where it names no host."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    try:
        meta = json.loads((config / "contexts/meta" / digest / "meta.json").read_text(encoding="utf-8"))
        found = field(field(meta, "Endpoints", dict, {}), "docker", dict)
        if found is None:
            raise ValueError("its metadata hold no endpoint of the name docker")
        host, skip = (
            next((value for key, value in found.items() if key.casefold() == wanted), None)
            for wanted in ("host", "skiptlsverify")
        )
        if not isinstance(host, str | None) or not isinstance(skip, bool | None):
            raise ValueError("Host must be a text and SkipTLSVerify true or false")
    except (OSError, ValueError, RecursionError) as error:
        raise EngineUnavailable(
            f"The docker context {name} is chosen but cannot be read.",
            f"{type(error).__name__}: {error}.",
            "Run `docker context use default`.",
        ) from error
    url = normal(host, f"The docker context {name}") if host else ""
    certificates = config / "contexts/tls" / digest / "docker"
    secured = url.startswith("tcp:") and (certificates.is_dir() or bool(skip))
    return Endpoint(
        f"docker context {name}",
        url,
        True,
        certificates if secured and certificates.is_dir() else None,
        secured,
        not skip,
        name,
    )


def _checked(endpoint: Endpoint) -> Endpoint:
    """The endpoint, unless the certificate authority that its variables ask for is missing: the command refuses that too."""
    if endpoint.tls and endpoint.tls_folder and not endpoint.file("ca"):
        raise EngineUnavailable(
            f"The engine at {endpoint.url} is to be reached by TLS, but there is no {endpoint.tls_folder / 'ca.pem'}.",
            "DOCKER_TLS_VERIFY or DOCKER_TLS is set, and DOCKER_CERT_PATH says where the certificates are (default: ~/.docker).",
            "Set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem, or unset DOCKER_TLS_VERIFY and DOCKER_TLS.",
        )
    return endpoint


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for programs that look for the engine themselves, such as `docker`, syft and scanners: the course's own engine.

    They read DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH. What these cannot say, TLS without files, is left to
    the context: DOCKER_CONTEXT, which the `docker` command reads.
    """
    found = next(iter(endpoints(environ)), None)
    if found is None:
        return dict(environ)
    clean = {key: value for key, value in environ.items() if key not in _CHOICE}
    if found.context and found.tls and not found.file("ca"):
        return clean | {"DOCKER_CONTEXT": found.context}
    told = clean | {"DOCKER_HOST": found.url}
    if found.tls and found.tls_folder:
        told |= {"DOCKER_CERT_PATH": str(found.tls_folder)} | (
            {"DOCKER_TLS_VERIFY": "1"} if found.verify else {"DOCKER_TLS": "1"}
        )
    return told


def configured_proxies(config: Path, url: str) -> dict[str, str]:
    """The proxies of the command's config.json for the engine at `url`, else its default ones: HTTP_PROXY and so on -> address."""
    proxies = field(configuration(config), "proxies", dict, {})
    chosen = proxies[url] if url in proxies else proxies.get("default")
    return {name: value for name, key in PROXIES.items() if (value := field(chosen, key, str, ""))}


def proxies(url: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The proxy variables that a build on the engine at `url` gets, in both spellings: config.json's, else this process's own.

    The builder knows them undeclared: they reach RUN, stay out of the image and its history, and are left out of the cache key.
    """
    found = configured_proxies(_config(environ), url)
    if not found.keys() - {"NO_PROXY"}:
        own = {name: environ.get(name) or environ.get(name.lower(), "") for name in PROXIES}
        found |= {name: value for name, value in own.items() if value and name not in found}
    if not found.keys() - {"NO_PROXY"}:
        return {}
    return {spelling: value for name, value in found.items() for spelling in (name, name.lower())}


def hand_on_proxies(url: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Let the `docker` commands of this process pass its proxy variables to their builds, as `dockerlab.images.build` does.

    The command passes on the proxies of its config.json only. Where that has none and the variables do, this process (and what it
    starts) gets a folder of its own as DOCKER_CONFIG: config.json with these proxies added, everything else a link to the reader's own.
    """
    own = _config(environ)
    if (
        (own / _MARK).exists()
        or configured_proxies(own, url).keys() - {"NO_PROXY"}
        or not (found := proxies(url, environ))
    ):
        return
    settings = configuration(own)
    settings = dict(settings) if isinstance(settings, dict) else {}
    kept = field(settings, "proxies", dict, {})
    wanted = {PROXIES[name]: value for name, value in found.items() if name in PROXIES}
    folder = Path(
        tempfile.mkdtemp(prefix="dockerlab-docker-config-")
    )  # mode 0700: proxies may hold passwords
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / _MARK).touch()
    for entry in own.iterdir() if own.is_dir() else ():
        if entry.name != "config.json":
            (folder / entry.name).symlink_to(entry.resolve())
    others = {key: value for key, value in settings.items() if key.casefold() != "proxies"}
    (folder / "config.json").write_text(
        json.dumps(others | {"proxies": kept | {url if url in kept else "default": wanted}}), encoding="utf-8"
    )
    environ["DOCKER_CONFIG"] = str(folder)


class _SshConnection(UnixHTTPConnection):
    """HTTP over the two ends of an ssh process; `log` is where it says why it failed."""

    command: list[str]
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        with theirs:  # in a session of its own, so that Ctrl-C in a notebook does not end the connection too
            self.process = subprocess.Popen(
                self.command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self.log,
                start_new_session=True,
            )
        self.sock = ours

    def close(self) -> None:
        super().close()
        if self.process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)  # it ends with its input
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process = None


class _SshPool(UnixHTTPConnectionPool):
    def _new_conn(self) -> _SshConnection:
        connection = _SshConnection(self.base_url, self.socket_path, self.timeout)
        connection.command, connection.log = self.command, self.log
        return connection


class SshAdapter(UnixHTTPAdapter):
    """Speaks to an engine through the `ssh` command and `docker system dial-stdio` there, as the docker command does.

    docker-py's own adapter for this needs paramiko even where it only calls the `ssh` command.
    """

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__("http+unix://ssh", timeout)
        self.url, self.command, self.said = (
            url,
            ssh_command(url),
            "",
        )  # `said`: the last line that ssh wrote, once this is closed
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the adapter)

    def get_connection(self, url: str, proxies: Any = None) -> _SshPool:
        """The pool of connections, as the class above has it."""
        with self.pools.lock:
            pool: _SshPool | None = self.pools.get(url)
            if not pool:
                pool = _SshPool(url, "ssh", self.timeout, maxsize=self.max_pool_size)
                pool.command, pool.log = self.command, self.log
                self.pools[url] = pool
        return pool

    def close(self) -> None:
        """Close every connection, and keep what ssh said."""
        super().close()
        if not self.log.closed:
            self.log.seek(0)
            self.said = (self.log.read().decode(errors="replace").strip().splitlines() or [""])[-1].strip()
            self.log.close()


def ssh_command(url: str) -> list[str]:
    """The ssh call for ssh://[user@]host[:port][/socket]: docker/cli, cli/connhelper. Pure."""
    parts = urlsplit(url)
    socket_there = ["--host", f"unix://{parts.path}"] if parts.path.strip("/") else []
    who = ["-l", parts.username] if parts.username else []
    port = ["-p", str(parts.port)] if parts.port else []
    return [
        "ssh",
        "-o",
        "ConnectTimeout=30",
        "-T",
        *who,
        *port,
        "--",
        parts.hostname or "",
        "docker",
        *socket_there,
        "system",
        "dial-stdio",
    ]


def client_of(endpoint: Endpoint, timeout: float) -> docker.DockerClient:
    """A client of the engine there, which has answered once; `timeout` is in seconds, per request.

    Raises docker-py's and requests' errors where none answers, EngineUnavailable where ssh gives a reason.
    """
    first = min(timeout, PROBE_SECONDS)
    if endpoint.url.startswith("ssh:"):
        client = _over_ssh(endpoint.url, first)
    elif endpoint.url.startswith("tcp:"):
        client = _over_tcp(endpoint, first)
    else:
        client = docker.DockerClient(base_url=endpoint.url, timeout=first)
    try:
        client.ping()
    except BaseException:
        client.close()
        raise
    client.api.timeout = timeout
    return client


def _negotiated(make: Any, prepare: Any) -> docker.DockerClient:
    """A client made without a question, then prepared, then made again with the API version that the engine names."""
    client = make(version=OLDEST_API)
    try:
        prepare(client)
        version = client.version(api_version=False)["ApiVersion"]
    finally:
        client.close()
    client = make(version=version)
    prepare(client)
    return client


def _over_tcp(endpoint: Endpoint, timeout: float) -> docker.DockerClient:
    """TLS is by this endpoint's settings alone: `requests` would let REQUESTS_CA_BUNDLE or a proxy variable have the last word.

    Proxies are used for engines elsewhere only, as Go does.
    """
    tls: Any = False
    if endpoint.tls:
        certificate, key = endpoint.file("cert"), endpoint.file("key")
        ca = endpoint.file("ca") if endpoint.verify else None
        tls = docker.tls.TLSConfig(
            client_cert=(certificate, key) if certificate and key else None,
            ca_cert=ca,
            verify=endpoint.verify,
        )
    if not endpoint.verify:
        urllib3.disable_warnings(
            urllib3.exceptions.InsecureRequestWarning
        )  # once for each request; the reader chose it

    def prepare(client: docker.DockerClient) -> None:
        client.api.trust_env = False
        if not endpoint.local:
            client.api.proxies = requests.utils.get_environ_proxies(client.api.base_url)

    return _negotiated(partial(docker.DockerClient, base_url=endpoint.url, timeout=timeout, tls=tls), prepare)


def _over_ssh(url: str, timeout: float) -> docker.DockerClient:
    if not shutil.which("ssh"):
        raise EngineUnavailable(
            f"The engine at {url} is reached by ssh, and there is no ssh command on this machine.",
            fix="Install it (Debian: apt-get install openssh-client), or choose an engine of this machine.",
        )
    adapters: list[SshAdapter] = []

    def prepare(client: docker.DockerClient) -> None:
        adapters.append(SshAdapter(url, timeout))
        client.api.mount("http+docker://", adapters[-1])
        client.api._custom_adapter = adapters[-1]

    try:
        return _negotiated(partial(docker.DockerClient, base_url="unix:///ssh", timeout=timeout), prepare)
    except requests.RequestException as error:
        raise EngineUnavailable(
            f"No Docker Engine answers at {url}.",
            f"{(adapters[-1].said or str(error)).rstrip('.')}.",
            f"Try `{' '.join(ssh_command(url)[:-2])} version`: it must work without a question.",
        ) from error


def address_of(client: docker.DockerClient) -> str:
    """The address that this client speaks to: unix:///path, tcp://host:port, ssh://host or npipe:…"""
    api = client.api
    adapter = getattr(api, "_custom_adapter", None)
    if isinstance(adapter, SshAdapter):
        return adapter.url
    if isinstance(adapter, UnixHTTPAdapter):
        return f"unix://{adapter.socket_path}"
    return (
        f"tcp://{urlsplit(api.base_url).netloc}"
        if api.base_url.startswith(("http:", "https:"))
        else api.base_url
    )
