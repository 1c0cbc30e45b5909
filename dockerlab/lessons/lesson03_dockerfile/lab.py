"""Lab 03: the Dockerfile and .dockerignore of the detection API, written from a specification."""

from __future__ import annotations

from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Lab
from dockerlab.lessons.lesson03_dockerfile import measures as spec

LAB = Lab(
    number="03",
    name="write the Dockerfile",
    files=("Dockerfile",),
    prepare=spec.prepare,
    criteria=criteria.read(
        "03",
        {
            "builds": spec.builds,
            "boxes": spec.same_boxes,
            "context": spec.context_size,
            "leftovers": spec.leftovers,
            "user": spec.user,
            "health": spec.health,
            "sick": spec.sick,
            "arguments": spec.arguments,
            "settings": spec.settings,
            "stop": spec.stop,
            "ports": spec.ports,
            "rebuild": spec.rebuild,
            "base": spec.base,
            "labels": spec.labels,
        },
        CONTEXT_BYTES=spec.CONTEXT_BYTES / 1e3,
        UID=spec.UID,
        OTHER_PORT=spec.OTHER_PORT,
        DEFAULT=spec.DEFAULT,
        STOP_SECONDS=spec.STOP_SECONDS,
        PORT=spec.PORT,
        TITLE_LABEL=spec.TITLE_LABEL,
        VERSION_LABEL=spec.VERSION_LABEL,
        VERSION=spec.VERSION,
    ),
)
