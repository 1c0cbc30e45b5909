"""Lab 03: the Dockerfile and .dockerignore of the detection API, written from a specification."""

from __future__ import annotations

from dockerlab.course.grading.judging import Criterion, Lab
from dockerlab.lessons.lesson03_dockerfile import measures as spec

LAB = Lab(
    number="03",
    name="write the Dockerfile",
    files=("Dockerfile",),
    prepare=spec.prepare,
    criteria=(
        Criterion(
            "builds", "It builds without any option",
            "What does not build cannot ship.",
            "Write one line, build, write the next. The message of a build that stops names its line; are the files that it copies in the context, "
            "after .dockerignore?",
            "The model is no file of this folder: COPY --from=dockerlab-api:multistage /app/model/harbour-n.onnx model/ takes it out of an image.",
            "it builds", spec.builds,
        ),
        Criterion(
            "boxes", "It answers on the published port, and finds the same boxes as PyTorch did",
            "A server that runs and cannot be reached serves nobody.",
            "Run it with `docker run --rm -p 127.0.0.1:8000:8000 IMAGE` and read its last line. On which address does it say that it listens?",
            "CMD [\"uvicorn\", \"app.main:app\", \"--host\", \"0.0.0.0\", \"--port\", \"8000\"], and MODEL_PATH names the file that you copied. "
            "User 10001 has to be able to read it: --chmod also sets the mode of a folder that the same COPY makes.",
            "100% of the boxes", spec.same_boxes, needs=("builds",),
        ),
        Criterion(
            "context", f"From a littered folder the build sends at most {spec.CONTEXT_BYTES / 1e3:.0f} kB",
            "Thirty people send their context over one line.",
            "What weighs most? `context.by_top(context.contents(FOLDER))` lists it, and `context_weight` draws it.",
            "In .dockerignore: a line `*` first, then `!app` and `!requirements-onnx.txt`.",
            f"at most {spec.CONTEXT_BYTES / 1e3:.0f} kB", spec.context_size, needs=("builds",),
        ),
        Criterion(
            "leftovers", "No layer holds a secret, a history, an environment or a cache of the folder",
            "Whoever pulls the image has all its layers.",
            "Which line of the Dockerfile takes each file in? A file that a later line deletes still lies in its layer. "
            "A pattern without `**/` counts from the top of the folder.",
            "Copy `app` and the list of packages by name, never `.`, and end .dockerignore with `**/__pycache__`.",
            "none of them", spec.leftovers, needs=("builds",),
        ),
        Criterion(
            "user", f"Every process runs as user {spec.UID}",
            "Who breaks into the server gets what the server may do.",
            "Without a USER line everything runs as root: `docker exec CONTAINER id` says as whom.",
            f"A line `USER {spec.UID}` above CMD, below the lines that install. A number needs no account.",
            f"user {spec.UID}", spec.user, needs=("boxes",),
        ),
        Criterion(
            "health", "It becomes healthy",
            "What starts traffic, restarts and alarms later is this state.",
            "`docker inspect --format '{{json .State.Health.Log}}' CONTAINER` holds what the check wrote. Is its program in the image? "
            "The slim base has no curl.",
            'HEALTHCHECK CMD ["python", "-m", "app.healthcheck"] asks /health with what the image has.',
            "healthy", spec.health, needs=("boxes",),
        ),
        Criterion(
            "sick", "It is unhealthy when the model cannot be loaded",
            "A check that is always green is worse than none.",
            "Does the check ask the server, and look at the answer? /health answers 503 without a model.",
            "An open port or a running process is not enough: the check must end with another code than 0 unless /health answers 200.",
            "unhealthy", spec.sick, needs=("health",),
        ),
        Criterion(
            "arguments", "Arguments behind the image's name replace the port",
            "The same image has to serve where port 8000 is taken.",
            "What do arguments replace, CMD or ENTRYPOINT? And what does a shell-form ENTRYPOINT do with them?",
            "Let `--port` and `8000` stand in a CMD in exec form: all of the command, or what follows ENTRYPOINT [\"uvicorn\", \"app.main:app\"].",
            f"it serves on port {spec.OTHER_PORT}", spec.arguments, needs=("boxes",),
        ),
        Criterion(
            "settings", f"CONFIDENCE is {spec.DEFAULT} in the image, and a run may set it",
            "A setting that needs a new image is no setting.",
            "Is it a variable of the image, or written into the command? `docker run --rm IMAGE env` shows the variables.",
            f"A line `ENV CONFIDENCE={spec.DEFAULT}`. An ARG is gone when the container runs, and a value inside CMD beats -e.",
            "the boxes above both thresholds", spec.settings, needs=("arguments",),
        ),
        Criterion(
            "stop", f"`docker stop` ends it within {spec.STOP_SECONDS:g} s, with exit code 0 or 143",
            "A killed server drops the requests that it was answering.",
            "Who is process 1, the server or a shell? `docker top CONTAINER` shows it. In which form did you write the command?",
            "Exec form, a JSON list, for CMD and ENTRYPOINT; where a shell has to begin, its last word is `exec uvicorn …`.",
            f"under {spec.STOP_SECONDS:g} s, exit code 0 or 143", spec.stop, needs=("sick",),
        ),
        Criterion(
            "ports", f"`docker run -P` publishes port {spec.PORT} and no other",
            "Others read in the image which port it serves on.",
            "Which instruction documents a port?",
            f"A line `EXPOSE {spec.PORT}`.",
            f"port {spec.PORT}", spec.ports, needs=("boxes",),
        ),
        Criterion(
            "rebuild", "After an edit of the code no package is installed again",
            "You edit code every day, and packages every month.",
            "In which order do the lines stand? A step runs again when anything above it changed.",
            "COPY requirements-onnx.txt and RUN pip install come before COPY app app.",
            "the packages stay", spec.rebuild, needs=("boxes",),
        ),
        Criterion(
            "base", "`--build-arg BASE=…` chooses the base image",
            "The next Debian, a mirror or a patched base should not need another Dockerfile.",
            "Which lines see an ARG that stands above FROM, and which see one below it?",
            "ARG BASE=python:3.11-slim-bookworm as the first line, then FROM ${BASE}: in the last stage too, if there are several.",
            "the other base", spec.base, needs=("builds",),
        ),
        Criterion(
            "labels", "Labels say the title, and the version that `--build-arg VERSION=…` gives",
            "In a registry with hundreds of images it is all you can search for.",
            f"`docker inspect --format '{{{{json .Config.Labels}}}}' IMAGE` shows them. The names: {spec.TITLE_LABEL} and {spec.VERSION_LABEL}.",
            f"ARG VERSION=dev, below FROM, and after it LABEL {spec.VERSION_LABEL}=${{VERSION}} in the last stage.",
            f"a title, version '{spec.VERSION}'", spec.labels, needs=("builds",),
        ),
    ),
)
