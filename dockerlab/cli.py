"""The `dockerlab` command. Each subcommand imports what it needs when it runs, so that a broken corner breaks only itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dockerlab import __version__
from dockerlab.core.errors import CourseError, redact

if TYPE_CHECKING:
    from dockerlab.images.build_report import Step
    from dockerlab.images.image_report import ImageReport


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dockerlab", message="%(prog)s %(version)s")
def app() -> None:
    """Docker fundamentals for ML deployment: the course's own tools."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code: 1 for an error that the reader can mend, 130 for Ctrl-C.

    Raises SystemExit(2) for a command line that cannot be read.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with app.make_context("dockerlab", words) as context:
            return app.invoke(context) or 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("Stopped.", file=sys.stderr)
        return 130
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from error
    except Exception as error:
        from dockerlab.engine import error_messages

        plain = error_messages.explain(error)
        if plain is None:
            raise
        print("\n".join(part for part in (plain.what, plain.why, plain.fix) if part), file=sys.stderr)
        return 1


def _allow_remote(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        os.environ["DOCKERLAB_REMOTE"] = "1"  # for the commands that this one starts, too


remote = click.option(
    "--remote",
    is_flag=True,
    expose_value=False,
    callback=_allow_remote,
    help="Use the engine that is chosen even where it is on another machine.",
)
lab_argument = click.argument("lab", metavar="LAB")


@app.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.option(
    "--build", is_flag=True, help="Also prove the settings of this site by small real builds (minutes)."
)
@remote
def doctor(as_json: bool, build: bool) -> int:
    """Show every precondition, and what mends it."""
    from dockerlab.course import doctor

    return doctor.run(as_json=as_json, build=build)


@app.command()
@click.option("--remove", is_flag=True, help="Undo what this command installed, and nothing else.")
@click.option("--browser", is_flag=True, help="Chromium for the browser tests, instead of the engine.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask; needed where there is no terminal and CI is not true."
)
@remote
def engine(remove: bool, browser: bool, dry_run: bool, yes: bool) -> None:
    """Find the Docker Engine, or install and start one (Debian, Ubuntu)."""
    from dockerlab.engine import installation

    if remove:
        installation.remove(yes)
    elif browser:
        installation.install_browser(yes, dry_run=dry_run)
    else:
        installation.install(yes, dry_run=dry_run)


@app.command()
@click.argument("names", nargs=-1, metavar="[IMAGE]...")
@click.option("--all", "everything", is_flag=True, help="Those too that only some later lessons need.")
@click.option(
    "--source",
    type=click.Choice(["auto", "pull", "mirror", "bundle", "debian"]),
    help="Default: the first that works.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Then write them to a file that others load (bases_bundle); .zst is compressed.",
)
@remote
def bases(names: tuple[str, ...], everything: bool, source: str | None, save: Path | None) -> None:
    """Bring the base images of the course to the engine; by default those that most lessons need."""
    from dockerlab.images import base_images

    _sweep()
    usual = not names and not everything
    chosen = names or (base_images.BASES if everything else base_images.COURSE_BASES)
    started = time.monotonic()
    states = base_images.ensure_all(source=source, names=chosen)
    if usual and all(state.source == "debian" for state in states):
        from dockerlab.detection import variants

        variants.note("bases", base_images.debian.recipe(), build_seconds=time.monotonic() - started)
    if save:
        megabytes = base_images.save(save, names=chosen) / 1e6
        print(
            f"{save}: {megabytes:.0f} MB; set bases_bundle to its place in course.local.toml, "
            f"and bases_bundle_sha256 to {_sha256(save)}"
        )


@app.command()
@click.argument("context", type=click.Path(path_type=Path), default=Path())
@click.option("-f", "--file", "dockerfile", default="Dockerfile", help="Relative to the context.")
@click.option("-t", "--tag", default="dockerlab-build:latest")
@click.option("--target", help="Stop at this stage.")
@click.option("--build-arg", "buildargs", multiple=True, metavar="NAME=VALUE")
@click.option("--no-cache", is_flag=True)
@remote
def build(context: Path, buildargs: tuple[str, ...], **options: Any) -> None:
    """Build an image and show what each step did and took."""
    from dockerlab.images import build

    if wrong := [pair for pair in buildargs if "=" not in pair]:
        raise CourseError(f"--build-arg {wrong[0]} has no value.", fix="Write it as NAME=VALUE.")
    _sweep()
    pairs = dict(pair.split("=", 1) for pair in buildargs)
    report = build.build(context, buildargs=pairs, on_step=_step_printer(), **options)
    print(
        f"{report.tag}: {len(report.ran)} steps ran, {len(report.cached)} came from the cache, {report.seconds:.1f} s."
    )


@app.command()
@click.argument("image")
@remote
def inspect(image: str) -> None:
    """Show an image's layers and its two sizes."""
    from dockerlab.images import image as images

    _sweep()
    print(_image_text(images.inspect(image)))


@app.command()
@click.argument("variants", nargs=-1, metavar="[VARIANT]...")
@remote
def ladder(variants: tuple[str, ...]) -> None:
    """Build, run and measure the variants of the size ladder, by default all: build/ladder.csv and .png."""
    from dockerlab import cli_ladder
    from dockerlab.detection.variants import RUNGS

    if wrong := set(variants) - set(RUNGS):
        raise click.BadParameter(f"{', '.join(sorted(wrong))}; there are {', '.join(RUNGS)}")
    _sweep()
    cli_ladder.measure(variants)


@app.command()
@lab_argument
@click.option("--first", is_flag=True, help="Stop at the first promise that does not hold, which is quicker.")
@remote
def check(lab: str, first: bool) -> int:
    """Judge lab LAB, such as 05, by what it does."""
    from dockerlab.course.grading import commands

    _sweep()
    return commands.check(lab, first=first)


@app.command()
@lab_argument
def reset(lab: str) -> int:
    """Put the starter files of lab LAB back; your version is kept."""
    from dockerlab.course.grading import commands

    return commands.reset(lab)


@app.command()
@lab_argument
def solve(lab: str) -> int:
    """Put the solution of lab LAB in place; your version is kept."""
    from dockerlab.course.grading import commands

    return commands.solve(lab)


@app.command()
@lab_argument
@click.argument("criterion", type=int, required=False)
def hint(lab: str, criterion: int | None) -> int:
    """Show the next hint for criterion number CRITERION of lab LAB, or list the criteria; hints are counted."""
    from dockerlab.course.grading import commands

    return commands.hint(lab, criterion)


@app.command()
def progress() -> int:
    """Show how far you are in every lab."""
    from dockerlab.course.grading import commands

    return commands.progress()


@app.command()
@click.option("--all", "everything", is_flag=True, help="The base images too.")
@remote
def clean(everything: bool) -> None:
    """Remove what the course made on the engine, and nothing else."""
    from dockerlab.course import cleanup
    from dockerlab.course.grading import judging
    from dockerlab.engine import connection

    client = connection.connect()
    report = cleanup.clean(client, everything=everything)
    judging.sweep(client)  # what learners' programs started in checks that were killed carries no mark
    print(report)


@app.command("new-lesson")
@click.argument("number")
@click.argument("topic")
def new_lesson(number: str, topic: str) -> None:
    """For authors: lay down the files of lesson NUMBER, such as 13 watch_a_registry."""
    _lay_down("lesson", number, topic, f"make course NN={number}")


@app.command("new-lab")
@click.argument("number")
@click.argument("topic")
def new_lab(number: str, topic: str) -> None:
    """For authors: lay down the files of the lab of lesson NUMBER."""
    _lay_down("lab", number, topic, f"make course NN={number}, then make lab NN={number}")


def _lay_down(kind: str, number: str, topic: str, then: str) -> None:
    from dockerlab.core.settings import ROOT
    from dockerlab.course.authoring import templates

    print(*templates.lay_down(kind, number, topic, ROOT), sep="\n")
    print(f"Next: {then}. CONTRIBUTING.md says what each file is for.")


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
