import FoundationEssentials
import Glibc
import System

/// One call of `zerrow run` or `zerrow query`, as it is remembered: what was asked for, and how it went.
public struct Job: Codable, Sendable {
    /// The verb.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case run, query
    }

    /// How far it is, or how it ended.
    public enum Status: String, Codable, Sendable, CaseIterable {
        /// Its project is being read.
        case notStarted = "not-started"
        case running
        case complete
        case fail
        /// Its user stopped it, or its process was killed.
        case abort

        /// Whether it is over.
        public var isFinal: Bool { self != .notStarted && self != .running }
    }

    /// One of its models.
    public struct Model: Codable, Sendable {
        /// Its name.
        public var name: String
        /// `scan`, `python`, `sql`.
        public var kind: String
        /// `waiting`, `running`, or as in the run's report.
        public var status: String
        /// When its worker was asked for, in nanoseconds since 1970; null before that.
        @Nullable public var startedAt: Int64?
        /// When it had its final status.
        @Nullable public var endedAt: Int64?
        /// The file that declares it, relative to the project's folder; null for a scan.
        @Nullable public var file: String?
        /// The names of the models that it reads.
        public var inputs: [String]

        enum CodingKeys: String, CodingKey {
            case name, kind, status, file, inputs
            case startedAt = "started_at_ns"
            case endedAt = "ended_at_ns"
        }

        init(_ model: Plan.Model) {
            name = model.name
            kind = model.task["expectation"] == .bool(true) ? "expectation" : model.kind
            status = "waiting"
            file = model.file
            inputs = model.inputs
        }
    }

    /// The id, which is the run's of the report.
    public var id: String
    /// The verb.
    public var kind: Kind
    /// How far it is.
    public var status: Status
    /// The project's name; until its file is read, that of its folder.
    public var project: String
    /// The project's folder, absolute.
    public var folder: String
    /// The user who called.
    public var user: String
    /// When it was called, in nanoseconds since 1970.
    public var startedAt: Int64
    /// When it was over; null before that.
    @Nullable public var endedAt: Int64?
    /// Its first failure; null when there is none.
    @Nullable public var error: String?
    /// The options that it was called with.
    public var options: [String: JSONValue]
    /// The values of the project's parameters; for a secret, and for one that is not declared, stands `***`.
    public var parameters: [String: JSONValue] = [:]
    /// The models of its plan, in its order.
    public var models: [Model] = []
    /// The process that it runs in, or that waits for the engine which runs it.
    public var process: Int32
    /// When that process was started, in ticks since the machine was: a number alone may come to mean another one.
    public var processStartTicks: UInt64

    enum CodingKeys: String, CodingKey {
        case id, kind, status, project, folder, user, error, options, parameters, models, process
        case startedAt = "started_at_ns"
        case endedAt = "ended_at_ns"
        case processStartTicks = "process_start_ticks"
    }

    /// A job of this process that begins now.
    public init(id: String, kind: Kind, folder: String, options: [String: JSONValue]) {
        self.id = id
        self.kind = kind
        status = .notStarted
        self.folder = Path.resolved(folder) ?? folder
        project = self.folder.split(separator: "/").last.map(String.init) ?? "/"
        user = UserName.own
        startedAt = WallClock.nanoseconds()
        self.options = options
        process = getpid()
        processStartTicks = ProcessTree.startTicks(of: getpid()) ?? 0
    }

    /// It goes on in this process, which was forked from the one that began it.
    mutating func moveHere() {
        process = getpid()
        processStartTicks = ProcessTree.startTicks(of: getpid()) ?? 0
    }

    /// A new id: random, so that a few of its digits mean it.
    public static func newID() -> String {
        let digits = String(UInt64.random(in: 0..<(1 << 48)), radix: 16)
        return String(repeating: "0", count: 12 - digits.count) + digits
    }

    /// Whether a text can be an id.
    public static func isID(_ text: String) -> Bool { text.utf8.count == 12 && isPrefix(text) }

    /// Whether a text can be the beginning of an id.
    static func isPrefix(_ text: String) -> Bool {
        (1...12).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
            }
    }
}

/// The name of the user who calls.
public enum UserName {
    /// As the system's list of users has it, else its number.
    public static var own: String {
        guard let entry = getpwuid(geteuid()), let name = entry.pointee.pw_name else { return "\(geteuid())" }
        return String(cString: name)
    }
}

/// One line of a job's log.
public struct JobLine: Codable, Sendable, Equatable {
    /// Who said it.
    public enum Stream: String, Codable, Sendable {
        /// A model's code: what it prints and what it says on standard error come through one pipe, in order.
        case stdout
        case stderr
        /// zerrow.
        case system
    }

    /// When it came, in nanoseconds since 1970.
    public var at: Int64
    /// The model; null for what zerrow says.
    @Nullable public var model: String?
    /// Who said it.
    public var stream: Stream
    /// The line, without its end.
    public var text: String

    enum CodingKeys: String, CodingKey {
        case model, stream, text
        case at = "at_ns"
    }

    /// A line that came now.
    public init(model: String?, stream: Stream, text: String) {
        at = WallClock.nanoseconds()
        self.model = model
        self.stream = stream
        self.text = text
    }
}
