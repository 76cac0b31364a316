"""A group of commands whose help shows each summary whole, however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click


class UncutGroup(click.Group):
    """Like `click.Group`, but wraps the summaries of its commands instead of cutting them."""

    def sections(self, ctx: click.Context) -> Mapping[str, Sequence[str]]:
        """The names of the commands, by the heading under which the help shows them."""
        return {"Commands": self.list_commands(ctx)}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each heading; the names of all have one width."""
        sections = self.sections(ctx)
        width = max((len(name) for names in sections.values() for name in names), default=0)
        for heading, names in sections.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [
                (name.ljust(width), command.get_short_help_str(limit=1000))
                for name, command in commands
                if command is not None and not command.hidden
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
