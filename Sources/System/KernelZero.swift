import CLinux
import Glibc

extension SystemCall {
    /// Asking KernelZero what it is.
    public static let kernelZeroInfo: SystemCall = "ioctl(KERNELZERO_INFO)"
    /// Moving memory of this process into a file.
    public static let deanonymize: SystemCall = "ioctl(KERNELZERO_DEANONYMIZE)"
}

/// The kernel module that moves memory of a process into a shared-memory file, without copying it.
///
/// `kernel/uapi/kernelzero.h` is the contract.
public final class KernelZero: Sendable {
    /// The module's description of itself.
    public struct Info: Sendable, Equatable {
        /// The version of its calls.
        public var abi: UInt32
        /// Bits for what it can do beyond that.
        public var features: UInt64
        /// The most ranges that one call takes.
        public var rangesMax: UInt64
        /// The most bytes that one call takes, all ranges together.
        public var bytesMax: UInt64
        /// Its version, for people.
        public var version: String

        /// The version of the calls that this program is built for.
        public static let abiExpected = UInt32(KERNELZERO_ABI)

        /// A module's description of itself.
        public init(abi: UInt32, features: UInt64, rangesMax: UInt64, bytesMax: UInt64, version: String) {
            self.abi = abi
            self.features = features
            self.rangesMax = rangesMax
            self.bytesMax = bytesMax
            self.version = version
        }

        /// Whether pages of 2 MiB move whole.
        public var movesHugePages: Bool { features & UInt64(KERNELZERO_FEATURE_HUGE) != 0 }
        /// Whether swapped-out pages move without being read back.
        public var movesSwap: Bool { features & UInt64(KERNELZERO_FEATURE_SWAP) != 0 }
        /// Whether it is a build that its own tests may break on purpose.
        public var isDebugBuild: Bool { features & UInt64(KERNELZERO_FEATURE_MUTATIONS) != 0 }

        /// Why this program can't use the module, and what to do; nil when it can.
        public var mismatch: String? {
            if abi != Self.abiExpected {
                return
                    "KernelZero \(version) speaks version \(abi) of its calls, this zerrow version \(Self.abiExpected): "
                    + "build and load the module that comes with this zerrow (make -C kernel)"
            }
            if isDebugBuild {
                return "KernelZero \(version) is a debug build, which tests may break on purpose: load one built "
                    + "without KERNELZERO_DEBUG"
            }
            return nil
        }
    }

    /// Whether a machine has the module.
    public enum Presence: Sendable {
        /// It is not loaded.
        case absent
        /// It is there but can't be used; the text says why, and what to do.
        case unusable(String)
        /// It can be used.
        case present(KernelZero)
    }

    /// Where the module shows its device.
    public static let path = "/dev/kernelzero"

    /// The device; may be handed to other processes, each of which can move its own memory only.
    public let device: DescriptorBox
    /// The module's description of itself.
    public let info: Info

    /// Asks the module behind an open device what it is. `ENOTTY`: it is another device.
    public init(_ device: consuming FileDescriptor) throws(SystemError) {
        let box = DescriptorBox(device)
        var info = kernelzero_info()
        try perform(.kernelZeroInfo, "descriptor \(box.raw)") { zerrow_kernelzero_info(box.raw, &info) }
        let version = withUnsafeBytes(of: info.version) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        self.device = box
        self.info = Info(
            abi: info.abi, features: info.features, rangesMax: info.ranges_max, bytesMax: info.bytes_max,
            version: version)
    }

    /// A device whose module is known.
    init(_ device: DescriptorBox, _ info: Info) {
        self.device = device
        self.info = info
    }

    /// Looks for the module, opens its device, and asks whether it is one that this program knows.
    public static func find(path: String = KernelZero.path) -> Presence {
        do throws(SystemError) {
            let found = try KernelZero(try FileDescriptor.open(path, O_RDONLY))
            return found.info.mismatch.map { .unusable($0) } ?? .present(found)
        } catch {
            // ENODEV, ENXIO: the device's file is left, the module is gone.
            if [ENOENT, ENODEV, ENXIO].contains(error.errno) { return .absent }
            return .unusable("\(error)")
        }
    }

    /// The result of one call.
    struct Answer {
        /// Where the first byte of each range is in the file.
        var offsets: [UInt64]
        /// How each page went: the pages that the first range touches, then those of the second, and so on.
        var pages: [UInt8]
        /// The size of the file now.
        var fileBytes: UInt64
    }

    /// One call: appends ranges of this process's memory to a file, and maps the file in their place. All or nothing.
    func deanonymize(
        _ ranges: [Range<UInt>], into file: Int32, alignsHuge: Bool
    ) throws(SystemError) -> Answer {
        var list = ranges.map { kernelzero_range(address: UInt64($0.lowerBound), bytes: UInt64($0.count), offset: 0) }
        var pages = [UInt8](repeating: 0, count: ranges.reduce(0) { $0 + Deanonymization.pageCount($1) })
        var call = kernelzero_deanonymize()
        call.fd = file
        call.flags = alignsHuge ? UInt32(KERNELZERO_ALIGN_HUGE) : 0
        call.ranges_count = UInt32(list.count)
        let raw = device.raw
        try perform(.deanonymize, "\(list.count) ranges into descriptor \(file)") {
            list.withUnsafeMutableBufferPointer { list in
                pages.withUnsafeMutableBufferPointer { pages in
                    call.ranges = UInt64(UInt(bitPattern: list.baseAddress))
                    call.pages = UInt64(UInt(bitPattern: pages.baseAddress))
                    return zerrow_kernelzero_deanonymize(raw, &call)
                }
            }
        }
        return Answer(offsets: list.map(\.offset), pages: pages, fileBytes: call.file_bytes)
    }
}
