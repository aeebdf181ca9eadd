import Glibc
import Sandbox
import System

/// Finds out by trying what this machine offers to zerrow.
public enum Doctor {
    /// One thing that zerrow uses.
    public struct Check: Sendable {
        /// Whether it is there.
        public enum Status: String, Sendable {
            /// There.
            case present
            /// Not there; zerrow works without, worse.
            case limited
            /// Not there; models can't be run in a sandbox.
            case missing
        }

        /// What it is.
        public let name: String
        /// Whether it is there.
        public let status: Status
        /// What was found, and the use that zerrow has for it.
        public let detail: String
        /// What to change.
        public let remedy: String?
    }

    /// Tries everything. Changes nothing and leaves nothing behind.
    public static func checks(environment: [String: String]) -> [Check] {
        [
            installation(environment), kernel(), sandbox(environment), files(), users(), cgroups(), shares(),
            hugePages(), sealing(), overcommit(),
            memory(), eviction(environment), history(environment), environments(environment), kernelZero(),
        ]
    }

    /// The checks as one JSON object.
    public static func json(_ checks: [Check]) -> String {
        let list = checks.map { check -> JSONValue in
            [
                "name": .string(check.name), "status": .string(check.status.rawValue), "detail": .string(check.detail),
                "remedy": check.remedy.map { .string($0) } ?? .null,
            ]
        }
        return String(decoding: JSONValue.object(["checks": .array(list)]).utf8, as: UTF8.self)
    }

    private static func installation(_ environment: [String: String]) -> Check {
        do {
            let found = try Installation.find(environment: environment)
            return Check(name: "installation", status: .present, detail: found.home, remedy: nil)
        } catch {
            return Check(
                name: "installation", status: .missing, detail: "\(error)", remedy: "start zerrow with its launcher")
        }
    }

    /// What makes environments for models that ask for packages or a Python of their own.
    private static func environments(_ environment: [String: String]) -> Check {
        let name = "environments"
        do {
            let tools = EnvironmentTools(try Installation.find(environment: environment), environment)
            let versions = try tools.versions(folder: "/")
            let place = try EnvironmentCache.place(environment)
            return Check(
                name: name, status: .present,
                detail: "\(tools.uv ?? "uv") makes them in \(place); Python \(versions.joined(separator: ", "))",
                remedy: nil)
        } catch let failure as EnvironmentTools.Failure {
            return Check(
                name: name, status: .limited, detail: "models that ask for packages can't run", remedy: failure.text)
        } catch {
            return Check(name: name, status: .limited, detail: "\(error)", remedy: nil)
        }
    }

    private static func kernel() -> Check {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        let isNew = numbers.count == 2 && (numbers[0], numbers[1]) >= (6, 1)
        return Check(
            name: "kernel", status: isNew ? .present : .limited, detail: "Linux \(release)",
            remedy: isNew ? nil : "2 MiB pages in sealable memory need Linux 6.1 or later")
    }

    private static func sandbox(_ environment: [String: String]) -> Check {
        do {
            try SandboxProbe.run()
            return Check(
                name: "sandbox", status: .present,
                detail: "user, process, mount, network and IPC namespaces, system call filter",
                remedy: nil)
        } catch let error as SandboxError {
            return Check(
                name: "sandbox", status: .missing, detail: "\(error.step): \(SystemError.reason(error.errno))",
                remedy: error.remedy)
        } catch {
            return Check(name: "sandbox", status: .missing, detail: "\(error)", remedy: nil)
        }
    }

    /// What keeps models from using sockets, FIFOs and locks of the files that they are shown.
    private static func files() -> Check {
        let name = "shown files"
        let (overlay, landlock) = (SandboxProbe.canOverlay, SandboxProbe.landlockVersion)
        var ways = ["mounted read-only"]
        ways.append(
            overlay
                ? "projects through an overlay: sockets, FIFOs and locks in them are a worker's own"
                : "sockets and FIFOs covered that are there when a run is planned; locks are the host's")
        switch landlock {
        case 6...: ways.append("Landlock \(landlock) for writing, devices, sockets and signals")
        case 5: ways.append("Landlock 5 for writing and devices")
        case 2...: ways.append("Landlock \(landlock) for writing")
        default: ways.append("no Landlock")
        }
        let remedy =
            overlay
            ? "Linux 6.12 with Landlock among its security modules (lsm=landlock,…) keeps them from devices and abstract sockets too"
            : "load the module overlay (modprobe overlay), and allow it in user namespaces"
        let isAll = overlay && landlock >= 6
        return Check(
            name: name, status: isAll ? .present : .limited, detail: ways.joined(separator: "; "),
            remedy: isAll ? nil : remedy)
    }

    private static func users() -> Check {
        guard WorkerUsers.isAvailable else {
            return Check(
                name: "users", status: .present, detail: "workers run as this user; published memory is sealed",
                remedy: nil)
        }
        return Check(
            name: "users", status: .present,
            detail: "each worker has a user of its own; published memory can't be opened for writing", remedy: nil)
    }

    private static func cgroups() -> Check {
        guard let tree = CgroupTree.make() else {
            let problem = CgroupPlace.problem()
            return Check(
                name: "memory limits", status: .limited, detail: "not kept by the kernel: \(problem.reason)",
                remedy: problem.remedy)
        }
        tree.remove()
        return Check(
            name: "memory limits", status: .present, detail: "control groups, version \(tree.version == .v1 ? 1 : 2)",
            remedy: nil)
    }

    /// What keeps one run from taking the processors, or all processes that the kernel has, from another one.
    private static func shares() -> Check {
        let name = "fair shares"
        let tree = CgroupTree.make()
        defer { tree?.remove() }
        let bounds = (tree?.sharesProcessor ?? false, tree?.boundsProcesses ?? false)
        let processes =
            bounds.1
            ? "processes are bounded by run and by worker"
            : WorkerUsers.isAvailable ? "processes are bounded by worker" : "processes are bounded by project"
        guard !bounds.0 else {
            return Check(
                name: name, status: .present, detail: "runs weigh the same in control groups; \(processes)", remedy: nil
            )
        }
        let remedy =
            tree == nil
            ? CgroupPlace.problem().remedy
            : "have the groups above this one give the cpu controller (cgroup.subtree_control)"
        return Check(
            name: name, status: .limited,
            detail: "workers with many processes give way (nice), but not those in sessions of their own; \(processes)",
            remedy: remedy)
    }

    /// Collapses one page of a memory file; the way the arena does it.
    private static func hugePages() -> Check {
        let bytes = Machine.hugePageBytes
        do {
            let file = try FileDescriptor.memory(named: "doctor", bytes: 2 * bytes, sealable: true)
            let mapping = try Mapping(file, count: 2 * bytes, access: .readWrite)
            let start = (bytes - Int(bitPattern: mapping.base) % bytes) % bytes
            mapping.base.storeBytes(of: 1, toByteOffset: start, as: UInt8.self)
            try mapping.advise(.collapse, start..<(start + bytes))
            return Check(
                name: "2 MiB pages", status: .present, detail: "MADV_COLLAPSE works on memory files", remedy: nil)
        } catch {
            return Check(
                name: "2 MiB pages", status: .limited, detail: "\(error)",
                remedy: "tables are shared in 4 KiB pages: still no copy, but more page faults")
        }
    }

    private static func sealing() -> Check {
        do {
            let file = try FileDescriptor.memory(named: "doctor", bytes: 4096, sealable: true)
            try file.addSeals(.all)
            return Check(name: "sealing", status: .present, detail: "memory files can be sealed", remedy: nil)
        } catch {
            return Check(name: "sealing", status: .missing, detail: "\(error)", remedy: nil)
        }
    }

    private static func overcommit() -> Check {
        let mode = (try? Files.read("/proc/sys/vm/overcommit_memory", bytesMax: 16)).map {
            String(decoding: $0, as: UTF8.self)
        }
        let isStrict = mode?.first == "2"
        return Check(
            name: "overcommit", status: isStrict ? .limited : .present,
            detail: "vm.overcommit_memory = \(mode?.first.map(String.init) ?? "?")",
            remedy: isStrict ? "sparse files count in full under mode 2: set it to 0 or 1" : nil)
    }

    private static func memory() -> Check {
        guard let memory = try? Machine.memory() else {
            return Check(name: "memory", status: .limited, detail: "unknown", remedy: "mount /proc")
        }
        let free = memory.bytesAvailable >> 20
        let most = Engine.memoryBytesThere ?? .max
        let limit = most < memory.bytesTotal ? ", limited to \(most >> 20) MiB here" : ""
        return Check(
            name: "memory", status: free > 1024 ? .present : .limited,
            detail: "\(free) MiB of \(memory.bytesTotal >> 20) MiB available\(limit), "
                + "\(Machine.processorCount()) cores",
            remedy: free > 1024 ? nil : "end other programs, or limit models with --memory")
    }

    /// Where tables can go when memory is short.
    private static func eviction(_ environment: [String: String]) -> Check {
        let name = "short memory"
        let folder = (try? Engine.spillFolder(EngineOptions(), environment)).flatMap(\.self)
        let swap = (try? Machine.memory().swapBytesFree) ?? 0
        var ways = ["tables are dropped and made again"]
        if let folder { ways.append("spilled to \(folder.path)") }
        if swap > 0 { ways.append("swapped (\(swap >> 20) MiB free)") }
        return Check(
            name: name, status: folder == nil ? .limited : .present, detail: ways.joined(separator: ", "),
            remedy: folder == nil ? "no folder on a disk was found to spill to: name one with --spill-dir" : nil)
    }

    /// The history of models' needs.
    private static func history(_ environment: [String: String]) -> Check {
        if environment["ZERROW_HISTORY"] == "" {
            return Check(name: "history", status: .present, detail: "turned off by ZERROW_HISTORY", remedy: nil)
        }
        guard let path = History.path(environment), History.isPossible(at: path) else {
            return Check(
                name: "history", status: .limited, detail: "what models needed is not remembered from run to run",
                remedy: "name a file that can be written with ZERROW_HISTORY, and install SQLite (libsqlite3-0)")
        }
        return Check(
            name: "history", status: .present, detail: "what models needed is remembered in \(path)", remedy: nil)
    }

    private static func kernelZero() -> Check {
        let name = "KernelZero"
        switch KernelZero.find() {
        case .absent:
            return Check(
                name: name, status: .present,
                detail: "not loaded; not needed where results are born in the arena, as they are by default",
                remedy:
                    "results of any other memory are copied: to have them moved, build and load the module, once with "
                    + "'make -C kernel && insmod kernel/kernelzero.ko' or for good with DKMS (docs/kernelzero.md)")
        case .unusable(let reason):
            return Check(name: name, status: .limited, detail: reason, remedy: "results of other memory are copied")
        case .present(let module):
            let info = module.info
            if let problem = moving(module) {
                return Check(
                    name: name, status: .limited, detail: "version \(info.version) does not move memory: \(problem)",
                    remedy: "load it anew, and look for its words in the kernel's log (dmesg)")
            }
            let pages = info.movesHugePages ? "pages of 4 KiB and 2 MiB" : "pages of 4 KiB"
            let swap = info.movesSwap ? ", in RAM or on swap" : ""
            return Check(
                name: name, status: .present,
                detail: "version \(info.version): moves what is not born shared, in \(pages)\(swap)", remedy: nil)
        }
    }

    /// Moves some pages and reads them in the file; returns the reason if that fails, else nil.
    private static func moving(_ module: KernelZero) -> String? {
        let bytes = 16 * Machine.pageBytes
        // The memory is never freed: once moved it is the file's, and this process is about to end.
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: Machine.pageBytes)
        memory.initializeMemory(as: UInt8.self, repeating: 0x5A)
        do {
            let file = try FileDescriptor.memory(named: "doctor", bytes: 0, sealable: true)
            let done = Deanonymization([UnsafeRawBufferPointer(memory)], into: file, by: module)
            guard let offset = done.offsets[0] else { return SystemError.reason(done.pages.refusal) }
            let found = try file.bytes(Int(offset)..<Int(offset) + bytes)
            return found.allSatisfy { $0 == 0x5A } ? nil : "other bytes arrived than were sent"
        } catch {
            return "\(error)"
        }
    }
}
