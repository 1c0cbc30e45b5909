"""Docker fundamentals for ML deployment: the package behind the lessons. docs/architecture.md says what stands where."""

__version__ = "0.1.0"
