import Glibc
import Synchronization
import System

/// Work that waits for the kernel or for a disk, done on threads of its own: the engine must not wait.
///
/// Used on the engine's thread alone. Only the work itself runs elsewhere, so it must use nothing that is the engine's.
final class BackgroundWork {
    /// The part that the threads share: they write to `writing`, and the engine reads its other end.
    private final class Shared: Sendable {
        let done = Mutex<[(number: Int, result: any Sendable)]>([])
        let writing: DescriptorBox

        init(writing: DescriptorBox) { self.writing = writing }

        func finish(_ number: Int, _ result: any Sendable) {
            done.withLock { $0.append((number, result)) }
            // A full pipe says as much as one byte more would.
            [1].withUnsafeBytes { (byte: UnsafeRawBufferPointer) in _ = write(writing.raw, byte.baseAddress, 1) }
        }
    }

    /// The work of one thread.
    private final class Errand: Sendable {
        let number: Int
        let work: @Sendable () -> any Sendable
        let shared: Shared

        init(_ number: Int, _ work: @escaping @Sendable () -> any Sendable, _ shared: Shared) {
            self.number = number
            self.work = work
            self.shared = shared
        }

        func run() { shared.finish(number, work()) }
    }

    /// Polls readable when some work is done.
    let reading: DescriptorBox
    private let shared: Shared
    private var lastNumber = 0
    private var continuations: [Int: (any Sendable) -> Void] = [:]

    init() throws(SystemError) {
        let (reading, writing) = try DescriptorBox.pipe()
        try reading.descriptor.setNonBlocking()
        try writing.descriptor.setNonBlocking()
        self.reading = reading
        shared = Shared(writing: writing)
    }

    /// Begins some work; `then` is called with its result on the engine's thread, from `finish`.
    func begin<Result: Sendable>(
        _ work: @escaping @Sendable () -> Result, then: @escaping (Result) -> Void
    ) {
        lastNumber += 1
        continuations[lastNumber] = { result in
            guard let result = result as? Result else { preconditionFailure("work gives what it was begun for") }
            then(result)
        }
        let errand = Unmanaged.passRetained(Errand(lastNumber, work, shared))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { raw in
                Unmanaged<Errand>.fromOpaque(raw!).takeRetainedValue().run()
                return nil
            }, errand.toOpaque())
        guard code == 0 else {
            // No thread can be had, so the work takes the engine's time.
            errand.takeRetainedValue().run()
            return
        }
        pthread_detach(thread)
    }

    /// Begins some work that has no result of its own; `then` is called on the engine's thread, from `finish`.
    func begin(_ work: @escaping @Sendable () -> Void, then: @escaping () -> Void = {}) {
        begin { () -> Bool in
            work()
            return true
        } then: { (_: Bool) in
            then()
        }
    }

    /// Calls the continuations of all work that is done.
    func finish() {
        var bytes = [UInt8](repeating: 0, count: 256)
        bytes.withUnsafeMutableBytes { _ = read(reading.raw, $0.baseAddress, $0.count) }
        let done = shared.done.withLock { done in
            defer { done = [] }
            return done
        }
        for (number, result) in done { continuations.removeValue(forKey: number)?(result) }
    }
}
