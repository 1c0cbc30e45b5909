# %% [markdown]
# # Lab 05: Shrink the image
#
# **The situation.** The detection service works, and nobody has looked at what it ships. `Dockerfile.today` builds it in one stage: PyTorch, Ultralytics, compilers, the developers' tools and the tests all travel to every machine at the quay. The machines are small and their line is slow. You get one afternoon to ship the same detections in a fraction of the size.
#
# **You hand in** one file: `Dockerfile`, in this folder. Nothing else needs to change.
#
# **You need** lesson 05, because its build cache holds PyTorch. About 45 minutes, and 6 GB of free disk. A check takes about 10 seconds once your layers are in the cache.

# %%
%matplotlib inline
from pathlib import Path

import pandas as pd

from dockerlab.course.grading import check, load
from dockerlab.detection import wheel_index
from dockerlab.images import image
from dockerlab.images.build import build
from dockerlab.notebook.listing import listing
from dockerlab.notebook.session import start

client = start(timeout=900)
here = Path.cwd()
torch = {"TORCH_INDEX": wheel_index.torch_index(client)}  # where this site has PyTorch's CPU wheels

# %% [markdown]
# ## What runs today

# %%
listing("Dockerfile.today")

# %% [markdown]
# Build it and see where its weight is. The first reading of a large image takes a minute or two; after that its layers are known.

# %%
build(here, dockerfile="Dockerfile.today", tag="dockerlab-lab05:today", buildargs=torch, client=client)
today = image.inspect("dockerlab-lab05:today", client)
print("layers:", len(today.layers), "| PyTorch ships:", any("/torch/" in path for path in today.paths()))

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.charts.layers import layer_stack

layer_stack(today)

# %% [markdown]
# ## What is asked
#
# Each promise is about what your image does, so how you get there is up to you. The order is the order in which they are checked.

# %%
pd.set_option("display.max_colwidth", None)
pd.DataFrame([(each.promise, each.wanted) for each in load("05").criteria], columns=["promise", "wanted"], index=range(1, 10))

# %% [markdown]
# ## Your Dockerfile
#
# Open `Dockerfile` in this folder and write. What you have to work with:
#
# - `model/harbour-n.pt` are PyTorch's weights. `python export.py harbour-n.pt harbour-n.onnx` turns them into a file that ONNX Runtime reads; it needs what lines 1 to 7 of `Dockerfile.today` install.
# - `requirements-onnx.txt` lists what a server without PyTorch needs. `MODEL_PATH` tells the server which model file to load.
# - `app/` is the code. It chooses its back end by the ending of the model file.
#
# Keep those seven lines as they are, and nobody waits for PyTorch again. Then build; run this cell as often as you like.

# %%
# --- solution
report = build(here, tag="dockerlab-lab05:mine", buildargs=torch, client=client)
print("stages:", sorted({step.stage for step in report.instructions if step.stage}))
# --- starter
# # When your Dockerfile says something, take the comment signs away and run this.
# # report = build(here, tag="dockerlab-lab05:mine", buildargs=torch, client=client)
# # report.frame()
# --- end

# %% [markdown]
# In a terminal it is `docker build -t dockerlab-lab05:mine .`, with `--build-arg TORCH_INDEX=…` where your site has an index of its own (`print(torch)` says which).
#
# ## Before and after

# %% tags=["nbval-ignore-output"]
from dockerlab.notebook.charts.ladder import size_ladder

made = [name for name in ("today", "mine") if client.images.list(f"dockerlab-lab05:{name}")]
sizes = {name: image.inspect(f"dockerlab-lab05:{name}", client) for name in made}
size_ladder(pd.DataFrame([(name, each.disk_bytes, each.download_bytes) for name, each in sizes.items()], columns=["rung", "disk_bytes", "download_bytes"]))

# %% [markdown]
# `sizes["mine"].frame()` tells layer by layer where your weight is, and `sizes["mine"].files()` lists the largest files.
#
# ## Check it
#
# The same check runs in a terminal with `dockerlab check 05`.

# %% tags=["nbval-ignore-output"]
report = check("05", folder=here)
report

# %%
print(report.held, "of", len(report.results), "promises hold; passed:", report.passed)

# %% [markdown]
# ## When you are stuck
#
# - The report ends with a hint for the first promise that does not hold. `report.hints()` gives a second, closer one; `report.hints(7)` those for promise 7.
# - `dockerlab reset 05` puts the starter back, `dockerlab solve 05` shows one solution. Both keep your version first.
#
# ## When you have passed
#
# Can you get it below half of the budget? Lesson 06 does, with a base that has neither shell nor pip, and without the parts of the packages that a server never loads.
#
# ## Clean up

# %%
for name in ("today", "mine"):
    if client.images.list(f"dockerlab-lab05:{name}"):
        client.images.remove(f"dockerlab-lab05:{name}", force=True)
print("images left:", sum(bool(client.images.list(f"dockerlab-lab05:{name}")) for name in ("today", "mine")))
