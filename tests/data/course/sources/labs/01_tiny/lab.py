# %% [markdown]
# # A tiny lab

# %%
# --- solution
answer = 42
# --- starter
# answer = ...  # your number
# --- end
print(answer)

# %% tags=["solution"]
print("only in the solution")

# %%
from app.main import double

print(double(21) if answer == 42 else "not yet")
