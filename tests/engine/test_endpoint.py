"""Proxies are found as the docker command finds them, and handed on to the commands that a process starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockerlab.core.errors import redact
from dockerlab.engine import endpoint

URL = "unix:///var/run/docker.sock"


def configured(folder: Path, text: str) -> dict[str, str]:
    (folder / "config.json").write_text(text)
    return {"DOCKER_CONFIG": str(folder)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"proxies": {"default": {"httpProxy": "http://d"}}}', "http://d"),
        (
            f'{{"proxies": {{"default": {{"httpProxy": "http://d"}}, "{URL}": {{"httpproxy": "http://own"}}}}}}',
            "http://own",
        ),
        (f'{{"proxies": {{"default": {{"httpProxy": "http://d"}}, "{URL}": {{}}}}}}', "http://v"),
        ('{"proxies": null}', "http://v"),
        ('{"proxies": []}', "http://v"),
        ('{"proxies": {"default": null}}', "http://v"),
        ('{"proxies": {"default": {"httpProxy": 5}}}', "http://v"),
        ("null", "http://v"),
        ("", "http://v"),
    ],
)
def test_which_proxy(tmp_path: Path, text: str, expected: str) -> None:
    found = endpoint.proxies(URL, configured(tmp_path, text) | {"http_proxy": "http://v", "NO_PROXY": "h"})
    assert found["HTTP_PROXY"] == found["http_proxy"] == expected


def test_exemptions_alone_are_no_proxy(tmp_path: Path) -> None:
    assert endpoint.proxies(URL, configured(tmp_path, "{}") | {"NO_PROXY": "h"}) == {}


def test_variables_are_handed_on_by_a_folder_of_settings(tmp_path: Path) -> None:
    (tmp_path / "contexts").mkdir()
    environ = configured(tmp_path, '{"currentContext": "lab", "auths": {"r": {}}}') | {
        "HTTPS_PROXY": "http://v",
        "NO_PROXY": "h",
    }
    endpoint.hand_on_proxies(URL, environ)
    folder = Path(environ["DOCKER_CONFIG"])
    assert (
        folder != tmp_path
        and (folder / "contexts").resolve() == tmp_path / "contexts"
        and folder.stat().st_mode & 0o077 == 0
    )
    assert json.loads((folder / "config.json").read_text()) == {
        "currentContext": "lab",
        "auths": {"r": {}},
        "proxies": {"default": {"httpsProxy": "http://v", "noProxy": "h"}},
    }
    endpoint.hand_on_proxies(URL, environ)
    assert environ["DOCKER_CONFIG"] == str(folder)


@pytest.mark.parametrize("text", ['{"proxies": {"default": {"httpProxy": "http://d"}}}', "{}"])
def test_otherwise_the_readers_folder_stays(tmp_path: Path, text: str) -> None:
    environ = configured(tmp_path, text) | ({"HTTP_PROXY": "http://v"} if text != "{}" else {})
    endpoint.hand_on_proxies(URL, environ)
    assert environ["DOCKER_CONFIG"] == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://mira:s3cret@h:80/simple: no", "http://mira:****@h:80/simple: no"),
        ("https://t0ken@h/x", "https://****@h/x"),
        ("ssh://mira@h", "ssh://mira@h"),
        ("ssh://mira:s3cret@h", "ssh://mira:****@h"),
        ("http://mira:s3@c/ret@h/x", "http://mira:****@h/x"),
        ("mira:s3cret@proxy:3128", "mira:****@proxy:3128"),
        ("http://h/?token=s3cret&x=1", "http://h/?token=****&x=1"),
        ("https://h/x?X-Amz-Signature=s3cret", "https://h/x?X-Amz-Signature=****"),
        ("http://h:8080/pkg@1.0", "http://h:8080/pkg@1.0"),
        ("python:3.11@sha256:abc", "python:3.11@sha256:abc"),
        ("git@h:x/y", "git@h:x/y"),
        ("tcp://u:s3cret@[::1]:2375", "tcp://u:****@[::1]:2375"),
        ("http://:s3cret@h/", "http://:****@h/"),
        ("Authorization: Basic s3cret=", "Authorization: Basic ****"),
    ],
)
def test_passwords_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
