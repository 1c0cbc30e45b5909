"""Looks at 200 pictures of 1 MB each: all at once, or one after the other (READ=one)."""

import os
import resource

pictures = (b"x" * 1_000_000 for _ in range(200))
if os.environ.get("READ", "all") == "all":
    pictures = list(pictures)
seen = sum(len(picture) for picture in pictures)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
print(f"looked at {seen // 1_000_000} MB, held {peak} MB at most", flush=True)
