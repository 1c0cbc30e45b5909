"""Cases of compose's, scanners' and linters' documents and of manifests from the public record, by number."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from dockerlab.containers.compose import Service, listed, with_labels
from dockerlab.containers.compose_graph import graph
from dockerlab.images import lint
from dockerlab.lessons.lesson09_security import sbom, vulnerabilities
from dockerlab.lessons.lesson11_production import manifest_checks, manifests
from dockerlab.notebook.charts.stack import stack_svg

CASES = (Path(__file__).parents[1] / "data") / "cases"


def _json(name: str) -> Any:
    return json.loads((CASES / name).read_text(encoding="utf-8"))


# Compose


def test_S01_services_of_compose_before_and_after_2_21() -> None:
    text = (CASES / "compose/S01_ps.json").read_text(encoding="utf-8")
    one = Service("web", "p-web-1", "running", "", 0)
    assert listed(text) == [one]
    assert listed(json.dumps(json.loads(text)[0]) + "\n") == [one]
    assert listed("[]\n") == listed("") == listed("null\n") == []
    assert listed('{"Service": "a", "Name": "n", "State": "exited", "Health": null, "ExitCode": null}') == [
        Service("a", "n", "exited", "", 0)
    ]


def test_S02_a_provider_is_no_image() -> None:
    services = graph(_json("compose/p1.json")).services
    assert services == {"llm": "provider: model", "web": "nginx:1.29", "worker": "built here"}


def test_S03_mounts_of_every_kind() -> None:
    mounts = graph(_json("compose/p1.json")).volumes["web"]
    assert mounts == (
        "/ → /host",
        "./conf → /etc/nginx/conf.d",
        "data → /data",
        "tmpfs → /run",
        "anonymous → /anonymous",
    )


def test_S04_every_port_is_shown_or_counted_and_udp_is_told_from_tcp() -> None:
    assert graph(_json("compose/S04_udp.json")).ports == {"dns": ("53 → 53/udp", "53 → 53")}
    drawn = graph(_json("compose/p1.json"))
    assert len(drawn.ports["web"]) == 7
    picture = stack_svg(drawn)
    assert "port 80 → 80 and 6 more" in picture and " and 3 more" in picture
    assert all(f"port {port}" in picture for port in drawn.ports["web"]) and "tmpfs → /run" in picture


@pytest.mark.parametrize(
    "config",
    [
        _json("compose/S05_null.json"),
        {},
        {"services": {"a": None}},
        {
            "services": {"a": {"ports": None, "volumes": None, "networks": None}},
            "networks": None,
            "volumes": None,
        },
    ],
)
def test_S05_nulls_are_an_empty_graph(config: Mapping[str, Any]) -> None:
    drawn = graph(config)
    assert (drawn.networks, drawn.volumes, drawn.ports, drawn.depends) == ({}, {}, {}, {})
    assert stack_svg(drawn).startswith("<svg")
    assert set(with_labels(config, {"a": "1"})["services"]) == set(drawn.services)


def test_S06_circles_profiles_and_labels() -> None:
    assert graph(_json("compose/S06_circle.json")).depends == {"a": ("b",), "b": ("a",)}
    assert "<svg" in stack_svg(graph(_json("compose/S06_circle.json")))
    assert set(with_labels(_json("compose/p1.json"), {"a": "1"})["services"]) == {"llm", "web", "worker"}


# Scanners


@pytest.mark.parametrize(
    "each",
    [*_json("scan/V01_tilde.json"), *_json("scan/V02_names.json")],
    ids=lambda each: f"{each['package']}-{each['installed']}",
)
def test_V01_V02_packages_against_advisories(each: Mapping[str, Any]) -> None:
    packages = pd.DataFrame([(each["package"], each["installed"], each["kind"], "")], columns=sbom.COLUMNS)
    advisory = {
        "id": "CVE-1",
        "kind": each["kind"],
        "package": each["advised"],
        "fixed": each["fixed"],
        "severity": "HIGH",
        "title": "t",
    }
    assert (
        bool(len(vulnerabilities.findings(vulnerabilities.match(packages, [advisory])))) == each["affected"]
    )


# From deb-version(7) and the order that `dpkg --compare-versions` gives, each lower than the next.
ORDER = [
    "0~~",
    "0~~a",
    "0~",
    "0",
    "0a",
    "0a-1",
    "0a-1+b1",
    "0+",
    "0.0~rc1-1",
    "0.0-1~bpo12+1",
    "0.0-1",
    "0.0-1+deb12u1",
    "0.0-1.1",
    "0.0-10",
    "0.1-1-1",
    "1.0~beta",
    "1.0",
    "1.0+dfsg",
    "1.0.1",
    "1.9",
    "1.10",
    "2:0.1",
]


def test_V01_debian_versions_are_in_dpkgs_order() -> None:
    for lower, higher in itertools.combinations(ORDER, 2):
        assert _hit(lower, higher) and not _hit(higher, lower), (lower, higher)
    for same, as_this in (("1.0", "0:1.0"), ("1.0", "1.00"), ("1.0", "1.0-0"), ("01", "1")):
        assert not _hit(same, as_this) and not _hit(as_this, same)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is on Debian only")
def test_V01_the_table_is_dpkgs() -> None:
    for lower, higher in itertools.pairwise(ORDER):
        assert (
            subprocess.run(["dpkg", "--compare-versions", lower, "lt", higher], check=False).returncode == 0
        ), (lower, higher)


def _hit(installed: str, fixed: str) -> bool:
    packages = pd.DataFrame([("p", installed, "deb", "")], columns=sbom.COLUMNS)
    known = [{"id": "C", "kind": "deb", "package": "p", "fixed": fixed, "severity": "LOW", "title": ""}]
    return bool(len(vulnerabilities.findings(vulnerabilities.match(packages, known))))


def test_V02_a_name_is_compared_by_the_rules_of_its_kind() -> None:
    packages = pd.DataFrame([("A.b", "1", "deb", ""), ("A.b", "1", "python", "")], columns=sbom.COLUMNS)
    known = [
        {"id": "C", "kind": kind, "package": "a-b", "fixed": "", "severity": "LOW", "title": ""}
        for kind in ("deb", "python")
    ]
    assert list(vulnerabilities.findings(vulnerabilities.match(packages, known))["package"]) == ["A.b"]
    unknown = [{"id": "C", "kind": "npm", "package": "x", "fixed": "2", "severity": "LOW", "title": ""}]
    with pytest.raises(vulnerabilities.BadReport, match="npm"):
        vulnerabilities.match(pd.DataFrame([("x", "1", "npm", "")], columns=sbom.COLUMNS), unknown)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("scan/V04_trivy_no_severity.json", ["UNKNOWN", "a", "1", "no fix", "CVE-1", ""]),
        ("scan/V04_grype_description_null.json", ["HIGH", "b", "1", "no fix", "CVE-2", ""]),
    ],
)
def test_V04_nulls_in_reports(name: str, row: list[str]) -> None:
    assert vulnerabilities.findings(_json(name)).iloc[0].tolist() == row


@pytest.mark.parametrize(
    "report",
    [
        {"Results": None, "SchemaVersion": 2},
        {"Results": [None]},
        {"Results": [{"Vulnerabilities": None}]},
        {"matches": None},
    ],
)
def test_V04_reports_without_a_finding(report: Mapping[str, Any]) -> None:
    assert len(vulnerabilities.findings(report)) == 0


@pytest.mark.parametrize(
    "report",
    [
        {
            "Results": [
                {
                    "Vulnerabilities": [
                        dict.fromkeys(
                            (
                                "Severity",
                                "PkgName",
                                "InstalledVersion",
                                "FixedVersion",
                                "VulnerabilityID",
                                "Title",
                            )
                        )
                    ]
                }
            ]
        },
        {"Results": [{"Vulnerabilities": [None]}]},
        {"matches": [{}]},
        {"matches": [{"vulnerability": None, "artifact": None}]},
        {"matches": [None]},
    ],
)
def test_V04_a_finding_of_nulls(report: Mapping[str, Any]) -> None:
    assert vulnerabilities.findings(report).iloc[0].tolist() == ["UNKNOWN", "", "", "no fix", "", ""]


@pytest.mark.parametrize("report", [None, [], "text", 3])
def test_V04_what_is_no_report_is_a_sentence(report: Any) -> None:
    with pytest.raises(vulnerabilities.BadReport):
        vulnerabilities.findings(report)


def test_nulls_in_a_bill_of_materials() -> None:
    assert sbom.rows({"artifacts": None}) == []
    assert sbom.rows(
        {
            "artifacts": [
                {"name": "a", "version": None, "type": None, "licenses": [None, "MIT", {"value": None}]}
            ]
        }
    ) == [["a", "", "", ", MIT"]]


# Linters


@pytest.mark.parametrize("path", sorted((CASES / "lint").iterdir()), ids=lambda path: path.name)
def test_G01_hadolint_says_something_and_nothing_breaks(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_bytes(path.read_bytes())
    try:
        found = lint.hadolint(file)
    except lint.LintFailed as error:
        assert error.what and error.why
    else:
        assert all(each.rule and each.level in lint.LEVELS for each in found)
        assert repr(lint.Annotated(file.read_bytes().decode(errors="replace"), found))


# Manifests

DIGEST = "sha256:" + "0123456789abcdef" * 4
AWKWARD = {
    "dollar": "pa$word",
    "dollars": "a$$b",
    "variable": "x${HOME}y",
    "bare": "$HOME",
    "kubernetes": "$(HOME) $$(HOME)",
    "template": "{{.Node.ID}} {{ x }}",
    "percent": "%{ if true }x",
    "quotes": "a'b\"c",
    "newline": "two\nlines\n",
    "tab": "a\tb",
    "backslash": "C:\\new\\table",
    "unicode": "Grüße 🚢",
    "delete": "a\x7fb",
    "zeros": "007",
    "eights": "08",
    "float": "1e3",
    "underscores": "1_000",
    "octal": "0o17",
    "hexadecimal": "0x1F",
    "minutes": "12:30:45",
    "date": "2001-01-01",
    "truth": "yes",
    "short": "y",
    "no": "NO",
    "null": "null",
    "tilde": "~",
    "empty": "",
    "spaces": "  a  ",
    "remark": "a # b",
    "colon": "a: b",
    "dash": "- a",
    "brace": "{a}",
    "star": "*a",
    "bang": "!a",
    "at": "@a",
    "back": "`a`",
    "long": "word " * 60,
    "equals": "a=b",
    "merge": "<<",
    "infinite": ".inf",
}
NAMES = {"a.b": "1", "A-B": "2", "with space": "3", 'q"uote': "4"}


def _one(environment: Mapping[str, str]) -> manifests.Deployment:
    return manifests.Deployment("detection", f"registry.example/detection@{DIGEST}", environment=environment)


# Where each platform keeps the variables, as it reads the file.
PLACES: Mapping[str, Any] = {
    "cloud-run": lambda read: read["spec"]["template"]["spec"]["containers"][0]["env"],
    "ecs": lambda read: read["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0]["Environment"],
    "container-apps": lambda read: read["properties"]["template"]["containers"][0]["env"],
    "container-instances": lambda read: read["properties"]["containers"][0]["properties"][
        "environmentVariables"
    ],
    "render": lambda read: [each for each in read["services"][0]["envVars"] if each["key"] != "PORT"],
    "fly": lambda read: read["env"],
    "nomad": lambda read: read["Job"]["TaskGroups"][0]["Tasks"][0]["Env"],
}


def _variables(place: Any) -> dict[str, str]:
    return (
        place
        if isinstance(place, dict)
        else {
            each.get("name", each.get("Name", each.get("key"))): each.get("value", each.get("Value"))
            for each in place
        }
    )


@pytest.mark.parametrize("platform", PLACES)
def test_every_platform_reads_back_the_value_that_was_given(platform: str) -> None:
    text = manifests.write(_one(AWKWARD | NAMES), platform)
    assert _variables(PLACES[platform](manifest_checks.parse(platform, text))) == AWKWARD | NAMES


def _expanded(value: str, known: Mapping[str, str]) -> str:
    """What Kubernetes makes of a value: $(NAME) is put in, $$ is one $ (k8s.io/kubernetes third_party/forked/golang/expansion)."""
    made, position = "", 0
    while position < len(value):
        if value[position] != "$" or position + 1 == len(value):
            made, position = made + value[position], position + 1
        elif value[position + 1] == "$":
            made, position = made + "$", position + 2
        elif value[position + 1] == "(" and (end := value.find(")", position)) > 0:
            name = value[position + 2 : end]
            made, position = made + known.get(name, f"$({name})"), end + 1
        else:
            made, position = made + value[position], position + 1
    return made


def test_kubernetes_reads_back_the_value_that_was_given() -> None:
    read = next(yaml.safe_load_all(manifests.write(_one(AWKWARD), "kubernetes")))
    values = _variables(read["spec"]["template"]["spec"]["containers"][0]["env"])
    assert {name: _expanded(value, {"HOME": "/root"}) for name, value in values.items()} == AWKWARD


@pytest.mark.skipif(not shutil.which("docker"), reason="`docker stack config` needs the docker command")
def test_M01_swarm_reads_back_the_value_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = _json("manifests/M01_swarm.json") | AWKWARD
    monkeypatch.setenv("HOME", "/home/of/whoever/deploys")
    file = tmp_path / "stack.yaml"
    file.write_text(manifests.write(_one(given), "swarm"), encoding="utf-8")
    done = subprocess.run(
        ["docker", "stack", "config", "-c", str(file)], capture_output=True, text=True, check=True
    )
    read = yaml.load(done.stdout, yaml.BaseLoader)["services"]["detection"]["environment"]
    # `docker stack config` puts variables in; Swarm's templates are put in later, when a container starts.
    assert {name: value.replace('{{"{{"}}', "{{") for name, value in read.items()} == given
    assert manifest_checks.problems("swarm", file.read_text(encoding="utf-8")) == []


def test_M03_fly_quotes_a_name_that_is_no_bare_key() -> None:
    given = _json("manifests/M03_fly.json")
    assert tomllib.loads(manifests.write(_one(given), "fly"))["env"] == given
    assert '"a.b" = ' in manifests.write(_one(given), "fly") and "CONFIDENCE = " in manifests.write(
        _one({"CONFIDENCE": "0.4"}), "fly"
    )


@pytest.mark.parametrize("value", ["08", "1e3", "y", "0o17", "1_000", "-.5", "+1", "0b1"])
def test_a_text_that_another_reader_takes_for_a_number_is_quoted(value: str) -> None:
    """Go's readers of YAML know numbers that PyYAML writes plain."""
    assert f"value: '{value}'" in manifests.write(_one({"A": value}), "kubernetes")
