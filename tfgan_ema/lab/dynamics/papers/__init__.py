"""The papers, one file each: their runs, and what they state about them (see `claims`)."""

from typing import Any

# Whether a claim agrees with what we find, and the numbers that stand in the finding.
Finding = tuple[bool, dict[str, Any]]
