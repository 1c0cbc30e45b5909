"""Lab 11: a stack file that ships version 2 unnoticed and survives a bad version 3."""

from __future__ import annotations

from dockerlab.course.grading.judging import Criterion, Lab
from dockerlab.lessons.lesson11_production import measures

LAB = Lab(
    number="11",
    name="ship a release",
    files=(measures.FILE,),
    prepare=measures.prepare,
    criteria=(
        Criterion(
            "deploys",
            f"Release 1 answers, with at least {measures.REPLICAS} replicas ready",
            "One replica is none while it is replaced.",
            "Does `IMAGE=any docker stack config -c stack.yaml` print the file, or what is wrong in it? How many replicas does it ask for?",
            "Under `deploy`: `replicas: 2`. The service is called `api`, joins the network `web`, and keeps `endpoint_mode: dnsrr`.",
            f"{measures.REPLICAS} or more",
            measures.deploys,
        ),
        Criterion(
            "ships",
            f"Release 2 is on every replica within {measures.WITHIN} s",
            "A release that does not arrive is none.",
            "`docker service ps` shows how far it got. Does a new replica become healthy in the time that its health check gives it?",
            "The model takes 3 s to load: a `start_period` of some seconds, and no long `delay` under `update_config`.",
            f"all of them, within {measures.WITHIN} s",
            measures.ships,
            needs=("deploys",),
        ),
        Criterion(
            "unnoticed",
            "No picture is refused while release 2 arrives",
            "A crane that gets an error stands still.",
            "When does the swarm take a replica for ready? Without a health check: as soon as its process runs. 503 means that the model was not loaded yet.",
            "A `healthcheck` that asks what a crane needs: `python -m app.healthcheck` ends with 0 only when /health answers 200. An open port says nothing.",
            "0 failed",
            measures.unnoticed,
            needs=("ships",),
        ),
        Criterion(
            "uploads",
            f"Nor one that takes {measures.UPLOAD:g} s to arrive",
            "The slowest line belongs to the crane that needs you most.",
            "How long does a replica that has been told to stop get to answer what it has begun? Then it is killed.",
            "`stop_grace_period` is longer than the longest request; without the line it is 10 s.",
            "0 cut off",
            measures.uploads,
            needs=("unnoticed",),
        ),
        Criterion(
            "capacity",
            f"At no time are fewer than {measures.REPLICAS} replicas ready",
            "At noon one replica cannot do the work of two.",
            "In which order are replicas replaced: first the old one out, or first the new one in?",
            "`order: start-first` under `update_config`, or one replica more than you need.",
            f"{measures.REPLICAS} or more",
            measures.capacity,
            needs=("unnoticed",),
        ),
        Criterion(
            "back",
            f"Within {measures.WITHIN} s of the bad release 3, release 2 runs on all replicas again",
            "Bad releases come on Friday evening.",
            "What does the swarm do when a new replica fails? `docker service inspect --pretty NAME` shows the failure action of the update.",
            "`failure_action: rollback` under `update_config`; its default is pause. A ratio above 0 in `max_failure_ratio` forgives failures.",
            "release 2 only, by itself",
            measures.back,
            needs=("unnoticed", "uploads", "capacity"),
        ),
        Criterion(
            "survives",
            "No picture is refused while release 3 comes and goes",
            "The best bad release is the one that nobody saw.",
            "Which replica was stopped before the new one was healthy?",
            "`order: start-first`, for the rollback too: `rollback_config`.",
            "0 failed",
            measures.survives,
            needs=("unnoticed", "uploads", "capacity"),
        ),
    ),
)
