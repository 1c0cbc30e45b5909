"""What can go wrong with a build."""

from __future__ import annotations

from dockerlab.core.errors import CourseError


class BuildFailed(CourseError):
    """A step of the build failed, or the Dockerfile cannot be read."""


class ContextTooLarge(CourseError):
    """The build context is larger than anyone means to send."""


class EngineStopped(CourseError):
    """The engine went away during the build."""


class BuildCancelled(CourseError):
    """Somebody asked for the end of this build."""
