"""Where to compute, if nobody says so."""

from __future__ import annotations

import torch


def chosen_device(device: str | torch.device | None = None) -> torch.device:
    """The device that is meant; None is CUDA if there is any, else the CPU.

    Raises:
        ValueError: CUDA without one.
    """
    found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device}: torch sees no CUDA device here; use cpu, or ask memenc doctor")
    return found
