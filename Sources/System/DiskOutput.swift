/// Writes a file from its beginning to its end, and keeps next to nothing of it in the page cache: dirty pages are memory too.
public struct DiskOutput {
    /// How many bytes are written before the disk is asked to begin; at most three times as many are dirty.
    private static let windowBytes = 8 << 20

    private let file: DescriptorBox
    private var end = 0
    /// The offset up to which the disk was asked to begin.
    private var begun = 0
    /// The offset up to which the disk has the bytes.
    private var done = 0

    /// Writes to a file that is empty.
    public init(_ file: DescriptorBox) { self.file = file }

    /// Writes bytes at an offset, which is where the last ones ended.
    public mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SystemError) {
        var place = 0
        while place < bytes.count {
            let count = min(bytes.count - place, Self.windowBytes)
            let piece = UnsafeRawBufferPointer(rebasing: bytes[place..<place + count])
            try file.descriptor.writeAll(piece, at: offset + place)
            place += count
            end = offset + place
            if end - begun >= Self.windowBytes { try advance() }
        }
    }

    /// Has the disk begin with the newest window, and waits until it has finished the one before.
    private mutating func advance() throws(SystemError) {
        let page = Machine.pageBytes
        let last = begun
        begun = end & ~(page - 1)
        try file.descriptor.beginWriteback(last..<begun)
        try file.descriptor.finishWriteback(done..<last)
        try file.descriptor.dropCache(done..<last)
        done = last
    }

    /// Ends it: all is on the disk then.
    public mutating func finish() throws(SystemError) {
        try file.descriptor.synchronize()
        // The whole file is dropped, because pages that lay across two windows have stayed.
        try file.descriptor.dropCache(0..<end)
    }
}
