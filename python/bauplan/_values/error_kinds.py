"""The names that an error of the catalog is about, for scripts that look at them."""

from __future__ import annotations

from dataclasses import dataclass

from bauplan._values.refs import Ref


class ApiErrorKind:
    """What an error is about; each kind has the names as attributes, and matches them in a `match` statement."""

    # Named here for scripts: each is a kind of its own, below.
    BranchExists: type[_BranchExists]
    BranchHeadChanged: type[_BranchHeadChanged]
    BranchNotFound: type[_BranchNotFound]
    CreateBranchForbidden: type[_CreateBranchForbidden]
    CreateNamespaceForbidden: type[_CreateNamespaceForbidden]
    CreateTagForbidden: type[_CreateTagForbidden]
    DeleteBranchForbidden: type[_DeleteBranchForbidden]
    DeleteNamespaceForbidden: type[_DeleteNamespaceForbidden]
    DeleteTableForbidden: type[_DeleteTableForbidden]
    DeleteTagForbidden: type[_DeleteTagForbidden]
    InvalidRef: type[_InvalidRef]
    MergeConflict: type[_MergeConflict]
    MergeForbidden: type[_MergeForbidden]
    NamespaceExists: type[_NamespaceExists]
    NamespaceIsNotEmpty: type[_NamespaceIsNotEmpty]
    NamespaceNotFound: type[_NamespaceNotFound]
    NamespaceUnresolved: type[_NamespaceUnresolved]
    NotABranchRef: type[_NotABranchRef]
    NotATagRef: type[_NotATagRef]
    NotAWriteBranchRef: type[_NotAWriteBranchRef]
    RefNotFound: type[_RefNotFound]
    RenameBranchForbidden: type[_RenameBranchForbidden]
    RenameTagForbidden: type[_RenameTagForbidden]
    RevertDestinationTableExists: type[_RevertDestinationTableExists]
    RevertIdenticalTable: type[_RevertIdenticalTable]
    RevertTableForbidden: type[_RevertTableForbidden]
    SameRef: type[_SameRef]
    TableExists: type[_TableExists]
    TableNotFound: type[_TableNotFound]
    TagExists: type[_TagExists]
    TagNotFound: type[_TagNotFound]
    Unauthorized: type[_Unauthorized]


@dataclass(frozen=True)
class _BranchExists(ApiErrorKind):
    branch_name: str
    catalog_ref: Ref


@dataclass(frozen=True)
class _BranchHeadChanged(ApiErrorKind):
    input_ref: Ref
    head_ref: Ref


@dataclass(frozen=True)
class _BranchNotFound(ApiErrorKind):
    branch_name: str


@dataclass(frozen=True)
class _CreateBranchForbidden(ApiErrorKind):
    branch_name: str


@dataclass(frozen=True)
class _CreateNamespaceForbidden(ApiErrorKind):
    namespace_name: str


@dataclass(frozen=True)
class _CreateTagForbidden(ApiErrorKind):
    tag_name: str


@dataclass(frozen=True)
class _DeleteBranchForbidden(ApiErrorKind):
    branch_name: str


@dataclass(frozen=True)
class _DeleteNamespaceForbidden(ApiErrorKind):
    namespace_name: str


@dataclass(frozen=True)
class _DeleteTableForbidden(ApiErrorKind):
    table_name: str


@dataclass(frozen=True)
class _DeleteTagForbidden(ApiErrorKind):
    tag_name: str


@dataclass(frozen=True)
class _InvalidRef(ApiErrorKind):
    input_ref: str


@dataclass(frozen=True)
class _MergeConflict(ApiErrorKind):
    source_ref: Ref
    destination_ref: Ref


@dataclass(frozen=True)
class _MergeForbidden(ApiErrorKind):
    source_ref: str
    destination_branch: str


@dataclass(frozen=True)
class _NamespaceExists(ApiErrorKind):
    namespace_name: str
    catalog_ref: Ref


@dataclass(frozen=True)
class _NamespaceIsNotEmpty(ApiErrorKind):
    namespace_name: str
    branch_name: str


@dataclass(frozen=True)
class _NamespaceNotFound(ApiErrorKind):
    namespace_name: str
    input_ref: str
    catalog_ref: Ref


@dataclass(frozen=True)
class _NamespaceUnresolved(ApiErrorKind):
    table_name: str
    namespace_name: str


@dataclass(frozen=True)
class _NotABranchRef(ApiErrorKind):
    input_ref: str


@dataclass(frozen=True)
class _NotATagRef(ApiErrorKind):
    input_ref: str


@dataclass(frozen=True)
class _NotAWriteBranchRef(ApiErrorKind):
    input_ref: str


@dataclass(frozen=True)
class _RefNotFound(ApiErrorKind):
    input_ref: str


@dataclass(frozen=True)
class _RenameBranchForbidden(ApiErrorKind):
    old_branch_name: str
    new_branch_name: str


@dataclass(frozen=True)
class _RenameTagForbidden(ApiErrorKind):
    old_tag_name: str
    new_tag_name: str


@dataclass(frozen=True)
class _RevertDestinationTableExists(ApiErrorKind):
    source_table_name: str
    destination_table_name: str


@dataclass(frozen=True)
class _RevertIdenticalTable(ApiErrorKind):
    source_table_name: str
    destination_table_name: str


@dataclass(frozen=True)
class _RevertTableForbidden(ApiErrorKind):
    table_name: str
    source_ref: str
    destination_branch: str


@dataclass(frozen=True)
class _SameRef(ApiErrorKind):
    input_ref: Ref
    catalog_ref: Ref


@dataclass(frozen=True)
class _TableExists(ApiErrorKind):
    table_name: str
    catalog_ref: Ref


@dataclass(frozen=True)
class _TableNotFound(ApiErrorKind):
    table_name: str
    input_ref: str
    catalog_ref: Ref


@dataclass(frozen=True)
class _TagExists(ApiErrorKind):
    tag_name: str
    catalog_ref: Ref


@dataclass(frozen=True)
class _TagNotFound(ApiErrorKind):
    tag_name: str


@dataclass(frozen=True)
class _Unauthorized(ApiErrorKind):
    pass


for _kind in ApiErrorKind.__subclasses__():
    _kind.__name__ = _kind.__name__.lstrip("_")
    _kind.__qualname__ = f"ApiErrorKind.{_kind.__name__}"
    setattr(ApiErrorKind, _kind.__name__, _kind)
