import Engine
import Glibc
import System
import Terminal

/// Shows the rows of final tables however many they are: the run writes the tables into a folder, and they are read from there piece by
/// piece, as fast as standard output takes them.
///
/// The folder is this user's alone, on a disk, and locked while it is in use. One that a killed command left is removed by the next.
struct RowStream {
    private static let prefix = "zerrow-rows-"

    /// The folder's path.
    let folder: String
    private let rows: Int?
    private let isWhole: Bool
    private let format: RowReader.Format
    private let reader: RowReader
    /// Keeps its lock.
    private let open: Folder
    /// Whether it is removed in the end; not one that its user has named.
    private let isOwn: Bool

    /// The folder for a call; nil where its rows are not shown this way.
    init?(_ call: RunCall, _ installation: Installation, _ environment: [String: String]) throws {
        guard case .stream(let rows, let isWhole) = call.rows, !call.isDetached else { return nil }
        format = call.rowFormat
        self.rows = rows
        self.isWhole = isWhole
        reader = RowReader(installation, isSandboxed: !call.engine.noSandbox, environment: environment)
        let exportFolder = call.export.format == .arrow ? try call.export.checkedFolder() : nil
        isOwn = exportFolder == nil
        let parent = environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/var/tmp"
        do {
            folder = try exportFolder ?? Self.makeFolder(in: parent)
            open = try Folder(folder)
            if isOwn { _ = try open.lockIfFree() }
        } catch let error as SystemError {
            throw EngineError.options(
                "there is no folder to keep the rows in while they are shown: \(error); name one with TMPDIR")
        }
    }

    private static func makeFolder(in parent: String) throws -> String {
        let parent = Path.resolved(parent) ?? parent
        removeAbandoned(in: parent)
        let path = "\(parent)/\(prefix)\(geteuid())-\(Job.newID())"
        try Files.makeDirectory(path, mode: 0o700)
        return path
    }

    /// Removes the folders that this user's killed commands left.
    private static func removeAbandoned(in parent: String) {
        for name in (try? Files.list(parent)) ?? [] where name.hasPrefix("\(prefix)\(geteuid())-") {
            guard let folder = try? Folder(parent + "/" + name), (try? folder.sharing()).flatMap(\.self) == nil,
                (try? folder.lockIfFree()) == true
            else { continue }
            remove(folder)
        }
    }

    private static func remove(_ folder: Folder) {
        for name in (try? folder.names()) ?? [] { _ = try? folder.remove(name) }
        _ = try? Files.removeDirectory(folder.path)
    }

    /// Takes the folder away.
    func remove() { if isOwn { Self.remove(open) } }

    /// Prints the end of a report: its rows as an array of objects.
    ///
    /// - Parameter report: the report as a JSON object.
    func show(_ plan: Plan, in report: String, signals: SignalDescriptor) throws {
        guard let model = plan.models.last(where: \.final) else { return }
        _ = Output.result(bytes: Array("\(report.dropLast()),\"rows\":[".utf8))
        // A line ends an object, and nothing else: what is in a text is escaped.
        var isBetween = false
        try reader.read(
            "\(folder)/\(model.name).arrows", rows: rows, format: .json, columns: nil, isWhole: true, signals: signals
        ) { piece in
            var text: [UInt8] = []
            for byte in piece {
                if byte == UInt8(ascii: "\n") {
                    isBetween = true
                    continue
                }
                if isBetween { text.append(UInt8(ascii: ",")) }
                isBetween = false
                text.append(byte)
            }
            return Output.result(bytes: text)
        }
        Output.result("]}")
    }

    /// Prints the rows of a plan's final tables.
    ///
    /// - Parameter isOnly: whether nothing else is printed beside them.
    func show(_ plan: Plan, isOnly: Bool, columns: Int, signals: SignalDescriptor) throws {
        for model in plan.models where model.final {
            let path = "\(folder)/\(model.name).arrows"
            // An expectation has no table to show.
            guard Files.exists(path) else { continue }
            if !isOnly { Output.result("\n\(model.name)") }
            var rest: [UInt8] = []
            let isClipped = !isWhole && isatty(1) == 1
            try reader.read(
                path, rows: rows, format: format, columns: isClipped ? columns : nil, isWhole: isWhole,
                signals: signals
            ) { piece in
                if format != .table { return Output.result(bytes: piece) }
                rest += piece
                guard let end = rest.lastIndex(of: UInt8(ascii: "\n")) else { return Output.hasResult }
                let text = String(decoding: rest[..<end], as: UTF8.self)
                rest.removeSubrange(...end)
                // What the rows say was made by anybody's code.
                Output.result(text.linesWithoutControls(keepingColours: false))
                return Output.hasResult
            }
        }
    }
}
