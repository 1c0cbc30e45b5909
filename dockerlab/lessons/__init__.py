"""One package a lesson, `lessonNN_topic`: what it alone uses, with `lab.py` for its lab."""
