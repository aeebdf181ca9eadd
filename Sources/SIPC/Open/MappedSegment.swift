import System

/// A segment that is mapped, read-only, until the last array that points into it is gone.
///
/// The file must not shrink while it is mapped: zerrow's segments are locked before a reader gets them.
public final class MappedSegment: Sendable {
    /// The engine's number for it.
    public let id: UInt64
    /// The size of the file in bytes.
    public let bytes: Int
    // A file of no bytes cannot be mapped, and needs not be.
    private let mapping: Mapping?

    /// Maps a whole file. The descriptor may be closed afterwards.
    public init(id: UInt64, _ file: borrowing FileDescriptor) throws(SystemError) {
        self.id = id
        bytes = try file.status().bytes
        mapping = bytes == 0 ? nil : try Mapping(file, count: bytes)
    }

    /// The mapped bytes; valid as long as the segment lives.
    public var content: UnsafeRawBufferPointer { mapping?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0) }
}

/// The segments of a process, found by the addresses they are mapped at.
struct SegmentMap {
    private let segments: [MappedSegment]
    private let starts: [UInt]

    init(_ segments: [MappedSegment]) {
        let mapped = segments.filter { $0.bytes > 0 }.sorted { Self.start($0) < Self.start($1) }
        self.segments = mapped
        starts = mapped.map(Self.start)
    }

    private static func start(_ segment: MappedSegment) -> UInt { UInt(bitPattern: segment.content.baseAddress) }

    /// The segment that all of an extent lies in, and where.
    func locate(_ extent: Extent) -> (segment: MappedSegment, offset: UInt64)? {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= extent.address { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let segment = segments[low - 1]
        let offset = extent.address - starts[low - 1]
        guard offset < UInt(segment.bytes), extent.bytes <= segment.bytes - Int(offset) else { return nil }
        return (segment, UInt64(offset))
    }
}
