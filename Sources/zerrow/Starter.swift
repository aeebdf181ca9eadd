import Engine
import Glibc
import System

/// The files that a new project begins with.
struct Starter {
    /// The name of each file in a project, and its text.
    private let files: [(name: String, text: String)]

    /// The files' names in a project, in order.
    var names: [String] { files.map(\.name) }

    /// Files by which a folder is a project already.
    private static let projectFiles = [
        "zerrow_project.yml", "zerrow_project.yaml", "bauplan_project.yml", "bauplan_project.yaml",
    ]

    /// Reads them from the folder of an installation.
    init(_ template: String) throws(SystemError) {
        var files: [(name: String, text: String)] = []
        for name in ["zerrow_project.yml", "models.py", "revenue.sql", "make_data.py", "gitignore"] {
            let text = String(decoding: try Files.read(template + "/" + name, bytesMax: 1 << 20), as: UTF8.self)
            files.append((name == "gitignore" ? ".gitignore" : name, text))
        }
        self.files = files
    }

    /// A project for data that is there.
    init(for found: FoundSources, in path: String) {
        files = [
            ("zerrow_project.yml", found.projectFile(named: Self.projectName(for: path))),
            ("first_look.sql", found.firstQuery),
        ]
    }

    /// Writes them into a folder, which is made if it is not there.
    ///
    /// - Throws: `EngineError.options` where one of them, or another project file, is there already: then nothing is written.
    func write(to path: String) throws {
        let folder = try Self.opened(path)
        for name in names + Self.projectFiles {
            guard try folder.status(of: name) == nil else {
                throw EngineError.options(
                    "\(path) has a \(name) already: name a new folder, or remove it; nothing was written")
            }
        }
        let name = Self.projectName(for: path)
        for (file, text) in files {
            let descriptor = try folder.make(file, mode: 0o666)
            let own = text.replacing("name: starter", with: "name: \(name)")
            try Array(own.utf8).withUnsafeBufferPointer { (bytes) throws(SystemError) in
                try descriptor.writeAll(UnsafeRawBufferPointer(bytes))
            }
        }
    }

    /// The folder; made if it is not there.
    private static func opened(_ path: String) throws(EngineError) -> Folder {
        do {
            if !Files.exists(path) { try Files.makeDirectory(path, mode: 0o777) }
            return try Folder(path)
        } catch {
            throw EngineError.options(
                "\(path) can't be made, or is no folder that can be opened: \(SystemError.reason(error.errno))")
        }
    }

    /// The name of the folder where that can be a project's name, else a name that can.
    private static func projectName(for path: String) -> String {
        let name = (Path.resolved(path) ?? path).split(separator: "/").last.map(String.init) ?? ""
        let isFit =
            name.first?.isLetter == true
            && name.utf8.allSatisfy { $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") || isAlphanumeric($0) }
        return isFit ? name : "starter"
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool { isalnum(Int32(byte)) != 0 && byte < 0x80 }
}
