"""``fashion-cascade exporter``: the gauges of queue and catalogue for Prometheus."""

from __future__ import annotations

import os

import click

from commands.common import exit_codes
from commands.options import broker_option, catalogue_option


@click.command()
@catalogue_option
@broker_option
@click.option("--port", type=click.IntRange(0, 65535), default=9101, help="Port; 0: a free one.")
@click.option("--address", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.")
def command(port: int, address: str, **options: object) -> None:
    """Serve the gauges of the whole queue and catalogue to Prometheus, until Ctrl-C.

    One for each catalogue. It needs no worker, and goes on while the broker or the catalogue is
    away: fashion_cascade_broker_up and fashion_cascade_catalogue_up say so. Workers have their own
    metrics on --metrics-port.

    \b
    Example:
      fashion-cascade exporter --port 9101 --address 0.0.0.0
    """
    from prometheus_client import CollectorRegistry, make_wsgi_app

    from commands.stopping import stops_on_signal
    from worker.concurrency import StopFlag
    from worker.errors import SettingsError
    from worker.probes import serve
    from worker.queue.exporter import Exporter
    from worker.settings import resolve

    with exit_codes():
        registry = CollectorRegistry()
        registry.register(Exporter(resolve(options, environ=os.environ).settings))
        try:
            server = serve.start(make_wsgi_app(registry), address, port)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {address}:{port}: {error.strerror}; choose another --port"
            ) from error
    click.echo(f"metrics: http://{address}:{server.server_port}/metrics", err=True)
    stop = StopFlag()
    with stops_on_signal(stop):
        stop.wait()
    server.shutdown()
    server.server_close()
