"""What a stack file does to the users: two releases shipped under load, on a swarm of one node that the check makes and leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from dockerlab.containers import swarm
from dockerlab.containers.compose import limits_of
from dockerlab.course.grading.judging import BOUNDS, LOG, Outcome, Submission
from dockerlab.detection import api_client
from dockerlab.lessons.lesson11_production import rollout
from dockerlab.lessons.lesson11_production.rollout import Rollout, Trial

FILE = "stack.yaml"
REPLICAS = 2
WITHIN = 90  # seconds for a release, and for the way back
UPLOAD = 5.0  # seconds that a crane on a bad line takes for a picture


def prepare(submission: Submission) -> None:
    """Refuse a machine on which no swarm may be begun, and build what is shipped."""
    if why := swarm.refusal(submission.client):
        raise swarm.SwarmTaken(f"{why}.", "The check needs a swarm of its own.", swarm.ADVICE)
    submission.state["images"] = rollout.build_releases("dockerlab-lab11", submission.client)


def deploys(submission: Submission) -> Outcome:
    """Release 1 answers through the door, with replicas enough."""
    ready = _trial(submission).ready("v1")
    return Outcome(ready >= REPLICAS, f"{ready} ready")


def ships(submission: Submission) -> Outcome:
    """Every replica runs release 2 in time."""
    done = _second(submission)
    got = done.ready.get(submission.state["images"]["v2"], 0)
    measured = f"{got} of {sum(done.ready.values())} replicas after {done.seconds:.0f} s" + (
        f"; the update: {done.state}" if done.state != "completed" else ""
    )
    return Outcome(got > 0 and len(done.ready) == 1 and done.seconds < WITHIN, measured)


def unnoticed(submission: Submission) -> Outcome:
    """No picture is refused meanwhile."""
    return _none_failed(_second(submission))


def uploads(submission: Submission) -> Outcome:
    """Nor one that was on its way when a replica was told to stop."""
    seen = _second(submission).uploads
    return Outcome(
        bool(seen.samples) and not seen.failed, f"{len(seen.failed)} of {len(seen.samples)} were cut off"
    )


def capacity(submission: Submission) -> Outcome:
    """As many replicas are ready as before, at any time."""
    fewest = _second(submission).fewest
    return Outcome(fewest >= REPLICAS, f"{fewest} at the least")


def back(submission: Submission) -> Outcome:
    """Nobody has to undo the bad release."""
    done, images = _third(submission), submission.state["images"]
    runs = ", ".join(
        f"{count} of release {release[1:]}"
        for release, image in images.items()
        if (count := done.ready.get(image, 0))
    )
    good = (
        set(done.ready) == {images["v2"]}
        and sum(done.ready.values()) >= REPLICAS
        and not done.state.endswith("paused")
    )
    return Outcome(
        good and done.seconds < WITHIN,
        f"{runs or 'none is ready'} after {done.seconds:.0f} s; the update: {done.state or 'not over'}",
    )


def survives(submission: Submission) -> Outcome:
    """And nobody notices it."""
    return _none_failed(_third(submission))


def _trial(submission: Submission) -> Trial:
    def begin() -> Trial:
        file, bounds = submission.folder / FILE, submission.scratch() / "bounds.json"  # JSON is YAML
        bounds.write_text(json.dumps(bounded(yaml.safe_load(rollout.config(file)))), encoding="utf-8")
        return submission.enter(
            Trial(file, submission.state["images"], submission.client, submission.name("stack"), [bounds])
        )

    return submission.cached("trial", begin)


def bounded(config: Mapping[str, Any]) -> dict[str, Any]:
    """A file that bounds the log, memory and processes of every service in `docker stack config` which leaves them open. Pure.

    Files of formats before 3.9 know no bound of processes, and files of two formats cannot be merged.
    """
    version = str(config["version"])
    services: dict[str, dict[str, Any]] = {}
    for name, service in (config.get("services") or {}).items():
        bounds = {"memory": BOUNDS["mem_limit"]} | (
            {"pids": BOUNDS["pids_limit"]} if tuple(map(int, version.split("."))) >= (3, 9) else {}
        )
        services[name] = {"deploy": {"resources": {"limits": {**bounds, **limits_of(service)}}}}
        if "logging" not in service:
            services[name]["logging"] = {"driver": "json-file", "options": LOG}
    return {"version": version, "services": services}


def _second(submission: Submission) -> Rollout:
    return submission.cached(
        "v2", lambda: _trial(submission).ship("v2", api_client.samples()[0], UPLOAD, WITHIN)
    )


def _third(submission: Submission) -> Rollout:
    return submission.cached(
        "v3", lambda: _trial(submission).ship("v3", api_client.samples()[0], patience=WITHIN)
    )


def _none_failed(done: Rollout) -> Outcome:
    failed = done.seen.failed
    kinds = ", ".join(sorted({str(sample.status or sample.error) for sample in failed}))
    return Outcome(
        bool(done.seen.samples) and not failed,
        f"{len(failed)} of {len(done.seen.samples)} failed" + (f" ({kinds})" if failed else ""),
    )
