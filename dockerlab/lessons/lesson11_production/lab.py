"""Lab 11: a stack file that ships version 2 unnoticed and survives a bad version 3."""

from __future__ import annotations

from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Lab
from dockerlab.lessons.lesson11_production import measures

LAB = Lab(
    number="11",
    name="ship a release",
    files=(measures.FILE,),
    prepare=measures.prepare,
    criteria=criteria.read(
        "11",
        {
            "deploys": measures.deploys,
            "ships": measures.ships,
            "unnoticed": measures.unnoticed,
            "uploads": measures.uploads,
            "capacity": measures.capacity,
            "back": measures.back,
            "survives": measures.survives,
        },
        REPLICAS=measures.REPLICAS,
        WITHIN=measures.WITHIN,
        UPLOAD=measures.UPLOAD,
    ),
)
