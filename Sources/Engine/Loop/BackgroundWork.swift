import Glibc
import Synchronization
import System

/// Work that waits for the kernel or for a disk, done on threads of its own: the engine must not wait.
///
/// Used on the engine's thread alone; only the work itself runs elsewhere, and so can be given nothing of the engine's.
final class BackgroundWork {
    /// What the threads share; `writing` is written to by them, its other end read by the engine.
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

    /// What one thread does.
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
            // No thread to be had: it takes the engine's time.
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

    /// Takes in what is done.
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
