/// The abilities of a terminal: colours, and characters beyond ASCII.
public struct Style: Equatable, Sendable {
    /// A colour or weight, by what it means.
    public enum Tone: Sendable {
        case good, bad, caution, quiet, strong, accent

        var code: String {
            switch self {
            case .good: "32"
            case .bad: "1;31"
            case .caution: "33"
            case .quiet: "2"
            case .strong: "1"
            case .accent: "36"
            }
        }
    }

    /// Whether colours are welcome.
    public var isColoured: Bool
    /// Whether more than ASCII can be shown.
    public var isUnicode: Bool

    /// A style.
    public init(isColoured: Bool, isUnicode: Bool) {
        self.isColoured = isColoured
        self.isUnicode = isUnicode
    }

    /// The style that the environment suggests for the place that is written to.
    ///
    /// Colours need a terminal that isn't `dumb`, and no `NO_COLOR` (https://no-color.org: any value but an empty one).
    /// Characters beyond ASCII need a UTF-8 locale; the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set counts, and
    /// with none of them set, a place that is no terminal gets them.
    public init(isTerminal: Bool, environment: [String: String]) {
        let isPlain = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        isColoured = Self.isLive(isTerminal: isTerminal, environment: environment) && !isPlain
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        let name = locale?.lowercased()
        isUnicode = name.map { $0.hasSuffix("utf-8") || $0.hasSuffix("utf8") } ?? !isTerminal
    }

    /// Whether lines can be redrawn in place: on a terminal that isn't `dumb`.
    public static func isLive(isTerminal: Bool, environment: [String: String]) -> Bool {
        isTerminal && environment["TERM"].map { $0 != "dumb" && !$0.isEmpty } ?? false
    }

    /// The text in a tone, or as it is where colours aren't welcome. The text must be measured before.
    public func paint(_ text: String, _ tone: Tone) -> String {
        isColoured && !text.isEmpty ? "\u{1b}[\(tone.code)m\(text)\u{1b}[0m" : text
    }

    /// Marks what succeeded.
    public var success: String { isUnicode ? "✓" : "+" }
    /// Marks what failed.
    public var failure: String { isUnicode ? "✗" : "!" }
    var ellipsis: String { isUnicode ? "…" : "..." }
    var separator: String { isUnicode ? " · " : ", " }
    var rule: String { isUnicode ? "─" : "-" }
    /// The mark between a model's name and what it prints.
    public var bar: String { isUnicode ? "│" : "|" }
    var branch: String { isUnicode ? "├── " : "|-- " }
    var lastBranch: String { isUnicode ? "└── " : "`-- " }
    var trunk: String { isUnicode ? "│   " : "|   " }
    var times: String { isUnicode ? "×" : "x" }

    /// The spinner's picture at a moment.
    func spinner(at elapsed: Duration) -> String {
        let pictures = isUnicode ? ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"] : ["-", "\\", "|", "/"]
        let tenths = elapsed.milliseconds / 100
        return pictures[Int(tenths % Int64(pictures.count))]
    }
}
