"""Lab 12, the capstone: a bare repository becomes a service alone. The ten scores of the scorecard are the criteria."""

from __future__ import annotations

from collections.abc import Callable

from dockerlab.course.grading.judging import Criterion, Lab, Outcome, Submission
from dockerlab.lessons.lesson12_capstone import scoring
from dockerlab.lessons.lesson12_capstone.scoring import LAB as ASKED


def _prepare(submission: Submission) -> None:
    """Measure all ten at once. Asks the engine. Raises BuildFailed."""
    submission.state["card"] = scoring.judged(submission, ASKED, "You")


def _held(key: str) -> Callable[[Submission], Outcome]:
    def measure(submission: Submission) -> Outcome:
        score = submission.state["card"][key]
        return Outcome(score.ok, f"{score.written}; {score.said}")

    return measure


def _criterion(
    key: str, promise: str, why: str, hint: str, second_hint: str, wanted: str, needs: tuple[str, ...] = ()
) -> Criterion:
    return Criterion(key, promise, why, hint, second_hint, wanted, _held(key), needs)


LAB = Lab(
    number="12",
    name="ship it alone",
    files=("Dockerfile",),
    prepare=_prepare,
    criteria=(
        _criterion(
            "build",
            f"It builds from nothing within {ASKED.build_seconds:.0f} s, and sends at most {ASKED.context_bytes / 1e3:.0f} kB from a littered folder",
            "Somebody else builds it next time, from a folder that you do not tidy.",
            "What does the build send? `context.by_top(context.contents(FOLDER))` lists it, heaviest first.",
            "In .dockerignore: a line `*`, then `!app`, `!model`, `!requirements.txt`. And let no stage train, test or install what the image does not need.",
            f"at most {ASKED.build_seconds:.0f} s, {ASKED.context_bytes / 1e3:.0f} kB",
        ),
        _criterion(
            "size",
            f"The image takes at most {ASKED.disk_bytes / 1e6:.0f} MB on disk",
            "The boxes at the gate are small, and keep the version before, too.",
            "`image.inspect(TAG).frame()` lists the layers: how much of it is the base, and how much are packages? Lesson 06 had a smaller base.",
            "The last stage begins FROM gcr.io/distroless/python3-debian12:nonroot and copies one folder of packages, which `pip install --target` filled and "
            "from which `onnxruntime/capi/libonnxruntime.so.*`, converters and tests were removed in their own stage.",
            f"at most {ASKED.disk_bytes / 1e6:.0f} MB",
        ),
        _criterion(
            "rebuild",
            f"After an edit of app/main.py nothing is installed again, and at most {ASKED.new_bytes / 1e6:.0f} MB is new",
            "You edit code every day, and packages every month.",
            "Change a line in app/ and build again. Which steps run? A step runs again when anything above it changed: the order decides.",
            "requirements.txt and the installation come before `COPY app app`, which is the last line that copies anything.",
            "no installation",
        ),
        _criterion(
            "start",
            f"Read-only, without capabilities and on one CPU, it answers the first picture within {ASKED.start_seconds:.0f} s",
            "A gate that restarts keeps lorries waiting.",
            "Run it with `docker run --rm --read-only --cap-drop ALL -e API_TOKEN=x -p 127.0.0.1::8000 IMAGE` and read its last line. "
            "On which address does it listen?",
            "The command ends with `--host 0.0.0.0 --port 8000`. On distroless there is no shell and no `uvicorn` on the path: "
            "the exec form of `/usr/bin/python3.11 -m uvicorn app.main:app …`, and PYTHONPATH names the packages.",
            f"at most {ASKED.start_seconds:.0f} s",
        ),
        _criterion(
            "agreement",
            "It gives the scores that the application gives outside a container",
            "Another answer is another product.",
            "Which model file is in the image, and which runtime? Compare its SHA-256 with that of model/walls.onnx.",
            "COPY model model. The trained file is part of the repository: packaging neither trains nor converts it.",
            "the same scores for every sample",
            ("start",),
        ),
        _criterion(
            "health",
            "In the stack it turns healthy, and without a model unhealthy",
            "Whatever restarts, replaces or waits for it reads this state.",
            "`docker inspect --format '{{json .State.Health.Log}}' CONTAINER` holds what the check wrote. Is its program in the image?",
            'HEALTHCHECK CMD ["/usr/bin/python3.11", "-c", "import urllib.request as u; u.urlopen(\'http://127.0.0.1:8000/health\', timeout=2)"]: '
            "urlopen raises for 503, and Python is there when curl is not.",
            "healthy; unhealthy without a model",
            ("start",),
        ),
        _criterion(
            "latency",
            f"On one CPU 95 of 100 answers come within {ASKED.latency_ms:.0f} ms, and a repeated picture from the cache",
            "The camera sends the next picture whether or not the last one is done.",
            "Two things are measured. Is the cache reached: what is its name on the network, seen from the container of the API? And how many threads does "
            "the model get on how many CPUs?",
            "CACHE_URL: redis://NAME-OF-THE-SERVICE:6379/0, since localhost inside a container is that container. THREADS=1 for one CPU.",
            f"at most {ASKED.latency_ms:.0f} ms, and a cache",
            ("health",),
        ),
        _criterion(
            "user",
            "In the stack no process of it is root, nothing can be written, no capability is left and none can be gained",
            "Who breaks into the service gets what the service may do.",
            "Which of the four is missing? The user is said in the image, the other three where the container is started.",
            'compose.yaml, service api: `read_only: true`, `cap_drop: [ALL]`, `security_opt: ["no-new-privileges:true"]`; in the Dockerfile a USER line with '
            "a number, last of all.",
            "no extra rights",
            ("health",),
        ),
        _criterion(
            "secrets",
            "The token is in no layer, no history and no environment; it comes as a file, and without it there is no answer",
            "Images and `docker inspect` are read by more people than you think.",
            "Where does the token stand? `docker history --no-trunc IMAGE` and `docker inspect CONTAINER` show two of the places.",
            "compose.yaml: a top-level `secrets:` with `file: secrets/api_token.txt`, `secrets: [api_token]` at the service, and "
            "`API_TOKEN_FILE: /run/secrets/api_token` in its environment. No API_TOKEN, no env_file, no ARG.",
            "no leaks",
            ("health",),
        ),
        _criterion(
            "lint",
            "Neither hadolint nor BuildKit's checks have an error or a warning",
            "The next person reads your Dockerfile with these tools.",
            "`lint.frame(lint.hadolint(Path('Dockerfile')))` lists rule, line and reason.",
            "hadolint's wiki has a page for each rule, for example DL3042: `--no-cache-dir`, or a cache mount at pip's cache; DL3003: WORKDIR instead of cd.",
            "no findings",
        ),
    ),
)
