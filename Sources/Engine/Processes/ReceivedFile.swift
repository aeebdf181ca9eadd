import System

/// A memory file that another process sent, of a size that is allowed, and without holes.
///
/// A file of another kind is refused, because reading it could wait for a disk, a network or another process. So is a file with
/// holes: they cost its sender nothing, and a reader memory. The file may still be changed as long as somebody else holds it, so
/// it is read once.
struct ReceivedFile: Sendable {
    let file: DescriptorBox
    /// The size.
    let bytes: Int

    /// Looks at a file, and reads nothing of it.
    init(_ file: DescriptorBox, bytesMax: Int) throws(Malformed) {
        let status: FileStatus
        do throws(SystemError) {
            _ = try file.descriptor.seals()
            status = try file.descriptor.status()
        } catch {
            throw Malformed("a descriptor of something that is no memory file")
        }
        guard status.bytes <= bytesMax else {
            throw Malformed("a file of \(status.bytes) bytes, \(bytesMax) are allowed")
        }
        guard status.residentBytes >= status.bytes else {
            throw Malformed("a file of \(status.bytes) bytes with holes in it")
        }
        self.file = file
        bytes = status.bytes
    }

    /// The content. A file that is shorter by now is an error; of a longer one, the rest is not read.
    func content() throws(Malformed) -> [UInt8] {
        do throws(SystemError) {
            return try file.descriptor.bytes(0..<bytes)
        } catch {
            throw Malformed("a file that can't be read: \(error)")
        }
    }

    /// Writes to the file, and seals it, so that nobody can change it any more. Only when its sender is dead.
    ///
    /// - Parameter changes: called with a function that reads bytes from the beginning; returns the bytes to write, and where.
    /// - Returns: whether that was done; false where the file is sealed already, or somebody still has it mapped. It may have been written
    ///   to then.
    func seal(
        _ changes: (_ beginning: (Int) throws(SystemError) -> [UInt8]) throws(SystemError) -> (at: Int, [UInt8])?
    ) throws(SystemError) -> Bool {
        guard try file.descriptor.seals().isDisjoint(with: [.all, .futureWrite]) else { return false }
        let change = try changes { (count) throws(SystemError) in try file.descriptor.bytes(0..<min(count, bytes)) }
        do throws(SystemError) {
            // Nothing moves while it is written: shorter or longer it can't get.
            try file.descriptor.addSeals([.shrink, .grow])
            guard try file.descriptor.status().bytes == bytes else { return false }
            if let (place, content) = change { try file.descriptor.writeAll(content, at: place) }
            try file.descriptor.addSeals(.all)
            return true
        } catch {
            return false
        }
    }

    /// The content as JSON.
    func json() throws(Malformed) -> JSONValue {
        let bytes = try content()
        do throws(JSONReader.Failure) {
            return try JSONReader.value(bytes)
        } catch {
            switch error {
            case .malformed: throw Malformed("a file that is no JSON")
            case .tooDeep: throw Malformed("a file of JSON that nests too deep")
            case .tooMany: throw Malformed("a file of JSON of more than \(Limit.jsonValuesMax) values")
            }
        }
    }
}
