"""Lab 06: three customers, three ways to deliver a model: baked for a crane, mounted for a yard, downloaded and kept for a fleet."""

from __future__ import annotations

from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Lab
from dockerlab.lessons.lesson06_ml_images import measures

LAB = Lab(
    number="06",
    name="deliver the model",
    prepare=measures.begin,
    criteria=criteria.read(
        "06",
        {
            "edge_offline": measures.edge_offline,
            "lean": measures.lean,
            "yard_swap": measures.yard_swap,
            "yard_readonly": measures.yard_readonly,
            "fleet_choice": measures.fleet_choice,
            "fleet_cache": measures.fleet_cache,
            "fleet_retry": measures.fleet_retry,
            "fleet_damage": measures.fleet_damage,
            "fleet_down": measures.fleet_down,
            "nonroot": measures.nonroot,
            "stop": measures.stops,
        },
        START=measures.START,
        GIVE_UP=measures.GIVE_UP,
        STOP=measures.STOP,
    ),
)
