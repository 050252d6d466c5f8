"""TensorBoard, where it is installed."""

from __future__ import annotations

from typing import Any


def board_class(asked: bool | None) -> Any:
    """TensorBoard's writer class where it is wanted and there.

    Raises:
        ValueError: asked for and not installed.
    """
    if asked is False:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        if asked:
            raise ValueError('--tensorboard needs TensorBoard: pip install "translate-gan[tensorboard]"') from None
        return None
    return SummaryWriter
