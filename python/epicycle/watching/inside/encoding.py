"""JSON as snapshots are written in it."""

from __future__ import annotations

import json

# Without spaces, and in ASCII whatever the text.
encode = json.JSONEncoder(separators=(",", ":")).encode
