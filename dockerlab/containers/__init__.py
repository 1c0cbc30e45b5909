"""Run things and watch them: containers, stacks, swarms, events, load, and what a container may do."""
