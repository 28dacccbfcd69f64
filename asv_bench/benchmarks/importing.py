"""What `import cift` costs, in a fresh process each time."""

from __future__ import annotations

import subprocess
import sys

PEAK_MEMORY = """
import resource, sys
import cift
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak if sys.platform == "darwin" else peak * 1024)
"""


class Import:
    """The package and nothing else: no strategy, no data."""

    # Each sample is a process of its own; a second import in the same one would be a look into a dictionary.
    number = 1
    repeat = (5, 30, 20.0)

    def timeraw_import(self) -> str:
        """Seconds of `import cift`, without the start of the interpreter."""
        return "import cift"

    def track_peak_memory(self) -> int:
        """Peak resident memory of a process that imports the package and ends, in bytes."""
        process = subprocess.run([sys.executable, "-c", PEAK_MEMORY], capture_output=True, text=True, check=True)
        return int(process.stdout)

    track_peak_memory.unit = "bytes"  # type: ignore[attr-defined]
