"""The example service of the course: its client, its image variants, how they are measured."""
