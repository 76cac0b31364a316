"""Progress bar of an epoch, on a terminal only."""

from __future__ import annotations

import sys
from typing import Any

import keras
from tqdm import tqdm


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """A bar for each epoch: steps done, steps a second, time left, and the running loss."""

    def __init__(self, epochs: int, steps: int) -> None:
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.bar: tqdm[Any] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.bar = tqdm(
            total=self.steps,
            desc=f"epoch {epoch + 1} of {self.epochs}",
            unit="step",
            leave=False,
            file=sys.stderr,
            disable=None,  # only where stderr is a terminal
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.bar is not None:
            self.bar.update()
            if logs and "loss" in logs:
                self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._close()

    def on_train_end(self, logs: Any = None) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
