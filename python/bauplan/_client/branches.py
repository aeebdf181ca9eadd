"""Branches, tags and commits: there is one branch, and what needs more of them says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from bauplan._client.arguments import ONE_BRANCH, branch_name, check_ref
from bauplan._client.caller import Caller
from bauplan._client.catalog import check_branch
from bauplan._values.commits import Commit
from bauplan._values.refs import MAIN, Branch, Ref, Tag
from bauplan.exceptions import (
    BranchExistsError,
    CreateBranchForbiddenError,
    CreateTagForbiddenError,
    DeleteBranchForbiddenError,
    MergeForbiddenError,
    MethodNotAllowedError,
    RenameBranchForbiddenError,
    SameRefError,
    TagNotFoundError,
    said,
)


class Branches(Caller):
    """Answers of the one branch; refuses what would make, merge or remember another state of the tables."""

    def get_branches(
        self, *, name: str | None = None, user: str | None = None, limit: int | None = None
    ) -> Iterator[Branch]:
        """The one branch, if its name has `name` in it. It is no user's own."""
        is_wanted = (name or "") in MAIN and not user
        return iter([Branch(MAIN)][:limit] if is_wanted else [])

    def get_branch(self, branch: str | Branch) -> Branch:
        """The one branch, by its name."""
        check_branch(branch)
        return Branch(MAIN)

    def has_branch(self, branch: str | Branch) -> bool:
        """Whether it is the one branch."""
        return branch_name(branch) == MAIN

    def create_branch(self, branch: str | Branch, from_ref: str | Ref = MAIN, *, if_not_exists: bool = False) -> Branch:
        """The one branch, if that will do: no other can be made yet."""
        name = branch_name(branch)
        if name == MAIN:
            if if_not_exists:
                return Branch(MAIN)
            names = {"branch_name": name, "catalog_ref": Branch(MAIN)}
            raise said(BranchExistsError, f"there is a branch {name!r} already", **names)
        message = f"the branch {name!r} can't be made: it needs branches of tables, and {ONE_BRANCH}"
        raise said(CreateBranchForbiddenError, message, branch_name=name)

    def rename_branch(self, branch: str | Branch, new_branch: str | Branch) -> Branch:
        """Needs more than one branch."""
        check_branch(branch)
        names = {"old_branch_name": MAIN, "new_branch_name": branch_name(new_branch)}
        raise said(RenameBranchForbiddenError, f"{ONE_BRANCH}, which keeps its name", **names)

    def delete_branch(self, branch: str | Branch, *, if_exists: bool = False) -> bool:
        """False for a branch that is not there, if that will do."""
        if if_exists and branch_name(branch) != MAIN:
            return False
        check_branch(branch)
        raise said(DeleteBranchForbiddenError, f"{ONE_BRANCH}: it can't be deleted", branch_name=MAIN)

    def merge_branch(
        self,
        source_ref: str | Ref,
        into_branch: str | Branch,
        *,
        commit_message: str | None = None,
        commit_body: str | None = None,
        commit_properties: Mapping[str, str] | None = None,
        message: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Branch:
        """Needs more than one branch."""
        check_branch(into_branch)
        source = str(source_ref)
        if source.partition("@")[0] == MAIN:
            message = f"{MAIN!r} can't be merged into itself"
            raise said(SameRefError, message, input_ref=Branch(MAIN), catalog_ref=Branch(MAIN))
        message = f"{source!r} can't be merged: that needs branches of tables, and {ONE_BRANCH}"
        raise said(MergeForbiddenError, message, source_ref=source, destination_branch=MAIN)

    def get_tags(self, *, filter_by_name: str | None = None, limit: int | None = None) -> Iterator[Tag]:
        """No tags: there are none yet."""
        return iter([])

    def get_tag(self, tag: str | Tag) -> Tag:
        """Needs tags."""
        raise _no_tag(branch_name(tag))

    def has_tag(self, tag: str | Tag) -> bool:
        """False: there are no tags yet."""
        branch_name(tag)
        return False

    def create_tag(self, tag: str | Tag, from_ref: str | Ref = MAIN, *, if_not_exists: bool = False) -> Tag:
        """Needs tags."""
        name = branch_name(tag)
        message = f"the tag {name!r} can't be made: it needs a history of tables, and {ONE_BRANCH}, without one"
        raise said(CreateTagForbiddenError, message, tag_name=name)

    def rename_tag(self, tag: str | Tag, new_tag: str | Tag) -> Tag:
        """Needs tags."""
        raise _no_tag(branch_name(tag))

    def delete_tag(self, tag: str | Tag, *, if_exists: bool = False) -> bool:
        """False for a tag that is not there, if that will do."""
        name = branch_name(tag)
        if if_exists:
            return False
        raise _no_tag(name)

    def get_commits(
        self,
        ref: str | Ref = MAIN,
        *,
        filter_by_message: str | None = None,
        filter_by_author_username: str | None = None,
        filter_by_author_name: str | None = None,
        filter_by_author_email: str | None = None,
        filter_by_authored_date: str | datetime | None = None,
        filter_by_authored_date_start_at: str | datetime | None = None,
        filter_by_authored_date_end_at: str | datetime | None = None,
        filter_by_parent_hash: str | None = None,
        filter_by_properties: Mapping[str, str] | None = None,
        filter: str | None = None,
        limit: int | None = None,
        **others: object,
    ) -> Iterator[Commit]:
        """Needs a history of tables."""
        check_ref(ref)
        message = (
            f"commits need a history of tables, which zerrow does not keep yet: {ONE_BRANCH}; get_jobs has the runs"
        )
        raise said(MethodNotAllowedError, message)


def _no_tag(name: str) -> Exception:
    message = f"there is no tag {name!r}: tags need a history of tables, and {ONE_BRANCH}, without one"
    return said(TagNotFoundError, message, tag_name=name)
