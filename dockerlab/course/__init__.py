"""The machinery of the course: sources to notebooks and labs, the learner's copy, grading, doctor, clean-up."""
