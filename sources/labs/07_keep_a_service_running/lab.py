# %% [markdown]
# # Lab 07: keep a service running
#
# The harbour counts its ships with a small service. It works on the laptop of the team that wrote it, and in production it fails its users: it dies and stays dead, the count begins anew with each release, one morning the disk was full of its log. You run it from now on. The code, `service.py`, belongs to the other team; you may change everything around it.
#
# | # | what is asked of you |
# |---|---|
# | 1 | **Health**: green within 15 s of a start and not red before; red within 16 s when `/health` says 503, and when it says nothing any more; green again when the trouble is over |
# | 2 | **Restart**: back by itself after every crash |
# | 3 | **Stop**: gone within 2 s of `docker stop`, unless a request is running; a running request gets its answer |
# | 4 | **Memory**: never more than 128 MB, swap included; a request that wants more costs one restart, not the machine |
# | 5 | **Logs**: at most 5 MB, the newest lines, and `docker logs` still shows them |
# | 6 | **Data**: a new container goes on counting where the old one was |
#
# And the rule of the house: it can be reached from this machine only.
#
# **Hand in**: `Dockerfile`, `start.sh` and `run.py`. The check calls `start()` of `run.py` for every container that it needs.
#
# About 45 minutes. The check takes about 15 seconds.

# %%
from pathlib import Path

from dockerlab.notebook.session import prepare

prepare()
for file in ("service.py", "Dockerfile", "start.sh", "run.py"):
    print(f"{file:10} {len(Path(file).read_text().splitlines())} lines")

# %% [markdown]
# ## How to try it by hand
#
# In a terminal, in this folder:
#
# ```bash
# docker build -t dockerlab-lab07 .
# python -c "import docker, run; run.start(docker.from_env(), 'dockerlab-lab07', 'dockerlab-lab07-mine', 8070, 'dockerlab-lab07-mine')"
# docker ps                                                  # is it healthy?
# curl -X POST 'http://127.0.0.1:8070/trouble?kind=hang'     # kind=sick, kind=none
# curl -X POST http://127.0.0.1:8070/crash
# docker rm -f dockerlab-lab07-mine && docker volume rm dockerlab-lab07-mine
# docker rmi dockerlab-lab07                                 # what you build by hand is yours to remove
# ```
#
# You may write `start()` with `subprocess.run(["docker", "run", …])` instead of docker-py; the check looks at the container only.
#
# ## Check it
#
# Here, or with `dockerlab check 07` in a terminal.

# %% tags=["nbval-ignore-output"]
from dockerlab.course.grading import check

report = check("07", folder=Path.cwd())
report

# %%
print("held:", report.held, "of", len(report.results), "| passed:", report.passed)

# %% [markdown]
# ## Hints
#
# `report.hints()` shows both hints for the first failure, `report.hints(5)` those for the fifth promise.
#
# - `docker inspect` shows what the last probes said, under `State.Health.Log`.
# - `docker top` shows who PID 1 is.
# - Each requirement is one line somewhere; lesson 07 has each of them in a cell.
#
# `dockerlab reset 07` gives you the starter back, `dockerlab solve 07` shows one solution; your version is kept first.
