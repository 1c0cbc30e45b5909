"""Lab 10: ten broken set-ups, each with one line of symptom; judged by how the mended ones run."""

from __future__ import annotations

from dockerlab.course.grading.judging import Criterion, Lab
from dockerlab.lessons.lesson10_debugging import measures

LAB = Lab(
    number="10",
    name="mend ten containers",
    prepare=measures.begin,
    criteria=(
        Criterion(
            "silence",
            "01: the page is served, and `docker stop` ends the server",
            "A container lives as long as its first process; whoever waits for another one waits for nothing.",
            "The exit code is 0: nothing failed. Which process was the first one, and when did it end? Read start.sh.",
            "start.sh: `exec python serve.py`, without `&`: the shell gives its place to the server, which then gets the SIGTERM of "
            "docker stop. A shell that waits or sleeps beside it does not pass that on.",
            "answers, ends by itself",
            measures.result("01_silence"),
        ),
        Criterion(
            "windows",
            "02: the script counts the ships",
            "Half of all scripts in images were edited on another system.",
            "The file is there; what is missing is the program that its first line names. Look at that line with "
            "`docker run --rm --entrypoint sh IMAGE -c 'head -1 count.sh | od -c'`.",
            "The line ends in \\r\\n, as Windows writes it, so the kernel looks for `/bin/sh\\r`. Save the file with Unix line ends, or add "
            "RUN sed -i 's/\\r$//' count.sh to the Dockerfile.",
            "ships: 3",
            measures.result("02_windows"),
        ),
        Criterion(
            "door",
            "03: the page can be reached through the published port",
            "A published port leads into the container's network, to whoever listens there for callers from outside.",
            "The log names the address on which it listens. Who can reach that address?",
            "127.0.0.1 in the container is the container's own. Listen on 0.0.0.0: ENV HOST=0.0.0.0 in the Dockerfile, or -e HOST=0.0.0.0 in options.txt.",
            "answers",
            measures.result("03_door"),
        ),
        Criterion(
            "volume",
            "04: the table is written to the volume, and not as root",
            "Root in the container is root on every file of the volume.",
            "Who owns /results in a new container, and as whom does the program run? `--entrypoint sh`, then `id` and `ls -ld /results`.",
            "A new volume takes over owner and mode of the folder in the image. In the Dockerfile, above USER 10001: "
            "RUN install -d -o 10001 -g 10001 /results.",
            "written by a user other than 0",
            measures.result("04_volume"),
        ),
        Criterion(
            "memory",
            "05: the sum is right, within the memory that the machine has",
            "The limit is what you were given; the need is what you can change.",
            "Exit code 137 and OOMKilled: it needs more than 48 MB, and there is no more. What in add.py holds two million numbers at once?",
            "add.py: round brackets instead of square ones make a generator, which holds one number at a time. --memory stays at 48m "
            "(the check accepts up to 64 MB).",
            f"the sum, at most {measures.MEMORY / 1e6:.0f} MB",
            measures.result("05_memory"),
        ),
        Criterion(
            "library",
            "06: the tool finds its libraries",
            "A program that was copied out of another stage left behind what it was linked with.",
            "The log names a library. Is it in the image? `docker run --rm --entrypoint ldd IMAGE /opt/tool/jq`, and `find /opt`.",
            "It lies in /opt/tool/lib, where the loader does not look. In the Dockerfile: ENV LD_LIBRARY_PATH=/opt/tool/lib.",
            "3",
            measures.result("06_library"),
        ),
        Criterion(
            "neighbour",
            "07: it gets the list from `models`",
            "In a container localhost is the container, and a published port is for callers from outside.",
            "Two things are wrong, one behind the other. Whom does localhost mean there? And on which network is the container? `docker inspect`.",
            "options.txt: --network {network}, and -e MODELS=http://models:8000/list: the name, and the port on which it listens in its "
            "container, not the published 18000.",
            "what models serves",
            measures.result("07_neighbour"),
        ),
        Criterion(
            "health",
            "08: the health check is green when the server is well, and red when it is ill",
            "A check that cannot fail is worse than none.",
            "`docker inspect --format '{{json .State.Health}}'` holds what the check printed. Which program does it miss?",
            'There is no curl in the image, but there is Python: CMD python -c "import urllib.request as u; '
            "u.urlopen('http://127.0.0.1:8000/health')\". It raises, and so fails, where the answer is 503.",
            "well: healthy, ill: unhealthy",
            measures.health,
        ),
        Criterion(
            "ignored",
            "09: the classes are named, and the machine's own settings stay outside the image",
            "What is in the context ships with COPY . . to everyone who pulls the image.",
            "It works in the folder. What of the folder reaches the image? `docker run --rm --entrypoint ls IMAGE -A`, and read .dockerignore.",
            ".dockerignore ignores everything and names exceptions: add !labels.json. Do not empty it, or local.env ships as well.",
            "the four classes, no local.env",
            measures.result("09_ignored"),
        ),
        Criterion(
            "disk",
            "10: the answers are kept, the root file system stays read-only, and /tmp stays small",
            "Limits are there for the day on which something goes wrong.",
            "Which device is full? `docker inspect` shows the mounts of a container and their options.",
            "options.txt: --tmpfs /tmp:size=16m. Keep --read-only, and keep a size.",
            "kept 3 MB, read-only, at most 64 MB",
            measures.result("10_disk"),
        ),
    ),
)
