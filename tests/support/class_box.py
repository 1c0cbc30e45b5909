"""The one machine of a closed network: a package index, a Debian mirror and a proxy, by HTTPS with an authority of its own, and a registry.

The index serves wheels that were fetched before; the mirror has one package; the proxy writes down what it is asked for, and itself
answers for one name that nobody else knows.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import json
import platform
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

INSIDE = "inside.example"  # a name that only the proxy answers for


@dataclass
class Box:
    """Where everything is; `asked` are the paths that the index and the mirror were asked for, `proxied` the proxy's targets."""

    web: str
    proxy: str
    authority: Path
    asked: list[str] = field(default_factory=list)
    proxied: list[str] = field(default_factory=list)


def certificates(folder: Path, address: str) -> tuple[Path, Path, Path]:
    """A certificate authority, and a certificate for this address with its key, made by the openssl command."""
    ca, key, request, certificate = (
        folder / name for name in ("ca.pem", "key.pem", "request.pem", "certificate.pem")
    )
    extensions = folder / "extensions"
    extensions.write_text(f"subjectAltName=IP:{address}\nextendedKeyUsage=serverAuth\n")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    for command in (
        [
            *new,
            "-x509",
            "-days",
            "30",
            "-subj",
            "/CN=Class authority",
            "-keyout",
            folder / "ca.key",
            "-out",
            ca,
        ],
        [*new, "-subj", "/CN=Class box", "-keyout", key, "-out", request],
        [
            "openssl",
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            ca,
            "-CAkey",
            folder / "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            extensions,
            "-out",
            certificate,
        ],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return ca, certificate, key


def mirror(folder: Path) -> None:
    """A Debian mirror with one package, `class-greeting`, in its archive and an empty security archive; without signatures."""
    made = folder / "package"
    (made / "DEBIAN").mkdir(parents=True)
    control = "Package: class-greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: Class <class@example.com>\nDescription: says hello\n"
    (made / "DEBIAN/control").write_text(control)
    (made / "usr/bin").mkdir(parents=True)
    (made / "usr/bin/class-greeting").write_text("#!/bin/sh\necho hello from the mirror\n")
    (made / "usr/bin/class-greeting").chmod(0o755)
    for archive, suites in (
        ("debian", ("bookworm", "bookworm-updates")),
        ("debian-security", ("bookworm-security",)),
    ):
        (folder / archive).mkdir()
        for suite in suites:
            entries = ""
            if suite == "bookworm":
                package = folder / archive / "class-greeting.deb"
                subprocess.run(
                    ["dpkg-deb", "--root-owner-group", "--build", made, package],
                    check=True,
                    capture_output=True,
                )
                entries = f"{control}Filename: {package.name}\nSize: {package.stat().st_size}\nSHA256: {hashlib.sha256(package.read_bytes()).hexdigest()}\n\n"
            listed = []
            for architecture in ("amd64", "arm64"):
                place = Path(f"main/binary-{architecture}/Packages")
                file = folder / archive / "dists" / suite / place
                file.parent.mkdir(parents=True)
                file.write_text(entries)
                listed.append(f" {hashlib.sha256(entries.encode()).hexdigest()} {len(entries)} {place}\n")
            head = f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64 arm64\nComponents: main\nDate: {email.utils.formatdate(usegmt=True)}\nSHA256:\n"
            (folder / archive / "dists" / suite / "Release").write_text(head + "".join(listed))


def publish(registry: str, name: str, tar: Path, config: dict[str, object]) -> None:
    """Put a root file system into a registry as an image of one layer that is not compressed, which a busy machine would take minutes for.

    The calls are those of the distribution specification: POST and PUT of each blob, then PUT of the manifest.
    """
    repository, tag = name.rsplit(":", 1)
    with tar.open("rb") as file:
        layer = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    document = {
        "architecture": "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer]},
        "history": [{"created_by": "a publisher"}],
    }
    data = json.dumps(document).encode()
    described = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with tar.open("rb") as file:
        for digest, body in ((layer, file), (described, data)):
            begun = requests.post(f"{registry}/v2/{repository}/blobs/uploads/", timeout=30)
            place = requests.compat.urljoin(f"{registry}/", begun.headers["Location"])
            done = requests.put(
                place,
                params={"digest": digest},
                data=body,
                headers={"Content-Type": "application/octet-stream"},
                timeout=120,
            )
            assert done.status_code == 201, done.text
    kind = "application/vnd.docker"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.distribution.manifest.v2+json",
        "config": {"mediaType": f"{kind}.container.image.v1+json", "size": len(data), "digest": described},
        "layers": [
            {"mediaType": f"{kind}.image.rootfs.diff.tar", "size": tar.stat().st_size, "digest": layer}
        ],
    }
    done = requests.put(
        f"{registry}/v2/{repository}/manifests/{tag}",
        data=json.dumps(manifest),
        headers={"Content-Type": manifest["mediaType"]},
        timeout=30,
    )
    assert done.status_code == 201, done.text


@contextlib.contextmanager
def class_box(address: str, wheels: Path, folder: Path) -> Iterator[Box]:
    """Serve at this address of the machine for as long as the block lasts."""
    ca, certificate, key = certificates(folder, address)
    box = Box("", "", ca)
    mirror(folder)

    class Web(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            box.asked.append(self.path)
            top, _, rest = urllib.parse.unquote(self.path).strip("/").partition("/")
            if top.startswith("debian"):
                file = folder / top / rest
                self.answer(*((200, file.read_bytes()) if file.is_file() else (404, b"")))
            elif top == "files" and (wheels / rest).is_file():
                self.answer(200, (wheels / rest).read_bytes())
            else:
                project = rest.strip("/")
                names = [
                    each.name for each in wheels.glob("*.whl") if each.name.split("-")[0].lower() == project
                ]
                links = "".join(f'<a href="/files/{name}">{name}</a>' for name in names)
                self.answer(
                    200 if names or project == "pip" else 404, f"<html>{links}</html>".encode(), "text/html"
                )

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, kind: str = "application/octet-stream") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Proxy(Web):
        def do_GET(self) -> None:
            box.proxied.append(self.path)
            known = urllib.parse.urlsplit(self.path).hostname == INSIDE
            self.answer(200 if known else 502, b"hello through the proxy\n")

        def do_CONNECT(self) -> None:
            box.proxied.append(self.path)
            self.answer(502, b"")

    with contextlib.ExitStack() as stack:
        web, proxy = (stack.enter_context(ThreadingHTTPServer((address, 0), each)) for each in (Web, Proxy))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        web.socket = context.wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
        for server in (web, proxy):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        box.web, box.proxy = (
            f"https://{address}:{web.server_address[1]}",
            f"http://{address}:{proxy.server_address[1]}",
        )
        yield box
