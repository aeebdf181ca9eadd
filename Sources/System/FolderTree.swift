import CLinux
import Glibc

extension SystemCall {
    /// Removing a folder with all that is in it.
    public static let removeTree: SystemCall = "removing"
    /// Adding up what a folder takes.
    public static let tree: SystemCall = "fts_read"
    /// Letting everybody read what a folder has.
    public static let showTree: SystemCall = "chmod of a tree"
}

/// A folder with all that is in it, at any depth. Links are never followed.
public enum FolderTree {
    /// The room that files take on their disk, in bytes.
    public struct Usage: Sendable, Equatable {
        /// Files that have no other name, and folders.
        public var ownBytes: UInt64
        /// Files that have other names, which go on living when the folder is gone.
        public var sharedBytes: UInt64

        /// Nothing.
        public static let none = Usage(ownBytes: 0, sharedBytes: 0)
    }

    /// Removes it. What can't be removed stays, and is thrown.
    public static func remove(_ path: String) throws(SystemError) {
        try perform(.removeTree, path) { zerrow_tree_remove(path) }
    }

    /// Lets everybody read its files and folders, and run what its owner may run; what another user owns stays as it is.
    public static func show(_ path: String) throws(SystemError) {
        try perform(.showTree, path) { zerrow_tree_show(path) }
    }

    /// The room that it takes.
    public static func usage(_ path: String) throws(SystemError) -> Usage {
        var usage = zerrow_tree_usage()
        try perform(.tree, path) { zerrow_tree_usage(path, &usage) }
        return Usage(ownBytes: usage.own_bytes, sharedBytes: usage.shared_bytes)
    }
}
