"""The errors that the client raises, under Bauplan's names, so that scripts which catch them work.

Those of a catalog are of the family `BauplanHTTPError`: `code` and `type` are what a server would have answered, and
`kind` has the names that the error is about. Those of jobs are of the family `BauplanJobError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from bauplan._values.error_kinds import ApiErrorKind


class BauplanError(Exception):
    """The root of all errors."""


class BauplanHTTPError(BauplanError):
    """An answer that a catalog gives instead of what was asked for."""

    status: ClassVar[int] = 500

    def __init__(
        self, code: int | str | None = None, type: str = "", message: str = "", kind: ApiErrorKind | None = None
    ) -> None:
        # Of one argument alone, a text is the message.
        if isinstance(code, str):
            code, message = None, code
        self.code = self.status if code is None else code
        self.type = type
        self.message = message
        self.kind = kind
        super().__init__(self.code, type, message)

    def __str__(self) -> str:
        return self.message


def said(error: type[BauplanHTTPError], message: str, **names: Any) -> BauplanHTTPError:
    """An error of a catalog, with the names that it is about."""
    from bauplan._values.error_kinds import ApiErrorKind

    word = error.__name__.removesuffix("Error")
    kind = getattr(ApiErrorKind, word, None)
    upper = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in word).lstrip("_")
    return error(error.status, upper, message, kind(**names) if kind and names else None)


def __getattr__(name: str) -> object:
    # The kinds are many, and few scripts look at them.
    if name != "ApiErrorKind":
        raise AttributeError(f"module 'bauplan.exceptions' has no attribute {name!r}")
    from bauplan._values.error_kinds import ApiErrorKind

    return ApiErrorKind


class BadRequestError(BauplanHTTPError):
    """What was asked for can't be meant."""

    status = 400


class InvalidDataError(BadRequestError):
    """An argument that can't be meant."""


class InvalidRefError(BadRequestError):
    """A text that is no ref."""


class NotABranchRefError(InvalidRefError):
    """A ref that is no branch where one is needed."""


class NotATagRefError(InvalidRefError):
    """A ref that is no tag where one is needed."""


class NotAWriteBranchRefError(NotABranchRefError):
    """A ref that nobody can write to."""


class SameRefError(InvalidRefError):
    """Two refs that must not be the same."""


class UnauthorizedError(BauplanHTTPError):
    """Who calls is not known."""

    status = 401


class ForbiddenError(BauplanHTTPError):
    """What was asked for is not possible here."""

    status = 403


class AccessDeniedError(ForbiddenError):
    """Who calls may not do this."""


class CreateBranchForbiddenError(ForbiddenError):
    """A branch can't be made."""


class CreateNamespaceForbiddenError(ForbiddenError):
    """A namespace can't be made."""


class CreateTagForbiddenError(ForbiddenError):
    """A tag can't be made."""


class DeleteBranchForbiddenError(ForbiddenError):
    """A branch can't be deleted."""


class DeleteNamespaceForbiddenError(ForbiddenError):
    """A namespace can't be deleted."""


class DeleteTableForbiddenError(ForbiddenError):
    """A table can't be deleted."""


class DeleteTagForbiddenError(ForbiddenError):
    """A tag can't be deleted."""


class MergeForbiddenError(ForbiddenError):
    """A branch can't be merged."""


class RenameBranchForbiddenError(ForbiddenError):
    """A branch can't be renamed."""


class RenameTagForbiddenError(ForbiddenError):
    """A tag can't be renamed."""


class RevertTableForbiddenError(ForbiddenError):
    """A table can't be reverted."""


class NotFoundError(BauplanHTTPError):
    """What was named is not there."""

    status = 404


class ResourceNotFoundError(NotFoundError):
    """A thing of the catalog that is not there."""


class BranchNotFoundError(ResourceNotFoundError):
    """There is no such branch."""


class NamespaceNotFoundError(ResourceNotFoundError):
    """There is no such namespace."""


class RefNotFoundError(ResourceNotFoundError):
    """There is no such ref."""


class TableNotFoundError(ResourceNotFoundError):
    """There is no such table."""


class TagNotFoundError(ResourceNotFoundError):
    """There is no such tag."""


class ApiMethodError(ResourceNotFoundError):
    """There is no such method."""


class MethodNotAllowedError(BauplanHTTPError):
    """What was asked for is not to be had here."""

    status = 405


class ApiRouteError(MethodNotAllowedError):
    """What was asked for is not to be had in this way."""


class ConflictError(BauplanHTTPError):
    """What was asked for contradicts itself, or what is there."""

    status = 409


class NamespaceUnresolvedError(ConflictError):
    """A table's name has one namespace, and another one was given."""


class UpdateConflictError(ConflictError):
    """A change that contradicts what is there."""


class BranchExistsError(UpdateConflictError):
    """There is such a branch already."""


class BranchHeadChangedError(UpdateConflictError):
    """A branch was changed by somebody else meanwhile."""


class MergeConflictError(UpdateConflictError):
    """Two branches changed the same table."""


class NamespaceExistsError(UpdateConflictError):
    """There is such a namespace already."""


class NamespaceIsNotEmptyError(UpdateConflictError):
    """A namespace that has tables."""


class RevertDestinationTableExistsError(UpdateConflictError):
    """A table is where one would be reverted to."""


class RevertIdenticalTableError(UpdateConflictError):
    """A table is already as it would be reverted to."""


class TableExistsError(UpdateConflictError):
    """There is such a table already."""


class TagExistsError(UpdateConflictError):
    """There is such a tag already."""


class TooManyRequestsError(BauplanHTTPError):
    """Too much was asked for at once."""

    status = 429


class InternalError(BauplanHTTPError):
    """The catalog failed."""


class BadGatewayError(BauplanHTTPError):
    """What is between failed."""

    status = 502


class ServiceUnavailableError(BauplanHTTPError):
    """The catalog is not there."""

    status = 503


class GatewayTimeoutError(BauplanHTTPError):
    """The catalog did not answer in time."""

    status = 504


class BauplanJobError(BauplanError):
    """A job that could not begin, or was not waited for. One that fails raises nothing: its state says so."""


class BauplanQueryError(BauplanJobError):
    """A query that gave no rows."""


class InvalidFilterError(BauplanQueryError, ValueError):
    """A filter of a scan that is no condition."""


class NoResultsFoundError(BauplanError):
    """Nothing was found."""


class InvalidPlanError(BauplanError):
    """A plan of a table that can't be used."""


class TableCreatePlanError(BauplanError):
    """A table can't be made so."""


class TableCreatePlanStatusError(TableCreatePlanError):
    """The planning of a table failed; `state` says how."""

    def __init__(self, message: str = "", state: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.state = state


class TableCreatePlanApplyStatusError(BauplanError):
    """The making of a planned table failed; `state` says how."""

    def __init__(self, message: str = "", state: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.state = state


# Older names.
BranchExists = BranchExistsError
BranchNotFound = BranchNotFoundError
JobError = BauplanJobError
NamespaceExists = NamespaceExistsError
NamespaceNotFound = NamespaceNotFoundError
ResourceNotFound = ResourceNotFoundError
TableExists = TableExistsError
TableNotFound = TableNotFoundError
TagExists = TagExistsError
TagNotFound = TagNotFoundError
Unauthorized = UnauthorizedError
