"""Making tables of files: what needs a catalog of files that zerrow does not keep yet, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from bauplan._client.arguments import table_name
from bauplan._client.caller import Caller
from bauplan._client.catalog import check_branch
from bauplan._values.refs import MAIN, Branch, Ref
from bauplan._values.tables import Namespace, Table
from bauplan.exceptions import MethodNotAllowedError, RevertTableForbiddenError, said
from bauplan.state import (
    ExternalTableCreateState,
    TableCreatePlanApplyState,
    TableCreatePlanState,
    TableDataImportState,
)


class Imports(Caller):
    """Refuses to import, with what to do instead."""

    def create_table(
        self,
        table: str | Table,
        search_uri: str,
        branch: str | Branch | None = None,
        *,
        namespace: str | Namespace | None = None,
        partitioned_by: str | None = None,
        replace: bool | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> Table:
        """Needs imports."""
        _refuse(table, namespace, branch, search_uri)

    def plan_table_creation(
        self,
        table: str | Table,
        search_uri: str,
        branch: str | Branch | None = None,
        *,
        namespace: str | Namespace | None = None,
        partitioned_by: str | None = None,
        replace: bool | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> TableCreatePlanState:
        """Needs imports."""
        _refuse(table, namespace, branch, search_uri)

    def apply_table_creation_plan(
        self,
        plan: TableCreatePlanState | str,
        *,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> TableCreatePlanApplyState:
        """Needs imports."""
        raise said(MethodNotAllowedError, f"a plan of a table can't be applied: {_INSTEAD.format(place='a file')}")

    def import_data(
        self,
        table: str | Table,
        search_uri: str,
        branch: str | Branch | None = None,
        *,
        namespace: str | Namespace | None = None,
        continue_on_error: bool = False,
        import_duplicate_files: bool = False,
        best_effort: bool = False,
        preview: str | bool | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
        detach: bool = False,
    ) -> TableDataImportState:
        """Needs imports."""
        _refuse(table, namespace, branch, search_uri)

    def create_external_table_from_parquet(
        self,
        table: str | Table,
        search_patterns: list[str],
        *,
        branch: str | Branch | None = None,
        namespace: str | Namespace | None = None,
        overwrite: bool = False,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
        detach: bool = False,
    ) -> ExternalTableCreateState:
        """Needs imports."""
        _refuse(table, namespace, branch, ", ".join(search_patterns))

    def create_external_table_from_metadata(
        self,
        table: str | Table,
        metadata_json_uri: str,
        *,
        namespace: str | Namespace | None = None,
        branch: str | Branch | None = None,
        overwrite: bool = False,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
        detach: bool = False,
    ) -> Table:
        """Needs imports."""
        _refuse(table, namespace, branch, metadata_json_uri)

    def revert_table(
        self,
        table: str | Table,
        *,
        namespace: str | Namespace | None = None,
        source_ref: str | Ref,
        into_branch: str | Branch,
        replace: bool | None = None,
        commit_body: str | None = None,
        commit_properties: Mapping[str, str] | None = None,
    ) -> Branch:
        """Needs a history of tables."""
        check_branch(into_branch)
        name = ".".join(filter(None, table_name(table, namespace)))
        message = (
            f"the table {name!r} can't be reverted: that needs a history of tables, which zerrow does not keep yet"
        )
        names = {"table_name": name, "source_ref": str(source_ref), "destination_branch": MAIN}
        raise said(RevertTableForbiddenError, message, **names)


_INSTEAD = "imports need a catalog of files, which zerrow does not keep yet; name {place} as a source of the project"


def _refuse(table: str | Table, namespace: str | Namespace | None, branch: str | Branch | None, place: str) -> NoReturn:
    check_branch(MAIN if branch is None else branch)
    name = ".".join(filter(None, table_name(table, namespace)))
    instead = _INSTEAD.format(place=repr(place))
    raise said(MethodNotAllowedError, f"the table {name!r} can't be imported: {instead}, 'sources: {{{name}: …}}'")
