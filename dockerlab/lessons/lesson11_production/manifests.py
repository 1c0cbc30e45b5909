"""One description of a service, written out for every platform. Pure: `Deployment(...)` in, text out; nothing is sent anywhere.

`write` gives the file that a platform reads; `manifest_checks` validates it without a network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from dockerlab.core.errors import CourseError


@dataclass(frozen=True)
class Deployment:
    """What to run: an image by its digest, and what it needs. CPUs and MB a replica; `grace_seconds` for requests under way at a stop."""

    name: str
    image: str
    port: int = 8000
    health: str = "/health"
    replicas: int = 2
    cpus: int = 1
    memory_mb: int = 2048
    grace_seconds: int = 30
    start_seconds: int = 30
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "@sha256:" not in self.image:
            raise CourseError(
                f"{self.image} names no digest.",
                "A tag may point elsewhere tomorrow.",
                "Write NAME@sha256:… as `docker push` printed it.",
            )


@dataclass(frozen=True)
class Platform:
    """One place to run it: the file that it reads, its kind, and when to choose it."""

    key: str
    title: str
    kind: str
    file: str
    command: str
    choose_when: str
    bad_release: str
    to_zero: str
    make: Callable[[Deployment], str]


def write(deployment: Deployment, platform: str) -> str:
    """The manifest for one platform, by its key in PLATFORMS."""
    return PLATFORMS[platform].make(deployment)


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice, as people do, and in quotes what another reader of YAML would take for a number or a truth value."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# PyYAML writes these plain, since to it they are texts; Go's readers (Kubernetes, Compose) take them for something else.
_ELSEWHERE = re.compile(
    r"[yYnN]|[-+]?(0o[0-7_]+|0b[01_]+|0x[0-9a-fA-F_]+|(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?)"
)


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="'" if _ELSEWHERE.fullmatch(text) else None
    )


_Plain.add_representer(str, _represent)


def _yaml(*documents: Any) -> str:
    return "---\n".join(
        yaml.dump(document, Dumper=_Plain, sort_keys=False, width=110) for document in documents
    )


def _pairs(deployment: Deployment, dollar: str = "$") -> list[dict[str, str]]:
    return [
        {"name": name, "value": value.replace("$", dollar)} for name, value in deployment.environment.items()
    ]


def _toml(text: str) -> str:
    """A basic string of TOML: JSON's escapes, but no surrogates, and DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _uninterpolated(value: Any) -> Any:
    """The same, for a file in which Compose puts variables in: "$$" is a "$" that stays."""
    if isinstance(value, dict):
        return {name: _uninterpolated(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_uninterpolated(each) for each in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _swarm(d: Deployment) -> str:
    service = {
        "image": d.image,
        # Swarm takes what stands in double braces for a template of its own (`docker service create`, "Create services using templates").
        "environment": {name: value.replace("{{", '{{"{{"}}') for name, value in d.environment.items()},
        "ports": [{"target": d.port, "published": 80}],
        "stop_grace_period": f"{d.grace_seconds}s",
        "healthcheck": {
            "test": ["CMD", "python", "-m", "app.healthcheck"],
            "interval": "5s",
            "timeout": "5s",
            "retries": 3,
            "start_period": f"{d.start_seconds}s",
            "start_interval": "500ms",
        },
        "deploy": {
            "replicas": d.replicas,
            "update_config": {"parallelism": 1, "order": "start-first", "failure_action": "rollback"},
            "rollback_config": {"order": "start-first"},
            "resources": {"limits": {"cpus": str(d.cpus), "memory": f"{d.memory_mb}M"}},
        },
    }
    return _yaml(_uninterpolated({"services": {d.name: service}}))


def _kubernetes(d: Deployment) -> str:
    labels = {"app.kubernetes.io/name": d.name}

    def probe(**more: Any) -> dict[str, Any]:
        return {"httpGet": {"path": d.health, "port": "http"}, **more}

    container = {
        "name": d.name,
        "image": d.image,
        "ports": [{"name": "http", "containerPort": d.port}],
        "env": _pairs(d, "$$"),  # else $(NAME) is replaced, and "$$" loses one
        "startupProbe": probe(periodSeconds=1, failureThreshold=d.start_seconds),
        "readinessProbe": probe(periodSeconds=5),
        "livenessProbe": probe(periodSeconds=10, timeoutSeconds=5),
        # Out of the endpoints first, then SIGTERM: the list takes a moment to reach every node.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {
            "requests": {"cpu": str(d.cpus), "memory": f"{d.memory_mb}Mi"},
            "limits": {"memory": f"{d.memory_mb}Mi"},
        },
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": d.name, "labels": labels},
        "spec": {
            "replicas": d.replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": 4 * d.start_seconds,
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": d.grace_seconds + 5, "containers": [container]},
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": d.name},
        "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": d.name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    }
    return _yaml(workload, service, budget)


def _cloud_run(d: Deployment) -> str:
    container = {
        "image": d.image,
        "ports": [{"containerPort": d.port}],
        "env": _pairs(d),
        "resources": {"limits": {"cpu": str(d.cpus), "memory": f"{d.memory_mb}Mi"}},
        "startupProbe": {
            "httpGet": {"path": d.health, "port": d.port},
            "periodSeconds": 1,
            "failureThreshold": d.start_seconds,
        },
        "livenessProbe": {"httpGet": {"path": d.health, "port": d.port}, "periodSeconds": 10},
    }
    template = {
        "metadata": {
            "annotations": {
                "autoscaling.knative.dev/minScale": "0",
                "autoscaling.knative.dev/maxScale": str(d.replicas * 5),
            }
        },
        "spec": {"containerConcurrency": 4, "timeoutSeconds": 60, "containers": [container]},
    }
    return _yaml(
        {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": d.name},
            "spec": {"template": template},
        }
    )


def _ecs(d: Deployment) -> str:
    names = {
        "Roles": ["ExecutionRole"],
        "Net": ["Subnets", "SecurityGroups"],
        "Door": ["TargetGroup", "Cluster"],
    }
    kinds = {"Subnets": "List<AWS::EC2::Subnet::Id>", "SecurityGroups": "List<AWS::EC2::SecurityGroup::Id>"}
    logs = {
        "LogDriver": "awslogs",
        "Options": {
            "awslogs-group": {"Ref": "Logs"},
            "awslogs-region": {"Ref": "AWS::Region"},
            "awslogs-stream-prefix": d.name,
        },
    }
    container = {
        "Name": d.name,
        "Image": d.image,
        "Essential": True,
        "PortMappings": [{"ContainerPort": d.port}],
        "Environment": [{"Name": name, "Value": value} for name, value in d.environment.items()],
        "HealthCheck": {
            "Command": ["CMD", "python", "-m", "app.healthcheck"],
            "Interval": 5,
            "Timeout": 5,
            "Retries": 3,
            "StartPeriod": d.start_seconds,
        },
        "StopTimeout": d.grace_seconds,
        "ReadonlyRootFilesystem": True,
        "LogConfiguration": logs,
    }
    task = {
        "Family": d.name,
        "RequiresCompatibilities": ["FARGATE"],
        "NetworkMode": "awsvpc",
        "Cpu": str(1024 * d.cpus),
        "Memory": str(d.memory_mb),
        "ExecutionRoleArn": {"Ref": "ExecutionRole"},
        "ContainerDefinitions": [container],
    }
    service = {
        "Cluster": {"Ref": "Cluster"},
        "LaunchType": "FARGATE",
        "DesiredCount": d.replicas,
        "TaskDefinition": {"Ref": "Task"},
        "HealthCheckGracePeriodSeconds": d.start_seconds,
        "DeploymentConfiguration": {
            "MinimumHealthyPercent": 100,
            "MaximumPercent": 200,
            "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        },
        "NetworkConfiguration": {
            "AwsvpcConfiguration": {
                "Subnets": {"Ref": "Subnets"},
                "SecurityGroups": {"Ref": "SecurityGroups"},
            }
        },
        "LoadBalancers": [
            {"ContainerName": d.name, "ContainerPort": d.port, "TargetGroupArn": {"Ref": "TargetGroup"}}
        ],
    }
    return _yaml(
        {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Parameters": {
                name: {"Type": kinds.get(name, "String")} for group in names.values() for name in group
            },
            "Resources": {
                "Logs": {
                    "Type": "AWS::Logs::LogGroup",
                    "DeletionPolicy": "Delete",
                    "UpdateReplacePolicy": "Delete",
                    "Properties": {"RetentionInDays": 14},
                },
                "Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": task},
                "Service": {"Type": "AWS::ECS::Service", "Properties": service},
            },
        }
    )


def _container_apps(d: Deployment) -> str:
    def probe(kind: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "httpGet": {"path": d.health, "port": d.port}, **more}

    container = {
        "name": d.name,
        "image": d.image,
        "env": _pairs(d),
        "resources": {"cpu": float(d.cpus), "memory": f"{d.memory_mb / 1024:g}Gi"},
        "probes": [
            probe(
                "Startup", periodSeconds=1, failureThreshold=min(10, d.start_seconds), initialDelaySeconds=5
            ),
            probe("Readiness", periodSeconds=5),
            probe("Liveness", periodSeconds=10),
        ],
    }
    scale = {
        "minReplicas": 0,
        "maxReplicas": d.replicas * 5,
        "rules": [{"name": "requests", "http": {"metadata": {"concurrentRequests": "4"}}}],
    }
    return _yaml(
        {
            "type": "Microsoft.App/containerApps",
            "name": d.name,
            "properties": {
                "configuration": {
                    "activeRevisionsMode": "Single",
                    "ingress": {"external": True, "targetPort": d.port, "transport": "auto"},
                },
                "template": {
                    "terminationGracePeriodSeconds": d.grace_seconds,
                    "containers": [container],
                    "scale": scale,
                },
            },
        }
    )


def _container_instances(d: Deployment) -> str:
    container = {
        "name": d.name,
        "properties": {
            "image": d.image,
            "ports": [{"port": d.port, "protocol": "TCP"}],
            "environmentVariables": _pairs(d),
            "resources": {"requests": {"cpu": float(d.cpus), "memoryInGB": d.memory_mb / 1024}},
            "livenessProbe": {
                "httpGet": {"path": d.health, "port": d.port, "scheme": "http"},
                "periodSeconds": 10,
                "initialDelaySeconds": d.start_seconds,
            },
        },
    }
    properties = {
        "osType": "Linux",
        "restartPolicy": "Always",
        "containers": [container],
        "ipAddress": {"type": "Public", "ports": [{"port": d.port, "protocol": "TCP"}]},
    }
    return _yaml(
        {
            "apiVersion": "2023-05-01",
            "type": "Microsoft.ContainerInstance/containerGroups",
            "name": d.name,
            "location": "westeurope",
            "properties": properties,
        }
    )


def _render(d: Deployment) -> str:
    environment = [
        {"key": name, "value": value} for name, value in {"PORT": str(d.port), **d.environment}.items()
    ]
    return _yaml(
        {
            "services": [
                {
                    "type": "web",
                    "name": d.name,
                    "runtime": "image",
                    "image": {"url": d.image},
                    "plan": "standard",
                    "region": "frankfurt",
                    "numInstances": d.replicas,
                    "healthCheckPath": d.health,
                    "maxShutdownDelaySeconds": d.grace_seconds,
                    "envVars": environment,
                }
            ]
        }
    )


def _railway(d: Deployment) -> str:
    deploy = {
        "healthcheckPath": d.health,
        "healthcheckTimeout": 4 * d.start_seconds,
        "numReplicas": d.replicas,
        "overlapSeconds": 10,
        "drainingSeconds": d.grace_seconds,
        "restartPolicyType": "ON_FAILURE",
        "restartPolicyMaxRetries": 3,
    }
    return (
        json.dumps({"$schema": "https://railway.com/railway.schema.json", "deploy": deploy}, indent=2) + "\n"
    )


def _fly(d: Deployment) -> str:
    quoted = "".join(f"  {_toml_key(name)} = {_toml(value)}\n" for name, value in d.environment.items())
    return f"""\
app = {_toml(d.name)}
primary_region = "fra"
kill_signal = "SIGTERM"
kill_timeout = "{d.grace_seconds}s"

[build]
  image = {_toml(d.image)}

[deploy]
  strategy = "bluegreen"

[env]
{quoted}
[http_service]
  internal_port = {d.port}
  force_https = true
  auto_stop_machines = "stop"
  auto_start_machines = true
  min_machines_running = {d.replicas}

  [[http_service.checks]]
    method = "GET"
    path = {_toml(d.health)}
    interval = "5s"
    timeout = "5s"
    grace_period = "{d.start_seconds}s"

[[vm]]
  cpu_kind = "shared"
  cpus = {d.cpus}
  memory = "{d.memory_mb}mb"
"""


def _nomad(d: Deployment) -> str:
    second = 1_000_000_000  # the API counts nanoseconds
    check = {"Type": "http", "Path": d.health, "Interval": 5 * second, "Timeout": 5 * second}
    task = {
        "Name": d.name,
        "Driver": "docker",
        "Config": {"image": d.image, "ports": ["http"]},
        "Env": dict(d.environment),
        "Resources": {"CPU": 1000 * d.cpus, "MemoryMB": d.memory_mb},
        "KillTimeout": d.grace_seconds * second,
    }
    group = {
        "Name": d.name,
        "Count": d.replicas,
        "Tasks": [task],
        "Networks": [{"Mode": "bridge", "DynamicPorts": [{"Label": "http", "To": d.port}]}],
        "Services": [{"Name": d.name, "PortLabel": "http", "Provider": "nomad", "Checks": [check]}],
        "Update": {
            "MaxParallel": 1,
            "Canary": 1,
            "AutoPromote": True,
            "AutoRevert": True,
            "MinHealthyTime": 5 * second,
            "HealthyDeadline": 4 * d.start_seconds * second,
            "HealthCheck": "checks",
        },
    }
    return (
        json.dumps(
            {
                "Job": {
                    "ID": d.name,
                    "Name": d.name,
                    "Type": "service",
                    "Datacenters": ["dc1"],
                    "TaskGroups": [group],
                }
            },
            indent=2,
        )
        + "\n"
    )


PLATFORMS: Mapping[str, Platform] = {
    each.key: each
    for each in (
        Platform(
            "swarm",
            "Docker Swarm",
            "orchestrator, yours",
            "stack.yaml",
            "docker stack deploy -c stack.yaml NAME",
            "a few machines of your own, and a team that knows Docker",
            "rolls back (failure_action)",
            "no",
            _swarm,
        ),
        Platform(
            "kubernetes",
            "Kubernetes",
            "orchestrator, yours or rented",
            "deployment.yaml",
            "kubectl apply -f deployment.yaml",
            "many services and teams, GPUs, or a platform team that runs it already",
            "stops; you undo it",
            "with an add-on",
            _kubernetes,
        ),
        Platform(
            "nomad",
            "Nomad",
            "orchestrator, yours",
            "job.json",
            "nomad job run -json job.json",
            "own machines with containers and other programs side by side",
            "rolls back (AutoRevert)",
            "no",
            _nomad,
        ),
        Platform(
            "ecs",
            "AWS ECS on Fargate",
            "rented, per second of a task",
            "template.yaml",
            "aws cloudformation deploy --template-file template.yaml",
            "steady load, and the rest of it lives on AWS",
            "rolls back (circuit breaker)",
            "no",
            _ecs,
        ),
        Platform(
            "cloud-run",
            "Google Cloud Run",
            "rented, per request",
            "service.yaml",
            "gcloud run services replace service.yaml",
            "load that comes and goes; a first request may wait for a start",
            "the old revision keeps the traffic",
            "yes",
            _cloud_run,
        ),
        Platform(
            "container-apps",
            "Azure Container Apps",
            "rented, per request",
            "app.yaml",
            "az containerapp create --yaml app.yaml",
            "the same, on Azure; no cluster to run",
            "the old revision keeps the traffic",
            "yes",
            _container_apps,
        ),
        Platform(
            "container-instances",
            "Azure Container Instances",
            "rented, per second",
            "group.yaml",
            "az container create --file group.yaml",
            "one container for a job or a test: no replicas, no rolling update",
            "is served",
            "stop it yourself",
            _container_instances,
        ),
        Platform(
            "render",
            "Render",
            "rented, per month",
            "render.yaml",
            "git push, with a Blueprint",
            "a small team that wants a URL from a file in its repository",
            "the old one stays",
            "no",
            _render,
        ),
        Platform(
            "railway",
            "Railway",
            "rented, per use",
            "railway.json",
            "railway up",
            "prototypes, and a service with its database in one place",
            "the old one stays",
            "if switched on",
            _railway,
        ),
        Platform(
            "fly",
            "Fly.io",
            "rented, per second of a machine",
            "fly.toml",
            "fly deploy",
            "small machines near users in several regions",
            "the old ones stay (bluegreen)",
            "yes",
            _fly,
        ),
    )
}
