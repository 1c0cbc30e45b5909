"""Lab 07: keep a service running. Four containers of the submission are put through their drills at the same time."""

from __future__ import annotations

from dockerlab.course.grading.judging import Criterion, Lab
from dockerlab.lessons.lesson07_services import measures

LAB = Lab(
    number="07",
    name="keep a service running",
    files=("Dockerfile", "run.py"),
    prepare=measures.begin,
    criteria=(
        Criterion(
            "runs",
            "start() leaves the counter running under its name, and it answers on the port that it was given",
            "The other promises are about this container.",
            "Build the image and call start() as the notebook shows. What does `docker logs` say, and `docker ps -a`?",
            "run.py: `client.containers.run(image, name=name, detach=True, ports=…)`; without detach=True it waits for an end that never comes.",
            f"an answer within {measures.START} s",
            measures.runs,
        ),
        Criterion(
            "private",
            "It can be reached from this machine only",
            "A port without an address is open to the whole network that the machine is in.",
            "Which address does `docker port` show for the container's port 8000?",
            'run.py: ports={"8000/tcp": ("127.0.0.1", port)}, or `-p 127.0.0.1:PORT:8000`.',
            "published on 127.0.0.1",
            measures.private,
            needs=("runs",),
        ),
        Criterion(
            "green",
            f"It is healthy within {measures.GREEN} s of a start, and not unhealthy before",
            "A release that waits for health would wait for ever, or give up on a service that works.",
            "What did the last probe say? `docker inspect`, State.Health.Log. Is curl in this image? How soon is the first probe, and may it fail "
            "while the service loads?",
            "Dockerfile: HEALTHCHECK with python and urllib instead of curl, with --interval=1s --start-period=15s --start-interval=1s; 30 s is "
            "the default interval.",
            f"healthy within {measures.GREEN} s",
            measures.result("health", "green"),
            needs=("runs",),
        ),
        Criterion(
            "red",
            f"It is unhealthy within {measures.RED} s when /health says 503, and healthy again when that is over",
            "Whoever acts on health must not send users to a service that says itself that it is not ready.",
            "Does your check look at the status of /health, or only at whether something listens on the port? How many failures in a row does it "
            "take, and how far apart are they?",
            "urlopen('http://127.0.0.1:8000/health') raises at 503, so python ends with exit code 1; a socket that connects says nothing about it. "
            "Then --interval=1s --retries=3.",
            f"unhealthy within {measures.RED} s",
            measures.result("health", "red"),
            needs=("green",),
        ),
        Criterion(
            "hang",
            f"It is unhealthy within {measures.RED} s when /health does not answer at all",
            "A frozen service holds its port and answers nobody; that is the trouble that is seen last.",
            "How long does one probe wait for an answer? The engine's own timeout is 30 s.",
            "Give the probe a timeout: urlopen(…, timeout=1), or HEALTHCHECK --timeout=2s. (interval + timeout) × retries has to stay below "
            f"{measures.RED} s.",
            f"unhealthy within {measures.RED} s",
            measures.result("hang", "hang"),
            needs=("green",),
        ),
        Criterion(
            "crash",
            "It is back by itself after each of two crashes",
            "Nobody is awake at three.",
            "What does `docker ps -a` show after a crash, and which restart policy does `docker inspect` show under HostConfig.RestartPolicy?",
            'run.py: restart_policy={"Name": "unless-stopped"}, or `--restart unless-stopped`; on-failure:1 gives up after the first retry.',
            f"answers again within {measures.BACK} s",
            measures.result("crash", "crash"),
            needs=("runs",),
        ),
        Criterion(
            "memory",
            f"It never takes more than {measures.MEMORY_MB} MB, swap included, and is back after a request that wants more",
            "Without a limit the kernel may choose another container to kill; with swap the service becomes slow before it dies.",
            "What does `docker inspect` show under HostConfig.Memory and HostConfig.MemorySwap? The second is the sum of both, and twice the first "
            "where you do not set it.",
            'run.py: mem_limit="128m" and memswap_limit="128m", or `--memory 128m --memory-swap 128m`.',
            f"{measures.SMALL_MB} MB drawn, {measures.LARGE_MB} MB refused, then back",
            measures.result("crash", "memory"),
            needs=("crash",),
        ),
        Criterion(
            "stop",
            f"`docker stop` ends it within {measures.STOP} s, by itself",
            "Ten seconds for each container make a slow release, and SIGKILL loses what was not yet written.",
            "Who is PID 1, the service or a shell? `docker top` shows it. The service knows SIGTERM, but it has to get it.",
            "start.sh: `exec python service.py`, so that the service takes the shell's place; or leave the script out and write "
            'CMD ["python", "service.py"].',
            f"within {measures.STOP} s, no exit code 137",
            measures.result("stop", "stop"),
            needs=("runs",),
        ),
        Criterion(
            "finish",
            "A request that runs when `docker stop` comes gets its answer",
            "Every release stops the old container; its users must not notice.",
            "Does the service itself get SIGTERM, or does something in front of it end first and take the service with it? With --init a shell "
            "ends at once.",
            "start.sh: `exec python service.py`. --init alone hands the signal to the shell, which dies of it.",
            "the whole answer",
            measures.result("stop", "finish"),
            needs=("stop",),
        ),
        Criterion(
            "logs",
            f"After a night of {measures.NIGHT_MB:.0f} MB of lines, `docker logs` has the newest of them and at most {measures.LOG_MB} MB",
            "A log without a limit fills the disk, and then every container on the machine stops.",
            "Which log driver and which options does `docker inspect` show under HostConfig.LogConfig? And are the newest lines still there?",
            'run.py: log_config={"type": "json-file", "config": {"max-size": "1m", "max-file": "3"}}, or `--log-opt max-size=1m --log-opt '
            "max-file=3`. The driver `none` keeps nothing to read.",
            f"the last line, at most {measures.LOG_MB} MB",
            measures.result("stop", "logs"),
            needs=("runs",),
        ),
        Criterion(
            "data",
            "A new container goes on counting where the removed one was",
            "A release is a new container; the count must not begin anew.",
            "Where does the service write (see service.py), and what is mounted there? `docker inspect`, Mounts. A volume without a name is "
            "another one each time.",
            'run.py: volumes={data: {"bind": "/data", "mode": "rw"}}, or `-v DATA:/data`, with the name that start() is given.',
            "3 ships, as before",
            measures.result("stop", "data"),
            needs=("runs",),
        ),
    ),
)
