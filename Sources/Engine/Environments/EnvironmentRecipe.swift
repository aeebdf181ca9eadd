import FoundationEssentials
import System

/// A package of an environment, with its version.
public struct InstalledPackage: Codable, Sendable, Equatable {
    /// Its name, in small letters with hyphens.
    public var name: String
    /// Its version.
    public var version: String
}

/// All that an environment is made of: the interpreter, and every package with its version and the hashes of its files.
///
/// Its id is a hash of this, so that equal ids are equal environments.
struct EnvironmentRecipe: Codable, Sendable, Equatable {
    private static let version = 1
    /// The most packages that one has.
    private static let packagesMax = 4096

    /// The hash of the rest.
    let id: String
    /// The interpreter that it is made with, as a real path.
    let python: String
    /// That interpreter's version, `3.12.1`.
    let pythonVersion: String
    /// The packages, as uv takes them, with hashes.
    let lock: String

    private enum CodingKeys: String, CodingKey {
        case id, python, lock
        case pythonVersion = "python_version"
    }

    init(python: String, pythonVersion: String, lock: String) {
        self.python = python
        self.pythonVersion = pythonVersion
        self.lock = lock
        id = Self.id(python, pythonVersion, lock)
    }

    /// Reads one that was kept; nil for anything else, and for one whose id is not its own.
    init?(_ bytes: [UInt8]) {
        guard JSONShape(bytes).excess == nil,
            let recipe = try? JSONDecoder().decode(EnvironmentRecipe.self, from: Data(bytes)),
            recipe.id == Self.id(recipe.python, recipe.pythonVersion, recipe.lock)
        else { return nil }
        self = recipe
    }

    /// The recipe as JSON.
    var utf8: [UInt8] {
        guard let data = try? JSONEncoder().encode(self) else { preconditionFailure("texts that JSON cannot hold") }
        return [UInt8](data)
    }

    /// The packages with their versions, in the order of names.
    var packages: [InstalledPackage] { Self.packages(lock) ?? [] }

    /// The packages of a list in the form that `uv pip compile` gives it; nil for another form, or too many.
    static func packages(_ lock: String) -> [InstalledPackage]? {
        var found: [InstalledPackage] = []
        for line in lock.split(separator: "\n") where !line.hasPrefix(" ") && !line.hasPrefix("#") {
            let words = line.split(separator: " ", maxSplits: 1)
            guard let parts = words.first?.split(separator: "="), parts.count == 2, found.count < packagesMax else {
                return nil
            }
            found.append(InstalledPackage(name: String(parts[0]), version: String(parts[1])))
        }
        return found.sorted { $0.name < $1.name }
    }

    private static func id(_ python: String, _ version: String, _ lock: String) -> String {
        let text = ["zerrow environment \(Self.version)", python, version, lock].joined(separator: "\n")
        return String(SHA256.text(of: Array(text.utf8)).prefix(32))
    }
}
