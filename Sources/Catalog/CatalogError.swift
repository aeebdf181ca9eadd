import System

/// A catalog that can't be read, or a commit that isn't made.
public struct CatalogError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kind of trouble.
    public enum Kind: Equatable, Sendable {
        /// The folder, or a file in it, can't be what it is meant to be.
        case unusable
        /// The state's file isn't one that a commit has written.
        case damaged
        /// Another commit came in between, and this one can't follow it.
        case conflict
        /// The new rows don't fit the table.
        case incompatible
        /// There is no such table.
        case unknownTable
        /// It was stopped by its caller; nothing is published.
        case stopped
        /// A system call failed; nothing is published.
        case system
    }

    /// The kind.
    public let kind: Kind
    /// What is wrong and what to do.
    public let description: String

    /// An error.
    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// A failure of the system, in the course of something.
    init(_ what: String, _ error: SystemError) {
        self.init(.system, "\(what): \(error)")
    }
}
