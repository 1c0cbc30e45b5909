"""Lab 09: a service that works, and leaves everything to an intruder. The learner takes it away, in the image and in the run line."""

from __future__ import annotations

from collections.abc import Callable

from dockerlab.course.grading.judging import Criterion, Lab, Outcome, Submission
from dockerlab.lessons.lesson09_security import measures as gate


def _refused(*attempts: str) -> Callable[[Submission], Outcome]:
    return lambda submission: gate.refused(submission, attempts)


LAB = Lab(
    number="09",
    name="harden a service",
    files=("Dockerfile", "run.sh"),
    prepare=gate.prepare,
    criteria=(
        Criterion(
            "untouched",
            "The service's code is as you got it",
            "The insurer asks about the service that you have, not about another one.",
            "`dockerlab reset 09` gives the files back; your version is kept in labs/.saved.",
            "You hand in Dockerfile, .dockerignore and run.sh. gate/ and fetch_tides.py stay.",
            "gate/ and fetch_tides.py unchanged",
            gate.untouched,
        ),
        Criterion(
            "builds",
            "The image builds, with the token as a build argument and as a secret",
            "What does not build cannot ship.",
            "The message names the line. Which files does .dockerignore leave in the context? And the secret's id is `token`.",
            "RUN --mount=type=secret,id=token python fetch_tides.py --token-file /run/secrets/token",
            "it builds",
            gate.builds,
        ),
        Criterion(
            "serves",
            "The run line starts it; it is healthy, asks for the key and keeps a picture",
            "A service that is locked and does not answer has been attacked by you.",
            "Run it by hand and read `docker logs`. Where does it write? The picture goes through a temporary file into SPOOL_DIR; "
            "behind --read-only each of the two needs a --tmpfs.",
            "--tmpfs /tmp --tmpfs /srv/spool:mode=1777: without a mode, a tmpfs takes over that of the image's folder, and root owns it. "
            "The key: -v $KEY_FILE:/run/secrets/harbour_key:ro -e HARBOUR_KEY_FILE=/run/secrets/harbour_key.",
            "four answers",
            gate.serves,
            needs=("builds",),
        ),
        Criterion(
            "leaks",
            "No layer, no history and no setting of the image holds the token or the key",
            "Whoever pulls the image has all of it.",
            "`leaks.find` says where it stands. An ARG is in the history; `COPY . .` takes .env and token.txt along; a file that a later line deletes "
            "is still in its layer.",
            "In .dockerignore: `*`, then `!gate` and `!fetch_tides.py`. In the Dockerfile no ARG, but RUN --mount=type=secret,id=token.",
            "nowhere",
            gate.nowhere,
            needs=("builds",),
        ),
        Criterion(
            "engine",
            "An intruder cannot command the engine",
            "Whoever reaches its socket is root on the host.",
            "Which -v of the run line does the service need? `:ro` changes nothing about what goes through a socket.",
            "Take the line with docker.sock out of run.sh.",
            "refused",
            _refused("engine"),
            needs=("serves",),
        ),
        Criterion(
            "host",
            "It sees nothing of the host, and the kernel takes no unusual calls from it",
            "The kernel is shared; the filter in front of it is what separates you.",
            "Which options switch the seccomp profile off, or bring the host's devices and processes in?",
            "No --privileged, no seccomp=unconfined, no --pid host, and no folder of the host but the key's file.",
            "refused",
            _refused("kernel", "host"),
            needs=("serves",),
        ),
        Criterion(
            "secrets",
            "It finds no secret in the environment or beside the code",
            "The environment is the first place where anyone looks, and `docker inspect` shows it to others.",
            "What does `docker inspect` show under Env? The service also takes a file: HARBOUR_KEY_FILE.",
            "-v $KEY_FILE:/run/secrets/harbour_key:ro -e HARBOUR_KEY_FILE=/run/secrets/harbour_key instead of -e HARBOUR_KEY.",
            "none",
            _refused("secrets"),
            needs=("serves",),
        ),
        Criterion(
            "root",
            "It is not root, and can neither take files of others nor forge packets",
            "Root in the container is the first step out of it.",
            "`docker exec CONTAINER id` says as whom it runs. A root without capabilities still owns root's files.",
            "A line `USER 65532` at the end of the Dockerfile, and --cap-drop ALL in run.sh.",
            "refused",
            _refused("root", "chown", "raw"),
            needs=("serves",),
        ),
        Criterion(
            "code",
            "It cannot change the code that runs next time",
            "A change there survives the restart that was to clean up.",
            "Who owns /app in the image? `chown` and `COPY --chown` give the server its own code.",
            "COPY without --chown, so that root owns it; and --read-only in run.sh closes it once more.",
            "refused",
            _refused("code"),
            needs=("serves",),
        ),
        Criterion(
            "setuid",
            "No program raises its rights",
            "`su` and `passwd` are in every Debian image.",
            "Which option makes the kernel ignore the setuid mark? An image without such programs would do as well.",
            "--security-opt no-new-privileges in run.sh.",
            "refused",
            _refused("setuid"),
            needs=("serves",),
        ),
        Criterion(
            "install",
            "A program that it stores does not run",
            "The second thing an intruder does is to fetch tools.",
            "Where can it write, and may files be started from there? `docker exec CONTAINER cat /proc/mounts` shows `noexec`.",
            "--read-only, and for each --tmpfs leave out `exec`: Docker mounts it noexec by itself. A volume has no noexec, so the spool is better a tmpfs.",
            "refused",
            _refused("install"),
            needs=("serves",),
        ),
        Criterion(
            "processes",
            "It cannot start processes without end",
            "One fork bomb takes the machine away from everybody.",
            "How many processes does the service need, and which option of docker run limits them?",
            "--pids-limit 64 in run.sh.",
            "refused",
            _refused("processes"),
            needs=("serves",),
        ),
        Criterion(
            "shell",
            "There is no shell to work in",
            "Most recipes of intruders begin with sh.",
            "Where does the shell come from? The service needs Python and nothing else. Which base of the course has just that?",
            'A last stage FROM gcr.io/distroless/python3-debian12:nonroot with COPY --from=build, and ENTRYPOINT ["/usr/bin/python3.11", …] in exec form.',
            "none",
            _refused("shell"),
            needs=("serves",),
        ),
    ),
)
