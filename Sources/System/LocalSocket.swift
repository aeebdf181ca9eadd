import CLinux
import Glibc

extension SystemCall {
    /// Listening at a name.
    public static let listen: SystemCall = "listen"
    /// Connecting to a name.
    public static let connect: SystemCall = "connect"
    /// Taking a connection.
    public static let accept: SystemCall = "accept4"
    /// Asking who is at the other end.
    public static let peer: SystemCall = "getsockopt(SO_PEERCRED)"
}

/// A socket with a name in the file system, at which other processes of the same user can connect.
public final class LocalSocket: Sendable {
    /// The longest name a socket may have, in bytes (unix(7)).
    public static let pathBytesMax = 107

    /// Polls readable when somebody connects.
    public let descriptor: FileDescriptor

    /// Listens at a path where there is nothing yet; only its owner may connect.
    ///
    /// - Throws: `EADDRINUSE` when something of that name is there, `ENAMETOOLONG`.
    public init(listeningAt path: String) throws(SystemError) {
        descriptor = FileDescriptor(owning: try perform(.listen, path) { zerrow_local_socket_listen(path) })
    }

    /// The descriptor's number.
    public var raw: Int32 { descriptor.raw }

    /// The next connection, and the user who made it, without waiting; nil when there is none.
    public func accept() throws(SystemError) -> (socket: MessageSocket, user: uid_t)? {
        let raw = self.raw
        do {
            let connection = try perform(.accept, "socket \(raw)") { zerrow_local_socket_accept(raw) }
            let socket = MessageSocket(FileDescriptor(owning: connection))
            var (user, process) = (uid_t(0), pid_t(0))
            try perform(.peer, "socket \(connection)") { zerrow_local_socket_peer(connection, &user, &process) }
            return (socket, user)
        } catch  where error.errno == EAGAIN || error.errno == ECONNABORTED {
            return nil
        }
    }
}

extension MessageSocket {
    /// A connection to the socket at a path, at which this very user listens, and the process that does; nil when it can't be seen from here. `ENOENT` or `ECONNREFUSED`: nobody does; `EACCES`: somebody
    /// else; `EAGAIN`: too many wait already to be taken.
    public static func connect(
        to path: String
    ) throws(SystemError) -> (socket: MessageSocket, process: ProcessDescriptor?) {
        let socket = FileDescriptor(owning: try perform(.connect, path) { zerrow_local_socket_connect(path) })
        let raw = socket.raw
        var (user, process) = (uid_t(0), pid_t(0))
        try perform(.peer, path) { zerrow_local_socket_peer(raw, &user, &process) }
        guard user == geteuid() else { throw SystemError(.connect, errno: EACCES, context: path) }
        return (MessageSocket(socket), try? ProcessDescriptor(process: process))
    }
}
