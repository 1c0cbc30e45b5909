# %% [markdown]
# # Lab 03: write the Dockerfile
#
# **The situation.** A colleague has written a detection API and hands you the code in `app/`, a list of packages, and the page below. "I never got round to the Dockerfile." Her working folder is what working folders are: a `.git`, an environment, caches, a `.env` with a password and a key for deployments lie beside the code. The service goes to a terminal that will run it for years, so the page says what it must do, and not how you write it.
#
# **You hand in** two files in this folder: `Dockerfile` and `.dockerignore`.
#
# **You need** lesson 03. About 45 minutes. The first check takes a minute, because packages are installed; after that about 10 seconds.

# %%
%matplotlib inline
from pathlib import Path

import pandas as pd

from dockerlab.course.grading import check, load
from dockerlab.notebook.session import prepare

prepare()
here = Path.cwd()
print(*sorted(str(path.relative_to(here)) for path in here.rglob("*.py") if "__pycache__" not in path.parts), sep="\n")

# %% [markdown]
# ## The specification
#
# 1. **Base**: `--build-arg BASE=…` chooses the base image; without it, `python:3.11-slim-bookworm`.
# 2. **Packages**: those in `requirements-onnx.txt`. After an edit of the code they are not installed again.
# 3. **Model**: `dockerlab-api:multistage` holds it at `/app/model/harbour-n.onnx`. `COPY --from=IMAGE PATH …` takes a file out of any image. `MODEL_PATH` tells the server where it lies.
# 4. **Server**: `uvicorn app.main:app`, run in the folder that holds `app/`, on all addresses of the container, port 8000. `--port 8000` stands in the default arguments, so that arguments behind the image's name can replace it. `docker run -P` publishes port 8000.
# 5. **Settings**: `CONFIDENCE` is 0.7, and `docker run -e CONFIDENCE=…` changes it.
# 6. **User**: 10001, for every process.
# 7. **Health**: the state says whether `/health` answers 200. A server without its model answers 503: that is unhealthy.
# 8. **Stop**: within 5 s of `docker stop`, with exit code 0 or 143.
# 9. **Labels**: `org.opencontainers.image.title`, and `org.opencontainers.image.version` from `--build-arg VERSION=…`.
# 10. **Context**: at most 150 kB go to the engine, and nothing that lies about in the folder gets into any layer.
#
# The check measures these promises, in this order:

# %%
pd.set_option("display.max_colwidth", None)
promises = pd.DataFrame([(each.promise, each.wanted) for each in load("03").criteria], columns=["promise", "wanted"])
promises.rename(lambda number: number + 1)

# %% [markdown]
# ## What stays at home
#
# Your folder is tidy. This makes a copy of it that looks like your colleague's, and draws what a build would send from there. Write `.dockerignore`, run the cell again, and watch the bars. (This notebook lies in the folder too.)

# %%
import shutil

from dockerlab.core.settings import BUILD
from dockerlab.images import context_contents
from dockerlab.lessons.lesson03_dockerfile.charts import context_weight
from dockerlab.lessons.lesson03_dockerfile.measures import litter

littered = BUILD / "lab-03-littered"
shutil.rmtree(littered, ignore_errors=True)
litter(shutil.copytree(here, littered, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")))
context_weight(context_contents.by_top(context_contents.contents(littered)))

# %% [markdown]
# ## Your Dockerfile
#
# Write `Dockerfile`, here in JupyterLab or in any editor. Build it as often as you like, in a terminal or here:
#
# ```bash
# docker build -t dockerlab-lab03:mine .
# docker run --rm -p 127.0.0.1:8000:8000 dockerlab-lab03:mine
# ```

# %%
# --- solution
from dockerlab.images import lint
from dockerlab.images.build import build

mine = build(here, tag="dockerlab-lab03:mine")
print(f"{len(mine.instructions)} steps that write files | findings of hadolint: {len(lint.hadolint(here / 'Dockerfile'))}")
# --- starter
# from dockerlab.images import lint
# from dockerlab.images.build import build
#
# # When your Dockerfile says something, take the comment signs away and run this.
# # mine = build(here, tag="dockerlab-lab03:mine")
# # lint.Annotated((here / "Dockerfile").read_text(), lint.hadolint(here / "Dockerfile"))
# --- end

# %% [markdown]
# ## Check it
#
# The same check runs in a terminal with `dockerlab check 03`. It builds from a littered copy of this folder, runs the image as it is, without its model and with other arguments, stops it, edits the code and builds again.

# %% tags=["nbval-ignore-output"]
report = check("03", folder=here)
report

# %%
print(report.held, "of", len(report.results), "promises hold; passed:", report.passed)

# %% [markdown]
# ## When you are stuck
#
# - The report ends with a hint for the first promise that does not hold. `report.hints()` adds a second, closer one; `report.hints(7)` shows those for promise 7.
# - A build that stops names the line. A container that ends at once leaves its reason in the last line of `docker logs`.
# - `dockerlab reset 03` puts the starter back, `dockerlab solve 03` shows one solution. Both keep your version first.
#
# ## Clean up

# %%
from dockerlab.engine import connection, naming

client, tag = connection.connect(), naming.own("dockerlab-lab03:mine")
if client.images.list(tag):
    client.images.remove(tag, force=True)
shutil.rmtree(littered)
print("images of this lab left:", len(client.images.list(tag)))
