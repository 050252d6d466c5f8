"""Converts convolutions of a graph to 8-bit integers, with ranges calibrated on pictures. Imports no torch."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from translate.conditions import Arrays
from translate.export import storage

QUANTIZED = ("Conv",)
"""ONNX Runtime has no 8-bit transposed convolution for the CPU, and norms need a wider range."""


def quantize(file: Path, feeds: Iterable[Arrays]) -> None:
    """Rewrite `file` with 8-bit convolutions: QDQ, weights with a scale for each output channel.

    Args:
        feeds: inputs of the graph by name for the calibration pictures, from which the ranges are taken.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    remaining = iter(feeds)

    class Reader(CalibrationDataReader):
        def get_next(self) -> Arrays | None:
            return next(remaining, None)

    made = file.with_name(f"int8-{file.name}")
    with _quiet():
        quantize_static(
            file,
            made,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            reduce_range=True,  # 7-bit weights: CPUs without VNNI add pairs of products up in 16 bits, which overflow
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            use_external_data_format=storage.data_file(file).exists(),
        )
    proto = storage.load(made)
    storage.data_file(made).unlink(missing_ok=True)
    made.unlink()
    storage.save(proto, file)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the advice to optimise first (the exporter did), which ONNX Runtime logs on the root logger.

    Messages of others pass, and the handler that such a message adds is removed.
    """
    root, before = logging.getLogger(), list(logging.getLogger().handlers)

    def of_others(record: logging.LogRecord) -> bool:
        return "onnxruntime" not in record.pathname or record.levelno > logging.WARNING

    root.addFilter(of_others)
    try:
        yield
    finally:
        root.removeFilter(of_others)
        if not before:
            for handler in list(root.handlers):
                root.removeHandler(handler)
