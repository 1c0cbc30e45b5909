"""Cases from the public record: how an engine is found and secured, and what is printed of it. The installed `docker` command is the yardstick."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import Site, load_site
from dockerlab.course import doctor
from dockerlab.engine import connection, endpoint, object_labels

DATA = Path(__file__).parents[1] / "data/cases"
SETTINGS, TLS = DATA / "settings", DATA / "tls"
CHOICE = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKERLAB_REMOTE",
)
engine_needed = pytest.mark.engine


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder with an empty ~/.docker and no variable that chooses an engine; short, since sockets lie in it."""
    for name in CHOICE:
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("HOME", folder)
        (Path(folder) / ".docker").mkdir()
        yield Path(folder)


def context(home: Path, meta: object, name: str = "lab", **files: Path) -> None:
    """Write a docker context: its metadata, an object or a text, and its TLS files."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    folder = home / ".docker/contexts/meta" / digest
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(meta if isinstance(meta, str) else json.dumps(meta))
    for part, file in files.items():
        place = home / ".docker/contexts/tls" / digest / "docker" / f"{part}.pem"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)


def command(*words: str) -> str:
    """What the docker command prints with the variables of this moment, "" where it fails."""
    done = subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def both_reach() -> tuple[bool, bool]:
    """Whether the docker command, and whether the course, reach an engine."""
    try:
        client = connection.connect(timeout=30)
    except endpoint.EngineUnavailable:
        return bool(command("version", "--format", "{{.Server.Version}}")), False
    with contextlib.closing(client):
        ours = client.info()["ID"]
    theirs = command("info", "--format", "{{.ID}}")
    assert theirs in ("", ours)
    return bool(theirs), True


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def listening(client: docker.DockerClient, certificate: str = "", ask: bool = False) -> Iterator[int]:
    """The engine of `client` on a port of 127.0.0.1, by TLS where a certificate is named; `ask` wants one of the client too."""
    path = endpoint.address_of(client).removeprefix("unix://")
    secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate:
        secured.load_cert_chain(TLS / f"{certificate}.pem", TLS / f"{certificate}.key")
    if ask:
        secured.verify_mode = ssl.CERT_REQUIRED
        secured.load_verify_locations(TLS / "loopback.pem")

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            near = stack.enter_context(
                secured.wrap_socket(connection, server_side=True) if certificate else connection
            )
            far = stack.enter_context(socket.socket(socket.AF_UNIX))
            far.connect(path)
            back = threading.Thread(target=pump, args=(far, near), daemon=True)
            back.start()
            pump(near, far)
            back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "name", ["E01_config", "E01b_null", "E01b_list", "E10_byte_order_mark", "E10_latin1"]
)
def test_a_configuration_of_another_shape_means_the_default(home: Path, name: str) -> None:
    shutil.copy(SETTINGS / f"{name}.json", home / ".docker/config.json")
    assert endpoint.endpoints() == endpoint.endpoints({"DOCKER_CONTEXT": "default", "HOME": str(home)})
    if shutil.which("docker"):
        assert command("context", "show") == "default"


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ('{"CURRENTCONTEXT": "lab"}', "lab"),
        ('{"currentContext": 5}', ""),
        ('{"currentContext": ["lab"]}', ""),
        ('{"currentContext": "lab", "proxies": []}', "lab"),
        ('{"currentContext": ""}', ""),
        ("", ""),
        ("[" * 9999, ""),
    ],
)
def test_the_chosen_context_is_the_commands(home: Path, text: str, chosen: str) -> None:
    (home / ".docker/config.json").write_text(text)
    assert endpoint.current_context(home / ".docker") == chosen
    if shutil.which("docker"):
        assert command("context", "show") == (chosen or "default")


@engine_needed
@pytest.mark.parametrize(
    ("case", "certificate", "variables", "reached"),
    [
        ("E02", "loopback", {"DOCKER_TLS_VERIFY": "1"}, True),
        ("E02-0-is-set-too", "loopback", {"DOCKER_TLS_VERIFY": "0"}, True),
        (
            "E02-path",
            "loopback",
            {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(TLS)},
            False,
        ),  # a folder without ca.pem
        ("E02-unverified", "elsewhere", {"DOCKER_TLS": "1"}, True),
        ("E02-elsewhere", "elsewhere", {"DOCKER_TLS_VERIFY": "1"}, False),
        ("E02-no-tls", "", {"DOCKER_CERT_PATH": "/nowhere"}, True),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("E") else "",
)
def test_tls_by_variables(client, home: Path, monkeypatch, case, certificate, variables, reached) -> None:
    for part, file in (("ca", "loopback.pem"), ("cert", "loopback.pem"), ("key", "loopback.key")):
        shutil.copy(TLS / file, home / f".docker/{part}.pem")
    monkeypatch.setenv(
        "REQUESTS_CA_BUNDLE", str(TLS / "elsewhere.pem")
    )  # is about the web, not about the engine
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with listening(client, certificate, ask=case == "E02") as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert both_reach() == (reached, reached)


@pytest.mark.parametrize("variable", ["DOCKER_TLS", "DOCKER_TLS_VERIFY"])
def test_tls_without_a_host_leaves_the_socket_alone(home: Path, variable: str) -> None:
    shutil.copy(TLS / "loopback.pem", home / ".docker/ca.pem")
    (place,) = endpoint.endpoints({variable: "1", "HOME": str(home)})
    assert (place.url, place.tls, place.verify, place.local) == (
        "tcp://localhost:2376",
        True,
        variable == "DOCKER_TLS_VERIFY",
        True,
    )
    assert not endpoint.endpoints({variable: "1", "HOME": str(home), "DOCKER_HOST": "unix:///x"})[0].tls


@engine_needed
@pytest.mark.parametrize(
    ("case", "files", "skip", "reached"),
    [
        ("E03", {}, True, True),
        ("E03-with-ca", {"ca": TLS / "elsewhere.pem"}, True, True),
        ("E03-with-another-ca", {"ca": TLS / "loopback.pem"}, True, True),
        ("E03-checked", {"ca": TLS / "elsewhere.pem"}, False, False),
    ],
    ids=["E03", "E03-with-ca", "E03-with-another-ca", "E03-checked"],
)
def test_a_context_that_skips_the_check(client, home: Path, monkeypatch, case, files, skip, reached) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "loopback.pem"))
    with listening(client, "elsewhere") as port:
        context(
            home,
            {
                "Name": "lab",
                "Endpoints": {"docker": {"Host": f"tcp://127.0.0.1:{port}", "SkipTLSVerify": skip}},
            },
            **files,
        )
        monkeypatch.setenv("DOCKER_CONTEXT", "lab")
        assert both_reach() == (reached, reached)
        if reached:  # and so does what is started for the course
            done = subprocess.run(
                ["docker", "version"],
                env=endpoint.environment(),
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr


@engine_needed
@pytest.mark.parametrize("by", ["variable", "context"])
def test_E05_ssh_goes_through_the_ssh_command(
    client, home: Path, monkeypatch, by: str, tiny_image: str
) -> None:
    program = home / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f"""#!{sys.executable}
import os, socket, sys, threading
open({str(home / "words")!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
far = socket.socket(socket.AF_UNIX)
far.connect({endpoint.address_of(client).removeprefix("unix://")!r})
def back():
    while data := far.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    far.sendall(data)
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKERLAB_REMOTE", "1")
    if by == "variable":
        monkeypatch.setenv("DOCKER_HOST", "ssh://mira@engine.example")
    else:
        context(home, {"Name": "lab", "Endpoints": {"docker": {"Host": "ssh://mira@engine.example"}}})
        monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    assert both_reach() == (True, True)
    assert (
        (home / "words")
        .read_text()
        .startswith("-o ConnectTimeout=30 -T -l mira -- engine.example docker system dial-stdio\n")
    )
    with contextlib.closing(connection.connect()) as far:
        assert endpoint.address_of(far) == "ssh://mira@engine.example"
        container = far.containers.run(
            tiny_image, ["sleep", "60"], detach=True, labels=object_labels.labels(kind="test")
        )
        try:  # a stream that takes over the connection
            assert container.exec_run(["echo", "over ssh"]).output == b"over ssh\n"
        finally:
            container.remove(force=True)


def test_E05_without_an_ssh_command_one_sentence_says_what_to_install(home: Path, monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://mira@engine.example")
    monkeypatch.setenv("DOCKERLAB_REMOTE", "1")
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(endpoint.EngineUnavailable, match="no ssh command") as caught:
        connection.connect()
    assert "openssh-client" in caught.value.fix and "paramiko" not in str(caught.value)


def test_E05_what_ssh_says_is_the_reason(home: Path, monkeypatch) -> None:
    (home / "ssh").write_text(
        "#!/bin/sh\necho 'mira@engine.example: Permission denied (publickey).' >&2\nexit 255\n"
    )
    (home / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://mira@engine.example")
    monkeypatch.setenv("DOCKERLAB_REMOTE", "1")
    with pytest.raises(endpoint.EngineUnavailable) as caught:
        connection.connect()
    assert caught.value.why == "mira@engine.example: Permission denied (publickey)."


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://engine.example", "-- engine.example docker system dial-stdio"),
        ("ssh://mira@engine.example:2222", "-l mira -p 2222 -- engine.example docker system dial-stdio"),
        (
            "ssh://engine.example/run/docker.sock",
            "-- engine.example docker --host unix:///run/docker.sock system dial-stdio",
        ),
    ],
)
def test_the_words_for_ssh(url: str, words: str) -> None:
    assert " ".join(endpoint.ssh_command(endpoint.normal(url))) == f"ssh -o ConnectTimeout=30 -T {words}"


DAMAGED = {each.stem: each.read_text() for each in sorted(SETTINGS.glob("E07_*"))} | {
    "null": "null",
    "endpoint_null": '{"Endpoints": {"docker": null}}',
    "host_number": '{"Endpoints": {"docker": {"Host": 5}}}',
    "skip_text": '{"Endpoints": {"docker": {"Host": "tcp://127.0.0.1:1", "SkipTLSVerify": "yes"}}}',
    "cut": '{"Endpoints": {',
    "endpoints_list": '{"Endpoints": []}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_E07_a_context_of_another_shape_is_one_sentence(home: Path, name: str) -> None:
    context(home, DAMAGED[name])
    with pytest.raises(endpoint.EngineUnavailable, match="docker context lab is chosen but cannot be read"):
        endpoint.endpoints({"DOCKER_CONTEXT": "lab", "HOME": str(home)})


@pytest.mark.parametrize(
    "meta",
    [
        '{"Endpoints": {"docker": {}}}',
        '{"Endpoints": {"docker": {"Host": null}}}',
        '{"Endpoints": {"docker": {"Host": ""}}}',
    ],
)
def test_E13_a_context_without_a_host_means_the_default(home: Path, meta: str) -> None:
    """Decided as the docker command does: it falls to its default."""
    context(home, meta)
    assert endpoint.endpoints({"DOCKER_CONTEXT": "lab", "HOME": str(home)}) == endpoint.endpoints(
        {"HOME": str(home)}
    )


def test_names_in_a_context_are_read_whatever_their_case(home: Path) -> None:
    context(home, '{"name": "lab", "endpoints": {"docker": {"host": "unix:///l.sock"}}}', name="l\u00e4b")
    assert endpoint.endpoints({"DOCKER_CONTEXT": "l\u00e4b", "HOME": str(home)})[0].url == "unix:///l.sock"


@engine_needed
@pytest.mark.parametrize(
    "form",
    [
        "tcp://127.0.0.1:{}",
        "tcp://127.0.0.1:{}/",
        "http://127.0.0.1:{}",
        "127.0.0.1:{}",
        ":{}",
        "tcp://:{}",
        " tcp://127.0.0.1:{} ",
        "tcp://localhost:{}",
        "unix://{sock}",
        "unix:///{sock}",
        "unix:////{sock}",
        "unix://{bare}",
    ],
)
def test_E08_addresses_as_people_write_them(client, home: Path, monkeypatch, form: str) -> None:
    sock = endpoint.address_of(client).removeprefix("unix://")
    with listening(client) as port:
        monkeypatch.setenv("DOCKER_HOST", form.format(port, sock=sock, bare=sock.lstrip("/")))
        with contextlib.closing(connection.connect(timeout=30)) as found:
            assert found.ping()
        done = subprocess.run(
            ["docker", "version"], env=endpoint.environment(), capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr  # also where the command by itself does not know the form


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("tcp://127.0.0.1", "tcp://127.0.0.1:2375"),
        ("tcp://", "tcp://localhost:2375"),
        ("engine.example", "tcp://engine.example:2375"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        ("[::1]:99", "tcp://[::1]:99"),
        ("TCP://h:1", "tcp://h:1"),
        ("unix://", "unix:///var/run/docker.sock"),
    ],
)
def test_an_address_is_completed_as_the_command_does(home: Path, address: str, url: str) -> None:
    assert endpoint.endpoints({"DOCKER_HOST": address})[0].url == url


@pytest.mark.parametrize(
    "address",
    [
        "npipe:////./pipe/docker_engine",
        "fd://",
        "/a/path",
        "unix://~/x.sock",
        "tcp://127.0.0.1:1",
        "ssh://mira:s3cret-pw@h",
        "tcp://127.0.0.1:port",
        "tcp://[::1",
        "ssh://",
        "what://ever",
    ],
)
def test_E09_other_addresses_are_told_in_words(home: Path, monkeypatch, address: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(endpoint.EngineUnavailable) as caught:
        connection.connect(timeout=5)
    assert caught.value.what and caught.value.fix and "s3cret-pw" not in str(caught.value)


def test_E10_order_of_the_choices(home: Path) -> None:
    other = home / "elsewhere"
    (home / ".docker").rename(other)
    environ = {"HOME": str(home), "DOCKER_CONFIG": str(other)}
    (home / ".docker").mkdir()
    context(home, {"Endpoints": {"docker": {"Host": "unix:///by-name.sock"}}}, name="l\u00e4b")
    shutil.copytree(home / ".docker/contexts", other / "contexts")
    (other / "config.json").write_text(json.dumps({"currentContext": "l\u00e4b"}))
    assert endpoint.endpoints(environ)[0].url == "unix:///by-name.sock"
    assert endpoint.endpoints(environ | {"DOCKER_CONTEXT": "default"}) == endpoint.endpoints(
        {"HOME": str(other)}
    )
    assert (
        endpoint.endpoints(environ | {"DOCKER_HOST": "unix:///host.sock", "DOCKER_CONTEXT": "none"})[0].url
        == "unix:///host.sock"
    )
    with pytest.raises(endpoint.EngineUnavailable, match="docker context none"):
        endpoint.endpoints(environ | {"DOCKER_CONTEXT": "none"})


def test_E11_tls_is_handed_on_with_the_address(home: Path) -> None:
    files = {"ca": TLS / "loopback.pem", "cert": TLS / "loopback.pem", "key": TLS / "loopback.key"}
    context(
        home, {"Endpoints": {"docker": {"Host": "tcp://127.0.0.1:2376", "SkipTLSVerify": False}}}, **files
    )
    told = endpoint.environment({"DOCKER_CONTEXT": "lab", "HOME": str(home)})
    folder = home / ".docker/contexts/tls" / hashlib.sha256(b"lab").hexdigest() / "docker"
    assert told == {
        "HOME": str(home),
        "DOCKER_HOST": "tcp://127.0.0.1:2376",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(folder),
    }
    by_variables = {
        "DOCKER_HOST": "tcp://127.0.0.1:1",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(folder),
    }
    assert endpoint.environment(by_variables) == by_variables
    assert endpoint.environment({"DOCKER_HOST": "unix:///x", "DOCKER_CONTEXT": "lab"}) == {
        "DOCKER_HOST": "unix:///x"
    }


def test_E12_sockets_without_a_context_are_found(home: Path) -> None:
    """Decided: the usual places of Colima (also under XDG), Rancher Desktop, Lima's docker machine and Podman's default machine are looked at."""
    places = [
        ".colima/default/docker.sock",
        ".config/colima/default/docker.sock",
        ".rd/docker.sock",
        ".lima/docker/sock/docker.sock",
        ".local/share/containers/podman/machine/podman.sock",
    ]
    for place in places:
        (home / place).parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(home / place))
    found = [each.url for each in endpoint.endpoints({"HOME": str(home)}) if str(home) in each.url]
    assert found == [f"unix://{home / place}" for place in places]


@contextlib.contextmanager
def index(status: int = 200) -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(("answer", "status"), [(200, "ok"), (403, "failed"), (None, "failed")])
def test_E14_the_password_of_an_index_is_hidden(monkeypatch, answer: int | None, status: str) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with index(answer) if answer else contextlib.nullcontext(1) as port:
        check = doctor.package_index(
            Site(index_url=f"http://mira:s3cret-pw@127.0.0.1:{port}/simple"), timeout=5
        )
    printed = doctor.table([check]) + repr(check)
    assert check.status == status and "s3cret-pw" not in printed and f"mira:****@127.0.0.1:{port}" in printed


@pytest.mark.parametrize(
    "address",
    [
        "tcp://mira:s3cret-pw@engine.example:2375",
        "tcp://mira:s3cret-pw@127.0.0.1:1",
        "ssh://mira:s3cret-pw@engine.example",
    ],
)
def test_E14_nor_is_one_of_an_engine_printed(home: Path, monkeypatch, address: str, capsys) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setattr(doctor, "load_site", lambda: CourseError("no settings at http://mira:s3cret-pw@h/"))
    doctor.run()
    doctor.run(as_json=True)
    said = capsys.readouterr()
    assert "s3cret-pw" not in said.out + said.err and "mira:****@" in said.out


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CONFIG_HOME": "{home}/x"}, "https://xdg.example/simple"),
        ({}, "https://config.example/simple"),
        ({"PIP_CONFIG_FILE": "{home}/own.conf"}, "https://own.example/simple"),
        ({"PIP_CONFIG_FILE": os.devnull}, ""),
    ],
)
def test_E16_pips_files_are_read_where_pip_reads_them(
    home: Path, environ: dict[str, str], expected: str
) -> None:
    (home / "x/pip").mkdir(parents=True)
    shutil.copy(SETTINGS / "E16_pip.conf", home / "x/pip/pip.conf")
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text("[global]\nindex_url = https://config.example/simple\n")
    (home / "own.conf").write_text(
        "[global]\nindex-url = https://other.example\n[install]\nindex-url = https://own.example/simple\n"
    )
    environ = {key: value.format(home=home) for key, value in environ.items()}
    assert load_site(home / "none", {"HOME": str(home), **environ}).index_url == expected


@pytest.mark.parametrize(
    "text", ["no section", "[global\nx", "[global]\nindex-url = \xe4\n", "[global]\n[global]\n"]
)
def test_a_pip_conf_that_pip_would_refuse_is_no_stack(home: Path, text: str) -> None:
    (home / "pip.conf").write_bytes(text.encode("latin-1"))
    try:
        load_site(home, {"HOME": str(home), "PIP_CONFIG_FILE": str(home / "pip.conf")})
    except CourseError as error:
        assert "pip.conf" in str(error)


class TestRemote:
    """An engine of another machine is named, and used only after a yes."""

    @pytest.mark.parametrize(
        ("url", "local"),
        [
            ("unix:///x", True),
            ("npipe:////./pipe/docker_engine", True),
            ("tcp://127.0.0.1:1", True),
            ("tcp://127.9.9.9:1", True),
            ("tcp://[::1]:1", True),
            ("tcp://localhost:1", True),
            ("tcp://host.docker.internal:1", True),
            ("tcp://192.0.2.7:2375", False),
            ("tcp://engine.example:2376", False),
            ("ssh://mira@engine.example", False),
            ("ssh://localhost", True),
            ("tcp://localhost.example:1", False),
            ("tcp://[2001:db8::1]:1", False),
        ],
    )
    def test_what_is_local(self, url: str, local: bool) -> None:
        assert endpoint.is_local(url) == local

    @pytest.mark.parametrize("words", [["clean"], ["bases"], ["build", "."], ["inspect", "x"], ["doctor"]])
    def test_every_command_refuses_it_and_names_it(
        self, home: Path, monkeypatch, capsys, words: list[str]
    ) -> None:
        from dockerlab import cli

        context(home, {"Endpoints": {"docker": {"Host": "tcp://192.0.2.7:2376"}}}, name="production")
        monkeypatch.setenv("DOCKER_CONTEXT", "production")
        monkeypatch.setenv("DOCKERLAB_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setattr("sys.stdin.isatty", lambda: False)
        assert cli.main(words) == 1
        said = "".join(capsys.readouterr())
        assert (
            "tcp://192.0.2.7:2376 (docker context production), is not on this machine" in said
            and "--remote" in said
        )

    @engine_needed
    @pytest.mark.parametrize("allowed", [True, False])
    def test_the_flag_lets_it_pass(self, client, home: Path, monkeypatch, capsys, allowed: bool) -> None:
        from dockerlab import cli

        monkeypatch.setenv("DOCKERLAB_REMOTE", "")
        monkeypatch.setattr(endpoint, "is_local", lambda url: False)
        assert cli.main(["inspect", "dockerlab-none:1", *(["--remote"] if allowed else [])]) == 1
        assert ("not on this machine" in capsys.readouterr().err) != allowed
