"""``fashion-cascade convert``: a bundle's networks for LiteRT, proven against the reference."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.common import MODEL, failed

if TYPE_CHECKING:
    import numpy as np

    from cascade.conversion import Agreement
    from cascade.pictures.preprocessing import Preprocessing

SEED = 20


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--pictures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A folder of real pictures, in folders of any depth.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new bundle.")
@click.option(
    "--calibrate",
    type=click.IntRange(1),
    default=600,
    show_default=True,
    help="How many of the pictures set the ranges of int8.",
)
@click.option(
    "--judge",
    type=click.IntRange(1),
    default=3000,
    show_default=True,
    help="On how many of the others, at most, the answers are compared.",
)
@click.option("--float16", is_flag=True, help="Compare mixed precision, for GPUs, too.")
def command(
    bundle: Path, pictures: Path, out: Path, calibrate: int, judge: int, float16: bool
) -> None:
    """Write a copy of BUNDLE that also runs on LiteRT, in float32 and in int8, and on OpenVINO.

    All are compared with TensorFlow on pictures that int8 was not calibrated with. Exit code 1: a
    backend named another leaf too often (more than 1 in 10,000, or 1 in 200 for int8 and bfloat16)
    and was left out. The labels' model version stays the same.

    --float16 compares tensorflow_float16 too, which a GPU then takes by itself where labels stay
    the same. On a CPU that takes long: half a minute a thousand pictures for the shipped networks.

    \b
    Example:
      fashion-cascade convert runs/mine/bundle --pictures photos/validation --out runs/mine/quick
    """
    from worker.native_libraries import suppress_startup_messages

    with suppress_startup_messages():
        from cascade.bundle import Bundle
        from cascade.conversion import convert
        from cascade.errors import CascadeError

    try:
        frame = Bundle.open(bundle).preprocessing
        pixels = _decoded(pictures, frame, calibrate + judge)
        if len(pixels) <= calibrate:
            raise click.UsageError(
                f"{pictures}: expected more than {calibrate} pictures, so that some are left to "
                f"compare on; found {len(pixels)}: name another folder or lower --calibrate"
            )
        made, agreements = convert(
            bundle, out, pixels[:calibrate], pixels[calibrate:], float16=float16
        )
    except CascadeError as error:
        raise failed(error, MODEL) from error
    _say(agreements)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
    click.echo(f"{out}: model {made.version}, {size:.1f} MB")
    if not all(each.sufficient for each in agreements.values()):
        raise click.exceptions.Exit(1)


def _decoded(folder: Path, frame: Preprocessing, number: int) -> np.ndarray:
    """``(N, height, width, 3)`` uint8: as many pictures as there are, spread over the folder."""
    import numpy as np

    from cascade.pictures.decode import load

    paths = sorted(os.fspath(path) for path in folder.rglob("*") if path.is_file())
    random.Random(SEED).shuffle(paths)
    found: list[np.ndarray] = []
    for path in paths:
        if len(found) == number:
            break
        pixels = load(path, frame).pixels
        if pixels is not None:
            found.append(pixels)
    shape = (0, frame.height, frame.width, 3)
    return np.stack(found) if found else np.zeros(shape, np.uint8)


def _say(agreements: dict[str, Agreement]) -> None:
    for name, each in agreements.items():
        click.echo(
            f"{name}: {each.leaves:.3%} of leaves and {each.labels:.3%} of labels as the reference "
            f"on {each.pictures} pictures, largest difference of a probability "
            f"{each.confidence:.2g}, {each.megabytes} MB"
        )
        if not each.sufficient:
            click.echo(f"{name}: left out: fewer than {each.required:.2%} of leaves", err=True)
