"""The `dockerlab` command. Each subcommand imports what it needs when it runs, so that a broken corner breaks only itself."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dockerlab import __version__
from dockerlab.core.errors import CourseError, redact

if TYPE_CHECKING:
    from dockerlab.images.build_report import Step
    from dockerlab.images.image_report import ImageReport

# Subcommands that read their own arguments.
OWN_ARGUMENTS = ("doctor", "ladder")
NO_ENGINE = ("reset", "solve", "hint", "progress", "doctor")  # doctor reads --remote itself
# They use the engine: what a killed process left there ends first. `doctor` says what there is.
SWEEP_FIRST = ("bases", "build", "check", "inspect", "ladder")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="dockerlab", description="Docker fundamentals for ML deployment: the course's own tools."
    )
    top.add_argument("--version", action="version", version=f"dockerlab {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    commands.add_parser(
        "doctor", help="show every precondition and what mends it (--json, --build)", add_help=False
    )

    engine = commands.add_parser(
        "engine", help="find the Docker Engine, or install and start one (Debian, Ubuntu)"
    )
    engine.add_argument(
        "--remove", action="store_true", help="undo what this command installed, and nothing else"
    )
    engine.add_argument(
        "--browser",
        action="store_true",
        help="find Chromium for the browser tests, or install it, instead of the engine",
    )
    engine.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    engine.add_argument(
        "-y",
        "--yes",
        action="store_true",
        help="do not ask; needed where there is no terminal and CI is not true",
    )

    bases = commands.add_parser("bases", help="bring the base images of the course to the engine")
    bases.add_argument("names", nargs="*", metavar="IMAGE", help="default: those that most lessons need")
    bases.add_argument("--all", action="store_true", help="those too that only some later lessons need")
    bases.add_argument(
        "--source",
        choices=("auto", "pull", "mirror", "bundle", "debian"),
        help="default: the first that works",
    )
    bases.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="then write them to a file that others load (bases_bundle); .zst is compressed",
    )

    build = commands.add_parser("build", help="build an image and show what each step did and took")
    build.add_argument("context", nargs="?", type=Path, default=Path())
    build.add_argument(
        "-f", "--file", dest="dockerfile", default="Dockerfile", help="relative to the context"
    )
    build.add_argument("-t", "--tag", default="dockerlab-build:latest")
    build.add_argument("--target", help="stop at this stage")
    build.add_argument("--build-arg", dest="buildargs", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument("--no-cache", action="store_true")

    inspect = commands.add_parser("inspect", help="show an image's layers and its two sizes")
    inspect.add_argument("image")

    commands.add_parser("ladder", help="build, run and measure the rungs of the size ladder", add_help=False)

    check = commands.add_parser("check", help="judge a lab by what it does")
    check.add_argument("lab", help="its number, such as 05")
    check.add_argument(
        "--first", action="store_true", help="stop at the first promise that does not hold, which is quicker"
    )
    for name, text in (
        ("reset", "put a lab's starter files back"),
        ("solve", "put a lab's solution in place"),
    ):
        commands.add_parser(name, help=text).add_argument("lab", help="its number, such as 05")
    hint = commands.add_parser("hint", help="show the next hint for a criterion of a lab; hints are counted")
    hint.add_argument("lab", help="its number, such as 05")
    hint.add_argument("criterion", nargs="?", type=int, help="its number in the report; default: list them")
    commands.add_parser("progress", help="show how far you are in every lab")

    clean = commands.add_parser("clean", help="remove what the course made on the engine, and nothing else")
    clean.add_argument("--all", action="store_true", help="the base images too")
    for name, command in commands.choices.items():
        if name not in NO_ENGINE:
            command.add_argument(
                "--remote",
                action="store_true",
                help="use the engine that is chosen even where it is on another machine",
            )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code: 1 for an error that the reader can mend, 130 for Ctrl-C."""
    args, rest = parser().parse_known_args(argv)
    if rest and args.command not in OWN_ARGUMENTS:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    if getattr(args, "remote", False):
        os.environ["DOCKERLAB_REMOTE"] = "1"  # for the commands that this one starts, too
    try:
        return run(args, rest)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except Exception as error:
        from dockerlab.engine import error_messages

        plain = error_messages.explain(error)
        if plain is None:
            raise
        print("\n".join(part for part in (plain.what, plain.why, plain.fix) if part), file=sys.stderr)
        return 1


def run(args: argparse.Namespace, rest: Sequence[str]) -> int:
    """Hand over to the module that does the work."""
    if args.command in SWEEP_FIRST:
        _sweep()
    match args.command:
        case "doctor":
            from dockerlab.course import doctor

            return doctor.main(rest)
        case "ladder":
            from dockerlab import cli_ladder

            return cli_ladder.main(rest) or 0
        case "engine":
            from dockerlab.engine import installation

            if args.remove:
                installation.remove(args.yes)
            elif args.browser:
                installation.install_browser(args.yes, dry_run=args.dry_run)
            else:
                installation.install(args.yes, dry_run=args.dry_run)
        case "bases":
            from dockerlab.images import base_images

            names = args.names or (base_images.BASES if args.all else base_images.COURSE_BASES)
            started = time.monotonic()
            states = base_images.ensure_all(source=args.source, names=names)
            if names is base_images.COURSE_BASES and all(state.source == "debian" for state in states):
                from dockerlab.detection import variants

                variants.note("bases", base_images.debian.recipe(), build_seconds=time.monotonic() - started)
            if args.save:
                print(
                    f"{args.save}: {base_images.save(args.save, names=names) / 1e6:.0f} MB; set bases_bundle to its place in course.local.toml, "
                    f"and bases_bundle_sha256 to {_sha256(args.save)}"
                )
        case "build":
            return _build(args)
        case "inspect":
            from dockerlab.images import image

            print(_image_text(image.inspect(args.image)))
        case "clean":
            from dockerlab.course import cleanup
            from dockerlab.course.grading import judging
            from dockerlab.engine import connection

            client = connection.connect()
            report = cleanup.clean(client, everything=args.all)
            judging.sweep(
                client
            )  # what learners' programs started in checks that were killed carries no mark
            print(report)
        case "check":
            from dockerlab.course.grading import commands as labs

            return labs.check(args.lab, first=args.first)
        case "hint":
            from dockerlab.course.grading import commands as labs

            return labs.hint(args.lab, args.criterion)
        case "progress":
            from dockerlab.course.grading import commands as labs

            return labs.progress()
        case _:
            from dockerlab.course.grading import commands as labs

            return getattr(labs, args.command)(args.lab)
    return 0


def _sweep() -> None:
    """Remove what killed processes left; where no engine answers, the command itself says so."""
    from dockerlab.course import cleanup
    from dockerlab.engine import connection

    with suppress(CourseError):
        cleanup.sweep(connection.connect(timeout=30))


def _sha256(file: Path) -> str:
    import hashlib

    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _build(args: argparse.Namespace) -> int:
    from dockerlab.images import build

    wrong = [pair for pair in args.buildargs if "=" not in pair]
    if wrong:
        raise CourseError(f"--build-arg {wrong[0]} has no value.", fix="Write it as NAME=VALUE.")
    report = build.build(
        args.context, dockerfile=args.dockerfile, tag=args.tag, target=args.target,
        buildargs=dict(pair.split("=", 1) for pair in args.buildargs), no_cache=args.no_cache, on_step=_step_printer(),
    )  # fmt: skip
    print(
        f"{report.tag}: {len(report.ran)} steps ran, {len(report.cached)} came from the cache, {report.seconds:.1f} s."
    )
    return 0


def _step_printer() -> Callable[[Step], None]:
    """Prints each instruction once, when it is done."""
    printed: set[str] = set()

    def say(step: Step) -> None:
        if (step.done or step.cached) and not (step.internal or step.error or step.digest in printed):
            printed.add(step.digest)
            print(redact(step.line()), flush=True)

    return say


def _image_text(report: ImageReport) -> str:
    """An image's layers as a table, then its two sizes."""
    from dockerlab.core.units import mb

    return (
        f"{report.frame().to_string(max_colwidth=60)}\n"
        f"{mb(report.disk_bytes)} on disk, {mb(report.download_bytes)} to download, {mb(report.wasted_bytes)} wasted; "
        f"{report.architecture}, runs as {report.user}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
