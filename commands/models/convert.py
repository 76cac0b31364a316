"""``fashion-cascade convert``: add backends to a bundle and compare them with TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.common import exit_codes, require_tensorflow
from commands.options import EXISTING_FOLDER, out_option
from worker.errors import ExitCode

if TYPE_CHECKING:
    from cascade.conversion import Agreement


@click.command()
@click.argument("bundle", type=EXISTING_FOLDER)
@click.option(
    "--pictures",
    type=EXISTING_FOLDER,
    required=True,
    help="Folder with photographs, in folders of any depth.",
)
@out_option("Folder of the new bundle.")
@click.option(
    "--calibrate",
    type=click.IntRange(1),
    default=600,
    metavar="N",
    help="Number of pictures to calibrate int8 with.",
)
@click.option(
    "--judge",
    type=click.IntRange(1),
    default=3000,
    metavar="N",
    help="Maximum number of the other pictures to compare the backends on.",
)
@click.option("--float16", is_flag=True, help="Also compare mixed precision, for GPUs.")
def command(
    bundle: Path, pictures: Path, out: Path, calibrate: int, judge: int, float16: bool
) -> None:
    """Convert BUNDLE to LiteRT and OpenVINO.

    The new bundle also runs on LiteRT, in float32 and in int8, and on OpenVINO. Each backend is
    compared with TensorFlow on pictures that int8 was not calibrated with. A backend that differs
    on too many leaves is left out: more than 1 in 10,000, for int8 and bfloat16 more than 1 in 200.
    Exit code 1: a backend was left out. The model version stays the same.

    With --float16, tensorflow_float16 is compared as well; a GPU uses it by default if the labels
    stay the same. On a CPU this takes half a minute per thousand pictures for the shipped networks.

    \b
    Example:
      fashion-cascade convert runs/mine/bundle --pictures photos/validation --out runs/mine/quick
    """
    from worker.native_libraries import suppress_startup_messages

    require_tensorflow("convert")
    with suppress_startup_messages():
        from cascade.bundle import Bundle
        from cascade.conversion import convert
        from cascade.data.dataset import decode_sample

    with exit_codes():
        preprocessing = Bundle.open(bundle).preprocessing
        pixels = decode_sample(pictures, preprocessing, calibrate + judge)
        if len(pixels) <= calibrate:
            raise click.UsageError(
                f"{pictures}: expected more than {calibrate} pictures: {calibrate} are for "
                f"calibration and the others for comparison; found {len(pixels)}: use another "
                "folder or lower --calibrate"
            )
        made, agreements = convert(
            bundle, out, pixels[:calibrate], pixels[calibrate:], float16=float16
        )
    _print_agreements(agreements)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
    click.echo(f"{out}: model {made.version}, {size:.1f} MB")
    if not all(each.sufficient for each in agreements.values()):
        raise click.exceptions.Exit(ExitCode.FAILED)


def _print_agreements(agreements: dict[str, Agreement]) -> None:
    for name, each in agreements.items():
        click.echo(
            f"{name}: {each.leaves:.3%} of leaves and {each.labels:.3%} of labels as the reference "
            f"on {each.pictures} pictures, largest difference of a probability "
            f"{each.confidence:.2g}, {each.megabytes} MB"
        )
        if not each.sufficient:
            click.echo(f"{name}: left out: fewer than {each.required:.2%} of leaves", err=True)
