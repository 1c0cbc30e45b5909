# %% [markdown]
# # Lab 06: deliver the model
#
# Three customers buy your detection API. Each gets the model in another way, and you choose which.
#
# | customer | situation |
# |---|---|
# | **edge**: the terminal's cranes | No network at all. A technician brings one image on a stick. One model, unchanged for years. The crane must see within 30 s after power comes back. |
# | **yard**: the data scientists | They train several times a day and write the new model over `harbour.onnx` in a folder of their host. The next start must serve it. Nobody builds an image for that, and the container must not be able to touch the folder. |
# | **fleet**: 300 trucks | Each serves one of many models; `MODEL_NAME` says which. An internal server, `MODEL_SERVER`, has them: `MODEL_SERVER/MODEL_NAME` is the file, `MODEL_SERVER/MODEL_NAME.sha256` its checksum. The server is busy at times and gone at others. Traffic costs money: a truck that has its model does not fetch it again. |
#
# **Hand in**: `edge/Dockerfile`, `yard/Dockerfile`, `fleet/Dockerfile` (with `fleet/fetch.py`, if you like to do it in Python), and `run.toml`, which says what `docker run` is told. Each folder is its own build context.
#
# **Rules for all three**: port 8000; read-only root file system (the check sets it); not root; gone within 3 s of `docker stop`. The images of yard and fleet hold no model, in no layer.
#
# **What you have**: `dockerlab-api:multistage` from lesson 05. It holds packages in `/opt/venv`, code in `/app/app` and the harbour model in `/app/model`. `COPY --from=dockerlab-api:multistage …` takes parts of it.
#
# About 60 minutes. The check takes about 30 seconds.

# %%
from pathlib import Path

from dockerlab.notebook.session import prepare

prepare()
for file in ("edge/Dockerfile", "yard/Dockerfile", "fleet/Dockerfile", "fleet/fetch.py", "run.toml"):
    print(f"{file:17} {len(Path(file).read_text().splitlines())} lines")

# %% [markdown]
# ## How to try it by hand
#
# In a terminal, in this folder (`<models>` is a folder of yours that holds a `harbour.onnx`):
#
# ```bash
# docker build -t dockerlab-lab06-edge edge
# docker run --rm --network none --read-only dockerlab-lab06-edge
#
# docker build -t dockerlab-lab06-yard yard
# docker run --rm --read-only -p 127.0.0.1:8000:8000 -v <models>:/app/model:ro dockerlab-lab06-yard
#
# docker rmi dockerlab-lab06-edge dockerlab-lab06-yard       # what you build by hand is yours to remove
# ```
#
# ## Check it
#
# Here, or with `dockerlab check 06` in a terminal. Start with one customer: each is judged by itself.

# %% tags=["nbval-ignore-output"]
from dockerlab.course.grading import check

report = check("06", folder=Path.cwd())
report

# %%
print("held:", report.held, "of", len(report.results), "| passed:", report.passed)

# %% [markdown]
# ## Hints
#
# `report.hints()` shows both hints for the first failure, `report.hints(5)` those for the fifth promise.
#
# - Which of the three may the image hold the model for?
# - A file that a later layer deletes still ships (lesson 06, section 4).
# - A **new** named volume takes content and owner from the folder of the image that it is mounted on. If the image has no such folder, root owns it.
#
# `dockerlab reset 06` gives you the starter back, `dockerlab solve 06` shows one solution; your version is kept first.
