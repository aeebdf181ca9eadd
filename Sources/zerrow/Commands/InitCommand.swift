import ArgumentParser
import Engine
import Glibc
import System

/// `zerrow init`: a small project that runs, to be made one's own.
struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Write a small project that runs.",
        discussion: """
            Writes a project file, a Python model, a SQL model and a script that makes some data into a folder, which is made if it is not \
            there. Files that are there already are never changed: then nothing is written.

              zerrow init shop
              zerrow run -p shop
            """)

    @Argument(help: ArgumentHelp("The project's folder.", valueName: "dir"))
    var folder = "."

    func run() throws {
        do {
            let template = try Installation.find(environment: Environment.variables).pythonFolder + "/zerrow/starter"
            let starter = try Starter(template)
            try starter.write(to: folder)
            for name in starter.names { Output.result(folder + "/" + name) }
            Output.note("run it: zerrow run" + (folder == "." ? "" : " -p " + folder))
        } catch {
            Output.error("\(error)")
            Output.leave(1)
        }
    }
}

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
