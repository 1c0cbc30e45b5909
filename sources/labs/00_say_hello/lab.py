# %% [markdown]
# # Lab 00: Say hello
#
# **The situation.** You are new here, and so is this engine. Before the real labs, hand in the smallest image that does something.
#
# **You hand in** one file: `Dockerfile`, in this folder. A container of your image prints `Hello from the harbour` and ends.
#
# **You need** lesson 00 and two minutes. `FROM python:3.11-slim-bookworm` names the image to start from, and a `CMD` line says what a container runs.

# %% [markdown]
# ## Check
#
# Run this as often as you like; a check builds what you wrote, runs it and removes it again. In a terminal it is `dockerlab check 00`.

# %%
from pathlib import Path

from dockerlab.course.grading import check
from dockerlab.notebook.session import prepare

prepare()
report = check("00", folder=Path.cwd())
report

# %% [markdown]
# The report names a hint for what fails first. `report.hints()` gives a second one, which says more. `dockerlab solve 00` shows the course's solution, `dockerlab reset 00` gives the starter back; both keep your version in `labs/.saved`.
