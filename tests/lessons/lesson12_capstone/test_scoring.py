"""The capstone's measures: what is read off compose files and containers, and the bare application itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dockerlab.containers.privileges import Mount
from dockerlab.lessons.lesson12_capstone import application, scoring
from dockerlab.lessons.lesson12_capstone.scorecard import beside


def test_the_bare_application_keeps_its_own_promises() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(application.BARE),
        "-c",
        "/dev/null",
        "tests",
    ]
    done = subprocess.run(
        command, cwd=application.BARE, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_its_own_answers_are_the_names_of_the_pictures() -> None:
    answers = application.own_answers()
    assert {name: max(scores, key=scores.__getitem__) for name, scores in answers.items()} == {
        name: name.split("-")[0] for name in answers
    }


def test_pictures_are_drawn_from_their_seed_alone(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "train/walls.py", str(tmp_path)],
        cwd=application.BARE,
        check=True,
        timeout=60,
        capture_output=True,
    )
    for path in scoring.samples():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_training_writes_a_model_that_the_server_reads(tmp_path: Path) -> None:
    model = tmp_path / "walls.onnx"
    command = [sys.executable, "train/train.py", str(model), "--pictures", "100", "--epochs", "1"]
    subprocess.run(command, cwd=application.BARE, check=True, timeout=120, capture_output=True)
    code = "import sys; from pathlib import Path; from app.classifier import Classifier; print(Classifier(Path(sys.argv[1]), 1).labels)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)],
        cwd=application.BARE,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "['sound', 'rust', 'dent', 'hole']"


def test_a_measurement_replaces_image_port_and_limits_and_asks_health_often() -> None:
    config = {
        "services": {
            "api": {
                "build": {"context": "."},
                "ports": [{"target": 8000, "published": "8000"}],
                "mem_limit": "8g",
                "deploy": {},
                "read_only": True,
            },
            "cache": {
                "image": "redis",
                "container_name": "cache",
                "healthcheck": {"test": ["CMD", "redis-cli", "ping"], "interval": "1m0s"},
            },
            "other": {"image": "x"},
        }
    }
    measured = scoring.measured_config(config, "tag:1", checked=True)
    api = measured["services"]["api"]
    assert (
        api["image"] == "tag:1"
        and "build" not in api
        and "deploy" not in api
        and api["mem_limit"] == "256m"
        and api["read_only"]
    )
    assert "published" not in api["ports"][0]
    assert api["healthcheck"] == scoring.PACE
    cache = measured["services"]["cache"]
    assert (cache["image"], cache["healthcheck"]) == (
        "redis",
        {"test": ["CMD", "redis-cli", "ping"]} | scoring.PACE,
    ) and "container_name" not in cache
    assert all(
        service["pids_limit"] == 512 and service["logging"]["options"]["max-size"] == "10m"
        for service in measured["services"].values()
    )
    assert "healthcheck" not in measured["services"]["other"]
    assert "healthcheck" not in scoring.measured_config(config, "tag:1", checked=False)["services"]["api"]
    assert config["services"]["api"]["mem_limit"] == "8g"


LOCKED = {"ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges:true"]}


@pytest.mark.parametrize(
    ("host", "uid", "faults"),
    [
        (LOCKED, 10001, []),
        (LOCKED | {"CapDrop": ["CAP_ALL"], "SecurityOpt": ["no-new-privileges"]}, 10001, []),
        (LOCKED, 0, ["it runs as root"]),
        (LOCKED | {"CapAdd": ["NET_ADMIN"]}, 1, ["it keeps capabilities"]),
        (LOCKED | {"PidMode": "host"}, 1, ["it shares the host's processes"]),
        (LOCKED | {"NetworkMode": "host"}, 1, ["it shares the host's network"]),
        (LOCKED | {"Devices": [{"PathOnHost": "/dev/sda"}]}, 1, ["devices of the host are open to it"]),
        (
            LOCKED | {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]},
            1,
            ["no filter stands before the kernel"],
        ),
        (LOCKED | {"SecurityOpt": ["no-new-privileges:false"]}, 1, ["it may gain privileges"]),
        (
            {"CapDrop": None, "SecurityOpt": None},
            1,
            ["its file system can be written", "it keeps capabilities", "it may gain privileges"],
        ),
    ],
)
def test_rights_are_read_off_the_container(host: dict[str, object], uid: int, faults: list[str]) -> None:
    assert scoring.rights({"HostConfig": host}, [uid]) == faults


def test_mounts_are_rights_too() -> None:
    secret = Mount("bind", "/home/ann/lab/secrets/api_token.txt", "/run/secrets/api_token", writable=False)
    assert (
        scoring.rights(
            {"HostConfig": LOCKED},
            [1],
            [secret, Mount("volume", "/var/lib/docker/volumes/x/_data", "/data", writable=True)],
        )
        == []
    )
    assert scoring.rights(
        {"HostConfig": LOCKED}, [1], [Mount("bind", "/run/docker.sock", "/tmp/calm", writable=False)]
    ) == ["the engine's socket comes with the mount at /tmp/calm"]
    assert scoring.rights(
        {"HostConfig": LOCKED}, [1], [Mount("bind", "/home/ann/lab/app", "/srv/app", writable=True)]
    ) == ["it may write to /home/ann/lab/app of the host"]


def test_pictures_that_decide_are_new_each_time(tmp_path: Path) -> None:
    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        made.append({path.name: path.read_bytes() for path in application.draw(tmp_path / name)})
    assert not made[0].keys() & made[1].keys() and {name.split("-")[0] for name in made[0]} == {
        "sound",
        "rust",
        "dent",
        "hole",
    }
    answers = application.own_answers(tmp_path / "a")
    right = [max(scores, key=scores.__getitem__) == name.split("-")[0] for name, scores in answers.items()]
    assert answers.keys() == made[0].keys() and sum(right) >= 4


def test_litter_carries_the_token_where_tokens_are_kept(tmp_path: Path) -> None:
    folder = application.litter(application.bare(tmp_path / "bare"))
    assert all(application.TOKEN in (folder / name).read_text() for name in application.SECRET_FILES)
    assert application.OLD_TOKEN in (application.BARE / ".env").read_text()
    assert not list(application.BARE.rglob("Dockerfile*")) and not list(application.BARE.rglob("compose*"))


def test_cards_stand_beside_each_other() -> None:
    from tests.lessons.lesson12_capstone.test_charts_scorecard import card

    table = beside({"mine": card("mine", lint=2), "ours": card("ours")})
    assert json.loads(table.to_json())["mine"]["lint"] == "✗ 2 findings"


def test_an_instruction_is_known_again_in_the_history() -> None:
    assert scoring._words("COPY --link --from=packages /opt/site /opt/site") == "COPY /opt/site /opt/site"
    assert (
        scoring._words("RUN --mount=type=cache,target=/x  pip install --target /opt/site")
        == "RUN pip install --target /opt/site"
    )


def test_everyone_may_read_a_folder_whatever_its_modes_were(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed/file").write_text("x")
    (tmp_path / "closed/file").chmod(0o600)
    application.readable(tmp_path)
    assert (
        (tmp_path / "closed").stat().st_mode & 0o777,
        (tmp_path / "closed/file").stat().st_mode & 0o777,
    ) == (0o755, 0o644)
