"""Opens LightGBM's library as its C interface wants it: without numpy and scipy."""

import ctypes

ctypes.CDLL("/app/site/lightgbm/lib/lib_lightgbm.so")
print("LightGBM is loaded", flush=True)
