"""Every platform's manifest says what the description says, is valid by the platform's rules, and a usual mistake is noticed."""

from __future__ import annotations

import shutil
import sys

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.lessons.lesson11_production import manifest_checks, manifests

DIGEST = "sha256:" + "0123456789abcdef" * 4
ONE = manifests.Deployment(
    "detection", f"registry.example/detection@{DIGEST}", environment={"CONFIDENCE": "0.4"}
)
KEYS = list(manifests.PLATFORMS)
NO_IMAGE = {"railway"}  # the image is set in the project
NO_GRACE = {"container-instances", "cloud-run"}  # theirs is fixed


def needs_docker(platform: str) -> None:
    if platform == "swarm" and not shutil.which("docker"):
        pytest.skip("`docker stack config` needs the docker command")


@pytest.mark.parametrize("platform", KEYS)
def test_a_manifest_is_valid(platform: str) -> None:
    needs_docker(platform)
    assert manifest_checks.problems(platform, manifests.write(ONE, platform)) == []


@pytest.mark.parametrize("platform", KEYS)
def test_the_usual_mistake_is_noticed_and_named(platform: str) -> None:
    needs_docker(platform)
    text = manifests.write(ONE, platform)
    found = manifest_checks.problems(platform, manifest_checks.spoilt(platform, text))
    assert found and all(problem.strip() for problem in found)


@pytest.mark.parametrize("platform", [key for key in KEYS if key not in ("kubernetes", "ecs", "swarm")])
def test_a_misspelt_field_is_noticed(platform: str) -> None:
    text = manifests.write(ONE, platform)
    word = {
        "cloud-run": "timeoutSeconds",
        "container-apps": "minReplicas",
        "container-instances": "restartPolicy",
        "render": "numInstances",
        "railway": "healthcheckPath",
        "fly": "kill_timeout",
        "nomad": "KillTimeout",
    }[platform]
    assert text.count(word) == 1
    assert manifest_checks.problems(platform, text.replace(word, f"{word}s"))


@pytest.mark.parametrize("platform", KEYS)
def test_it_says_what_the_description_says(platform: str) -> None:
    text = manifests.write(
        manifests.Deployment(
            "detection", ONE.image, grace_seconds=47, replicas=3, environment={"CONFIDENCE": "0.4321"}
        ),
        platform,
    )
    assert platform in NO_IMAGE or (DIGEST in text and "0.4321" in text)
    assert platform in NO_GRACE or "47" in text or "52" in text
    assert "/health" in text or "app.healthcheck" in text


def test_a_tag_is_no_image() -> None:
    with pytest.raises(CourseError, match="names no digest"):
        manifests.Deployment("detection", "detection:latest")


def test_every_platform_has_a_mistake_a_check_and_a_reason() -> None:
    assert set(KEYS) == set(manifest_checks.MISTAKES)
    assert all(
        manifest_checks.checked_by(key) and each.choose_when and each.bad_release
        for key, each in manifests.PLATFORMS.items()
    )
    assert len(manifest_checks.choices()) == len(KEYS) == 10
    own = {path.stem for path in manifest_checks.SCHEMAS.glob("*.json")}
    assert own == {key for key in KEYS if manifest_checks.OWN in manifest_checks.checked_by(key)}


@pytest.mark.parametrize(
    ("platform", "module", "package"),
    [("kubernetes", "kubernetes_validate", "kubernetes-validate"), ("ecs", "cfnlint.api", "cfn-lint")],
)
def test_a_missing_tool_of_this_lesson_is_one_sentence_with_its_command(
    monkeypatch, platform: str, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CourseError) as caught:
        manifest_checks.problems(platform, manifests.write(ONE, platform))
    assert caught.value.what == f"{package} is not installed." and "'.[production]'" in caught.value.fix
