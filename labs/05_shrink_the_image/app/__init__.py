"""A detection API: one picture in, the objects on it out. Two back ends, one contract."""
