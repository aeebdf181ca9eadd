import Glibc
import System

/// Where an engine's control groups can be made, and what has to be done there first.
///
/// With version 2 a group that has processes can't give its controllers to groups below it (but for the root of all). So an engine's
/// group is a sibling of the one that its process is in, or of one above that; or, where the group is this process's to arrange, its
/// processes are put into a group below it while engines have theirs there. Sources: the kernel's admin-guide/cgroup-v2, systemd's
/// CGROUP_DELEGATION.
public struct CgroupPlace: Sendable, Equatable {
    /// The interface.
    public let version: CgroupTree.Version
    /// The folder to make the engine's group in.
    public let parent: String
    /// The groups that a worker leaves for the engine's: that of this process first. Empty if this process is in the parent.
    let left: [String]
    /// Whether a group with processes may be arranged by them: it was delegated, or is all that a container sees.
    let isDelegated: Bool
    /// What it bounds beside memory, where that is not the memory controller's hierarchy.
    var controllers: [CgroupShares.Controller] = []

    /// With version 1, where groups for processor time and processes can be made: a controller may have a hierarchy of its own.
    static func companions() -> [CgroupPlace] {
        var places: [CgroupPlace] = []
        for controller in CgroupShares.Controller.allCases {
            let found = hierarchies(of: Substring(controller.rawValue)).first {
                $0.version == .v1 && access($0.groups[0], W_OK) == 0
            }
            guard let parent = found?.groups[0] else { continue }
            if let index = places.firstIndex(where: { $0.parent == parent }) {
                places[index].controllers.append(controller)
            } else {
                places.append(
                    CgroupPlace(version: .v1, parent: parent, left: [], isDelegated: false, controllers: [controller]))
            }
        }
        return places
    }

    /// Where this process could make groups, best first.
    public static func all() -> [CgroupPlace] {
        hierarchies().flatMap { hierarchy -> [CgroupPlace] in
            let own = hierarchy.groups[0]
            guard hierarchy.version == .v2 else {
                return [CgroupPlace(version: .v1, parent: own, left: [], isDelegated: false)]
            }
            let places = hierarchy.groups.enumerated().map { index, group in
                CgroupPlace(
                    version: .v2, parent: group, left: Array(hierarchy.groups[..<index]),
                    isDelegated: index == 0 && isDelegated(group, in: hierarchy))
            }
            // Of places with the same rank, the nearest comes first.
            return (0..<4).flatMap { rank in places.filter { $0.rank == rank } }
        }.filter { access($0.parent, W_OK) == 0 }
    }

    /// The least of the memory limits of all groups that this process is in, as far as it sees them, in bytes; nil for none.
    public static func memoryBytesMax() -> UInt64? {
        hierarchies().flatMap { hierarchy in
            hierarchy.groups.compactMap { CgroupMemory(version: hierarchy.version, path: $0).limitBytes }
        }.min()
    }

    /// The place where least is changed comes first. In a group of somebody else's that has processes, nothing can be made.
    private var rank: Int {
        if isDelegated { return 0 }
        if givesMemory { return 1 }
        return left.isEmpty && Self.isOwned(parent) ? 3 : 2
    }

    private var givesMemory: Bool { Self.names(parent + "/cgroup.subtree_control").contains("memory") }

    // MARK: Where there is none

    /// Why this process can have no control groups that limit memory, and what to do about it.
    public static func problem() -> (reason: String, remedy: String) {
        let hierarchies = hierarchies()
        guard let found = hierarchies.first(where: { !$0.isReadOnly }) ?? hierarchies.first else {
            return (
                "no control groups with a memory controller are mounted",
                "have version 2 of them at /sys/fs/cgroup: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
            )
        }
        if found.isReadOnly {
            return (
                "control groups are read-only here, as in most containers",
                "limit the container, which counts for all in it; or give it groups of its own to write to, as Docker does with "
                    + "--cgroupns=private --security-opt writable-cgroups=true and Podman with --security-opt unmask=/sys/fs/cgroup"
            )
        }
        if found.version == .v2, !names(found.groups.last! + "/cgroup.controllers").contains("memory") {
            return (
                "the memory controller is not given to control groups here",
                "boot with cgroup_enable=memory, or have the groups above this one give it (cgroup.subtree_control)"
            )
        }
        return (
            "no control group can be made in \(found.groups[0])",
            "run as root, or in a delegated group: systemd-run \(geteuid() == 0 ? "" : "--user ")--scope -p Delegate=yes zerrow …"
        )
    }

    // MARK: Making ready

    /// Gives groups below the parent the memory controller, and makes the engine's there, while no other engine changes the parent.
    ///
    /// - Returns: whether the group is there.
    func make(_ folder: String) -> Bool {
        Self.locked(parent) {
            guard version == .v1 || prepare() else { return false }
            if version == .v2 { CgroupShares.giveAll(below: parent) }
            if (try? Files.makeDirectory(folder, mode: 0o755)) != nil { return true }
            Self.putBack(in: parent)
            return false
        }
    }

    private func prepare() -> Bool {
        guard Self.names(parent + "/cgroup.controllers").contains("memory") else { return false }
        if givesMemory || Self.write(parent, "subtree_control", "+memory") { return true }
        guard left.isEmpty, isDelegated || Self.isOwned(parent) else { return false }
        let aside = "\(parent)/\(Self.aside)"
        _ = try? Files.makeDirectory(aside, mode: 0o755)
        for _ in 0..<Self.roundsMax {
            // Processes that are started meanwhile are in the parent again.
            for process in Self.names(parent + "/cgroup.procs") { _ = Self.write(aside, "procs", process) }
            if Self.write(parent, "subtree_control", "+memory") { return true }
        }
        Self.putBack(in: parent)
        return false
    }

    /// Undoes what `make` did to the parent, once no engine has groups there.
    static func restore(_ parent: String) {
        guard Files.exists("\(parent)/\(aside)") else { return }
        locked(parent) { putBack(in: parent) }
    }

    private static func putBack(in parent: String) {
        let aside = "\(parent)/\(Self.aside)"
        let others = CgroupTree.folders(in: parent).filter { $0 != aside }
        // The controller stays for another engine's groups, and for groups of somebody who has begun to use it.
        let isUsed = others.contains {
            $0.hasPrefix(parent + "/zerrow-") || CgroupMemory(version: .v2, path: $0).limitBytes != nil
        }
        guard Files.exists(aside), !isUsed, write(parent, "subtree_control", "-memory") else { return }
        for controller in CgroupShares.Controller.allCases {
            _ = write(parent, "subtree_control", "-\(controller.rawValue)")
        }
        for _ in 0..<roundsMax {
            for process in names(aside + "/cgroup.procs") { _ = write(parent, "procs", process) }
            if (try? Files.removeDirectory(aside)) != nil { return }
            // A process that is just dying is in its group a little longer.
            usleep(1000)
        }
    }

    /// Where the processes of a parent are while engines have groups below it.
    private static let aside = "zerrow-aside"
    private static let roundsMax = 200

    /// Runs `body` while no other engine changes the parent. An engine that is stopped meanwhile doesn't keep others for ever.
    private static func locked<Result>(_ parent: String, _ body: () -> Result) -> Result {
        guard let file = try? FileDescriptor.open(parent, O_RDONLY | O_DIRECTORY) else { return body() }
        let folder = DescriptorBox(file)
        for _ in 0..<roundsMax {
            guard (try? folder.descriptor.lockIfFree()) == false else { break }
            usleep(10_000)
        }
        return withExtendedLifetime(folder, body)
    }

    // MARK: What is there

    /// A hierarchy of groups with the memory controller, or version 2, as this process sees it.
    struct Hierarchy {
        let version: CgroupTree.Version
        /// The group of this process, then those above it, as far as they are mounted.
        let groups: [String]
        let isReadOnly: Bool
    }

    /// The hierarchies of a controller that are mounted.
    static func hierarchies(of controller: Substring = "memory") -> [Hierarchy] {
        var own: [CgroupTree.Version: String] = [:]
        for line in CgroupTree.lines("/proc/self/cgroup") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            if parts[0] == "0" { own[.v2] = String(parts[2]) }
            if parts[1].split(separator: ",").contains(controller) { own[.v1] = String(parts[2]) }
        }
        return CgroupTree.lines("/proc/self/mountinfo").compactMap { line in
            let words = line.split(separator: " ")
            guard let separator = words.firstIndex(of: "-"), separator > 5, words.count > separator + 1 else {
                return nil
            }
            let version: CgroupTree.Version
            switch words[separator + 1] {
            case "cgroup2": version = .v2
            case "cgroup" where words.last!.split(separator: ",").contains(controller): version = .v1
            default: return nil
            }
            // A process outside of its namespace's part of the tree can't see where it is.
            guard let path = own[version], !path.hasPrefix("/..") else { return nil }
            let inner = inside(path, String(words[3]))
            let options = words[5].split(separator: ",")
            return Hierarchy(
                version: version, groups: ancestors(of: inner).map { words[4] + $0 }, isReadOnly: options.contains("ro")
            )
        }
    }

    /// Whether the processes of a group may arrange the groups below it: systemd says so by an attribute, and a container that
    /// sees its own group as the root has nobody else in it.
    private static func isDelegated(_ group: String, in hierarchy: Hierarchy) -> Bool {
        // The root of all groups has no type.
        if hierarchy.groups.count == 1, Files.exists(group + "/cgroup.type") { return true }
        return ["user.delegate", "trusted.delegate"].contains { Files.hasAttribute(group, $0, "1") }
    }

    /// Whether a group was given to this user, who is not root.
    private static func isOwned(_ group: String) -> Bool {
        var status = stat()
        return geteuid() != 0 && stat(group, &status) == 0 && status.st_uid == geteuid()
    }

    private static func write(_ group: String, _ file: String, _ text: String) -> Bool {
        (try? Files.write("\(group)/cgroup.\(file)", text, create: false)) != nil
    }

    static func names(_ path: String) -> [String] {
        CgroupTree.lines(path).flatMap { $0.split(separator: " ") }.map(String.init)
    }

    /// The own group's path as seen below a mount that may show only part of the hierarchy.
    private static func inside(_ path: String, _ root: String) -> String {
        var path = path
        if root != "/", path.hasPrefix(root) { path.removeFirst(root.count) }
        return path == "/" ? "" : path
    }

    private static func ancestors(of path: String) -> [String] {
        var result = [path]
        var path = path
        while !path.isEmpty {
            path = path.contains("/") ? String(path[..<path.lastIndex(of: "/")!]) : ""
            result.append(path)
        }
        return result
    }
}
