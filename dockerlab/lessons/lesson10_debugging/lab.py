"""Lab 10: ten broken set-ups, each with one line of symptom; judged by how the mended ones run."""

from __future__ import annotations

from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Lab
from dockerlab.lessons.lesson10_debugging import measures

LAB = Lab(
    number="10",
    name="mend ten containers",
    prepare=measures.begin,
    criteria=criteria.read(
        "10",
        {
            "silence": measures.result("01_silence"),
            "windows": measures.result("02_windows"),
            "door": measures.result("03_door"),
            "volume": measures.result("04_volume"),
            "memory": measures.result("05_memory"),
            "library": measures.result("06_library"),
            "neighbour": measures.result("07_neighbour"),
            "health": measures.health,
            "ignored": measures.result("09_ignored"),
            "disk": measures.result("10_disk"),
        },
        MEMORY_MB=measures.MEMORY / 1e6,
    ),
)
