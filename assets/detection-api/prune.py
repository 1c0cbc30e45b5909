"""Remove from a folder of packages what a detection server never loads; say how much that was.

    python prune.py /opt/site
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

# Each pattern was removed, and the API then tested: what is listed is not imported by the server.
UNUSED = (
    "bin", "share", "*/tests", "*/*/tests", "*/*/*/tests", "**/*.pyi", "**/*.h", "**/*.c", "**/*.pxd", "**/*.a", "**/py.typed",
    # ONNX Runtime: the second copy of the runtime (for C and C++ programs), converters, quantisation, training helpers
    "onnxruntime/capi/libonnxruntime.so*", "onnxruntime/tools", "onnxruntime/transformers", "onnxruntime/quantization", "onnxruntime/backend",
    "onnxruntime/datasets", "onnxruntime/ThirdPartyNotices.txt", "onnxruntime/Privacy.md",
    # NumPy: compiling Fortran, testing, documentation helpers
    "numpy/f2py", "numpy/_pyinstaller", "numpy/distutils", "numpy/doc", "numpy/random", "numpy/polynomial", "numpy/ma", "numpy/fft", "numpy/ctypeslib", "numpy/testing", "numpy/typing", "numpy/_core/_simd*", "numpy/_core/*_tests*",
    # Pillow: codecs and user interfaces that the server refuses or never opens
    "PIL/_avif*", "PIL/_imagingtk*", "PIL/_imagingcms*", "PIL/_imagingft*", "PIL/ImageTk.py", "PIL/ImageQt.py",
    "pillow.libs/libavif*", "pillow.libs/liblcms2*", "pillow.libs/libharfbuzz*", "pillow.libs/libfreetype*", "pillow.libs/libbrotli*",
    # ONNX Runtime asks for these only to convert models or to pretty-print
    "sympy", "mpmath", "isympy.py", "flatbuffers", "google/protobuf", "packaging/licenses",
    "google", "*.dist-info/RECORD", "pydantic/v1", "pydantic/_migration*.pyc", "fastapi/.agents",
)


def prune(site: Path) -> int:
    """Remove UNUSED below `site`; returns the bytes that were freed."""
    before = size(site)
    for pattern in UNUSED:
        for path in list(site.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
    return before - size(site)


def size(folder: Path) -> int:
    """Bytes in the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    print(f"freed {prune(Path(sys.argv[1])) / 1e6:.0f} MB")
