# %% [markdown]
# # Compose a stack: one file, one command, four services
#
# **You will do**: start the detection API together with a cache and a database from one file; break the order in which they start; measure what the cache saves; find out who can reach whom; lose data and keep data; edit code in a running stack.
#
# **You will learn**: services, networks, volumes, secrets, limits, profiles and override files of **Docker Compose**, which setting wins when five places set it, and every `docker compose` command that you need daily.
#
# **You need**: lessons 02 and 05, about 60 minutes of reading, 2 minutes of machine time with warm caches (5 the first time), 1 GB of free disk.

# %%
%matplotlib inline
import json
import os
from collections import Counter
from statistics import median

import pandas as pd
import requests
from IPython.display import HTML

from dockerlab.containers.compose import StackFailed
from dockerlab.containers.compose_graph import graph
from dockerlab.core import settings
from dockerlab.course import cleanup
from dockerlab.detection import api_client, variants
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.lessons.lesson08_compose import charts, project
from dockerlab.notebook.charts.stack import stack_svg
from dockerlab.notebook.cli_and_python import BothWays
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.quiz import Quiz
from dockerlab.notebook.session import start

client = start()
cleanup.begin(client, "dockerlab.lesson=08")  # what a run that was cut off left goes
for base in (base_images.SLIM, base_images.REDIS, base_images.POSTGRES):
    base_images.ensure(base, client)
variants.have_rung("multistage", client)  # where lesson 00 did not build it: some minutes
folder = settings.BUILD / "lesson-08"
stack = project.stage(folder)

# %% [markdown]
# ## 1. From commands to a file
#
# The detection API gets two neighbours. A **cache** (redis) keeps answers under the hash of their picture, and a **database** (postgres) keeps a row for every request. By hand, that is two networks, a volume, four long `docker run` lines, and somebody who types them in the right order on every machine.
#
# **Docker Compose** reads the same from one file, `compose.yaml`. Each entry under `services:` is what one `docker run` line says. Here is that of the API:

# %%
print(project.excerpt(folder / "compose.yaml", "api"))

# %% [markdown]
# `build:` and `image:` say what to run, `ports:` is `-p`, `environment:` is `-e`, `networks:` is `--network`, `restart:` is `--restart`. The rest comes in this lesson, a step each. The whole file lies in `assets/stack/`.
#
# `docker compose` looks for its file in the current folder, or where the variable `COMPOSE_FILE` says. You set it once. The second file puts the course's labels on everything; section 7 shows how files are merged.

# %%
def use(*names):
    os.environ["COMPOSE_FILE"] = project.compose_files(folder, [*names, "labels.json"])

use("compose.yaml")
os.environ |= {"COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain"}  # plain lines instead of a moving display
said = !docker compose config --services
print(sorted(said))

# %% [markdown]
# `docker compose config` is the first command to run on any file: it merges, fills in and checks, and starts nothing.
#
# You will find `version: "3.8"` on top of many compose files, and the command written `docker-compose`. The latter was a program of its own, and its support ended in 2023; the plugin is `docker compose`. And the version line? Run it.

# %%
old = folder / "old.yaml"
old.write_text('version: "3.8"\n' + (folder / "compose.yaml").read_text())
said = !docker compose -f {old} config --quiet
print(said[0][said[0].index("the attribute"):].rstrip('"'))

# %% [markdown]
# **A compose file begins with `services:`; a version line is ignored, and warned about.**

# %% [markdown]
# ## 2. The order in which things start
#
# The file says who waits for whom. Drawn from `docker compose config`, the stack looks like this:

# %%
HTML(stack_svg(graph(stack.config())))

# %% [markdown]
# The API makes its table when it starts, so it needs the database. Suppose that the database has to recover first and takes four seconds more. Many files have the **short form** of `depends_on`, a list of names. Here is an override with that form:

# %%
(folder / "hasty.yaml").write_text("""\
services:
  api:
    restart: "no"
    depends_on: !override [cache, db]      # the short form
  db:
    entrypoint: [bash, -c, "sleep 4; exec docker-entrypoint.sh postgres"]
""")
outcomes = ["it waits, and starts when the database is ready", "it starts at once and ends with an error", "compose refuses the file"]
order_guess = guess_box("What does the API do?", options=outcomes, default=outcomes[0])
order_guess

# %%
use("compose.yaml", "hasty.yaml")
said = !docker compose up --detach --build api
said = !docker compose wait api
print("the API", said[-1].rpartition('" ')[2])

# %% tags=["nbval-ignore-output"]
!docker compose logs --no-log-prefix api

# %%
api = client.containers.list(all=True, filters={"label": ["com.docker.compose.project=dockerlab-lesson08", "com.docker.compose.service=api"]})[0]
beside(order_guess, outcomes[1] if api.attrs["State"]["ExitCode"] else outcomes[0])

# %% [markdown]
# The short form waits until the *container* runs. It knows nothing of the program inside. With `restart: unless-stopped` you might never notice: the API would fail, return, fail, return, and one day be up.
#
# The **long form** waits for the health check: `condition: service_healthy`. The database needs one for that:

# %%
print(project.excerpt(folder / "compose.yaml", "db"))

# %% [markdown]
# `--host 127.0.0.1` matters: on an empty volume the image first starts a temporary server that answers on its socket only, and a check without a host would call that ready.
#
# Take the hasty stack down and start the right one. (`--timeout 0`: this database holds nothing, so no patience with it.) `--detach` (`-d`) returns to you instead of showing the logs; `--wait` returns when everything is healthy.

# %%
said = !docker compose down --volumes --timeout 0
use("compose.yaml")
said = !docker compose up -d --wait
lines = [line.split()[1:] for line in said if line.strip().startswith("Container")]
healthy, started = lines.index(["dockerlab-lesson08-db-1", "Healthy"]), lines.index(["dockerlab-lesson08-api-1", "Starting"])
print("the API was started after the database was healthy:", healthy < started)

# %% tags=["nbval-ignore-output"]
!docker compose ps

# %%
said = !docker compose ps --format json
pd.DataFrame(map(json.loads, said))[["Service", "State", "Health"]].sort_values("Service").set_index("Service")

# %% [markdown]
# The board has no health check, so nobody can wait for more than its start. `report` is missing; section 8 says why.
#
# The same picture as an instrument: it follows the states while you work on, and a button shows the logs of a service.

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.widgets import StackGraph

StackGraph(stack)

# %% [markdown]
# **`depends_on` with `condition: service_healthy` waits for the program; the short form waits for the container only.**

# %% [markdown]
# ## 3. Is the cache worth it?
#
# Ask for one picture, twice. The file says `"127.0.0.1::8000"`: a free port of this machine. `docker compose port` tells which.

# %%
said = !docker compose port api 8000
url = f"http://{said[0]}"
picture = api_client.samples()[0].read_bytes()
for _ in range(2):
    answer = requests.post(f"{url}/detect", files={"image": picture}, timeout=30)
    print(answer.headers["X-Cache"], "|", len(answer.json()["detections"]) > 0)

# %%
times_guess = guess_box("How many times faster is a hit than a miss?", default=2)
times_guess

# %% [markdown]
# Now sixteen pictures that it has not seen, and the same sixteen again.

# %%
pictures = list(project.pictures(16))
rounds = [[project.ask(url, *each) for each in pictures] for _ in range(2)]
print([dict(Counter(cache for cache, _, _ in each)) for each in rounds])
print("the same objects both times:", [objects for *_, objects in rounds[0]] == [objects for *_, objects in rounds[1]])
miss, hit = ([took for _, took, _ in each] for each in rounds)
print("a hit takes less than two thirds of a miss:", median(hit) < 0.67 * median(miss))

# %% tags=["nbval-ignore-output"]
charts.answer_times({"miss: the model runs": miss, "hit: out of redis": hit}, f"A hit is {median(miss) / median(hit):.1f} times as fast as a miss")

# %% tags=["nbval-ignore-output"]
beside(times_guess, round(median(miss) / median(hit), 1))

# %% [markdown]
# Both include the way there and back and a row in the database. And this model is small: the larger the model, the more a hit saves.
#
# Every request left a row. **`docker compose exec`** runs a command in a service's container; you name the service, not the container.

# %%
rows = !docker compose exec -T db psql -U postgres harbour -tAc "SELECT count(*) FROM detections"
keys = !docker compose exec -T cache redis-cli dbsize
print("rows in postgres:", rows[0], "| answers in redis:", keys[0].split()[-1])

# %% [markdown]
# **Guess first.** You restart the cache, then ask for a picture from before. And the database: are the rows still there after its restart?

# %%
effects = ["hit, rows stay", "miss, rows stay", "hit, rows gone", "miss, rows gone"]
restart_guess = guess_box("After both restarts", options=effects, default=effects[0])
restart_guess

# %%
said = !docker compose restart cache db
said = !docker compose up -d --wait
cached, _, _ = project.ask(url, *pictures[0])
kept = requests.get(f"{url}/stats", timeout=30).json()["rows"] == int(rows[0]) + 1
beside(restart_guess, f"{cached}, rows {'stay' if kept else 'gone'}")

# %% [markdown]
# The cache keeps its answers in memory (`--save ""` in its command), and a new process has a new memory. The database writes to its volume.

# %% [markdown]
# ## 4. Look into a running stack
#
# Compose knows projects, the engine knows only containers. They find each other by labels, so docker-py can answer the same questions.

# %%
def of(service):
    labels = ["com.docker.compose.project=dockerlab-lesson08", f"com.docker.compose.service={service}"]
    return client.containers.list(filters={"label": labels})[0]

both = BothWays()
said = !docker compose ps --services
mine = client.containers.list(filters={"label": "com.docker.compose.project=dockerlab-lesson08"})
both.add("docker compose ps", said, [each.labels["com.docker.compose.service"] for each in mine])
said = !docker compose exec -T api id -u
both.add("docker compose exec api id -u", said[0], of("api").exec_run(["id", "-u"]).output.decode().strip())
said = !docker compose top api
seen = [row[-1] for row in of("api").top()["Processes"]]  # a health check may run at this moment as well
both.add("docker compose top: uvicorn in api", sum("uvicorn" in line for line in said), sum("uvicorn" in command for command in seen))
said = !docker compose logs --no-log-prefix --no-color --tail 1 db
both.add("docker compose logs: the last line of db", said[-1].rpartition("LOG:")[2].strip(), of("db").logs(tail=1).decode().rpartition("LOG:")[2].strip())
both

# %% [markdown]
# Without a name, `logs` shows all services, each line with its service in front. With `--follow` (`-f`) it goes on until you press Ctrl-C; `timeout` presses it here after three seconds.

# %% tags=["nbval-ignore-output"]
!docker compose logs --tail 2

# %%
followed = !timeout --signal INT 3 docker compose logs -f --no-log-prefix --tail 0 board
print("lines of the board while we watched:", "several" if len(followed) >= 2 else len(followed))

# %% [markdown]
# `docker compose cp` copies a file out of a service, or into it. Let postgres write a table, and fetch it:

# %%
said = !docker compose exec -T db psql -U postgres harbour -c "COPY (SELECT cached, objects FROM detections) TO '/tmp/rows.csv' CSV HEADER"
said = !docker compose cp db:/tmp/rows.csv {folder}/rows.csv
pd.read_csv(folder / "rows.csv").groupby("cached")["objects"].agg(requests="size", fewest="min")

# %% [markdown]
# ## 5. Who can reach whom
#
# Compose gives every network a DNS: **the name of a service is its address**, on the networks that it shares. The file makes two:

# %%
print((folder / "compose.yaml").read_text().partition("\nnetworks:\n")[2].partition("\nvolumes:")[0])

# %% [markdown]
# **Guess first.** The board shows numbers on a screen in the hall, and is on `front` only. Can it open a connection to the database?

# %%
ways = ["yes", "no, the connection is refused", "no, it does not even find the name"]
reach_guess = guess_box("The board asks for db, port 5432", options=ways, default=ways[0])
reach_guess

# %%
said = !docker compose exec -T board bash -c "exec 3<>/dev/tcp/db/5432" 2>&1
unknown = any("not known" in line or "resolution" in line for line in said)
beside(reach_guess, ways[2] if unknown else ways[1] if said else ways[0])

# %% [markdown]
# Now everybody tries everybody, from inside the containers. The last column asks for a route that leads out of the stack.

# %%
ports = {"board": 8000, "api": 8000, "cache": 6379, "db": 5432}
matrix = stack.reachability(ports)
matrix.replace({True: "yes", False: "-"}).rename_axis("from … to")

# %%
charts.reachability(matrix, "The board reaches the API only, and cache and database have no way out", ports)

# %% [markdown]
# The board serves nothing, so nobody reaches it, not even itself. `internal: true` takes the way out from `back`: whoever breaks into the database cannot send its rows anywhere.
#
# And from your machine? Only what `ports:` publishes, and here only from this machine itself, since the address in front says so.

# %%
def published(service):
    try:
        return stack.url(service, ports[service]).startswith("http://127.0.0.1:")
    except StackFailed:
        return False

print("published on 127.0.0.1:", [service for service in ports if published(service)])
print("back is internal:", client.networks.get("dockerlab-lesson08_back").attrs["Internal"])
print("api reaches a database on its own localhost:", stack.reaches("api", "localhost", 5432))

# %% [markdown]
# The last line is the most common mistake of all: inside a container, `localhost` is that container. **Address neighbours by the name of their service and the port inside; publish only what people outside need.**

# %% [markdown]
# ## 6. Five places for one setting
#
# A variable can be set in the image, in an `env_file`, under `environment`, in a file called `.env`, in your shell, and on the command line. The letters A to G are set in more and more places. Each value names its place.

# %%
places = settings.BUILD / "lesson-08-places"
places.mkdir(parents=True, exist_ok=True)
(places / "places.env").write_text("".join(f"{letter}=env_file\n" for letter in "BCDEF"))
(places / ".env").write_text("".join(f"{letter}=.env\n" for letter in "DEFG"))
(places / "compose.yaml").write_text("""\
services:
  say:
    build:
      dockerfile_inline: |
        FROM python:3.11-slim-bookworm
        ENV A=image B=image C=image D=image E=image F=image
    image: dockerlab-lesson08:places
    network_mode: none
    env_file: places.env
    environment:
      C: environment
      D: ${D:-environment}
      E: ${E:-environment}
      F: ${F:-environment}
""")
source_guess = guess_box("E is set in all but the last place. The container sees that of", options=["env_file", "environment", ".env", "shell"], default=".env")
source_guess

# %%
files = f"-p dockerlab-lesson08-places -f {places}/compose.yaml -f {project.label_file(places, 'say')}"
said = !E=shell F=shell docker compose {files} run --quiet-build --rm -e F="run -e" say env
seen = dict(line.split("=", 1) for line in said if line[1:2] == "=")
set_in = {"image": "ABCDEF", "env_file": "BCDEF", "environment": "CDEF", ".env": "DEFG", "shell": "EF", "run -e": "F"}
table = pd.DataFrame({place: ["x" if letter in letters else "" for letter in "ABCDEFG"] for place, letters in set_in.items()}, index=list("ABCDEFG"))
table.assign(**{"the container sees": [seen.get(letter, "nothing") for letter in "ABCDEFG"]})

# %%
beside(source_guess, seen["E"])

# %% [markdown]
# The rightmost place wins, with one catch, which G shows: `.env` is not for containers. It fills in `${…}` in the compose file, as the shell does, and a variable that the file does not mention goes nowhere. `env_file:` is for containers.
#
# **`run -e` beats `environment`, which beats `env_file`, which beats the image; shell and `.env` only fill in `${…}`, and the shell wins.**

# %% [markdown]
# ## 7. Volumes: what you edit and what you keep
#
# Two kinds of mount are in the file. A **bind mount** (`./board:/board:ro`) shows a folder of your machine; a **named volume** (`rows:/var/lib/postgresql/data`) belongs to the engine.

# %%
mounts = [(service, each["Type"], each["Destination"], each["RW"]) for service in ("board", "db") for each in of(service).attrs["Mounts"]]
pd.DataFrame(mounts, columns=["service", "type", "in the container", "writable"]).sort_values(["service", "in the container"]).set_index("service")

# %% [markdown]
# The second line of `db` is its secret, which section 9 is about. **Guess first.** You edit two files in your folder: `board/board.py`, which is mounted, and `harbour/main.py`, which the Dockerfile copies. Which change is in the running containers?

# %%
edit_guess = guess_box("In the containers is", options=["both", "that of the board only", "that of the API only", "neither"], default="both")
edit_guess

# %%
for name, before, after in (("board/board.py", "seen so far", "today"), ("harbour/main.py", 'VERSION = "1"', 'VERSION = "2"')):
    file = folder / name
    file.write_text(file.read_text().replace(before, after))
on_board = !docker compose exec -T board grep -c today /board/board.py
in_api = !docker compose exec -T api grep VERSION harbour/main.py
changed = {"that of the board only": on_board[0] == "1", "that of the API only": '"2"' in in_api[0]}
beside(edit_guess, next((name for name, holds in changed.items() if holds), "neither") if sum(changed.values()) < 2 else "both")

# %% [markdown]
# A mounted file changes at once; a program that has read it needs a restart (`docker compose restart board`). What was copied into an image needs a new image. Does `up` make one?

# %%
def version():
    said = !docker compose port api 8000
    return requests.get(f"http://{said[0]}/stats", timeout=30).json()["version"]

said = !docker compose restart board
said = !docker compose up -d --wait
after_up = version()
said = !docker compose up -d --build --wait
print("up -d: version", after_up, "| up -d --build: version", version())

# %% [markdown]
# `up` builds an image that is missing, and no other. **After an edit: `docker compose up -d --build`.** It replaces only the containers whose image or settings changed.
#
# **Guess first.** `docker compose down` removes containers and networks. Then `up` again. How many per cent of the rows in postgres are left?

# %%
down_guess = guess_box("Per cent of the rows after down and up", default=0)
down_guess

# %%
def count():
    said = !docker compose exec -T db psql -U postgres harbour -tAc "SELECT count(*) FROM detections"
    return int(said[0])

before = count()
said = !docker compose down
volumes = client.volumes.list(filters={"label": "com.docker.compose.project=dockerlab-lesson08"})
print("containers:", len(client.containers.list(all=True, filters={"label": "com.docker.compose.project=dockerlab-lesson08"})), "| named volume kept:", len(volumes) == 1)
said = !docker compose up -d --wait
beside(down_guess, round(100 * count() / before))

# %% [markdown]
# Now with `--volumes` (`-v`), as you find it in many READMEs as the way to "start clean":

# %%
said = !docker compose down -v
volumes = client.volumes.list(filters={"label": "com.docker.compose.project=dockerlab-lesson08"})
print("volumes left:", len(volumes))

# %% [markdown]
# No question was asked. **`down` keeps named volumes; `down -v` deletes them, rows and all.** The next section starts on an empty database and proves it.

# %% [markdown]
# ## 8. One stack, several situations
#
# An **override file** says only what is different. Compose merges the files from left to right: single values are replaced, `environment` is merged by name. A file called `compose.override.yaml` beside `compose.yaml` is taken without being named.

# %%
print((folder / "compose.dev.yaml").read_text())

# %%
def environment(*names):
    use(*names)
    said = !docker compose config --format json
    return json.loads("".join(said))["services"]["api"]["environment"]

environments = {"compose.yaml": environment("compose.yaml"), "with compose.dev.yaml": environment("compose.yaml", "compose.dev.yaml")}
pd.DataFrame(environments).fillna("-")

# %%
said = !docker compose up -d --wait
print("rows after down -v:", count())
said = !docker compose port api 8000
url = f"http://{said[0]}"
loose = sum(project.ask(url, *each)[2] for each in pictures[:3])
print("more objects with the development setting:", loose > sum(objects for *_, objects in rounds[0][:3]))

# %% [markdown]
# ### Watch: edit and see
#
# The same file has `develop: watch:`. While `docker compose watch` runs, it copies a file that you save into the container and restarts the service, without a new image. Here it runs in the background, one line of the API is edited, and it is stopped as soon as it has reported.

# %%
%%bash
cd ../build/lesson-08
timeout 150 docker compose watch --no-up > watch.log 2>&1 &
reported() { timeout 120 sh -c "until grep -qs '$1' watch.log; do sleep 0.1; done"; }
reported 'Watch enabled'
sed -i.old 's/VERSION = "2"/VERSION = "watched"/' harbour/main.py
reported 'restarted' && grep -o 'Syncing service "api"' watch.log | head -1
kill %1

# %%
said = !docker compose up -d --wait --no-recreate
print("version:", version(), "| the image still says:", client.containers.run("dockerlab-lesson08:api", ["grep", "VERSION =", "harbour/main.py"], remove=True, labels=object_labels.labels(lesson="08")).decode().strip())

# %% [markdown]
# `sync` is for programs that reload by themselves, `sync+restart` for those that do not, and `rebuild` for a change that needs a new image, such as a list of packages.
#
# ### Profiles: only on demand
#
# `report` has `profiles: [tools]`, so `up` leaves it alone. It runs when somebody names it, or its profile.

# %%
usual = !docker compose config --services
with_tools = !docker compose --profile tools config --services
print("only with the profile:", set(with_tools) - set(usual))
said = !docker compose run --rm report
print("the report counts:", said[-1], "rows | the database:", count())

# %% [markdown]
# `run` starts one more container of a service for a single task, and what it depends on; `--rm` removes it afterwards.
#
# ### Scale: several of one kind
#
# **Guess first.** Two APIs, one name. The board asks `http://api:8000` twenty times. How many different containers answer?

# %%
scale_guess = guess_box("Containers that answer", options=[1, 2], default=1)
scale_guess

# %%
said = !docker compose up -d --wait --scale api=2
asking = "import json, urllib.request as u; print(json.load(u.urlopen('http://api:8000/stats'))['served_by'])"
answers = !docker compose exec -T board sh -c "for i in \$(seq 20); do python -c \"$asking\"; done"
beside(scale_guess, len(set(answers)))

# %%
shares = pd.Series(answers).map({name: f"api {number}" for number, name in enumerate(sorted(set(answers)), 1)}).value_counts()
print("each answered at least once:", len(shares) == 2, "| published ports differ:", stack.url("api", 8000, 1) != stack.url("api", 8000, 2))

# %% [markdown]
# The DNS of the network gives out both addresses, in changing order. It is no load balancer: a client that keeps its connection stays where it is. And it works only because the file leaves the published port open: with `"8000:8000"` the second container would find the port taken.

# %% [markdown]
# ## 9. Secrets and limits
#
# The database's password is in no variable. `secrets:` puts it into a file in the container, and the programs are told where it lies (`POSTGRES_PASSWORD_FILE`). Why bother? Compare it with a container that gets it by `environment`.

# %%
password = (folder / "db_password.txt").read_text()
said = !docker compose exec -T db cat /run/secrets/db_password
print("in the container, as a file:", said == [password])
config = !docker compose config
careless = client.containers.create("dockerlab-lesson08:api", environment={"DB_PASSWORD": password}, labels=object_labels.labels(lesson="08"))
pd.DataFrame({"as a secret": [password in str(of("db").attrs["Config"]), password in str(of("api").attrs["Config"]), password in str(config)],
              "as environment": [password in str(careless.attrs["Config"])] * 2 + ["-"]},
             index=["docker inspect db shows it", "docker inspect api shows it", "docker compose config shows it"])

# %%
careless.remove(force=True)

# %% [markdown]
# Everything that may call `docker inspect`, every crash report and every child process sees the environment. A file is read by who opens it. On your own machine it is still a file in your folder: keep it out of version control and out of the build context. (`environment:` instead of `file:` under `secrets:` takes the value from a variable of your shell, and it still arrives as a file.)
#
# Limits stand under `deploy: resources: limits:`, and the engine shows what arrived:

# %%
limits = of("api").attrs["HostConfig"]
free = of("db").attrs["HostConfig"]
pd.DataFrame({"api": [limits["NanoCpus"] / 1e9, limits["Memory"] // 2**20, limits["RestartPolicy"]["Name"]],
              "db": [free["NanoCpus"] / 1e9, free["Memory"] // 2**20, free["RestartPolicy"]["Name"]]},
             index=["CPUs (0: no limit)", "MiB of memory (0: no limit)", "restart"])

# %% [markdown]
# **Passwords go into `secrets:`, not into `environment:`; and every service that others depend on gets limits, so that one cannot starve the rest.** Lesson 07 showed what happens at each limit.

# %% [markdown]
# ## 10. In the foreground
#
# The plain `docker compose up` stays in your terminal, shows the logs of all services, and stops them all when you press Ctrl-C. `timeout` presses it here after fifteen seconds, when all four run.

# %%
use("compose.yaml")
said = !timeout --signal INT 15 docker compose up --no-build 2>&1
print("lines of the board came by:", any(line.startswith("board-1") and "|" in line for line in said))
ours = {"label": "com.docker.compose.project=dockerlab-lesson08"}
print("still running:", len(client.containers.list(filters=ours)), "| still there, stopped:", len(client.containers.list(all=True, filters=ours)) >= 4)

# %% [markdown]
# **`up` in front shows and stops everything, `up -d` leaves it running.** Stopped is not removed: `docker compose down` does that.

# %% [markdown]
# ## Key points
#
# - One file describes the stack; `docker compose config` shows how Compose understands it. No `version:` line.
# - `depends_on` with `condition: service_healthy` waits for programs; a plain list waits for containers.
# - The name of a service is its address. Networks decide who finds whom; `ports:` decides what the outside reaches.
# - `run -e`, `environment`, `env_file`, image: in this order. `.env` and the shell fill in `${…}`.
# - `up -d` keeps old images, `up -d --build` makes new ones; `down` keeps volumes, `down -v` does not.
# - Override files say what differs, profiles what runs on demand, `watch` brings edits in, `--scale` makes several.
# - Passwords as files, limits for everyone.

# %%
Quiz.load("08").show()

# %% [markdown]
# ## The lab
#
# `labs/08_compose_three_lines`: three `docker run` lines that only their author can use become a file. Open its notebook, or run `dockerlab check 08` in a terminal.
#
# ## Clean up
#
# This removes the stack with its volume, and the images that the lesson built.

# %%
said = !docker compose --profile "*" down --volumes --remove-orphans
removed = cleanup.remove_labelled(client, "dockerlab.lesson=08")
print("containers, networks, volumes and images of this lesson left:", len(cleanup.labelled(client, "dockerlab.lesson=08")) + len(client.images.list(name="dockerlab-lesson08")))
