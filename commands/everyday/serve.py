"""``fashion-cascade serve``: a page to look through the catalogue in a browser."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from commands.common import load_settings, open_catalogue
from commands.options import catalogue_option


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, help="Port to listen on; 0: any free."
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="A further name that the page is reached by.",
)
@click.option("--read-only", is_flag=True, help="Show only: nothing can be changed.")
@click.option(
    "--cache",
    "cache_folder",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="the user's cache folder",
    help="Folder for thumbnails, at most 512 MiB.",
)
@catalogue_option
def command(
    *,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    read_only: bool,
    cache_folder: Path | None,
    catalogue_url: str | None,
) -> None:
    """Show the catalogue as a page for the browser.

    The page is for this machine alone.

    \b
    Example:
      fashion-cascade serve
      fashion-cascade serve --catalogue catalogue.db --port 8080 --read-only
    """
    from rendering.secrets import mask_url
    from web import server
    from web.app import make_app
    from web.disk_cache import DiskCache
    from web.hosts import Hosts, is_loopback
    from web.site import Site
    from web.thumbnails import Thumbnails

    if not is_loopback(host):
        raise click.UsageError(f"--host: expected a loopback address, received {host}")
    settings = load_settings(catalogue_url=catalogue_url)
    with open_catalogue(catalogue_url) as catalogue, listen(host, port) as listener:
        cache = DiskCache(cache_folder or _user_cache())
        site = Site(
            catalogue.engine,
            mask_url(settings.catalogue_url),
            Thumbnails(settings.roots, cache),
            read_only,
        )
        app = make_app(site, Hosts(host, allowed_hosts))
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"http://{shown}:{listener.getsockname()[1]}/  (stop with Ctrl-C)")
        server.run(app, listener)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; a usage error if the address cannot be used."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise click.UsageError(
            f"cannot listen on {host}, port {port}: {error}; choose another --port"
        ) from error


def _user_cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("fashion-cascade") / "thumbnails"
