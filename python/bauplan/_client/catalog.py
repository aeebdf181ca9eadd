"""Tables and namespaces of a project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bauplan._client.arguments import ONE_BRANCH, branch_name, check_ref, namespace_name, table_name
from bauplan._client.caller import Caller
from bauplan._values.refs import MAIN, Branch, Ref
from bauplan._values.tables import Namespace, Table, table_of
from bauplan.exceptions import (
    BauplanError,
    BranchNotFoundError,
    CreateNamespaceForbiddenError,
    DeleteNamespaceForbiddenError,
    NamespaceExistsError,
    NamespaceNotFoundError,
    TableNotFoundError,
    said,
)


class Catalog(Caller):
    """Looks at tables, and deletes them."""

    def get_tables(
        self,
        ref: str | Ref | None = MAIN,
        *,
        filter_by_name: str | None = None,
        filter_by_namespace: str | Namespace | None = None,
        limit: int | None = None,
    ) -> Iterator[Table]:
        """The project's tables: its sources, and what runs have kept; those whose name has `filter_by_name` in it."""
        check_ref(ref)
        wanted = namespace_name(filter_by_namespace)
        tables = [
            table
            for table in self._tables()
            if (wanted is None or table.namespace == wanted) and (filter_by_name or "") in table.name
        ]
        return iter(tables[:limit])

    def get_table(
        self, table: str | Table, ref: str | Ref | None = MAIN, *, namespace: str | Namespace | None = None
    ) -> Table:
        """A table, with its columns and its rows' number."""
        check_ref(ref)
        return self._get(table, namespace, ref)

    def has_table(
        self, table: str | Table, ref: str | Ref | None = MAIN, *, namespace: str | Namespace | None = None
    ) -> bool:
        """Whether there is such a table."""
        check_ref(ref)
        try:
            self._get(table, namespace, ref)
        except (TableNotFoundError, NamespaceNotFoundError):
            return False
        return True

    def delete_table(
        self,
        table: str | Table,
        branch: str | Branch = MAIN,
        *,
        namespace: str | Namespace | None = None,
        if_exists: bool = False,
        commit_body: str | None = None,
        commit_properties: Mapping[str, str] | None = None,
    ) -> Branch:
        """Delete a table that runs have kept; the files of a source are nobody's to delete."""
        check_branch(branch)
        try:
            found = self._get(table, namespace, branch)
        except (TableNotFoundError, NamespaceNotFoundError):
            if if_exists:
                return Branch(MAIN)
            raise
        self._ask(["table", "rm", found.fqn if found.namespace else found.name, "-p", str(self._project())])
        return Branch(MAIN)

    def get_namespaces(
        self, ref: str | Ref | None = MAIN, *, filter_by_name: str | None = None, limit: int | None = None
    ) -> Iterator[Namespace]:
        """The namespaces that tables are in, those that have `filter_by_name` in their names."""
        check_ref(ref)
        names = [name for name in self._namespaces() if (filter_by_name or "") in name]
        return iter([Namespace(name) for name in names[:limit]])

    def get_namespace(self, namespace: str | Namespace, ref: str | Ref | None = MAIN) -> Namespace:
        """A namespace."""
        name = _name(namespace)
        if not self.has_namespace(name, ref):
            raise self._no_namespace(name, ref)
        return Namespace(name)

    def has_namespace(self, namespace: str | Namespace, ref: str | Ref | None = MAIN) -> bool:
        """Whether there is such a namespace."""
        check_ref(ref)
        return _name(namespace) in self._namespaces()

    def create_namespace(
        self,
        namespace: str | Namespace,
        branch: str | Branch = MAIN,
        *,
        commit_body: str | None = None,
        commit_properties: Mapping[str, str] | None = None,
        if_not_exists: bool = False,
    ) -> Namespace:
        """A namespace that is there already, if that will do: others begin with the first table in them."""
        check_branch(branch)
        name = _name(namespace)
        if self.has_namespace(name):
            if if_not_exists:
                return Namespace(name)
            names = {"namespace_name": name, "catalog_ref": Branch(MAIN)}
            raise said(NamespaceExistsError, f"there is a namespace {name!r} already", **names)
        message = f"the namespace {name!r} begins with its first table: run a project with namespace={name!r}"
        raise said(CreateNamespaceForbiddenError, message, namespace_name=name)

    def delete_namespace(
        self,
        namespace: str | Namespace,
        branch: str | Branch = MAIN,
        *,
        if_exists: bool = False,
        commit_body: str | None = None,
        commit_properties: Mapping[str, str] | None = None,
    ) -> Branch:
        """Nothing for a namespace that is not there, if that will do: others end with the last table in them."""
        check_branch(branch)
        name = _name(namespace)
        if self.has_namespace(name):
            message = f"the namespace {name!r} ends with its last table: delete its tables"
            raise said(DeleteNamespaceForbiddenError, message, namespace_name=name)
        if not if_exists:
            raise self._no_namespace(name, branch)
        return Branch(MAIN)

    def _tables(self) -> list[Table]:
        answer = self._ask(["table", "ls", "-p", str(self._project())])
        return [table_of(entry) for entry in answer.report.get("tables") or []]

    def _namespaces(self) -> list[str]:
        answer = self._ask(["namespace", "ls", "-p", str(self._project())])
        entries = answer.report.get("namespaces") or []
        return sorted({entry["name"] if isinstance(entry, dict) else str(entry) for entry in entries})

    def _get(self, table: str | Table, namespace: str | Namespace | None, ref: str | Ref | None) -> Table:
        in_namespace, name = table_name(table, namespace)
        whole = name if in_namespace is None else f"{in_namespace}.{name}"
        answer = self._call("table", "get", whole, "-p", str(self._project()))
        if answer.is_good:
            entries = answer.report.get("tables") or [answer.report]
            return table_of(entries[0])
        # Whatever else is wrong with the project is no missing table.
        tables = self._tables()
        if in_namespace and in_namespace not in {each.namespace for each in tables}:
            raise self._no_namespace(in_namespace, ref)
        if any(each.name == name and in_namespace in (None, each.namespace) for each in tables):
            raise BauplanError(answer.reason)
        names = {"table_name": whole, "input_ref": str(ref or MAIN), "catalog_ref": Branch(MAIN)}
        raise said(TableNotFoundError, f"there is no table {whole!r} in {self._project()}", **names)

    def _no_namespace(self, name: str, ref: str | Ref | None) -> NamespaceNotFoundError:
        names = {"namespace_name": name, "input_ref": str(ref or MAIN), "catalog_ref": Branch(MAIN)}
        error = said(NamespaceNotFoundError, f"there is no namespace {name!r} in {self._project()}", **names)
        assert isinstance(error, NamespaceNotFoundError)
        return error


def check_branch(branch: str | Branch) -> None:
    """Refuse a branch to write to that is not the one there is."""
    name = branch_name(branch)
    if name != MAIN:
        raise said(BranchNotFoundError, f"there is no branch {name!r}: {ONE_BRANCH}", branch_name=name)


def _name(namespace: str | Namespace) -> str:
    name = namespace_name(namespace)
    if name is None:
        raise ValueError("the name of the namespace is empty")
    return name
