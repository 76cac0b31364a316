"""Alembic's environment: runs the migrations on the connection of ``db.schema``."""

from __future__ import annotations

from alembic import context

from db.tables import metadata


def run() -> None:
    """Run the migrations in the caller's transaction, or print them as SQL when offline."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        url = context.config.get_main_option("sqlalchemy.url")
        context.configure(url=url, target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,  # on SQLite too, because db.session issues BEGIN itself
        render_as_batch=connection.dialect.name == "sqlite",
    )
    context.run_migrations()


run()
