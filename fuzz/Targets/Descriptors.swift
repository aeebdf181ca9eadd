import CArrow
import SIPC
import System

// Hostile descriptors and Arrow IPC files. What is valid is opened, a descriptor over a segment of noise, its stream is read to the end,
// and it is written as a standard stream.

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

/// A SIPC descriptor, from a worker.
func fuzzDescriptor(_ bytes: [UInt8]) {
    guard let descriptor = try? Descriptor(bytes) else { return }
    let ids = descriptor.segments.indices.map { UInt64($0) + 1 }
    guard let same = try? Descriptor(descriptor.renumbered(ids)) else { fatalError("renumbering broke a descriptor") }
    exercise(same, ids.prefix(8).map(segment))
}

/// An Arrow IPC file, from a folder with results.
func fuzzArrowFile(_ bytes: [UInt8]) {
    guard !bytes.isEmpty, let file = try? MappedSegment(id: 1, try FileDescriptor.sealedMemory(named: "file", bytes))
    else { return }
    if let descriptor = try? Descriptor(arrowFile: file) { exercise(descriptor, [file]) }
}
