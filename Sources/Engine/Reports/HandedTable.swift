import Store
import System

/// A final table of a run that is handed to a program outside the engine: its SIPC descriptor, and the files it names.
///
/// Each segment's file is an open file description of its own, with a shared lock on it that lasts as long as somebody has it open or
/// mapped. By that the engine knows when the table is given back (`TableLeases`).
public struct HandedTable: Sendable {
    /// The model's name.
    let model: String
    let rows: Int64
    /// The sealed SIPC descriptor.
    let descriptor: DescriptorBox
    /// Descriptors that can only read, in ascending order of their ids.
    let segments: [(id: SegmentID, file: DescriptorBox)]

    /// The messages in which it travels, each with its descriptors.
    func messages<Name: RawRepresentable<String>>(
        _ segmentsOp: Name, _ tableOp: Name
    ) -> [(JSONValue, [DescriptorBox])] {
        func number(_ id: SegmentID) -> JSONValue { .integer(Int64(clamping: id.rawValue)) }
        var messages: [(JSONValue, [DescriptorBox])] = []
        for start in stride(from: 0, to: segments.count, by: Limit.descriptorsMax) {
            let chunk = segments[start..<min(start + Limit.descriptorsMax, segments.count)]
            messages.append(
                (Datagram.message(segmentsOp, ["ids": .array(chunk.map { number($0.id) })]), chunk.map(\.file)))
        }
        let members: [String: JSONValue] = [
            "model": .string(model), "rows": .integer(rows),
            "segments": .array(segments.map { number($0.id) }),
        ]
        messages.append((Datagram.message(tableOp, members), [descriptor]))
        return messages
    }
}
