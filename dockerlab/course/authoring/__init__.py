"""Sources to notebooks, labs and tables, without an engine."""
