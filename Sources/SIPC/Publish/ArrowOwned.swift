import CArrow

/// A C stream that this process is to release, once.
struct OwnedStream: ~Copyable {
    private let raw: UnsafeMutablePointer<ArrowArrayStream>

    /// Moves the stream out of `source`, whose owner finds it released from now on.
    init(moving source: UnsafeMutablePointer<ArrowArrayStream>) throws(SIPCError) {
        guard source.pointee.release != nil, source.pointee.get_schema != nil, source.pointee.get_next != nil else {
            throw .invalidTable("the stream of the result was released already")
        }
        raw = .allocate(capacity: 1)
        raw.moveInitialize(from: source, count: 1)
        source.initialize(to: ArrowArrayStream())
    }

    deinit {
        if let release = raw.pointee.release { release(raw) }
        raw.deallocate()
    }

    borrowing func schema() throws(SIPCError) -> Schema {
        var schema = ArrowSchema()
        let code = raw.pointee.get_schema(raw, &schema)
        guard code == 0 else { throw failure(code) }
        defer { if let release = schema.release { release(&schema) } }
        return try Schema(importing: &schema)
    }

    /// The next batch, or nil at the end.
    borrowing func next() throws(SIPCError) -> OwnedArray? {
        let array = OwnedArray()
        let code = raw.pointee.get_next(raw, array.raw)
        guard code == 0 else { throw failure(code) }
        return array.raw.pointee.release == nil ? nil : array
    }

    private borrowing func failure(_ code: Int32) -> SIPCError {
        let text = raw.pointee.get_last_error?(raw).map { String(cString: $0) } ?? "it gave no reason"
        return SIPCError(.system, errno: code, "reading the result failed: \(text)")
    }
}

/// A C array that is released when its last owner lets go.
final class OwnedArray {
    let raw: UnsafeMutablePointer<ArrowArray>

    init() {
        raw = .allocate(capacity: 1)
        raw.initialize(to: ArrowArray())
    }

    deinit {
        if let release = raw.pointee.release { release(raw) }
        raw.deallocate()
    }
}
