import CArrow
import Glibc

extension Descriptor {
    /// Opens the table: fills `out` with a stream of its batches, whose buffers are the referenced ones.
    ///
    /// - Parameters:
    ///   - segments: at least those that the descriptor names; the arrays keep them mapped.
    ///   - out: the receiver releases it. The stream is for one thread at a time, its arrays for any.
    public func open(
        _ segments: [MappedSegment], to out: UnsafeMutablePointer<ArrowArrayStream>
    ) throws(SIPCError) {
        let state = StreamState(try TableSource(self, segments))
        out.initialize(
            to: ArrowArrayStream(
                get_schema: getSchema, get_next: getNext, get_last_error: getLastError, release: releaseStream,
                private_data: Unmanaged.passRetained(state).toOpaque()))
    }
}

/// The state of an exported stream: the message that comes next, and the dictionaries so far.
private final class StreamState {
    let source: TableSource
    private var index = 0
    private var dictionaries: [MessageView?]

    init(_ source: TableSource) {
        self.source = source
        dictionaries = Array(repeating: nil, count: source.descriptor.shapes.dictionaries.count)
    }

    func next(_ out: UnsafeMutablePointer<ArrowArray>) -> Int32 {
        out.initialize(to: ArrowArray())
        let messages = source.descriptor.messages
        while index < messages.count {
            let message = messages[index]
            index += 1
            guard message.dictionary == nil else {
                dictionaries[message.dictionary!] = message
                continue
            }
            do throws(SIPCError) {
                try ArrayExport.batch(source, message, dictionaries, to: out)
                return 0
            } catch {
                text.update(error.message)
                return error.errno
            }
        }
        return 0
    }

    let text = ErrorText()
}

/// The words of the last error, at an address that stays until the next one.
private final class ErrorText {
    private(set) var pointer: UnsafeMutablePointer<CChar>?

    func update(_ message: String) {
        free(pointer)
        pointer = strdup(message)
    }

    deinit { free(pointer) }
}

private func state(_ raw: UnsafeMutablePointer<ArrowArrayStream>?) -> StreamState? {
    guard let data = raw?.pointee.private_data else { return nil }
    return Unmanaged<StreamState>.fromOpaque(data).takeUnretainedValue()
}

private func getSchema(_ raw: UnsafeMutablePointer<ArrowArrayStream>?, _ out: UnsafeMutablePointer<ArrowSchema>?)
    -> Int32
{
    guard let state = state(raw), let out else { return EINVAL }
    state.source.descriptor.schema.export(to: out)
    return 0
}

private func getNext(_ raw: UnsafeMutablePointer<ArrowArrayStream>?, _ out: UnsafeMutablePointer<ArrowArray>?) -> Int32
{
    guard let state = state(raw), let out else { return EINVAL }
    return state.next(out)
}

private func getLastError(_ raw: UnsafeMutablePointer<ArrowArrayStream>?) -> UnsafePointer<CChar>? {
    state(raw)?.text.pointer.map { UnsafePointer($0) }
}

private func releaseStream(_ raw: UnsafeMutablePointer<ArrowArrayStream>?) {
    guard let raw, raw.pointee.release != nil, let data = raw.pointee.private_data else { return }
    raw.pointee.release = nil
    Unmanaged<StreamState>.fromOpaque(data).release()
}
