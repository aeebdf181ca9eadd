import System

@testable import SIPC

/// The golden files beside the tests.
enum Golden {
    static let folder = String(#filePath.dropLast("Golden.swift".count)) + "golden/"

    static func bytes(_ name: String) throws -> [UInt8] { try Files.read(folder + name, bytesMax: 1 << 24) }

    /// The one segment of a golden descriptor.
    static func segment(_ name: String) throws -> MappedSegment {
        try MappedSegment(id: 7, try FileDescriptor.sealedMemory(named: name, try bytes(name)))
    }
}
