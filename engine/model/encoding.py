"""JSON for stores and for other processes, by one encoder: what cannot be said fails alike everywhere."""

from __future__ import annotations

from typing import Final

import msgspec

encode: Final = msgspec.json.Encoder().encode

UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)
"""What `encode` raises (`msgspec.MsgspecError` and `UnicodeEncodeError` among them)."""
