"""Is a manifest what its platform takes? Checked without a network, by the platform's own schema where a package ships one.

Where none does, a small schema in dockerlab/schemas says what the platform's public documentation says about the fields that we use:
it knows no other field, so it may refuse what the platform would take, and finds a misspelt name.
"""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jsonschema import Draft202012Validator

from dockerlab.core.errors import CourseError, of_extra
from dockerlab.lessons.lesson11_production import rollout
from dockerlab.lessons.lesson11_production.manifests import PLATFORMS

SCHEMAS = Path(__file__).with_name("schemas")
KUBERNETES = "1.34"
OWN = "a small schema of this course"


def problems(platform: str, text: str) -> list[str]:
    """What is wrong with a manifest, a line each; empty where it is valid."""
    return list(_CHECKS.get(platform, (OWN, _by_own_schema(platform)))[1](text))


def checked_by(platform: str) -> str:
    """Whose rules `problems` knows for this platform."""
    return _CHECKS.get(platform, (OWN, None))[0]


def _kubernetes(text: str) -> Iterator[str]:
    with of_extra("production", "kubernetes-validate"):
        import kubernetes_validate

    for document in yaml.safe_load_all(text):
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{document.get('kind')}: {'.'.join(map(str, error.path))}: {error.message}"


def _cloudformation(text: str) -> Iterator[str]:
    with of_extra("production", "cfn-lint"):
        from cfnlint.api import lint
        from cfnlint.config import ManualArgs

    for match in lint(text, config=ManualArgs(regions=["eu-central-1"])):
        yield f"{match.rule.id}: {match.message}"


def _stack(text: str) -> Iterator[str]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "stack.yaml")
        file.write_text(text, encoding="utf-8")
        try:
            rollout.config(file)
        except CourseError as error:
            yield error.what


def _cloud_run(text: str) -> Iterator[str]:
    """The envelope by our schema; its containers by Kubernetes' own, since Knative takes those."""
    yield from _by_own_schema("cloud-run")(text)
    for container in yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pod"},
            "spec": {"containers": [{"name": "container"} | container]},
        }
        yield from _kubernetes(yaml.safe_dump(pod))


def _by_own_schema(platform: str) -> Callable[[str], Iterator[str]]:
    def check(text: str) -> Iterator[str]:
        schema = json.loads((SCHEMAS / f"{platform}.json").read_text(encoding="utf-8"))
        for error in sorted(
            Draft202012Validator(schema).iter_errors(parse(platform, text)),
            key=lambda each: list(map(str, each.path)),
        ):
            yield f"{'.'.join(map(str, error.path)) or 'the file'}: {error.message}"

    return check


_CHECKS: Mapping[str, tuple[str, Callable[[str], Iterator[str]]]] = {
    "kubernetes": (f"Kubernetes {KUBERNETES}'s own schemas (kubernetes-validate)", _kubernetes),
    "ecs": ("CloudFormation's own schemas and rules (cfn-lint)", _cloudformation),
    "swarm": ("Docker itself (`docker stack config`)", _stack),
    "cloud-run": (f"Kubernetes' schema of a container, and {OWN}", _cloud_run),
}


def parse(platform: str, text: str) -> Any:
    """The first document of a manifest as data."""
    suffix = PLATFORMS[platform].file.rpartition(".")[2]
    return {"json": json.loads, "toml": tomllib.loads}.get(
        suffix, lambda text: next(yaml.safe_load_all(text))
    )(text)


# A mistake that people make on each platform: where, and what they write there. None takes the field away.
MISTAKES: Mapping[str, tuple[tuple[Any, ...], Any, str]] = {
    "swarm": (
        ("services", "detection", "deploy", "update_config", "order"),
        "start_first",
        "order: start_first",
    ),
    "kubernetes": (("spec", "replicas"), "2", 'replicas: "2", a text'),
    "nomad": (("Job", "TaskGroups", 0, "Update", "MinHealthyTime"), "5s", 'MinHealthyTime: "5s" in JSON'),
    "ecs": (("Resources", "Task", "Properties", "Memory"), "512", "512 MB beside 1 CPU"),
    "cloud-run": (
        ("spec", "template", "metadata", "annotations", "autoscaling.knative.dev/minScale"),
        0,
        "minScale: 0, a number",
    ),
    "container-apps": (
        ("properties", "template", "containers", 0, "resources", "memory"),
        "2048Mi",
        "memory: 2048Mi",
    ),
    "container-instances": (("properties", "osType"), None, "no osType"),
    "render": (("services", 0, "image"), "detection", "image: a plain text"),
    "railway": (("deploy", "restartPolicyType"), "on-failure", "restartPolicyType: on-failure"),
    "fly": (("http_service", "internal_port"), "8000", 'internal_port = "8000"'),
}


def spoilt(platform: str, text: str) -> str:
    """The manifest with the mistake of its platform in it."""
    path, value, _ = MISTAKES[platform]
    documents = [parse(platform, text)] if not text.count("\n---\n") else list(yaml.safe_load_all(text))
    place = documents[0] = copy.deepcopy(documents[0])
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    if PLATFORMS[platform].file.endswith(".toml"):
        return text.replace("internal_port = 8000", 'internal_port = "8000"')
    return (
        json.dumps(documents[0])
        if PLATFORMS[platform].file.endswith(".json")
        else yaml.safe_dump_all(documents, sort_keys=False)
    )


def table(manifests: Mapping[str, str]) -> pd.DataFrame:
    """For each manifest: who checks it, whether it passes, and whether the check notices the mistake that people make there."""
    rows = [
        (
            PLATFORMS[key].title,
            checked_by(key),
            not problems(key, text),
            MISTAKES[key][2],
            bool(problems(key, spoilt(key, text))),
        )
        for key, text in manifests.items()
    ]
    return pd.DataFrame(
        rows, columns=["platform", "checked by", "passes", "a mistake that people make", "noticed"]
    ).set_index("platform")


def choices() -> pd.DataFrame:
    """When to choose which platform."""
    rows = [
        (each.title, each.kind, each.choose_when, each.bad_release, each.to_zero)
        for each in PLATFORMS.values()
    ]
    return pd.DataFrame(
        rows, columns=["platform", "what it is", "choose it for", "a bad release", "scales to zero"]
    ).set_index("platform")
