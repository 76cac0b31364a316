"""Every exception class has an exit code, and the context manager of the commands uses it."""

from __future__ import annotations

import inspect

import click
import pytest

import cascade.errors
import db.errors
import worker.errors
from commands.common import exit_codes
from worker.errors import ExitCode, exit_code_of, exit_code_table

EXPECTED = {
    "CascadeError": 5,
    "TaxonomyError": 5,
    "BundleError": 5,
    "BundleTampered": 5,
    "LibraryMissing": 2,
    "DatasetError": 2,
    "CatalogueError": 2,
    "InvalidUrl": 2,
    "DatabaseUnavailable": 4,
    "DatabaseRefuses": 4,
    "DatabaseBusy": 4,
    "QueryTooSlow": 4,
    "SchemaError": 4,
    "SchemaMissing": 4,
    "SchemaTooOld": 4,
    "SchemaTooNew": 4,
    "UnknownLabel": 2,
    "InvalidRecord": 2,
    "InvalidQuery": 2,
    "ExportError": 2,
    "OutputFailed": 1,
    "WorkerError": 1,
    "SettingsError": 2,
    "InputError": 2,
    "BrokerUnreachable": 3,
    "ModelUnusable": 5,
    "HostTrouble": 1,
    "RootGone": 1,
    "CountMismatch": 1,
}


def exception_classes() -> set[type[Exception]]:
    """The exception classes that the three `errors` modules define."""
    return {
        found
        for module in (cascade.errors, db.errors, worker.errors)
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == module.__name__
    }


def test_the_table_is_complete() -> None:
    assert set(exit_code_table()) == exception_classes()
    assert {kind.__name__: code for kind, code in exit_code_table().items()} == EXPECTED


@pytest.mark.parametrize("kind", sorted(exception_classes(), key=lambda kind: kind.__name__))
def test_a_command_ends_with_the_code_and_one_line(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(click.exceptions.Exit) as ended, exit_codes():
        raise kind("what happened")
    assert ended.value.exit_code == EXPECTED[kind.__name__]
    assert capsys.readouterr().err == "fashion-cascade: what happened\n"


def test_a_new_subclass_has_the_code_of_its_base() -> None:
    class NewError(worker.errors.BrokerUnreachable):
        pass

    assert exit_code_of(NewError()) == ExitCode.BROKER


def test_any_other_exception_is_a_bug_and_passes_through() -> None:
    assert exit_code_of(ValueError()) is None
    with pytest.raises(ValueError, match="a bug"), exit_codes():
        raise ValueError("a bug")


def test_a_command_may_declare_errors_to_be_usage_errors() -> None:
    usage = (cascade.errors.CascadeError, ValueError)
    for error in (cascade.errors.BundleError("x"), ValueError("x")):
        with pytest.raises(click.exceptions.Exit) as ended, exit_codes(usage):
            raise error
        assert ended.value.exit_code == ExitCode.USAGE
