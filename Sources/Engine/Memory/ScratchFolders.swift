import Sandbox
import Synchronization
import System

/// A folder on a disk that one worker has for itself, where the engine of its SQL model spills what doesn't fit into its memory.
struct ScratchFolder: Sendable {
    /// Its name among those of the engine.
    let name: String
    /// Its path on the host.
    let path: String
    /// What a worker in a sandbox mounts: it can reach nothing else from there. Nil where it has the host's file system, and once it has
    /// been handed over: what is mounted stays as long as its descriptor.
    var mount: DescriptorBox?
    /// Whether its worker mounts it.
    let isMounted: Bool
    /// The most bytes that may be written there.
    let bytesMax: UInt64

    /// Where a worker in a sandbox has it.
    static let pathInside = "/tmp/scratch"

    /// Where the worker has it.
    var pathOfWorker: String { isMounted ? Self.pathInside : path }
}

/// The folders on a disk that workers have for themselves: made for a worker, removed when it is dead.
///
/// They lie in one folder of this engine's, which the first of them makes and its end removes; the janitor, or the next engine in that
/// place, if it is killed. Used on the engine's thread; what waits for the disk is done elsewhere.
final class ScratchFolders {
    /// Seconds after which a worker goes on without one.
    static let secondsMax = 10.0
    /// No worker may fill more than this part of the room that is left, so many tenths.
    private static let tenthsMax: UInt64 = 9

    private let place: Place?
    private let background: BackgroundWork
    private let broker: FileBroker
    private let isSandboxed: Bool
    /// Why there was none at the last time.
    private(set) var problem: String?
    /// The janitor is told what to remove.
    var onPlace: (String) -> Void = { _ in }
    private var isPlaceKnown = false

    /// - Parameter path: the folder for spilled tables; nil where there is none.
    init(in path: String?, _ background: BackgroundWork, _ broker: FileBroker, isSandboxed: Bool) {
        place = path.map { Place($0) }
        self.background = background
        self.broker = broker
        self.isSandboxed = isSandboxed
    }

    /// Where they are, for messages; nil where there can be none.
    var placePath: String? { place?.parent }

    /// Makes one for a worker; nil where that fails, and `problem` says why.
    func make(_ name: String, for user: WorkerUser?, then: @escaping (ScratchFolder?) -> Void) {
        guard let place else { return then(nil) }
        let owner = user?.outside
        background.begin(.scratch) { () -> Result<Place.Made, any Error> in
            Result { try place.make(name, owner: owner) }
        } then: { made in
            do {
                try self.mount(name, made.get(), then: then)
            } catch {
                self.fail(name, error, then)
            }
        }
    }

    private func mount(_ name: String, _ made: Place.Made, then: @escaping (ScratchFolder?) -> Void) throws {
        if !isPlaceKnown {
            isPlaceKnown = true
            onPlace(made.placePath)
        }
        let bytesMax = made.bytesFree / 10 * Self.tenthsMax
        guard isSandboxed else {
            return then(ScratchFolder(name: name, path: made.path, mount: nil, isMounted: false, bytesMax: bytesMax))
        }
        let answer = try broker.mount(folder: made.path)
        background.begin(.scratch) { () -> Result<DescriptorBox, any Error> in
            Result { try answer() }
        } then: { answer in
            do {
                let mount = try answer.get()
                then(
                    ScratchFolder(
                        name: name, path: made.path, mount: mount, isMounted: true, bytesMax: bytesMax))
            } catch {
                self.fail(name, error, then)
            }
        }
    }

    private func fail(_ name: String, _ error: any Error, _ then: (ScratchFolder?) -> Void) {
        problem = "\(error)"
        remove(name)
        then(nil)
    }

    /// Removes one whose worker is dead.
    func remove(_ name: String) {
        guard let place else { return }
        background.begin(.free) { place.remove(name) }
    }

    /// Removes all of them; their workers are dead.
    func shutDown() { place?.remove() }
}

/// The folder that they are in, made when it is first needed.
///
/// `lock` is held while a disk may be waited for, by threads of the background alone, and at the engine's end.
private final class Place: Sendable {
    struct Made {
        let path: String
        let placePath: String
        let bytesFree: UInt64
    }

    let parent: String
    private let lock = Mutex<ScratchPlace?>(nil)

    init(_ parent: String) { self.parent = parent }

    func make(_ name: String, owner: (user: UInt32, group: UInt32)?) throws -> Made {
        let place = try lock.withLock { place throws -> ScratchPlace in
            if let place { return place }
            let new = try ScratchPlace(in: parent)
            place = new
            return new
        }
        return Made(
            path: try place.make(name, owner: owner), placePath: place.path, bytesFree: try place.bytesFree())
    }

    func remove(_ name: String) { lock.withLock { $0 }?.remove(name) }

    func remove() {
        lock.withLock { place in
            place?.remove()
            place = nil
        }
    }
}
