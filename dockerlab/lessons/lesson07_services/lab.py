"""Lab 07: keep a service running. Four containers of the submission are put through their drills at the same time."""

from __future__ import annotations

from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Lab
from dockerlab.lessons.lesson07_services import measures

LAB = Lab(
    number="07",
    name="keep a service running",
    files=("Dockerfile", "run.py"),
    prepare=measures.begin,
    criteria=criteria.read(
        "07",
        {
            "runs": measures.runs,
            "private": measures.private,
            "green": measures.result("health", "green"),
            "red": measures.result("health", "red"),
            "hang": measures.result("hang", "hang"),
            "crash": measures.result("crash", "crash"),
            "memory": measures.result("crash", "memory"),
            "stop": measures.result("stop", "stop"),
            "finish": measures.result("stop", "finish"),
            "logs": measures.result("stop", "logs"),
            "data": measures.result("stop", "data"),
        },
        START=measures.START,
        GREEN=measures.GREEN,
        RED=measures.RED,
        BACK=measures.BACK,
        MEMORY_MB=measures.MEMORY_MB,
        SMALL_MB=measures.SMALL_MB,
        LARGE_MB=measures.LARGE_MB,
        STOP=measures.STOP,
        NIGHT_MB=measures.NIGHT_MB,
        LOG_MB=measures.LOG_MB,
    ),
)
