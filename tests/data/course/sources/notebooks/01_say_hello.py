# %% [markdown]
# # Say hello

# %%
from pathlib import Path

print("hello from", Path.cwd().name)

# %% tags=["raises-exception"]
raise ValueError("on purpose")

# %% tags=["nbval-ignore-output"]
6 * 7
