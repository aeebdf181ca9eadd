import Glibc
import SIPC

/// The functions of `libzerrow_arena.so`, when it was preloaded into this process. `Sources/Arena/include/zerrow_arena.h`
/// is their documentation.
struct Arena {
    private typealias Attach = @convention(c) (Int32, UInt64, UInt64) -> Int32
    private typealias Locate = @convention(c) (UnsafeRawPointer?, Int, UnsafeMutablePointer<UInt64>?) -> Int32
    private typealias Take =
        @convention(c) (
            Int, UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutablePointer<UInt64>?
        ) -> Int32
    private typealias Freeze = @convention(c) () -> Int32

    private let attachFunction: Attach
    private let locateFunction: Locate
    private let takeFunction: Take
    private let freezeFunction: Freeze

    /// Nil when the library is not loaded.
    init?() {
        guard let attach = dlsym(nil, "zerrow_arena_attach"), let locate = dlsym(nil, "zerrow_arena_locate"),
            let take = dlsym(nil, "zerrow_arena_take"), let freeze = dlsym(nil, "zerrow_arena_freeze")
        else { return nil }
        // The signatures are those of the header that both libraries are built against.
        attachFunction = unsafeBitCast(attach, to: Attach.self)
        locateFunction = unsafeBitCast(locate, to: Locate.self)
        takeFunction = unsafeBitCast(take, to: Take.self)
        freezeFunction = unsafeBitCast(freeze, to: Freeze.self)
    }

    /// Attaches the output file; the arena keeps a duplicate of the descriptor. 0 or a negative errno.
    func attach(_ fd: Int32, fileBytes: UInt64, bytesMax: UInt64) -> Int32 { attachFunction(fd, fileBytes, bytesMax) }

    /// The offset in the output file of a range of memory, if the range is a part of that file.
    func locate(_ memory: UnsafeRawBufferPointer) -> UInt64? {
        var offset: UInt64 = 0
        return locateFunction(memory.baseAddress, memory.count, &offset) == 1 ? offset : nil
    }

    /// A fresh extent of the output file, never given back.
    func take(_ bytes: Int) throws(SIPCError) -> (UnsafeMutableRawPointer, offset: UInt64) {
        var address: UnsafeMutableRawPointer?
        var offset: UInt64 = 0
        let code = takeFunction(bytes, &address, &offset)
        guard code == 0, let address else {
            throw SIPCError.outputFull(bytes, errno: code < 0 ? -code : ENOMEM)
        }
        return (address, offset)
    }

    /// Makes the arena keep memory that is freed from now on, instead of giving it out again.
    func freeze() { _ = freezeFunction() }
}
