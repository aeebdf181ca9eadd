import Glibc
import System

/// The file of an output whose producer is dead, on the way to being a segment: nobody else can write it. Of a producer that lives, what is copied
/// out of it is on that way.
struct OutputFile: Sendable {
    let id: SegmentID
    let lock: Lock
    /// The size of the file, holes included.
    let bytes: Int
    let file: DescriptorBox

    /// Checks that the producer left size, seals, owner and permissions as they were.
    func checkUntouched() throws(StoreError) {
        let (status, seals) = try onSegment(id, "checking the output") { () throws(SystemError) in
            (try file.descriptor.status(), try file.descriptor.seals())
        }
        if status.bytes != bytes {
            throw StoreError(
                .tampered, id, "the worker changed the size of its output from \(bytes) to \(status.bytes) bytes")
        }
        if seals != Segment.sealsBefore(lock) {
            throw StoreError(.tampered, id, "the worker changed the seals of its output (now \(seals.rawValue))")
        }
        if status.mode != 0o600 || status.owner != geteuid() {
            throw StoreError(.tampered, id, "the worker changed the owner or the permissions of its output")
        }
    }

    /// The memory that the file takes, in bytes.
    func residentBytes() throws(StoreError) -> Int {
        try onSegment(id, "measuring") { () throws(SystemError) in try file.descriptor.status().residentBytes }
    }

    /// Leaves nothing in the file but the named bytes; everything else reads as zero. Repeating it after a failure is fine.
    func trim(to named: RangeSet) throws(StoreError) {
        let huge = Machine.hugePageBytes
        // There is nothing between the end of the file and that of its last 2 MiB.
        let plan = Trim(named: named, windows: RangeSet([0..<(bytes + huge - 1) & ~(huge - 1)]))
        try onSegment(id, "trimming the output") { () throws(SystemError) in
            try plan.punch(file.descriptor)
            try plan.zero(file.descriptor)
        }
    }

    /// A new file with the named bytes at the offsets they have, and nothing else.
    func copy(keeping named: RangeSet) throws(StoreError) -> OutputFile {
        guard let end = named.bounds?.upperBound else { preconditionFailure("nothing of segment \(id) is named") }
        let new = try Segment.makeFile(id, bytes: bytes, lock: lock)
        try onSegment(id, "moving \(named.bytes) bytes out of the output") { () throws(SystemError) in
            try Segment.copy(
                named, from: file.descriptor, size: end, to: new.descriptor, at: named.ranges.map(\.lowerBound))
        }
        return OutputFile(id: id, lock: lock, bytes: bytes, file: new)
    }

    /// A new file with the named bytes at the offsets they have, and nothing else, of an output whose producer lives.
    ///
    /// It is read once, through the descriptor: the producer may shorten the file meanwhile, and a mapping would meet a SIGBUS then.
    ///
    /// - Throws: `unsuitable` where what is named doesn't lie within so many bytes.
    func copy(stretchWith named: RangeSet, bytesMax: Int) throws(StoreError) -> OutputFile {
        guard let stretch = named.bounds, stretch.count <= bytesMax else {
            throw StoreError(.unsuitable, id, "it is too large to be copied while its worker lives")
        }
        let new = try Segment.makeFile(id, bytes: bytes, lock: lock)
        try onSegment(id, "copying \(named.bytes) bytes of the output") { () throws(SystemError) in
            var content = try file.descriptor.bytes(stretch)
            for gap in RangeSet([stretch]).subtracting(named).ranges {
                for place in gap { content[place - stretch.lowerBound] = 0 }
            }
            try content.withUnsafeBufferPointer { (content) throws(SystemError) in
                try new.descriptor.writeAll(UnsafeRawBufferPointer(content), at: stretch.lowerBound)
            }
        }
        return OutputFile(id: id, lock: lock, bytes: bytes, file: new)
    }

    /// Makes the content unchangeable for everyone but the store, and returns the descriptor that readers get.
    ///
    /// With `sealed` the content is unchangeable for the store too.
    func applyLock() throws(StoreError) -> DescriptorBox {
        try onSegment(id, "locking the output") { () throws(SystemError) in try Segment.lock(file, lock) }
    }
}
