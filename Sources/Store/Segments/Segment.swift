import Glibc
import System

/// Where a segment's bytes are.
enum Place: Sendable {
    /// In a memory file: in RAM, or in swap.
    case memory
    /// In a file on a disk, which is no memory: the kernel caches it in RAM as far as it has room.
    case disk
}

/// A shared file that holds buffers, and what the store knows of it.
///
/// Owned by one `SegmentStore`, and used by it alone.
final class Segment {
    /// Where a segment is in its life.
    enum Phase: Equatable {
        /// A worker may be writing it.
        case output(BorrowerID)
        /// It is locked; tables name parts of it.
        case published
    }

    let id: SegmentID
    let lock: Lock
    /// The size of the file, holes included.
    private(set) var bytes: Int
    /// The size it was made with; memory that its producer moved into it comes after that.
    let bytesMade: Int
    /// How much longer its producer may make it by moving memory to its end.
    let growthBytesMax: Int
    /// The model whose output it was, by a name that stays the same from run to run.
    let model: String
    var phase: Phase
    /// Where its bytes are.
    var place: Place = .memory
    /// The writable descriptor: the producer's, later the store's for punching. Nil once the file is sealed.
    var writer: DescriptorBox?
    /// The descriptor that readers get; nil before it is published.
    var reader: DescriptorBox?
    /// The bytes that tables name.
    var named = RangeSet()
    /// The tables that name parts of it.
    var tables: Set<TableID> = []
    /// Which of them names which bytes.
    var sharing = Sharing()
    /// An object kept alive as long as its memory: the owner of the control group that the memory is charged to.
    var companion: AnyObject?
    /// The bytes known to be in swap and not in RAM. Readers bring them back without notice.
    var swappedBytes = 0
    /// Whether its live bytes are being copied to a new segment.
    var isBeingRewritten = false
    /// Whether a punch failed: it holds memory that no table names, and the next release tries again over the whole file.
    var owesTrim = false
    /// The works that free pages of it, on other threads, and are not finished.
    private var punching: [PunchWork] = []
    /// What is to be done when they are, if nothing of the segment is needed any more.
    private var afterPunching: (() -> Void)?

    init(
        id: SegmentID, lock: Lock, bytes: Int, growthBytesMax: Int = 0, producer: BorrowerID, model: String,
        file: DescriptorBox
    ) {
        self.id = id
        self.lock = lock
        self.bytes = bytes
        self.bytesMade = bytes
        self.growthBytesMax = growthBytesMax
        self.model = model
        self.phase = .output(producer)
        self.writer = file
    }

    /// A new, empty memory file that can be locked in the given way.
    static func makeFile(_ id: SegmentID, bytes: Int, lock: Lock) throws(StoreError) -> DescriptorBox {
        try onSegment(id, "making a segment of \(bytes) bytes") { () throws(SystemError) in
            let file = try FileDescriptor.memory(
                named: "zerrow-\(id)", bytes: bytes, sealable: lock == .sealed)
            try file.changeMode(0o600)
            return DescriptorBox(file)
        }
    }

    /// The seals an unlocked file must have: any other says that a worker added some.
    static func sealsBefore(_ lock: Lock) -> Seals { lock == .sealed ? [] : .seal }

    /// Measures how much the producer has appended, when it is dead.
    ///
    /// - Throws: `tampered` when moving memory can't have left such a size.
    func measure() throws(StoreError) {
        guard let writer, growthBytesMax > 0 else { return }
        let size = try onSegment(id, "measuring the output") { () throws(SystemError) in
            try writer.descriptor.status().bytes
        }
        guard size >= bytesMade, size - bytesMade <= growthBytesMax, size % Machine.pageBytes == 0 else {
            throw StoreError(
                .tampered, id, "the worker changed the size of its output from \(bytesMade) to \(size) bytes")
        }
        bytes = size
    }

    /// The file as it is published or kept for a later output; nil when it is locked already.
    var outputFile: OutputFile? { writer.map { OutputFile(id: id, lock: lock, bytes: bytes, file: $0) } }

    /// Takes in what was published: from now on tables name parts of it.
    func publish(_ file: OutputFile, reader: DescriptorBox) {
        writer = lock == .sealed ? nil : file.file
        self.reader = reader
        phase = .published
    }

    /// The size in whole 2 MiB pages, for a trim. There is nothing between the end of the file and that.
    private var bytesInHugePages: Int { (bytes + Machine.hugePageBytes - 1) & ~(Machine.hugePageBytes - 1) }

    /// The most bytes that are moved out of an output so that its memory can be kept for another: about what is packed.
    static let extractedBytesMax = 128 << 10
    /// Memory below this is not worth a move.
    static let recycledBytesMin = 8 << 20

    /// Copies ranges of a file of the given size to places in another.
    static func copy(
        _ ranges: RangeSet, from old: borrowing FileDescriptor, size: Int, to new: borrowing FileDescriptor,
        at places: [Int]
    ) throws(SystemError) {
        let mapping = try Mapping(old, count: size)
        // Bytes are written through the descriptor: memory that runs out is an error there, and a SIGBUS in a mapping.
        for (range, place) in zip(ranges.ranges, places) {
            try new.writeAll(UnsafeRawBufferPointer(rebasing: mapping.bytes[range]), at: place)
        }
        withExtendedLifetime(mapping) {}
    }

    /// Makes 2 MiB pages of the beginning of a new file; where the kernel won't, 4 KiB pages do.
    static func collapse(_ file: borrowing FileDescriptor, bytes: Int) throws(SystemError) {
        if bytes == 0 { return }
        let zero: [UInt8] = [0]
        for offset in stride(from: 0, to: bytes, by: Machine.hugePageBytes) {
            try zero.withUnsafeBufferPointer { (byte) throws(SystemError) in
                try file.writeAll(UnsafeRawBufferPointer(byte), at: offset)
            }
        }
        let mapping = try Mapping(file, count: bytes, access: .readWrite)
        try? mapping.advise(.collapse, 0..<bytes)
        withExtendedLifetime(mapping) {}
    }

    /// Makes the content of a memory file unchangeable in the given way, and returns the descriptor that readers get.
    static func lock(_ writer: DescriptorBox, _ lock: Lock) throws(SystemError) -> DescriptorBox {
        if lock == .sealed { try writer.descriptor.addSeals(.all) }
        return DescriptorBox(try writer.descriptor.reopenReadOnly())
    }

    /// What has to be done to free the pages that no table names any more; nil where the lock doesn't allow it.
    ///
    /// - Parameter dead: what has just ceased to be named.
    func beginPunch(dead: RangeSet) -> PunchWork? {
        guard lock == .readOnlyDescriptor || place == .disk, let writer else { return nil }
        let huge = Machine.hugePageBytes
        let windows = dead.ranges.map { $0.lowerBound & ~(huge - 1)..<($0.upperBound + huge - 1) & ~(huge - 1) }
        // What was published may stay in pages that remain: only whole pages are given back, nothing is zeroed.
        let plan = Trim(named: named, windows: owesTrim ? RangeSet([0..<bytesInHugePages]) : RangeSet(windows))
        owesTrim = false
        let work = PunchWork(writer, plan)
        punching.append(work)
        return work
    }

    /// The pages are free, or not.
    func endPunch(_ work: PunchWork) {
        if work.error != nil { owesTrim = true }
        punching.removeAll { $0 === work }
        guard punching.isEmpty, let next = afterPunching else { return }
        afterPunching = nil
        next()
    }

    /// Ends the works that free pages of it, and then does something: at once where there are none. For a segment whose pages are
    /// wanted again.
    func stopPunching(then next: @escaping () -> Void) {
        if punching.isEmpty { return next() }
        for work in punching { work.stop() }
        afterPunching = next
    }

    /// The memory that the file takes, in bytes, in RAM and in swap; none when it is on a disk.
    func residentBytes() throws(StoreError) -> Int { place == .memory ? try allocatedBytes() : 0 }

    /// The bytes that the file takes, of memory or of its disk.
    func allocatedBytes() throws(StoreError) -> Int {
        guard let file = reader ?? writer else { preconditionFailure("segment \(id) has no descriptor") }
        return try onSegment(id, "measuring") { () throws(SystemError) in try file.descriptor.status().residentBytes }
    }
}
