import Glibc
import System

/// An environment that is there, for people.
public struct EnvironmentEntry: Sendable {
    /// Its id.
    public let id: String
    /// The version of its Python; nil where that is known no more.
    public let version: String?
    /// Its packages.
    public let packages: [InstalledPackage]
    /// The room that it takes on its disk.
    public let usage: FolderTree.Usage
    /// When it was last used, in seconds since 1970.
    public let usedAt: Int
    /// Whether some run uses it now.
    public let isUsed: Bool
}

/// What is there, and removing what is not needed.
extension EnvironmentCache {
    /// Seconds after which what was left behind may be removed, and what says how an environment is made: a run that is planned may still ask for it.
    private static let leftoverSecondsMin = 3600

    /// The environments, those used last first.
    public func list() throws(SystemError) -> [EnvironmentEntry] {
        let entries = try ids().map { (id) throws(SystemError) in
            let recipe = recipe(id)
            let usage = (try? FolderTree.usage(path(id))) ?? .none
            return EnvironmentEntry(
                id: id, version: recipe?.pythonVersion, packages: recipe?.packages ?? [], usage: usage,
                usedAt: usedAt(id),
                isUsed: try lockAlone(id) == nil)
        }
        return entries.sorted { ($0.usedAt, $1.id) > ($1.usedAt, $0.id) }
    }

    /// Removes environments that nobody uses and that were not used for so many seconds, and what was left behind of others.
    ///
    /// - Returns: the ids of those that are gone, and of those that are used right now and would be gone else.
    public func prune(unusedForSeconds seconds: Int) throws(SystemError) -> (removed: [String], used: [String]) {
        var (removed, used): ([String], [String]) = ([], [])
        let now = Int(time(nil))
        for id in try ids() where now - usedAt(id) >= seconds {
            guard let lock = try lockAlone(id) else {
                used.append(id)
                continue
            }
            // At once, so that nothing of it looks whole; then at leisure.
            let leftover = newPath(id, "partial")
            try withExtendedLifetime(lock) { () throws(SystemError) in
                try Files.rename(path(id), leftover)
                try? Files.remove("\(folder)/\(id).lock")
            }
            try? FolderTree.remove(leftover)
            removed.append(id)
        }
        try removeLeftovers(now, unusedForSeconds: seconds)
        return (removed, used)
    }

    /// Removes what killed processes left behind, and what says how environments are made that nobody has asked for.
    private func removeLeftovers(_ now: Int, unusedForSeconds seconds: Int) throws(SystemError) {
        let there = Set(try ids())
        let names = try Files.list(folder)
        let recipes = names.filter { $0.hasSuffix(".json") }.compactMap { recipe(String($0.dropLast(5))) }
        let wheels = Set(recipes.flatMap(\.wheels))
        for name in names {
            let path = "\(folder)/\(name)"
            let parts = name.split(separator: ".")
            guard let age = Self.age(path, now) else { continue }
            if name.hasPrefix("wheels-"), !wheels.contains(name), age >= Self.leftoverSecondsMin {
                try? FolderTree.remove(path)
            }
            guard parts.count > 1 else { continue }
            let id = String(parts[0])
            if parts[1].hasPrefix("partial-"), Files.isFolder(path) {
                // Whoever makes it has the lock, also where that is a process that outlived the engine.
                guard Self.isID(id), let lock = try lockAlone(id) else { continue }
                withExtendedLifetime(lock) { try? FolderTree.remove(path) }
            } else if parts[1].hasPrefix("partial-") {
                if age >= Self.leftoverSecondsMin { try? Files.remove(path) }
            } else if parts[1] == "request", seconds <= 0 {
                // Whoever has read it needs the recipe alone; who comes later resolves anew.
                try? Files.remove(path)
            } else if there.contains(id) || age < max(Self.leftoverSecondsMin, min(seconds, 30 * 86400)) {
                continue
            } else if parts[1] == "json" || parts[1] == "request" {
                try? Files.remove(path)
            } else if parts[1] == "lock", let lock = try lockAlone(id) {
                withExtendedLifetime(lock) { try? Files.remove(path) }
            }
        }
    }

    private func ids() throws(SystemError) -> [String] {
        try Files.list(folder).filter { Self.isID($0) && Files.isFolder(path($0)) }
    }

    /// The time of the lock's file: it is set whenever the environment is used.
    private func usedAt(_ id: String) -> Int {
        let name = "\(folder)/\(id)"
        return Self.changedAt(name + ".lock") ?? Self.changedAt(name) ?? 0
    }

    private static func age(_ path: String, _ now: Int) -> Int? { changedAt(path).map { now - $0 } }

    private static func changedAt(_ path: String) -> Int? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mtim.tv_sec : nil
    }
}

extension EnvironmentEntry {
    /// Environments as one JSON object.
    public static func json(_ entries: [EnvironmentEntry]) -> String {
        let list = entries.map { entry -> JSONValue in
            [
                "id": .string(entry.id), "python": entry.version.map { .string($0) } ?? .null,
                "packages": .array(entry.packages.map { ["name": .string($0.name), "version": .string($0.version)] }),
                "own_bytes": .integer(Int64(clamping: entry.usage.ownBytes)),
                "shared_bytes": .integer(Int64(clamping: entry.usage.sharedBytes)),
                "used_at": .integer(Int64(entry.usedAt)), "used": .bool(entry.isUsed),
            ]
        }
        return String(decoding: JSONValue.object(["environments": .array(list)]).utf8, as: UTF8.self)
    }
}
