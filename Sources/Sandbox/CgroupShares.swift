import Glibc
import System

/// What an engine's control groups bound beside memory: processor time by weight, and how many processes and threads there are.
///
/// With version 2 it is the groups that memory is limited in, as far as the controllers are given there. With version 1 each controller may have
/// a hierarchy of its own: there the engine has a folder of the same name, and below it one per run. A controller that can't be had costs its
/// bound and nothing else.
struct CgroupShares {
    /// Where each controller's groups of the engine are; none for a controller that can't be had.
    let folders: [Controller: String]
    private let version: CgroupTree.Version
    /// The tree's folder.
    private let own: String

    enum Controller: String, CaseIterable, Sendable { case cpu, pids }

    /// The controllers of a tree whose folder is there.
    init(version: CgroupTree.Version, folder: String) {
        self.version = version
        own = folder
        var folders: [Controller: String] = [:]
        switch version {
        case .v2:
            for controller in Self.given(below: folder) { folders[controller] = folder }
        case .v1:
            for place in CgroupPlace.companions() {
                let beside = "\(place.parent)/\(Self.name(folder))"
                // Two controllers of one hierarchy share a folder.
                guard Files.exists(beside) || place.make(beside) else { continue }
                for controller in place.controllers { folders[controller] = beside }
            }
        }
        self.folders = folders
        // All runs together weigh as much as they would without groups when each processor has one of their processes.
        if version == .v1 { write(.cpu, "/cpu.shares", "\(Self.shares * Machine.processorCount())") }
    }

    /// The folders that aren't the tree's own.
    var others: [String] { Set(folders.values).subtracting([own]).sorted() }

    /// Bounds a run: it weighs as much as any other one, however many models and processes it has.
    ///
    /// - Parameter path: the run's group, as it is called in the tree.
    /// - Returns: the groups beside it that a worker has to be put into as well.
    func makeRun(_ path: String) -> [String] {
        let name = Self.name(path)
        guard version == .v1 else {
            give(path)
            write(.pids, "/\(name)/pids.max", "\(ProcessBounds.run)")
            return []
        }
        var made: [String] = []
        for folder in others {
            guard (try? Files.makeDirectory("\(folder)/\(name)", mode: 0o755)) != nil else { continue }
            made.append("\(folder)/\(name)")
        }
        write(.cpu, "/\(name)/cpu.shares", "\(Self.shares)")
        write(.pids, "/\(name)/pids.max", "\(ProcessBounds.run)")
        return made
    }

    /// Bounds a worker that has a group of its own. With version 1 its user's limit does.
    func bound(worker path: String) {
        guard version == .v2, folders[.pids] != nil else { return }
        _ = try? Files.write(path + "/pids.max", "\(ProcessBounds.worker)", create: false)
    }

    /// Has the groups below one get the controllers.
    func give(_ group: String) {
        for controller in folders.keys {
            _ = try? Files.write(group + "/cgroup.subtree_control", "+\(controller.rawValue)", create: false)
        }
    }

    /// Has the groups below one get the controllers that it may give, one by one: which those are depends on the machine.
    static func giveAll(below group: String) {
        for controller in Controller.allCases {
            _ = try? Files.write(group + "/cgroup.subtree_control", "+\(controller.rawValue)", create: false)
        }
    }

    private static func given(below group: String) -> [Controller] {
        CgroupPlace.names(group + "/cgroup.subtree_control").compactMap(Controller.init)
    }

    private func write(_ controller: Controller, _ file: String, _ text: String) {
        guard let folder = folders[controller] else { return }
        _ = try? Files.write(folder + file, text, create: false)
    }

    private static func name(_ path: String) -> Substring { path[path.index(after: path.lastIndex(of: "/")!)...] }

    /// The kernel's own number for a group, with version 1.
    private static let shares = 1024
}

/// How many processes and threads there may be, so that a fork bomb ends before the machine has none left.
enum ProcessBounds {
    /// In one worker.
    static let worker = min(4096, machine / 8)
    /// In one run.
    static let run = min(16_384, machine / 4)

    /// What the kernel has at most.
    private static let machine = min(number("pid_max") ?? 32_768, number("threads-max") ?? 32_768)

    private static func number(_ name: String) -> Int? {
        CgroupTree.lines("/proc/sys/kernel/\(name)").first.flatMap { Int($0) }
    }
}
