"""Lab 06: three customers, three ways to deliver a model: baked for a crane, mounted for a yard, downloaded and kept for a fleet."""

from __future__ import annotations

from dockerlab.course.grading.judging import Criterion, Lab
from dockerlab.lessons.lesson06_ml_images import measures

LAB = Lab(
    number="06",
    name="deliver the model",
    prepare=measures.begin,
    criteria=(
        Criterion(
            "edge_offline",
            "The crane's container finds the boxes with nothing but its image: no network, no volume",
            "Whatever is fetched or mounted is one more thing that has to be there on the crane.",
            "Which of the three ways needs nothing but the image?",
            "Bake it: a COPY of the model into /app/model in edge/Dockerfile, and MODEL_PATH that names it. The last line of the "
            "container's log says what it misses.",
            f"boxes within {measures.START} s",
            measures.edge_offline,
        ),
        Criterion(
            "lean",
            "The images of yard and fleet carry no model, in no layer",
            "A registry stores and every machine downloads all layers, also what a later one deletes.",
            "Look at every layer: dockerlab.images.image.inspect(tag).files() names each file and the layer that wrote it. Which FROM or COPY "
            "brings the model?",
            "Begin FROM python:3.11-slim-bookworm and take only /opt/venv and /app/app with COPY --from=dockerlab-api:multistage; RUN rm "
            "deletes nothing from a lower layer.",
            "no .onnx or .pt file",
            measures.lean,
        ),
        Criterion(
            "yard_swap",
            "A model that the yard writes over harbour.onnx is served after a restart, without a build",
            "The data scientists know nothing of images, and should not have to.",
            "Does the container read the file from the host's folder? Compare the mount's target in run.toml with the path that the server reads.",
            'In run.toml: volumes = ["{models}:/app/model:ro"], and MODEL_PATH=/app/model/harbour.onnx (or MODEL_NAME=harbour.onnx) in '
            "yard/Dockerfile.",
            "other class names after the change",
            measures.yard_swap,
        ),
        Criterion(
            "yard_readonly",
            "The yard's container cannot write to the folder of the models",
            "A break-in through the server must not reach what other servers load.",
            "How does one mount a folder so that a container can only read it?",
            'A third part of the mount says so: "{models}:/app/model:ro".',
            "read-only mount",
            measures.yard_readonly,
            needs=("yard_swap",),
        ),
        Criterion(
            "fleet_choice",
            "MODEL_NAME decides which model a truck fetches and serves",
            "One image for all trucks: what differs is told at the start.",
            "Read the last line of the container's log. Can the user of the image write to the volume? A new volume takes the owner of "
            "the folder that it is mounted on.",
            "Make the folder in fleet/Dockerfile before USER (RUN install -d -o 10001 -g 10001 /models), mount {cache} there in run.toml, "
            "and set MODEL_PATH to the fetched file before uvicorn starts.",
            "the class names of each model",
            measures.fleet_choice,
        ),
        Criterion(
            "fleet_cache",
            "A truck that has its model starts without the server and does not fetch it again",
            "A server that is down at night must not stop 300 trucks in the morning.",
            "Is the file in the volume when the container starts again, and is it looked for there before anything is fetched?",
            "fetch.py: `if not target.exists(): …`, with target below the folder where run.toml mounts {cache}. /tmp and the container's "
            "own layer do not outlive it.",
            "serves, one fetch in all",
            measures.fleet_cache,
            needs=("fleet_choice",),
        ),
        Criterion(
            "fleet_retry",
            "A server that is busy twice (503) delays the start but does not end it",
            "300 trucks start at six in the morning; some of them have to ask twice.",
            "What does fetch.py do with an answer 503? urllib raises HTTPError, which is an OSError.",
            "fetch.py: a loop over some tries with a pause that grows, round urlopen, for every request that it makes.",
            f"starts within {measures.START} s",
            measures.fleet_retry,
            needs=("fleet_choice",),
        ),
        Criterion(
            "fleet_damage",
            "A file that does not fit its checksum is neither served nor kept",
            "A damaged model can load and answer wrongly; nobody would notice.",
            "Where is the SHA-256 compared, and what lies in the cache when the comparison fails?",
            "fetch.py: verify before the file gets its final name (write to NAME.part, compare with MODEL_SERVER/MODEL_NAME.sha256, then "
            "rename); end with an exit code other than 0.",
            "exit code not 0, then a whole file",
            measures.fleet_damage,
            needs=("fleet_choice",),
        ),
        Criterion(
            "fleet_down",
            f"Without cache and server the container gives up within {measures.GIVE_UP} s, with one sentence that names the server",
            "Whoever is called at night reads the last line of the log first.",
            "What is the last line of the log, and the exit code, when nobody answers at MODEL_SERVER?",
            'fetch.py: after the last try, sys.exit(f"{SERVER} does not hand out {NAME}: {error}"), which prints one line and ends with '
            "1; no stack trace.",
            "exit code not 0, the server named",
            measures.fleet_down,
            needs=("fleet_choice",),
        ),
        Criterion(
            "nonroot",
            "No container runs as root",
            "Root in the container is root on what it can reach.",
            "Which user do the processes of each container have? `docker top` shows it.",
            "A line `USER 10001` near the end of each Dockerfile; FROM dockerlab-api:multistage brings it along, FROM python does not.",
            "no process of user 0",
            measures.nonroot,
            needs=("edge_offline", "yard_swap", "fleet_choice"),
        ),
        Criterion(
            "stop",
            f"Each container ends within {measures.STOP} s of `docker stop`, by itself",
            "A killed server drops the requests that it was answering.",
            "Who is process 1 in the container, the server or a shell? `docker top` shows the tree.",
            "CMD in exec form (a JSON list); a script that prepares something ends with exec: os.execvp in Python, `exec uvicorn …` in a shell.",
            "no exit code 137",
            measures.stops,
            needs=("edge_offline", "yard_swap", "fleet_choice"),
        ),
    ),
)
