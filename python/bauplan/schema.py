"""What a catalog holds, and what jobs there are: the values that `bauplan.Client` gives."""

from bauplan._values.commits import Actor, Commit
from bauplan._values.jobs import DAGEdge, DAGNode, Job, JobContext, JobLogEvent, JobLogList
from bauplan._values.refs import Branch, DetachedRef, Ref, Tag
from bauplan._values.tables import Namespace, PartitionField, Table, TableField
from bauplan._values.words import JobKind, JobLogLevel, JobLogStream, JobState, RefType, TableKind

__all__ = [
    "Actor",
    "Branch",
    "Commit",
    "DAGEdge",
    "DAGNode",
    "DetachedRef",
    "Job",
    "JobContext",
    "JobKind",
    "JobLogEvent",
    "JobLogLevel",
    "JobLogList",
    "JobLogStream",
    "JobState",
    "Namespace",
    "PartitionField",
    "Ref",
    "RefType",
    "Table",
    "TableField",
    "TableKind",
    "Tag",
]
