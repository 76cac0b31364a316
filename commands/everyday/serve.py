"""``fashion-cascade serve``: a page to look through the catalogue in a browser."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.common import exit_codes, load_settings, open_catalogue
from commands.options import catalogue_option
from worker.configuration.user_folders import user_cache_folder
from worker.settings import BY_NAME

if TYPE_CHECKING:
    from worker.settings import Settings


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

    Browse, correct labels from the keyboard, and watch crawls. Without further options the page is
    for this machine alone. On another address than loopback it needs the setting serve_password or
    serve_token, and roots, below which pictures are shown.

    \b
    Example:
      fashion-cascade serve
      fashion-cascade serve --catalogue catalogue.db --port 8080 --read-only
      FASHION_CASCADE_SERVE_PASSWORD_FILE=password.txt FASHION_CASCADE_ROOTS=/pictures \\
        fashion-cascade serve --host 0.0.0.0 --allowed-host pictures.example
    """
    from rendering.secrets import mask_url
    from web import server
    from web.access import Access, Secrets
    from web.app import make_app
    from web.disk_cache import DiskCache
    from web.hosts import Hosts, is_loopback
    from web.site import Site, limit_memory
    from web.thumbnails import Thumbnails

    with exit_codes():
        settings = load_settings(catalogue_url=catalogue_url)
    known = Secrets(
        settings.serve_password,
        settings.serve_token,
        settings.serve_user_header,
        settings.serve_trusted_proxies,
    )
    if not is_loopback(host):
        check_exposure(host, settings)
    with open_catalogue(catalogue_url) as catalogue, listen(host, port) as listener:
        limit_memory(catalogue.engine)
        cache = DiskCache(cache_folder or _user_cache())
        site = Site(
            catalogue.engine,
            mask_url(settings.catalogue_url),
            Thumbnails(settings.roots, cache),
            read_only,
            known.any,
            settings,
        )
        app = make_app(site, Hosts(host, allowed_hosts), Access(known))
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"http://{shown}:{listener.getsockname()[1]}/  (stop with Ctrl-C)")
        server.run(app, listener)


def check_exposure(host: str, settings: Settings) -> None:
    """Refuse an address that others can reach, unless they must log in and see pictures only."""
    if not (settings.serve_password or settings.serve_token):
        raise click.UsageError(
            f"--host {host} can be reached from other machines: set "
            f"{BY_NAME['serve_password'].variable} or {BY_NAME['serve_token'].variable}, "
            "or leave --host out"
        )
    if not settings.roots:
        raise click.UsageError(
            f"--host {host} can be reached from other machines, and without "
            f"{BY_NAME['roots'].variable} a row of the catalogue can show any file: name the "
            "folders of the pictures there"
        )


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
    return user_cache_folder() / "thumbnails"
