"""Why a step of a build failed, in the reader's words. Pure.

What proves a cause is the step itself: what kind of step it is, the engine's error, the exit code. A log is what a program said, and may hold
the reader's own words, so it counts only for the step that failed, and only where a line has the form that pip, apt and their like give it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockerlab.images.build_report import Step

Cause = tuple[str, str]  # why it came about ("" where nothing proves a cause), and what to do
_Table = tuple[tuple[str, str, str], ...]  # what a text contains, why, what to do

# How the names of the steps begin that fetch the image of a `# syntax=` line.
FRONTEND = ("resolve image config for docker-image://", "docker-image://")
_METADATA = re.compile(r"\[internal\] load metadata for (\S+)")
_PROCESS = re.compile(
    r"process \".*\" did not complete successfully: (.*)|The command '.*' returned a non-zero code: (\d+)",
    re.DOTALL,
)
_LINES = 8  # of a log, from its end

_CLOCK = ("A server's certificate or list of packages is not valid yet: the clock of the machine with the engine is behind.",
          "Set that clock (`date` shows it there), then build again.")  # fmt: skip
_DISK = (
    r"no space left on device",
    "The engine's disk is full.",
    "Free some with `dockerlab clean`, then build again.",
)
_IMAGES: _Table = (
    _DISK,
    (r"toomanyrequests|429 Too Many Requests|pull rate limit", "The registry allows no more pulls from this address for now.",
     "Run `dockerlab bases`, or log in with `docker login`, or wait for some hours."),
    (r"no match for platform|no matching manifest", "The image exists, but not for the platform of this engine.",
     "Choose another image or tag, or name a platform that it has: `FROM --platform=…`."),
    (r"not yet valid: current time \S+ is before", *_CLOCK),
    (r"x509|certificate", "The engine does not trust the registry's certificate.",
     "Give the engine the certificate authority of your site, or run `dockerlab bases`."),
    (r"pull access denied|insufficient_scope|unauthorized|authorization failed|manifest unknown|manifests/\S+: not found|: not found$",
     "The registry has no such image, or shows it only after a login.", "Check the image's name, or log in with `docker login`."),
    (r"", "The base image is not on the engine and no registry answers.", "Run `dockerlab bases`, or check the name after FROM."),
)  # fmt: skip
_REFUSED: _Table = (
    _DISK,
    (r"target stage .* could not be found", "The Dockerfile has no stage of that name.", "Compare the target with the names behind AS."),
    (r"invalid reference format|failed to parse stage name|base name .* should not be blank", "What stands after FROM is no image's name.",
     "Names are in lower case, and an ARG that stands in one needs a value before the first FROM."),
    (r"failed to process \"", "A variable of the Dockerfile cannot be replaced: a quote or brace is open, or it has to have a value.", "Mend that word."),
    (r"unterminated heredoc", "A heredoc has no end: no line holds its closing word alone.", "Write that word at the beginning of a line."),
    (r"dockerfile parse error|unknown instruction|unknown flag|syntax error|no instructions|no stages|cannot be empty|only one \w+ parser directive|"
     r"^[A-Z]+ (?:must have|requires) ", "The Dockerfile has a syntax error.", "Mend that line."),
    (r"failed to resolve source metadata|pull access denied|manifest unknown|failed to do request", *_IMAGES[-1][1:]),
)  # fmt: skip
_NO_USER = (r"no such (?:user|group)|unable to find (?:user|group)|can't find [ug]id for", "The image has no such user or group.",
            "Create it in an earlier RUN, or use a number.")  # fmt: skip
_FILES: _Table = (
    _DISK,
    _NO_USER,
    (r"digest mismatch|checksum mismatch", "What the address holds has another checksum.", "Compare it with the one that --checksum names."),
    (r"dial tcp|Get \"http|error fetching|failed to load ref|unable to access|lookup \S+ on|i/o timeout", "The address that ADD fetches does not answer.",
     "Check it, and that the engine reaches the network."),
    (r"cannot copy to non-directory|not a directory", "The target is a file where a folder is needed.", "Let the target end with a slash, or choose another."),
    (r"no active sessions|secret .*not found", "This build hands on no secrets and no SSH agent.", "Build with `docker buildx build --secret` or `--ssh`."),
)  # fmt: skip
_MISSING = re.compile(
    r"\"/[^\"]*\": not found|lstat \S+: no such file or directory|(?:COPY|ADD) failed: (?:file not found|stat |no source files)"
)

# How programs begin a line that says what went wrong.
_SAID = r"^(?:WARNING: Retrying|ERROR: |[WE]: |Err:|curl: |wget: |fatal: |error: |[\w.]+Error: |\s*(?:├─▶|╰─▶|Caused by:)).*"
_PROGRAMS: _Table = (
    (r": No space left on device$|^OSError: \[Errno 28\]", *_DISK[1:]),
    # Before pip's own last word, which is the same for a package that does not exist.
    (_SAID + r"(?:Temporary failure (?:in name )?resol|Network is unreachable|NewConnectionError|Could not resolve|failed to lookup address|"
     r"Name or service not known|unable to resolve)", "The build has no network.", "Connect, or set the site's package index in course.local.toml."),
    (_SAID + r"(?:certificate is not yet valid|is not valid yet|invalid peer certificate: NotValidYet)", *_CLOCK),
    (_SAID + r"(?:CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSL certificate problem|invalid peer certificate|self-signed certificate)",
     "The build does not trust the certificate of a server: as a rule a proxy of your site signs with its own authority.",
     "Set the site's certificates in course.local.toml."),
    (r"^ERROR: (?:No matching distribution|Could not find a version)", "pip found no such package for this Python and platform.",
     "Check the name and version."),
    (r"^E: (?:Unable to locate package|Couldn't find any package|Package '.*' has no installation candidate)",
     "apt does not know that package in this release.", "Check its name, and that `apt-get update` runs in the same RUN."),
    (r": Permission denied$|^PermissionError: ", "A file may not be read or executed by this user.", "Check USER, --chown and --chmod."),
)  # fmt: skip
_NOT_FOUND = (r"^\S+: (?:line )?\d+: (?P<program>\S+): (?:command )?not found$",
              r"^(?:OCI )?runc? ?run(?:time exec)? failed: .*exec: \"(?P<program>[^\"]+)\": (?:executable file not found|stat .*no such file)")  # fmt: skip
_READ = ("", "Read the last lines above and mend that step.")


def of(step: Step | None, error: str) -> Cause:
    """The cause of a failed build: of the step that it stopped at, None where the builder refused it before any step; `error` is what it ended with."""
    if step is None:
        return _first(_REFUSED, [error])
    if step.name.startswith(FRONTEND):
        return (f"The `# syntax=` line asks for the frontend {step.name.partition('docker-image://')[2]}, which is not on the engine, and no registry answers.",
                "Delete that line: the engine's own frontend reads Dockerfiles as well. Or connect.")  # fmt: skip
    if image_of(step) or step.keyword == "FROM":
        return _first(_IMAGES, [step.error])
    if ended := _PROCESS.fullmatch(step.error.strip()):
        return _process(ended[1] or f"exit code: {ended[2]}", step.log)
    if _MISSING.search(step.error):
        return _missing(step)
    return _first(_FILES, [step.error])


def image_of(step: Step) -> str:
    """The image that a step of the builder's own looks up, in full, such as docker.io/library/debian:bookworm; "" for every other step."""
    match = _METADATA.match(step.name)
    return match[1] if match else ""


def _first(table: _Table, lines: Iterable[str], flags: int = re.IGNORECASE) -> Cause:
    text = "\n".join(line.strip() for line in lines)
    return next(
        ((why, fix) for pattern, why, fix in table if re.search(pattern, text, flags | re.MULTILINE)), _READ
    )


def _missing(step: Step) -> Cause:
    if step.keyword not in ("COPY", "ADD"):
        return (
            "A --mount names a file that is not where it is taken from.",
            "Check its source, and that .dockerignore does not exclude it.",
        )
    if "--from=" in step.name:
        return (
            "A COPY names a file that is not in the stage or image that it copies from.",
            "Check its path there, and that an earlier step makes it.",
        )
    return (
        "A COPY names a file that is not in the context.",
        "Check its path, and that .dockerignore does not exclude it.",
    )


def _process(end: str, log: str) -> Cause:
    """The cause where a RUN's program ended badly: its exit code first, then what it said last."""
    lines = [line for line in log.strip().splitlines() if line.strip()][-_LINES:]
    code = int(match[1]) if (match := re.match(r"exit code: (\d+)", end)) else 0
    if re.search(_NO_USER[0], end) and not code:
        return _NO_USER[1:]
    missing = next(
        (
            found["program"]
            for pattern in _NOT_FOUND[code != 127 :]
            for line in lines[-2:]
            if (found := re.search(pattern, line.strip()))
        ),
        "",
    )
    if missing in ("/bin/sh", "/bin/bash", "sh", "bash"):
        return (
            f"The image has no {missing}, which RUN needs for a command in this form.",
            "Begin the stage with a base that has a shell.",
        )
    if missing or code == 127:
        named = (
            f"The program {missing} is not in the image"
            if missing
            else "A program that the step calls is not in the image"
        )
        return (
            f"{named}{f' (exit code {code})' if code == 127 else ''}.",
            "Install it in an earlier RUN, take a base that has it, or check its name and PATH.",
        )
    if code == 126:
        return (
            "A file that the step calls cannot be executed (exit code 126).",
            "Make it executable with --chmod=755, and check its first line.",
        )
    if code == 137 or "cannot allocate memory" in end:
        return (
            f"The step was killed (exit code {code}): as a rule the memory ran out.",
            "Give the engine more memory, or let the step do less at a time.",
        )
    return _first(_PROGRAMS, lines, 0)
