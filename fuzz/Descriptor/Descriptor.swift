import CArrow
import SIPC
import System

// libFuzzer's entry: reads hostile descriptors and Arrow IPC files. What is valid is opened, a descriptor over a segment of
// noise, its stream is read to the end, and it is written as a standard stream.

private let segmentBytes = 1 << 16

/// The segment that all descriptors refer to, whatever ids they name: numbers that are plausible as offsets.
private let noise: [UInt8] = (0..<segmentBytes).map { UInt8(truncatingIfNeeded: ($0 % 4 == 0 ? $0 / 4 : 0) & 0x1f) }

private let sink: FileDescriptor = {
    do { return try FileDescriptor.open("/dev/null", 1) } catch { fatalError("\(error)") }
}()

private func segment(_ id: UInt64) -> MappedSegment {
    do { return try MappedSegment(id: id, try FileDescriptor.sealedMemory(named: "noise", noise)) } catch {
        fatalError("\(error)")
    }
}

/// Reads the schema and all batches of a stream.
private func drain(_ stream: inout ArrowArrayStream) {
    var schema = ArrowSchema()
    guard stream.get_schema(&stream, &schema) == 0 else { fatalError("a valid descriptor without a schema") }
    schema.release(&schema)
    while true {
        var array = ArrowArray()
        guard stream.get_next(&stream, &array) == 0, array.release != nil else { return }
        array.release(&array)
    }
}

/// Uses all that a valid descriptor offers.
private func exercise(_ descriptor: Descriptor, _ segments: [MappedSegment]) {
    descriptor.forEachReference { reference in
        precondition(reference.offset + reference.length <= descriptor.segments[Int(reference.segment)].bytes)
    }
    precondition(descriptor.columns.count == descriptor.schema.fields.count)
    var stream = ArrowArrayStream()
    // Refused when a segment is larger than the one it is given.
    guard (try? descriptor.open(segments, to: &stream)) != nil else { return }
    drain(&stream)
    stream.release(&stream)
    try? descriptor.writeStream(segments, to: sink)
}

/// One input of libFuzzer: a file if it begins as one, else a descriptor.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    if bytes.starts(with: Array("ARROW1".utf8)) {
        guard let file = try? MappedSegment(id: 1, try FileDescriptor.sealedMemory(named: "file", bytes)) else {
            fatalError("no memory file")
        }
        if let descriptor = try? Descriptor(arrowFile: file) { exercise(descriptor, [file]) }
    } else if let descriptor = try? Descriptor(bytes) {
        let ids = descriptor.segments.indices.map { UInt64($0) + 1 }
        guard let same = try? Descriptor(descriptor.renumbered(ids)) else {
            fatalError("renumbering broke a descriptor")
        }
        exercise(same, ids.prefix(8).map(segment))
    }
    return 0
}

// The C function of libFuzzer that runs a fuzzing session; Swift has no header for it, and on the platforms that zerrow runs on
// the two calling conventions agree for pointers and integers.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// The package manager makes the program begin with a function of this name.
@_cdecl("sipc_fuzz_main")
public func fuzzMain(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
    var count = count
    var arguments = arguments
    return runDriver(&count, &arguments, fuzzOneInput)
}
